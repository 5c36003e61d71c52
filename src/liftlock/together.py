"""Several requests at once, awaited as one call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

import anyio

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")

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
