"""The way back: what every app runs now, and putting it back to what ran before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from graphlib import TopologicalSorter

import anyio

from liftlock.engine.events import Emit, Notice, StepFinished, StepStarted, UndoStarted
from liftlock.engine.execute import Outcome
from liftlock.engine.guard import Guard
from liftlock.errors import LiftlockError, ours
from liftlock.model import Known, Project, Release, Unknown, same_artifacts
from liftlock.planning.order import predecessors
from liftlock.ports import Adapters
from liftlock.tasks import all_at_once, each


class Standing(StrEnum):
    """What an app runs when a run is over, as its platform says."""

    NEW = "new"
    OLD = "old"
    UNTOUCHED = "untouched"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Touched:
    """An app that was switched, or may have been."""

    app: str
    before: Known | None
    """What ran before; None when that is not known."""
    new: Release | None
    """The release as it was staged at the target."""


class WayBack:
    """Looks at, and restores, the apps of one environment."""

    def __init__(
        self, project: Project, environment: str, adapters: Adapters, guard: Guard, emit: Emit
    ) -> None:
        self._project = project
        self._environment = environment
        self._adapters = adapters
        self._guard = guard
        self._emit = emit
        self.notes: list[str] = []

    async def look(self, apps: Sequence[Touched]) -> dict[str, Standing]:
        """What each of these apps runs now, from the platform itself. Raises nothing: an app that
        cannot be looked at must not keep the others from going back."""
        by_name = {touched.app: touched for touched in apps}
        return await each(by_name, lambda name: self._standing(by_name[name]))

    async def restore(self, apps: Sequence[Touched]) -> dict[str, Standing]:
        """Put these apps back in reverse order: an app goes back after those that went after it.

        One that cannot be put back does not keep the others from it. Returns what runs then.
        """
        after: Mapping[str, Sequence[str]] = {n: app.after for n, app in self._project.apps.items()}
        before = predecessors(after, [touched.app for touched in apps])
        done = {touched.app: anyio.Event() for touched in apps}
        followers = {app: [n for n, needs in before.items() if app in needs] for app in done}
        self._emit(UndoStarted(tuple(TopologicalSorter(before).static_order())[::-1]))

        async def put_back(touched: Touched) -> None:
            for follower in followers[touched.app]:
                await done[follower].wait()
            await self._restore(touched)
            done[touched.app].set()

        async with all_at_once() as tasks:
            for touched in apps:
                tasks.start_soon(put_back, touched)
        return await self.look(apps)

    async def _restore(self, touched: Touched) -> None:
        step, started = f"undo:{touched.app}", anyio.current_time()
        self._emit(StepStarted(step, "undo", touched.app))
        outcome, detail = Outcome.DONE, ""
        target = self._project.apps[touched.app].targets[self._environment]
        try:
            if touched.before is None:
                raise LiftlockError(f"What ran in {touched.app} before is not known.")
            with ours(step):
                async with self._guard.changing():
                    await self._adapters.platforms[target.platform].restore(
                        target, touched.before, lambda _: None, touched.new
                    )
            detail = touched.before.marker
        except LiftlockError as error:
            outcome, detail = Outcome.FAILED, error.message
            self.note(f"{touched.app} could not be put back: {error.message}")
        elapsed = anyio.current_time() - started
        self._emit(StepFinished(step, "undo", outcome, elapsed, touched.app, detail))

    async def _standing(self, touched: Touched) -> Standing:
        target = self._project.apps[touched.app].targets[self._environment]
        platform = self._adapters.platforms[target.platform]
        old, new = touched.before.artifacts if touched.before else None, touched.new
        expected = [new] if new else []
        expected += [Release(touched.app, "", old)] if old else []
        try:
            with ours(f"look:{touched.app}"):
                running = await platform.running(target, expected)
                if new and old and isinstance(running, Known) and _is_not(new, running):
                    # Both, in this order: one that was applied here, and has work left, is not asked away.
                    running = await platform.running(target, expected[::-1])
        except LiftlockError as error:
            self.note(f"What {touched.app} runs could not be looked at: {error.message}")
            return Standing.UNSURE
        if isinstance(running, Unknown) or running.pending:  # what is under way may replace what runs yet
            return Standing.UNSURE
        if old is not None and same_artifacts(running.artifacts, old):
            return Standing.OLD
        if new is not None and same_artifacts(running.artifacts, new.artifacts):
            return Standing.NEW
        return Standing.UNSURE

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._emit(Notice(text))


def _is_not(new: Release, running: Known) -> bool:
    """Whether a platform that can only compare says that it does not run the new release.

    Only then is it asked of the old one: where the new one is in place, a command of the old one has
    nothing left to do either.
    """
    return running.compared_with is not None and not same_artifacts(running.artifacts, new.artifacts)
