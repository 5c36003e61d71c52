"""Waiting for something that only asking can tell.

Looks begin at fixed points and do not wait for each other: an answer takes a round trip, and a
poll that waited for the last answer before it asked again would add that round trip to what it
waits for. The gap between two looks is 8 % of the time waited so far and at least 50 ms, so that
polling adds less than 10 % to any wait beyond half a second. Many waits at once share a budget of
looks: a vendor's limits and this machine are theirs together.

A condition that must hold for a while is looked at one answer after another: they may arrive in another
order than the looks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

from liftlock.errors import AnswerLost, VendorError

T = TypeVar("T")

SHORTEST_GAP_S = 0.05
LONGEST_GAP_S = 30.0
LONGEST_HOLDING_GAP_S = 5.0
"""The same while something must hold: what ceases to is to be found out soon."""
SHARE_OF_ELAPSED = 0.08
PATIENCE_S = 60.0
"""How long looks may fail before the wait is given up."""
MOST_IN_FLIGHT = 6
MOST_LOOKS_PER_S = 400.0
CROWD = 16
"""So many waits at once are better asked with fewer requests in a look."""


class _Load:
    """How many waits are under way in this process."""

    waits = 0


def gap_s(elapsed_s: float) -> float:
    """The time until the next look, in seconds, after `elapsed_s` of waiting."""
    return min(LONGEST_GAP_S, max(SHORTEST_GAP_S, SHARE_OF_ELAPSED * elapsed_s))


def is_crowded() -> bool:
    """Whether many waits are under way: a look should then ask for what it needs, and no more."""
    return _Load.waits > CROWD


async def wait_for(
    look: Callable[[], Awaitable[T | None]],
    *,
    limit_s: float,
    timed_out: Callable[[], Exception],
) -> T:
    """The first answer of `look` that is not None; looks still under way are dropped then.

    A look that fails in a way that a retry may mend counts as no news, until none was answered
    for `PATIENCE_S`. Raises what `timed_out` gives after `limit_s`, and whatever else a look raises.
    """
    wait = _Wait(look)
    _Load.waits += 1
    try:
        with anyio.move_on_after(limit_s):
            await wait.run()
    finally:
        _Load.waits -= 1
    if wait.failure is not None:
        raise wait.failure
    if wait.found is None:
        raise timed_out()
    return wait.found


async def holds(
    look: Callable[[], Awaitable[bool]],
    lasts_s: float,
    progress: Callable[[str], None],
    *,
    what: str = "healthy",
    since: float | None = None,
) -> bool:
    """Whether what was so at `since`, by default now, is so at every look until `lasts_s` have passed, and then too.

    A look that fails in a way that a retry may mend counts as no news, until none was answered for
    `PATIENCE_S`. Raises whatever else a look raises. Asks nothing when `lasts_s` is 0.
    """
    if lasts_s <= 0:
        return True
    began = answered_at = anyio.current_time() if since is None else since
    end = began + lasts_s  # a difference of clocks may round to just below `lasts_s`, and stay there
    while True:
        elapsed = anyio.current_time() - began
        progress(f"{what} for {elapsed:.0f} of {lasts_s:g} s")
        pause_s = min(LONGEST_HOLDING_GAP_S, max(gap_s(elapsed), lasts_s / 10))
        left_s = end - anyio.current_time()
        await anyio.sleep(min(pause_s, left_s) if left_s > 0 else pause_s)
        is_last = anyio.current_time() >= end
        try:
            is_so = await look()
        except VendorError as failure:
            if not _is_no_news(failure, answered_at):
                raise
            continue
        if is_last or not is_so:
            return is_so
        answered_at = anyio.current_time()


def _is_no_news(failure: VendorError, answered_at: float) -> bool:
    is_patient = anyio.current_time() - answered_at < PATIENCE_S
    return is_patient and (failure.retryable or isinstance(failure, AnswerLost))


@dataclass(slots=True)
class _Wait(Generic[T]):
    look: Callable[[], Awaitable[T | None]]
    found: T | None = None
    failure: Exception | None = None
    answered_at: float = 0.0
    slots: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(MOST_IN_FLIGHT))

    async def run(self) -> None:
        began = self.answered_at = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            while True:
                await self.slots.acquire()
                tasks.start_soon(self._once, tasks.cancel_scope)
                own_s = gap_s(anyio.current_time() - began)
                await anyio.sleep(max(own_s, _Load.waits / MOST_LOOKS_PER_S))

    async def _once(self, others: anyio.CancelScope) -> None:
        # Failures are kept and raised by the waiter: one that left a task group would arrive wrapped.
        try:
            found = await self.look()
        except VendorError as failure:
            if not _is_no_news(failure, self.answered_at):
                self._end(others, failure=failure)
        except Exception as failure:  # noqa: BLE001 (a task's edge: re-raised by `wait_for`)
            self._end(others, failure=failure)
        else:
            self.answered_at = anyio.current_time()
            if found is not None:
                self._end(others, found=found)
        finally:
            self.slots.release()

    def _end(
        self, others: anyio.CancelScope, *, found: T | None = None, failure: Exception | None = None
    ) -> None:
        if self.found is None and self.failure is None:
            self.found, self.failure = found, failure
        others.cancel()
