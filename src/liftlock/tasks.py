"""Work side by side, with errors that a caller can catch by their own class."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar, TypeVarTuple, overload

import anyio
import anyio.abc

from liftlock.errors import LiftlockError, ungrouped

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")
Args = TypeVarTuple("Args")


@asynccontextmanager
async def all_at_once() -> AsyncIterator[anyio.abc.TaskGroup]:
    """A task group whose first `LiftlockError` is raised as itself, not inside a group."""
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            yield tasks


Call = Callable[[], Awaitable[T]]


@overload
async def together(one: Call[A], two: Call[B], /) -> tuple[A, B]: ...
@overload
async def together(one: Call[A], two: Call[B], three: Call[C], /) -> tuple[A, B, C]: ...
@overload
async def together(one: Call[A], two: Call[B], three: Call[C], four: Call[D], /) -> tuple[A, B, C, D]: ...
@overload
async def together(*calls: Call[T]) -> tuple[T, ...]: ...
async def together(*calls: Call[Any]) -> tuple[Any, ...]:
    """The results of all calls, in their order.

    The first failure ends the others and is raised as it is, not wrapped in a group: callers
    catch our errors by their class.
    """
    results: list[Any] = [None] * len(calls)
    failures: list[Exception] = []

    async def run(index: int) -> None:
        try:
            results[index] = await calls[index]()
        except Exception as failure:  # noqa: BLE001 (a task's edge: raised below)
            failures.append(failure)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for index in range(len(calls)):
            tasks.start_soon(run, index)
    if failures:
        raise failures[0]
    return tuple(results)


class Background(Generic[T]):
    """Work begun now, whose result is awaited later, any number of times.

    Its error cancels the task group that it was begun in.
    """

    def __init__(
        self,
        tasks: anyio.abc.TaskGroup,
        work: Callable[[*Args], Awaitable[T]],
        *args: *Args,
    ) -> None:
        self._done = anyio.Event()
        self._value: T

        async def run() -> None:
            self._value = await work(*args)
            self._done.set()

        tasks.start_soon(run)

    async def result(self) -> T:
        await self._done.wait()
        return self._value


async def each(names: Iterable[str], work: Callable[[str], Awaitable[T]]) -> dict[str, T]:
    """What `work` gives for each name, all at once, in the order of `names`."""
    async with all_at_once() as tasks:
        begun = {name: Background(tasks, work, name) for name in names}
    return {name: await done.result() for name, done in begun.items()}


class Rendezvous:
    """A point that several have to reach before any of them goes on."""

    def __init__(self, names: Iterable[str]) -> None:
        self._awaited = set(names)
        self._all_here = anyio.Event()
        self._failure: LiftlockError | None = None

    async def meet(self, name: str) -> None:
        """Reach it, and wait for the others. Raises what `give_up` was given."""
        self.reached(name)
        await self._all_here.wait()
        if self._failure is not None:
            raise self._failure

    def reached(self, name: str) -> None:
        """Say that `name` is there, or needs not be waited for. Safe to repeat."""
        self._awaited.discard(name)
        if not self._awaited:
            self._all_here.set()

    def give_up(self, failure: LiftlockError) -> None:
        """Nobody goes on: whoever waits, and whoever comes, is told why."""
        self._failure = self._failure or failure
        self._all_here.set()


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
