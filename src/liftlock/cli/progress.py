"""Shows a run while it runs: live in a terminal, plain lines elsewhere, or events for machines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from liftlock.cli.output import Output
from liftlock.cli.steps import in_words
from liftlock.engine.events import (
    Event,
    Notice,
    RunStarted,
    StepFinished,
    StepProgress,
    StepStarted,
    Stopping,
    UndoStarted,
    Waiting,
    as_document,
)
from liftlock.ports import Clock

QUIET = frozenset({"mark", "retire", "free", "journal"})
"""Kinds of steps that a person hears of only with -v, or when they fail."""
TITLES = {
    "intent": "intent recorded",
    "stage": "staged",
    "backup": "backed up",
    "release": "switched",
    "verify": "verified",
    "record": "recorded",
    "mark": "marked",
    "journal": "backups journaled",
    "close": "outcome recorded",
    "free": "lease given back",
    "retire": "earlier record retired",
    "notify": "told",
    "undo": "put back",
}
STAGED = {
    "target": "already there",
    "source": "copied from the source",
    "archive": "copied from the archive",
    "clone": "site version cloned",
}
"""Where the bytes of a staged app were, in words."""


class View(Protocol):
    """Something that shows events for as long as it is entered."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __call__(self, event: Event) -> None: ...


def view(output: Output, clock: Clock) -> View:
    """The view that fits where the output goes; what it shows is remembered."""
    return _Remembered(_fitting(output, clock), clock)


def _fitting(output: Output, clock: Clock) -> View:
    if output.events:
        return _Lines(lambda event: output.event(as_document(event, clock.now())))
    if output.is_live:
        from liftlock.cli.live import LiveView

        return LiveView(output, _Teller(output))
    return _Lines(_Teller(output))


RECENT: deque[Mapping[str, Any]] = deque(maxlen=200)
"""The last events of this process, as `--events` prints them, for the report of `--debug`."""


class _Remembered:
    """A view whose events are remembered."""

    def __init__(self, view: View, clock: Clock) -> None:
        self._view = view
        self._clock = clock

    def __enter__(self) -> Self:
        self._view.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._view.__exit__(kind, error, trace)

    def __call__(self, event: Event) -> None:
        RECENT.append(as_document(event, self._clock.now()))
        self._view(event)


class _Lines:
    """Passes each event on as it comes."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        self._tell(event)


class _Teller:
    """Tells each step in a line of its own."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._waited_for = ""

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._output.line()
            case StepFinished():
                self.finished(event)
            case StepStarted() | StepProgress() if self._output.verbose:
                text = event.text if isinstance(event, StepProgress) else "begins"
                self._output.line(f"    {event.step}: {text}", style="dim")
            case Stopping(reason):
                step, failed, _ = reason.rpartition(" failed")
                told = f"{in_words(step)}{failed}" if failed else reason
                self._output.line(f"stopping: {told}", style="yellow", hang=2)
            case UndoStarted(apps):
                self._output.line(f"putting back: {', '.join(apps)}", style="yellow")
            case Waiting(vendor, seconds, why):
                if why != self._waited_for or self._output.verbose:
                    span = "" if vendor == "lease" else f"{seconds:.0f} s "  # it is asked for again and again
                    self._output.line(f"waiting {span}for {vendor}: {why}", style="yellow", hang=2)
                self._waited_for = why
            case Notice(text):
                self._output.line(f"note: {text}", style="yellow")
            case _:
                pass

    def finished(self, event: StepFinished) -> None:
        if event.kind in QUIET and event.outcome == "done" and not self._output.verbose:
            return
        if event.kind == "notify" and event.outcome == "done" and not event.detail:
            return  # nobody is to be told
        mark, style = {"done": ("✓", "green"), "failed": ("✗", "bold red")}.get(event.outcome, ("-", "dim"))
        title = TITLES.get(event.kind, event.kind) if event.outcome == "done" else event.kind
        if event.outcome == "cancelled":
            title = f"{event.kind} not finished"
        why = STAGED.get(event.detail, event.detail) if event.kind == "stage" else event.detail
        detail = f": {why}" if why else ""
        said = f" {event.app:<12} {title}{detail} ({event.elapsed_s:.1f} s)"
        self._output.line(said, style=style, hang=17, mark=f"  {mark}")
