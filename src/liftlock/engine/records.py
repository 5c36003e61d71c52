"""What a run writes down: its intent before anything changes, each app's record, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from liftlock.engine.announce import origin
from liftlock.engine.backups import journal_entry
from liftlock.engine.guard import Guard
from liftlock.errors import LiftlockError
from liftlock.model import Backup, Deployment, Intent, Release, State, StepTime
from liftlock.planning.observation import types_awake
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters, NewDeployment, NewIntent


class Records:
    """One run's entries in the ledger and in its lease's journal.

    `intent` is that of an interrupted run that this one finishes: it is gone on with, and no second one opened.
    """

    def __init__(
        self,
        plan: Plan,
        adapters: Adapters,
        guard: Guard,
        note: Callable[[str], None],
        intent: Intent | None = None,
    ) -> None:
        self._plan = plan
        self._adapters = adapters
        self._ledger = adapters.ledger
        self._guard = guard
        self._note = note
        self._origin = origin(plan.kind, plan.source, plan.environment)
        self.intent = intent
        self.deployments: dict[str, Deployment] = {}
        """By app: the records that were made."""

    async def open(self, key: str, overrides: Mapping[str, str], *, undo_on_failure: bool) -> Intent:
        """Write the intent, unless there is one."""
        if self.intent is None:
            plan = self._plan
            new = NewIntent(
                key=key,
                kind=plan.kind,
                environment=plan.environment,
                source=plan.source,
                plan_digest=plan.digest,
                releases={a.app: a.release for a in plan.changes if a.release},
                replaced={a.app: a.replaces.id for a in plan.changes if a.replaces},
                before={a.app: a.before.artifacts for a in plan.changes if a.before},
                reverts=plan.reverts,
                overrides=overrides,
                undo_on_failure=undo_on_failure,
                expected_backups=tuple(d.id for d in plan.databases),
                requested_by=self._adapters.acting_for,
            )
            async with self._guard.changing():
                self.intent = await self._ledger.open_intent(new)
        return self.intent

    async def journal(self, backups: Sequence[Backup]) -> None:
        """Write down which backups count, before anything is switched: a resume takes no second ones."""
        if self.intent is None:
            raise AssertionError("the journal is written before the intent")
        await self._guard.write(journal_entry(self.intent, backups))

    async def record(
        self,
        app: str,
        staged: Release | None,
        backups: Sequence[Backup],
        steps: Mapping[str, StepTime],
    ) -> Deployment:
        """Record that an app runs its release, with its artifacts as they were `staged` at the target."""
        planned, plan = self._plan.apps[app], self._plan
        release = staged or planned.release
        if release is None or planned.release is None or self.intent is None:
            raise AssertionError(f"{app} is to be recorded before it was released")
        new = NewDeployment(
            app=app,
            environment=plan.environment,
            release=replace(release, about=planned.release.about),
            promotion=self.intent.id,
            kind=plan.kind,
            source_environment=plan.source,
            source_deployment=planned.source_deployment.id if planned.source_deployment else "",
            replaced=planned.replaces.id if planned.replaces else "",
            backups=tuple(b for b in backups if b.app == app),
            steps=steps,
            awake=types_awake(release, planned.running),
            description=self._origin,
            requested_by=self._adapters.acting_for,
        )
        async with self._guard.changing():
            self.deployments[app] = deployment = await self._ledger.record(new, self.intent)
        return deployment

    async def mark(self, app: str) -> None:
        """Mark an app's record as the success that it is."""
        await self._ledger.mark(self.deployments[app], State.SUCCESS, self._origin)

    async def mark_all(self, apps: Iterable[str]) -> None:
        """Mark these apps' records. Raises nothing: what cannot be marked is noted."""
        for app in apps:
            try:
                await self.mark(app)
            except LiftlockError as error:
                self._note(f"{app} is recorded, and its record could not be marked: {error.message}")

    async def retire(self, app: str) -> str:
        """Mark the record that an app's new one replaces as inactive; what was done, in words. Raises nothing."""
        replaced, new = self._plan.apps[app].replaces, self.deployments[app]
        if replaced is None or replaced.id == new.id:  # a resume's own
            return ""
        try:
            await self._ledger.mark(replaced, State.INACTIVE, f"replaced by {new.id}")
        except LiftlockError as error:
            self._note(f"The earlier record {replaced.id} of {app} was not marked inactive: {error.message}")
            return "not retired"
        return f"record {replaced.id}"

    async def close(self, state: State, description: str) -> None:
        """End the intent, if there is one."""
        if self.intent is not None:
            await self._ledger.close_intent(self.intent, state, description)

    def summary(self, backups: Sequence[Backup]) -> str:
        """What a run that went well did, for its intent's description."""
        counts = [f"{len(self._plan.releases)} released"]
        moved = len(self._plan.changes) - len(self._plan.releases)
        if moved:
            counts.append(f"{moved} recorded")
        if backups:
            counts.append(f"backups {', '.join(b.id for b in backups)}")
        return f"{self._origin}: {', '.join(counts)}"
