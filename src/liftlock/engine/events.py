"""What a run tells while it runs: one stream of typed events.

Terminal progress, `--events`, the log and, later, the journal and the dashboard read the same
stream. Names and fields are a contract: see docs/reference/events.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from liftlock.model import EMPTY


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins. `steps` is the number of steps that do work (barriers not counted).

    `expected_s` says how long it should take, as far as that is known: at least so long, unless
    `expected_is_whole`.
    """

    run: str
    kind: str
    environment: str
    source: str
    plan_digest: str
    apps: tuple[str, ...]
    steps: int
    expected_s: float | None = None
    expected_is_whole: bool = False


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step begins; `expected_s` says how long it should take, where that is known."""

    step: str
    kind: str
    app: str = ""
    expected_s: float | None = None


@dataclass(frozen=True, slots=True)
class StepProgress:
    """What a step waits for right now."""

    step: str
    text: str
    app: str = ""


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step ended: `outcome` is done, failed or cancelled; `elapsed_s` in seconds."""

    step: str
    kind: str
    outcome: str
    elapsed_s: float
    app: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A vendor's limit is being waited for."""

    vendor: str
    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """Nothing new is started; what is in flight is settled."""

    reason: str


@dataclass(frozen=True, slots=True)
class UndoStarted:
    """The apps that were switched go back, in this order."""

    apps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a reader should know and that changes nothing in the outcome."""

    text: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run ended. `apps` says what runs now, app by app: new, old, or what a person has to see to."""

    run: str
    outcome: str
    exit_code: int
    elapsed_s: float
    apps: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    message: str = ""


Event = (
    RunStarted
    | StepStarted
    | StepProgress
    | StepFinished
    | Waiting
    | Stopping
    | UndoStarted
    | Notice
    | RunFinished
)
Emit = Callable[[Event], None]


def as_long_as_heard(emit: Emit) -> Emit:
    """`emit`, until it fails: a closed pipe must not cut a switch off half-way."""
    is_heard = True

    def tell(event: Event) -> None:
        nonlocal is_heard
        if is_heard:
            try:
                emit(event)
            except (OSError, SystemExit):  # rich exits where nobody reads any more
                is_heard = False

    return tell


_NAMES = {
    RunStarted: "run-started",
    StepStarted: "step-started",
    StepProgress: "step-progress",
    StepFinished: "step-finished",
    Waiting: "waiting",
    Stopping: "stopping",
    UndoStarted: "undo-started",
    Notice: "notice",
    RunFinished: "run-finished",
}


def as_document(event: Event, at: datetime) -> dict[str, Any]:
    """The event as `--events` prints it: its name, the time in UTC, and its fields."""
    fields = {key: dict(value) if isinstance(value, Mapping) else value for key, value in _fields(event)}
    return {"event": _NAMES[type(event)], "at": at.isoformat(timespec="milliseconds"), **fields}


def from_document(document: Mapping[str, Any]) -> Event | None:
    """The event of a document; None for one that this version does not know."""
    kind = next((kind for kind, name in _NAMES.items() if name == document.get("event")), None)
    if kind is None:
        return None
    given = {
        each.name: tuple(value) if isinstance(value := document[each.name], list) else value
        for each in fields(kind)
        if each.name in document
    }
    try:
        event: Event = kind(**given)
    except TypeError:  # of a version that tells less
        return None
    return event


def _fields(event: Event) -> list[tuple[str, Any]]:
    if isinstance(event, RunFinished):
        return [(name, getattr(event, name)) for name in event.__slots__]
    return list(asdict(event).items())
