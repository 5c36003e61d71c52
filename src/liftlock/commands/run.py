"""Run a plan under the environment's lease: shown, agreed to, and still true when it begins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import anyio

from liftlock.commands.promote import refuse_unless_runnable
from liftlock.engine.events import Emit, Waiting
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Ending, Result
from liftlock.engine.run import Run
from liftlock.errors import Busy, LiftlockError
from liftlock.model import EMPTY, Project
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters, Lease, Leases
from liftlock.tasks import Background, all_at_once

FREE_S = 20.0
"""How long giving a lease back may take before it is left to run out by itself."""
FIRST_LOOK_S, LONGEST_LOOK_S = 1.0, 15.0
"""How often a lease that is waited for is looked at."""
QUIET_S = 6.0
"""How long nothing is begun after a holder that did not give its lease back: what it had begun may
arrive yet, a holder that lives looks at its lease every `guard.SEEN_S`, and GitHub may list a record late."""

Then = Callable[[Plan, Result, Lease], Awaitable[None]]
"""What follows a run that succeeded, while its lease still keeps everybody else out."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a plan is to be run."""

    purpose: str
    """What the loser of a race is told that the winner does: "promotion from dev"."""
    wait_s: float = 0.0
    """How long to wait for a lease that somebody else holds, in seconds."""
    undo_on_failure: bool = True
    overrides: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    key: str = ""
    """What the promotion's record is found again by, whoever looks for it; one is made up without."""


async def run_under_lease(
    project: Project,
    adapters: Adapters,
    environment: str,
    make: Callable[[], Awaitable[Plan]],
    terms: Terms,
    *,
    show: Callable[[Plan], None],
    agree: Callable[[Plan], Awaitable[None]] | None,
    emit: Emit,
    stop: StopRequest,
    then: Then | None = None,
) -> tuple[Plan, Result]:
    """Make the plan, show it, have it agreed to, and run it while nobody else may change anything.

    What is to be done `then`, under the same lease, is done once a plan with changes has succeeded.

    With `agree`, the plan is made once more under the lease; one that changed since it was shown
    is shown and asked about again. Without (`--yes`), it is made while the lease is being taken:
    whoever held it before had given it back by then, and nobody else can have held it since. After
    one that did not give it back, it is made anew.
    Where a lease is waited for, all that comes after it: its holder goes on changing what a plan
    depends on, and has a promotion open, which would refuse any plan.

    Raises before the first change if the plan may not run; afterwards the result tells.
    """
    if agree is not None and not terms.wait_s:
        async with unless_stopped(stop, environment):
            shown = await make()
            show(shown)
            refuse_unless_runnable(shown)
            if not shown.changes:
                return shown, Result(Ending.SUCCEEDED, {}, 0.0)
            await agree(shown)
        async with held(adapters.leases, environment, terms, emit) as lease:
            async with unless_stopped(stop, environment):
                plan, granted = await _under(lease, make)
                has_changed = plan.digest != shown.digest
                if has_changed:
                    show(plan)
                refuse_unless_runnable(plan)  # a window may have closed while the lease was waited for
                if has_changed:
                    await agree(plan)
            return plan, await _run(project, adapters, plan, granted, terms, emit, stop, then)
    async with held(adapters.leases, environment, terms, emit) as lease:
        async with unless_stopped(stop, environment):
            if terms.wait_s:
                await lease()
            plan, granted = await _under(lease, make)
            show(plan)
            refuse_unless_runnable(plan)
            if agree is not None and plan.changes:
                await agree(plan)
        return plan, await _run(project, adapters, plan, granted, terms, emit, stop, then)


async def _under(
    lease: Callable[[], Awaitable[Lease]], make: Callable[[], Awaitable[Plan]]
) -> tuple[Plan, Lease]:
    """The plan that holds under the lease, made while that is being taken wherever it may be."""
    plan = await make()
    granted = await lease()
    return plan if granted.vacant_s() is None else await make(), granted


@asynccontextmanager
async def unless_stopped(stop: StopRequest, environment: str) -> AsyncIterator[None]:
    """Nothing is begun in here, so a request to stop ends it at once. Raises `LiftlockError` then."""

    async def watch() -> None:
        await stop.wait()
        raise LiftlockError(f"{environment} was not changed: {stop.reason}.")

    async with all_at_once() as tasks:
        tasks.start_soon(watch)
        yield
        tasks.cancel_scope.cancel()


async def _run(
    project: Project,
    adapters: Adapters,
    plan: Plan,
    lease: Lease,
    terms: Terms,
    emit: Emit,
    stop: StopRequest,
    then: Then | None,
) -> Result:
    if not plan.changes:
        return Result(Ending.SUCCEEDED, {}, 0.0)
    result = await Run(
        project,
        plan,
        adapters,
        key=terms.key or uuid4().hex,
        lease=lease,
        emit=emit,
        stop=stop,
        undo_on_failure=terms.undo_on_failure,
        overrides=terms.overrides,
        keeps_lease=then is not None,
    ).run()
    if then is not None and result.exit_code == 0:
        await then(plan, result, lease)
    return result


@asynccontextmanager
async def held(
    leases: Leases, environment: str, terms: Terms, emit: Emit
) -> AsyncIterator[Callable[[], Awaitable[Lease]]]:
    """Begin to take the lease, and give a function that waits for it. It is given back on leaving.

    Taking is never cut off half-way: a lease that was taken without our knowing would keep
    everybody out until it runs out. A run that is abandoned keeps its lease, with the journal
    that a resume needs, until that has run out.
    """
    taken: list[Lease] = []

    async def take() -> Lease:
        taken.append(await _taken(leases, environment, terms, emit))
        await _quiet(taken[0], environment, emit)
        return taken[0]

    try:
        async with all_at_once() as tasks:
            lease = Background(tasks, take)
            yield lease.result
            await lease.result()
    except anyio.get_cancelled_exc_class():
        # Abandoned in the middle: the journal must outlive us, so the lease runs out by itself.
        raise
    except BaseException:
        await _give_back(taken, environment, emit)
        raise
    else:
        await _give_back(taken, environment, emit)


async def _give_back(taken: list[Lease], environment: str, emit: Emit) -> None:
    with anyio.move_on_after(FREE_S, shield=True):
        for lease in taken:
            await _quiet(lease, environment, emit)  # or the next one would begin at once
            try:
                await lease.free(hand_on=True)  # what a killed promotion journaled is for its resume
            except LiftlockError:
                # It runs out by itself, and whoever needs it before then is told whose it is.
                continue


async def _quiet(lease: Lease, environment: str, emit: Emit) -> None:
    """Wait until all has arrived that a holder who did not give the lease back had begun."""
    vacant_s = lease.vacant_s()
    if vacant_s is None or vacant_s >= QUIET_S:
        return
    why = f"the last holder of {environment} did not give it back: what it had begun may arrive yet"
    emit(Waiting("lease", QUIET_S - vacant_s, why))
    await anyio.sleep(QUIET_S - vacant_s)


async def _taken(leases: Leases, environment: str, terms: Terms, emit: Emit) -> Lease:
    until = anyio.current_time() + terms.wait_s
    pause_s = FIRST_LOOK_S
    while True:
        try:
            with anyio.CancelScope(shield=True):
                return await leases.take(environment, terms.purpose)
        except Busy as busy:
            left_s = until - anyio.current_time()
            if left_s <= 0:
                raise
            emit(Waiting("lease", min(pause_s, left_s), busy.headline))
            await anyio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, LONGEST_LOOK_S)
