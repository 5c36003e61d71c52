"""Runs the steps of a plan: as early as their needs allow, within each lane's limit.

It knows nothing of what a step does. It keeps three rules: nothing new starts once a step failed
or somebody asked to stop; a step that only waits or prepares is then cancelled; a step that
changes something is let finish, because half a switch helps nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import anyio
import anyio.abc

from liftlock.engine.events import Emit, StepFinished, StepProgress, StepStarted, Stopping
from liftlock.errors import LiftlockError, ours
from liftlock.planning.plan import BARRIERS, Step, StepKind
from liftlock.ports import Progress

INTERRUPTIBLE = frozenset(
    {StepKind.STAGE, StepKind.BACKUP, StepKind.VERIFY, StepKind.RETIRE, StepKind.NOTIFY}
)
BEST_EFFORT = frozenset({StepKind.RETIRE, StepKind.NOTIFY})
DEFAULT_LANE_LIMIT = 64
BEST_EFFORT_GRACE_S = 10.0
"""How long the run waits for what must not hold it up, once everything else is done."""


class Outcome(StrEnum):
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


Act = Callable[[Step, Progress], Awaitable[str]]
"""Does a step's work and returns a detail worth showing ("v43", "12.3 MB"), or ""."""


class StopRequest:
    """Asks a run to stop. The first reason stays."""

    def __init__(self) -> None:
        self.reason = ""
        self._asked = anyio.Event()

    def ask(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._asked.set()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    async def wait(self) -> None:
        await self._asked.wait()


@dataclass(slots=True)
class Execution:
    """What became of every step that was started."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    errors: dict[str, LiftlockError] = field(default_factory=dict)
    stopped: str = ""

    @property
    def succeeded(self) -> bool:
        return not self.errors and not self.stopped

    def started(self, step_id: str) -> bool:
        return step_id in self.outcomes


async def execute(
    steps: Sequence[Step],
    act: Act,
    *,
    limits: Mapping[str, int],
    emit: Emit,
    stop: StopRequest,
) -> Execution:
    """Run `steps` to their end, or until the first failure or a request to stop.

    A defect fails its step like any other error.
    """
    return await _Executor(steps, act, limits, emit, stop).run()


class _Executor:
    def __init__(
        self,
        steps: Sequence[Step],
        act: Act,
        limits: Mapping[str, int],
        emit: Emit,
        stop: StopRequest,
    ) -> None:
        self._act = act
        self._emit = emit
        self._stop = stop
        self._execution = Execution()
        self._steps = {step.id: step for step in steps}
        self._missing = {step.id: len(step.needs) for step in steps}
        self._followers: dict[str, list[str]] = {}
        for step in steps:
            for need in step.needs:
                self._followers.setdefault(need, []).append(step.id)
        lanes = {step.lane for step in steps}
        self._lanes = {lane: anyio.CapacityLimiter(limits.get(lane, DEFAULT_LANE_LIMIT)) for lane in lanes}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._told_stopping = False
        self._required = sum(step.kind not in BEST_EFFORT for step in steps)
        self._required_done = anyio.Event()
        self._best_effort = len(steps) - self._required
        self._best_effort_done = anyio.Event()
        self._tasks: anyio.abc.TaskGroup

    async def run(self) -> Execution:
        async with anyio.create_task_group() as watch:
            watch.start_soon(self._watch_stop)
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._limit_best_effort)
                if not self._required:
                    self._required_done.set()
                for step_id, missing in self._missing.items():
                    if missing == 0:
                        self._begin(self._steps[step_id])
            watch.cancel_scope.cancel()
        return self._execution

    async def _watch_stop(self) -> None:
        await self._stop.wait()
        self._execution.stopped = self._stop.reason
        self._halt(self._stop.reason)

    def _halt(self, reason: str) -> None:
        """Start nothing new, and cancel what only waits or prepares."""
        if not self._told_stopping:
            self._told_stopping = True
            self._emit(Stopping(reason))
        for scope in self._scopes.values():
            scope.cancel()
        self._required_done.set()

    @property
    def _halted(self) -> bool:
        return bool(self._execution.errors) or self._stop.asked

    def _begin(self, step: Step) -> None:
        """Start a step whose needs are met; a barrier is passed at once."""
        if self._halted:
            return
        if step.kind in BARRIERS:
            self._finish(step, Outcome.DONE)
        else:
            self._tasks.start_soon(self._run_step, step)

    async def _run_step(self, step: Step) -> None:
        with anyio.CancelScope() as scope:
            if step.kind in INTERRUPTIBLE:
                self._scopes[step.id] = scope
            async with self._lanes[step.lane]:
                if self._halted:
                    return
                await self._perform(step)
        self._scopes.pop(step.id, None)
        if step.kind in BEST_EFFORT:
            self._best_effort -= 1
            if not self._best_effort:
                self._best_effort_done.set()

    async def _perform(self, step: Step) -> None:
        started = anyio.current_time()
        self._execution.outcomes[step.id] = Outcome.CANCELLED
        self._emit(StepStarted(step.id, step.kind, step.app, step.expected_s))
        detail = ""
        outcome = Outcome.CANCELLED
        try:
            with ours(step.id):
                detail = await self._act(step, lambda text: self._emit(StepProgress(step.id, text, step.app)))
            outcome = Outcome.DONE
        except LiftlockError as error:
            outcome, detail = Outcome.FAILED, error.headline
            if step.kind not in BEST_EFFORT:
                self._fail(step, error)
        finally:
            elapsed = anyio.current_time() - started
            self._emit(StepFinished(step.id, step.kind, outcome, elapsed, step.app, detail))
        self._finish(step, outcome)

    def _fail(self, step: Step, error: LiftlockError) -> None:
        first = not self._halted
        self._execution.errors[step.id] = error
        if first:
            self._halt(f"{step.id} failed")

    def _finish(self, step: Step, outcome: Outcome) -> None:
        self._execution.outcomes[step.id] = outcome
        if outcome is not Outcome.DONE:
            return
        if step.kind not in BEST_EFFORT:
            self._required -= 1
            if not self._required:
                self._required_done.set()
        for follower in self._followers.get(step.id, ()):
            self._missing[follower] -= 1
            if not self._missing[follower]:
                self._begin(self._steps[follower])

    async def _limit_best_effort(self) -> None:
        """Once all that matters is done, give the rest a little time and no more."""
        await self._required_done.wait()
        if self._halted or not self._best_effort:
            return
        with anyio.move_on_after(BEST_EFFORT_GRACE_S):
            await self._best_effort_done.wait()
        for scope in self._scopes.values():
            scope.cancel()


def working_steps(steps: Collection[Step]) -> int:
    """How many steps do work of their own."""
    return sum(step.kind not in BARRIERS for step in steps)
