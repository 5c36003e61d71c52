"""What people ask the server to do, and how that stands. Pure data, and the protocol of whatever does it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from liftlock.model import EMPTY

Event = Mapping[str, Any]
"""An event of a run as a document (docs/reference/events.md); besides those of the engine, `plan`, which
holds the plan as it is about to run."""


class OrderKind(StrEnum):
    """What can be asked for."""

    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    RESUME = "resume"
    UNKNOWN = "unknown"
    """Of a newer liftlock, and to be shown here alone: what performs it is a worker that knows it."""

    @property
    def words(self) -> str:
        """What people read."""
        return "unknown work" if self is OrderKind.UNKNOWN else self.value


@dataclass(frozen=True, slots=True)
class Options:
    """What else is said with an order; the words are those of the command line."""

    accept_drift: bool = False
    overrides: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    """Gates to pass although they refuse, each with the reason."""
    on_failure: Literal["undo", "stop"] = "undo"
    to: str = ""
    """For a rollback: the id or the time that is gone back to; "" for before the last promotion."""
    choice: Literal["", "finish", "undo"] = ""
    """For a resume: what to do; "" for what the promotion's own `on_failure` said."""


@dataclass(frozen=True, slots=True)
class Order:
    """One thing that somebody asks for. It is run as it is shown, or not at all: see `plan_digest`."""

    kind: OrderKind
    environment: str
    requested_by: str
    source: str = ""
    apps: tuple[str, ...] = ()
    plan_digest: str = ""
    """The plan that they saw; one that moved since is refused. "" runs whatever the plan is then."""
    options: Options = Options()


class WorkState(StrEnum):
    """How an order stands."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"

    @property
    def is_over(self) -> bool:
        return self in {WorkState.ENDED, WorkState.WITHDRAWN}


@dataclass(frozen=True, slots=True)
class WorkItem:
    """An order, and what became of it."""

    id: str
    order: Order
    state: WorkState
    created_at: datetime
    position: int = 0
    """How many orders for the same environment come before it; 0 for one that runs or is over."""
    worker: str = ""
    exit_code: int | None = None
    result: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    """The document that the command line prints with `--json`; with `error` alone where nothing was begun."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    withdrawn_by: str = ""


OpenWork = Callable[[], AbstractAsyncContextManager["Work"]]
"""Opens whoever does what is asked for."""


class Work(Protocol):
    """Whoever does what is asked for: in this process, or by workers elsewhere.

    Different environments at once; in one environment one at a time, first come, first served. Lease, intent
    and journal stay the only truth of what was done.
    """

    async def submit(self, order: Order) -> WorkItem:
        """Take an order. It is queued where another one goes on in its environment."""
        ...

    async def item(self, id_: str) -> WorkItem | None:
        """How an order stands; None where nobody knows it any more."""
        ...

    async def items(self, environment: str | None = None, limit: int = 50) -> Sequence[WorkItem]:
        """The newest orders first, of one environment or of all."""
        ...

    async def withdraw(self, id_: str, by: str) -> None:
        """Take an order back. One that runs is asked to stop: nothing new is begun, what is in flight is
        settled, and what was switched goes back. Raises `LiftlockError` for one that is over or unknown."""
        ...

    def events(self, id_: str, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        """The run's events with their numbers, from 1, those after `after`: as they happen, until it ended."""
        ...
