"""Looks at a ledger: several at the same time, and each of them at most once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import anyio

from liftlock.errors import LiftlockError

T = TypeVar("T")


async def at_once(work: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of all of it, run at the same time, in the order given.

    The first `LiftlockError` stops the rest and is raised as it is, not in a group.
    """
    results: dict[int, T] = {}
    failures: list[LiftlockError] = []

    async def run(number: int, one: Callable[[], Awaitable[T]]) -> None:
        try:
            results[number] = await one()
        except LiftlockError as failure:
            failures.append(failure)
            tasks.cancel_scope.cancel()

    if len(work) == 1:
        return [await work[0]()]
    async with anyio.create_task_group() as tasks:
        for number, one in enumerate(work):
            tasks.start_soon(run, number, one)
    if failures:
        raise failures[0]
    return [results[number] for number in range(len(work))]


class Once(Generic[T]):
    """Work that is done when its result is first awaited, and never again, whoever awaits it.

    A `LiftlockError` is kept and raised to everybody; a cancelled attempt counts as none.
    """

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._lock = anyio.Lock()
        self._results: list[T] = []
        self._failure: LiftlockError | None = None

    async def __call__(self) -> T:
        if not self._results:
            async with self._lock:
                if self._failure is not None:
                    raise self._failure
                if not self._results:
                    await self._attempt()
        return self._results[0]

    async def _attempt(self) -> None:
        try:
            self._results.append(await self._work())
        except LiftlockError as failure:
            self._failure = failure
            raise
