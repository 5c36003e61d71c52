"""Work side by side, with errors that a caller can catch by their own class."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar, TypeVarTuple

import anyio
import anyio.abc

from liftlock.errors import LiftlockError, ungrouped

T = TypeVar("T")
Args = TypeVarTuple("Args")


@asynccontextmanager
async def all_at_once() -> AsyncIterator[anyio.abc.TaskGroup]:
    """A task group whose first `LiftlockError` is raised as itself, not inside a group."""
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            yield tasks


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
