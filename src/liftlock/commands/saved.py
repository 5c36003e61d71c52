"""Run a saved plan: plan again from what it pinned, and insist that the same plan comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from liftlock.commands.facts import gated
from liftlock.commands.names import check_names
from liftlock.commands.observe import Observer, refuse_open_intents
from liftlock.commands.promote import Conditions
from liftlock.errors import Refused, UsageError
from liftlock.model import Deployment, Kind, Missing, Project, Release, same_artifact, same_artifacts
from liftlock.planning.document import SavedPlan
from liftlock.planning.make import make_plan
from liftlock.planning.observation import Wanted
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from liftlock.tasks import each

HISTORY = 100
"""How many of the source's records are looked through for a pinned one."""


async def replan(
    project: Project, adapters: Adapters, saved: SavedPlan, conditions: Conditions | None = None
) -> Plan:
    """The saved plan, made again from its pinned releases.

    Raises `Refused` when the target or the configuration has moved since, or when a pinned
    release was rolled back in the source. A source that went on does not matter.
    """
    if saved.project != project.name or saved.kind is not Kind.PROMOTION:
        raise UsageError(
            f"The saved plan is a {saved.kind} of {saved.project}, not a promotion of {project.name}.",
            hint="Run it in the project that it was made for.",
        )
    check_names(project, (saved.source, saved.environment), saved.selected)
    check_names(project, (), (*saved.releases, *saved.unreleased))
    sources = await each(saved.releases, lambda app: adapters.ledger.deployments(saved.source, app, HISTORY))
    wanted: dict[str, Wanted | Missing] = {}
    for app, release in saved.releases.items():
        pinned = _still_good(app, saved.deployments.get(app, ""), sources[app], saved)
        wanted[app] = Wanted(replace(release, about=pinned.release.about), pinned)
    wanted |= {app: Missing(why) for app, why in saved.unreleased.items()}
    conditions = conditions or Conditions()
    observation = await Observer(project, adapters, saved.environment).for_releases(wanted, saved.source)
    refuse_open_intents(saved.environment, observation.open_intents)
    plan = make_plan(
        project,
        observation,
        kind=saved.kind,
        environment=saved.environment,
        source=saved.source,
        selected=saved.selected,
    )
    if plan.digest != saved.digest:
        moved = "or the configuration has moved since" if plan.changes else "now needs nothing"
        raise Refused(
            f"The saved plan no longer holds: {saved.environment} {moved}.",
            hint=f"Nothing was changed. Plan again: liftlock plan {saved.source} {saved.environment} --out FILE",
        )
    return await gated(
        project,
        adapters,
        plan,
        observation,
        accept_drift=conditions.accept_drift,
        overrides=conditions.overrides,
        ran=sources,
    )


def _still_good(app: str, deployment_id: str, records: Sequence[Deployment], saved: SavedPlan) -> Deployment:
    """The source's record that was pinned. Raises `Refused` when it is gone or was rolled back."""
    again = f"Plan again: liftlock plan {saved.source} {saved.environment} --out FILE"
    position = next((i for i, d in enumerate(records) if d.id == deployment_id), None)
    if position is None or not records[position].counts:
        raise Refused(
            f"The saved plan no longer holds: {app}'s record {deployment_id} in {saved.source} is gone or failed.",
            hint=f"Nothing was changed. {again}",
        )
    pinned = records[position]
    release = saved.releases[app]
    if release.commit != pinned.release.commit or not _is_of(release, pinned.release):
        raise Refused(
            f"The saved plan was changed: what it has for {app} is not what record {deployment_id} in"
            f" {saved.source} says.",
            hint=f"Nothing was changed. {again}",
        )
    for newer in records[:position]:
        rolled_back = newer.kind is Kind.ROLLBACK and newer.counts
        if rolled_back and not same_artifacts(newer.release.artifacts, pinned.release.artifacts):
            raise Refused(
                f"The saved plan no longer holds: {app} {pinned.release.short_commit} was rolled back"
                f" in {saved.source} on {newer.created_at:%Y-%m-%d %H:%M} UTC.",
                hint=f"Nothing was changed. {again}",
            )
    return pinned


def _is_of(release: Release, recorded: Release) -> bool:
    """Whether a saved release is a recorded one. Planning adds process types that share a recorded image."""
    return all(
        part in release.artifacts and same_artifact(release.artifacts[part], artifact)
        for part, artifact in recorded.artifacts.items()
    ) and all(
        any(same_artifact(artifact, known) for known in recorded.artifacts.values())
        for artifact in release.artifacts.values()
    )
