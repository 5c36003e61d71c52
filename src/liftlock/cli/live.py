"""A run in a terminal: a row for each app, a column for each kind of step, drawn in place.

It holds still: rows and columns stay where they are from the first step to the last, nothing but
seconds change in between, and every mark is a character besides its colour. What has to be read
(a failure, a wait, a note) is printed above it and scrolls away.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from liftlock import wording
from liftlock.cli.steps import WORDS
from liftlock.engine.events import (
    Event,
    RunFinished,
    RunStarted,
    StepFinished,
    StepProgress,
    StepStarted,
    UndoStarted,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from liftlock.cli.output import Output

COLUMNS = (*WORDS, "record")
"""The kinds of steps that have a column, in the order in which they go on."""
LAST, LAST_CELL = "record", 9
"""The last column: written in a moment, so only that it was is shown. An undo takes its place."""
UNDO = "undo"
MARKS = {"done": ("✓", "green"), "failed": ("✗", "bold red"), "cancelled": ("-", "yellow")}
CELL = 14
"""Columns of a cell that says how far a step is: `0:12 of ~0:40`."""
BESIDE = 3
"""Lines that are not an app's: the head, the whole, and what it waits for."""


@dataclass(slots=True)
class Cell:
    """One app's steps of one kind: its databases' backups share one."""

    began: float
    expected_s: float | None
    running: int = 1
    ended: float = 0.0
    outcome: str = "done"

    def text(self, now: float) -> Text:
        from rich.text import Text

        if self.running:
            # Less than a second is shown as one: "0:00" would seem to say that nothing is to be done.
            expected = "" if self.expected_s is None else f" of ~{_clock(max(self.expected_s, 1.0))}"
            return Text(f"{_clock(now - self.began)}{expected}", style="bold")
        mark, style = MARKS.get(self.outcome, MARKS["cancelled"])
        text = Text(f"{mark} ", style=style)
        return text.append(wording.duration(self.ended - self.began), style="" if style == "green" else style)


@dataclass(slots=True)
class Board:
    """How far a run is."""

    run: RunStarted
    began: float
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    done: int = 0
    waits_for: str = ""
    ended: float = 0.0
    is_undone: bool = False

    def hear(self, event: Event, now: float) -> None:
        match event:
            case StepStarted(_, kind, app, expected_s):
                cell = self.cells.get((app, kind))
                if cell is None:
                    self.cells[app, kind] = Cell(now, expected_s)
                else:
                    cell.running += 1
            case StepProgress(_, text, app):
                self.waits_for = f"{app}: {text}" if app else text
            case StepFinished(_, kind, outcome, _, app):
                self._finish(self.cells.get((app, kind)), outcome, now)
                self.done += outcome == "done" and kind != UNDO
                if self.waits_for.startswith(f"{app}:"):
                    self.waits_for = ""
            case UndoStarted():
                self.is_undone = True
            case RunFinished():
                self.ended, self.waits_for = now, ""
            case _:
                pass

    def _finish(self, cell: Cell | None, outcome: str, now: float) -> None:
        if cell is not None:
            cell.running -= 1
            cell.ended = now
            cell.outcome = outcome if cell.outcome == "done" else cell.outcome

    def draw(self, now: float, width: int, height: int) -> list[Text]:
        """Lines that fit a terminal of that size: a table, or, where that is too wide, the step of each app."""
        from rich.text import Text

        apps, hidden = self._shown(max(height - BESIDE - 2, 1))
        names = max((len(app) for app in apps), default=0)
        kinds = [k for k in COLUMNS if k == LAST or any((a, k) in self.cells for a in self.run.apps)]
        if self.is_undone:  # then nothing is recorded
            kinds[-1] = UNDO
        lines = []
        if 2 + names + 2 + CELL * (len(kinds) - 1) + LAST_CELL <= width:
            heads = "".join(f"{_head(kind):<{CELL}}" for kind in kinds)
            lines.append(Text(f"  {'':<{names}}  {heads}".rstrip(), style="dim"))
            for app in apps:
                line = Text(f"  {app:<{names}}  ")
                for kind in kinds:
                    line.append_text(_padded(self._cell(app, kind, now), CELL))
                lines.append(line)
        else:
            lines += [self._now_of(app, names, now) for app in apps]
        if hidden:
            lines.append(Text(f"  and {hidden} more", style="dim"))
        lines.append(self._whole(now))
        if self.waits_for and not self.ended:
            lines.append(Text(f"  {wording.plain(self.waits_for)}", style="dim"))
        for line in lines:
            line.rstrip()
            line.no_wrap = True
            line.truncate(width, overflow="ellipsis")
        return lines

    def _shown(self, room: int) -> tuple[list[str], int]:
        """The apps that there is room for: all of them, else first those at work and those that failed."""
        apps = list(self.run.apps)
        if len(apps) <= room:
            return apps, 0
        busy = {app for (app, _), cell in self.cells.items() if cell.running or cell.outcome != "done"}
        chosen = set(sorted(apps, key=lambda app: app not in busy)[: room - 1])
        return [app for app in apps if app in chosen], len(apps) - len(chosen)

    def _cell(self, app: str, kind: str, now: float) -> Text:
        from rich.text import Text

        cell = self.cells.get((app, kind))
        if cell is not None and kind == LAST and not cell.running:
            return Text(*MARKS.get(cell.outcome, MARKS["cancelled"]))
        return cell.text(now) if cell else Text("·", style="dim")

    def _now_of(self, app: str, names: int, now: float) -> Text:
        """One app's newest step, where there is no room for all of them."""
        from rich.text import Text

        line = Text(f"  {app:<{names}}  ")
        kind = next((k for k in (UNDO, *reversed(COLUMNS)) if (app, k) in self.cells), "")
        if not kind:
            return line.append("·", style="dim")
        line.append(f"{_head(kind):<9}")
        return line.append_text(self._cell(app, kind, now))

    def _whole(self, now: float) -> Text:
        from rich.text import Text

        took = (self.ended or now) - self.began
        line = Text(f"  {wording.duration(took) if self.ended else _clock(took)}", style="bold")
        if self.run.expected_s is not None and not self.ended:
            about = "about" if self.run.expected_is_whole else "at least"
            line.append(f" of {about} {_clock(self.run.expected_s)}", style="not bold")
        return line.append(f", {self.done} of {self.run.steps} steps", style="not bold dim")


def _head(kind: str) -> str:
    return "put back" if kind == UNDO else WORDS.get(kind, kind)


def _padded(text: Text, width: int) -> Text:
    text.truncate(width - 1, overflow="ellipsis")
    text.pad_right(width - text.cell_len)
    return text


def _clock(seconds: float) -> str:
    """As a clock shows it, without the tenths that would not hold still: 0:07, 2:05, 1:02:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class LiveView:
    """Draws a run's board for as long as it goes on, below the lines that `tell` prints."""

    def __init__(
        self,
        output: Output,
        tell: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich.live import Live

        self._console: Console = output.console
        self._tell = tell
        self._clock = clock
        self._board: Board | None = None
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=4,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        # Drawing begins with the run: before it, a question may stand on the terminal.
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        now = self._clock()
        if isinstance(event, RunStarted):
            self._tell(event)
            self._board = Board(event, now)
            self._live.start()
        elif self._board is not None:
            self._board.hear(event, now)
        if not isinstance(event, (RunStarted, StepFinished)):
            self._tell(event)
        elif isinstance(event, StepFinished) and event.outcome == "failed":
            self._tell(event)  # the board has no room for why
        if isinstance(event, RunFinished):
            self._live.stop()

    def _draw(self) -> RenderableType:
        from rich.console import Group

        if self._board is None:
            return ""
        size = self._console.size
        return Group(*self._board.draw(self._clock(), size.width, size.height))
