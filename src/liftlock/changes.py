"""Leave to change something: asked right before a change is sent, given by whoever holds the lease.

A step that changes an environment may send a request long after it began: a repeat, the next
process type, a command whose status came first. Each asks here, and is sent only while the lease
is known to outlast it. Outside of `guarded` nobody is asked: reading needs no leave.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Leave = Callable[[float], Awaitable[None]]
"""Returns when a change that takes at most so many seconds may begin. Raises `LeaseLost` when it may not."""

_LEAVE: ContextVar[Leave | None] = ContextVar("leave to change", default=None)


@contextmanager
def guarded(leave: Leave | None) -> Iterator[None]:
    """Have every change that is begun in here, and in tasks started in here, ask for leave; None: nobody's."""
    token = _LEAVE.set(leave)
    try:
        yield
    finally:
        _LEAVE.reset(token)


async def may_begin(lasts_s: float) -> None:
    """Return if a change that takes at most `lasts_s` seconds may begin now. Raises `LeaseLost`.

    For what lasts longer than a lease does, and is let finish, ask for 0: the first moment counts.
    """
    leave = _LEAVE.get()
    if leave is not None:
        await leave(lasts_s)
