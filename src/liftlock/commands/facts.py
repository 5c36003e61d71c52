"""Find out what the gates of an environment ask about: all at once, and only what they ask.

What cannot be found out becomes an `Unknown`, which lets no gate pass; the plan can still be shown.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from liftlock import programs
from liftlock.commands.status import look_at
from liftlock.commands.workflows import job_environment
from liftlock.errors import LiftlockError
from liftlock.model import (
    EMPTY,
    Approval,
    Backup,
    Check,
    Deployment,
    GateCommand,
    Gates,
    Kind,
    Project,
    Unknown,
    WorkflowRun,
)
from liftlock.planning.gates import Facts, SourceState, judged
from liftlock.planning.gates.facts import UNASKED, Ended
from liftlock.planning.observation import Observation
from liftlock.planning.plan import AppPlan, Plan
from liftlock.ports import Adapters
from liftlock.tasks import Background, all_at_once, each

T = TypeVar("T")

SOAK_RECORDS = 10
"""How many of an app's records in the source are looked through for the time that a release ran there."""


async def gated(
    project: Project,
    adapters: Adapters,
    plan: Plan,
    observation: Observation,
    *,
    accept_drift: bool = False,
    overrides: Mapping[str, str] = EMPTY,
    ran: Mapping[str, Sequence[Deployment]] = EMPTY,
    environ: Mapping[str, str] = os.environ,
) -> Plan:
    """`plan` with every gate judged by what is found out now.

    `ran` holds records of the source, newest first, that are known already.
    """
    gates = project.environments[plan.environment].gates
    facts = Facts()
    if plan.kind is Kind.PROMOTION and plan.changes and gates != Gates():
        facts = await _Look(project, adapters, plan, gates, ran, environ).facts()
    return judged(plan, project, observation, facts, accept_drift=accept_drift, overrides=overrides)


class _Look:
    """The facts about one plan."""

    def __init__(
        self,
        project: Project,
        adapters: Adapters,
        plan: Plan,
        gates: Gates,
        ran: Mapping[str, Sequence[Deployment]],
        environ: Mapping[str, str],
    ) -> None:
        self._project = project
        self._adapters = adapters
        self._plan = plan
        self._gates = gates
        self._ran = ran
        self._environ = environ

    async def facts(self) -> Facts:
        async with all_at_once() as tasks:
            people = Background(tasks, self._people)
            ran = Background(tasks, self._soaked)
            checks = Background(tasks, self._checks)
            source = Background(tasks, self._source)
            backups = Background(tasks, self._backups)
            command = Background(tasks, self._command)
            workflow = Background(tasks, self._workflow)
        requester, approvals = await people.result()
        return Facts(
            requester=requester,
            acting_for=self._adapters.acting_for,
            is_local=self._project.ledger.startswith("sqlite:"),
            approvals=approvals,
            workflow=await workflow.result(),
            job_environments=self._job_environments(),
            ran=await ran.result(),
            checks=await checks.result(),
            source=await source.result(),
            backups=await backups.result(),
            command=await command.result(),
        )

    async def _people(self) -> tuple[str, Sequence[Approval] | Unknown]:
        """Who asks, and who approved. Without knowing who asks, no approval can be told from their own."""
        if not self._gates.approvals:
            return "", UNASKED
        ledger, plan = self._adapters.ledger, self._plan
        async with all_at_once() as tasks:
            account = Background(tasks, told, ledger.account)
            given = Background(tasks, told, lambda: ledger.approvals(plan.environment, plan.digest))
        requester = await account.result()
        if isinstance(requester, Unknown):
            return "", requester
        return requester, await given.result()

    async def _workflow(self) -> WorkflowRun | Unknown | None:
        """The run that this is a part of. Where it cannot be looked at, nobody knows who started it."""
        workflow = self._adapters.workflow
        if workflow is None or not self._gates.approvals:
            return None
        return await told(workflow.run)

    def _job_environments(self) -> tuple[str, ...]:
        """What a job that promotes into the target names: as our workflow does, or GitHub's own name of it."""
        target = self._project.environments[self._plan.environment]
        return job_environment("promote", target.name), target.names.get("github", target.name)

    async def _soaked(self) -> Mapping[str, Sequence[Deployment]]:
        """The source's history of every app whose newest record alone has not soaked long enough."""
        fresh = [
            app.app
            for app in self._plan.changes
            if (pinned := app.source_deployment) is not None
            and app.app not in self._ran
            and (self._plan.observed_at - pinned.created_at).total_seconds() < self._gates.soak_s
        ]

        async def history(app: str) -> Sequence[Deployment] | Unknown:
            return await told(lambda: self._adapters.ledger.deployments(self._plan.source, app, SOAK_RECORDS))

        found = await each(fresh, history)
        return {**self._ran, **{app: d for app, d in found.items() if not isinstance(d, Unknown)}}

    async def _checks(self) -> Mapping[str, Sequence[Check] | Unknown]:
        if not self._gates.checks:
            return {}
        places = {app.app: self._place(app) for app in self._plan.changes}

        async def look(place: tuple[str, str]) -> Sequence[Check] | Unknown:
            return await told(lambda: self._adapters.source_code.checks(*place))

        async with all_at_once() as tasks:  # apps of one repository share their commits
            begun = {place: Background(tasks, look, place) for place in set(places.values())}
        return {app: await begun[place].result() for app, place in places.items()}

    def _place(self, app: AppPlan) -> tuple[str, str]:
        return self._project.apps[app.app].repository, app.release.commit if app.release else ""

    async def _source(self) -> Mapping[str, SourceState] | Unknown:
        if not self._gates.source_healthy:
            return UNASKED
        source = self._plan.source
        status = await told(lambda: look_at(self._project, self._adapters, [source]))
        if isinstance(status, Unknown):
            return status
        return {
            app: SourceState(cell.drift, cell.running, cell.difference)
            for (app, _), cell in status.cells.items()
        }

    async def _backups(self) -> Mapping[str, Sequence[Backup] | Unknown] | Unknown:
        if not self._gates.backup_age_s:
            return UNASKED

        async def look(name: str) -> Sequence[Backup] | Unknown:
            app = self._project.apps[name]
            service = self._adapters.databases_of(app)
            if service is None:
                return Unknown(f"nothing serves databases of {app.platform}")
            return await told(lambda: service.backups(app.targets[self._plan.environment]))

        return await each([name for name, app in self._project.apps.items() if app.backup], look)

    async def _command(self) -> Ended | Unknown:
        command = self._gates.command
        if command is None:
            return UNASKED
        missing = [name for name in command.env if name not in self._environ]
        if missing:
            return Unknown(f"the environment variable {' and '.join(missing)} is not set")
        outcome = await programs.run(
            command.run,
            Path(self._project.root),
            self._variables(command),
            command.timeout_s,
            [self._environ[name] for name in command.env],
        )
        return Ended(outcome.exit_code, outcome.lines)

    def _variables(self, command: GateCommand) -> Mapping[str, str]:
        given = {n: self._environ[n] for n in (*programs.PASSED_ON, *command.env) if n in self._environ}
        return {
            **given,
            "LIFTLOCK_PLAN": self._plan.digest,
            "LIFTLOCK_SOURCE": self._plan.source,
            "LIFTLOCK_TARGET": self._plan.environment,
        }


async def told(work: Callable[[], Awaitable[T]]) -> T | Unknown:
    """What `work` gives, or why it could not."""
    try:
        return await work()
    except LiftlockError as error:
        return Unknown(error.headline)
