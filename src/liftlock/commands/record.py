"""Record: write what really runs into the ledger, where somebody changed it by hand.

Nothing is switched. What is recorded was seen running and healthy, as with every record.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from liftlock.commands.names import check_names
from liftlock.commands.observe import Observer, refuse_open_intents
from liftlock.commands.status import Cell, look_at
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import (
    Artifacts,
    Commit,
    Deployment,
    Kind,
    Known,
    Missing,
    Project,
    Release,
    Unknown,
    same_artifact,
    same_artifacts,
)
from liftlock.planning.make import make_plan
from liftlock.planning.observation import Drift, Wanted, nothing_runs
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from liftlock.tasks import each

RECENT = 30
"""How many of an app's newest records in each environment are looked through for what runs."""


async def plan_record(
    project: Project, adapters: Adapters, environment: str, apps: Collection[str] = (), commit: str = ""
) -> Plan:
    """What would be recorded. Changes nothing.

    The commit of what runs is the one of the record that names the same artifacts, in whichever
    environment, unless `commit` says it. Raises `UsageError` for unknown names and commits.
    """
    check_names(project, (environment,), apps)
    if commit and not apps:
        raise UsageError(
            "--commit belongs to the apps that were built from it, and none is named.",
            hint=f"For example: liftlock record {environment} {next(iter(project.apps))} --commit {commit}",
        )
    status = await look_at(project, adapters, [environment])
    refuse_open_intents(environment, status.open_intents[environment])
    look = _Look(project, adapters, environment, commit)
    found = await each(apps or project.apps, lambda app: look.wanted(status.cells[app, environment]))
    wanted = {app: one for app, one in found.items() if one is not None}
    observation = await Observer(project, adapters, environment).for_releases(wanted)
    # What runs is there: whether a registry still has it does not matter to its record.
    seen = {app: replace(one, located=None) for app, one in observation.apps.items()}
    plan = make_plan(
        project, replace(observation, apps=seen), kind=Kind.RECORD, environment=environment, selected=apps
    )
    if plan.releases:
        moved = ", ".join(app.app for app in plan.releases)
        raise LiftlockError(
            f"What runs in {environment} changed while it was looked at: {moved}.",
            hint="Nothing was recorded. Wait until it stands still, and run the same command again.",
        )
    return plan


class _Look:
    """Finds out which release an app runs in one environment."""

    def __init__(self, project: Project, adapters: Adapters, environment: str, commit: str) -> None:
        self._project = project
        self._adapters = adapters
        self._environment = environment
        self._commit = commit

    async def wanted(self, cell: Cell) -> Wanted | Missing | None:
        """The release that runs; None where nothing runs and nothing is recorded."""
        current, running = cell.recorded.current, cell.running
        if isinstance(running, Unknown):
            return Missing(f"what runs could not be told ({running.reason})", _OTHERS)
        if nothing_runs(running):
            return None if current is None else _nothing_to_record(running)
        if cell.drift is Drift.NONE and current is not None and not self._commit:
            return Wanted(replace(current.release, artifacts=cell.recorded_artifacts))
        if self._commit:
            commit = await self._named_commit(cell.app)
            return Wanted(Release(cell.app, commit.sha, running.artifacts, about=commit))
        return await self._from_records(cell, running)

    async def _named_commit(self, app: str) -> Commit:
        repository = self._project.apps[app].repository
        known = await self._adapters.source_code.commit(repository, self._commit)
        if known is None:
            raise UsageError(
                f"There is no commit {self._commit} in {repository or 'the checkout'}.",
                hint=f"Name the commit that {app} was built from, and push it.",
            )
        return known

    async def _from_records(self, cell: Cell, running: Known) -> Wanted | Missing:
        """What runs, at the commit of a record that names it."""
        current = cell.recorded.current
        if current is not None and _is_part_of(running.artifacts, cell.recorded_artifacts):
            note = f"runs a part of what record {current.id} names; the commit is taken from there"
            release = replace(current.release, artifacts=running.artifacts)
            return Wanted(release, notes=(note,))
        for record in await self._records(cell.app):
            if not _is_the_same_but_its_release_phase(running.artifacts, record.release.artifacts):
                continue
            artifacts = await self._whole(cell.app, running, record.release)
            where = f"record {record.id} in {record.environment}"
            release = replace(record.release, artifacts=artifacts)
            return Wanted(release, notes=(f"its commit is that of {where}",))
        parts = ", ".join(f"{part} {artifact.short}" for part, artifact in running.artifacts.items())
        return Missing(
            f"no record names what runs ({parts}), so its commit is not known",
            f"Say it: liftlock record {self._environment} {cell.app} --commit SHA",
        )

    async def _records(self, app: str) -> Sequence[Deployment]:
        """Its newest records, those of this environment first."""
        ordered = [self._environment, *(e for e in self._project.environments if e != self._environment)]
        found = await each(ordered, lambda e: self._adapters.ledger.deployments(e, app, RECENT))
        return [record for records in found.values() for record in records]

    async def _whole(self, app: str, running: Known, release: Release) -> Artifacts:
        """What runs, with the image of its release phase if the platform confirms it."""
        target = self._project.apps[app].targets[self._environment]
        platform = self._adapters.platforms[target.platform]
        again = await platform.running(target, [release])
        confirmed = isinstance(again, Known) and _is_part_of(running.artifacts, again.artifacts)
        return again.artifacts if confirmed and isinstance(again, Known) else running.artifacts


_OTHERS = "Apps that can be looked at are recorded by naming them."


def _nothing_to_record(running: Known) -> Missing:
    if running.compared_with is not None:
        return Missing(
            f"it does not run what is recorded ({running.note or 'as its platform says'}), and more cannot be told",
            f"Promote to it, or deploy it, to have it done. {_OTHERS}",
        )
    return Missing("nothing runs there, and the ledger records what runs", f"Promote to it again. {_OTHERS}")


def _is_part_of(some: Artifacts, whole: Artifacts) -> bool:
    return all(part in whole and same_artifact(artifact, whole[part]) for part, artifact in some.items())


def _is_the_same_but_its_release_phase(running: Artifacts, recorded: Artifacts) -> bool:
    """A release phase starts no process, so what runs may not tell its image."""
    return bool(running) and same_artifacts(_without_release(running), _without_release(recorded))


def _without_release(artifacts: Artifacts) -> Artifacts:
    return {part: artifact for part, artifact in artifacts.items() if part != "release"}
