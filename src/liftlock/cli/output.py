"""What goes where: documents and tables on standard output, everything else on standard error.

With `--json` one document is all that standard output gets; with `--events`, a line for each
event. Then what is meant for people goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from liftlock.errors import LiftlockError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


class Output:
    """Where one command writes to."""

    def __init__(
        self, *, as_json: bool = False, events: bool = False, color: bool = True, verbose: bool = False
    ) -> None:
        self.as_json = as_json
        self.events = events
        self.verbose = verbose
        self._color = color and not os.environ.get("NO_COLOR")
        self._people: Console | None = None

    @property
    def console(self) -> Console:
        """For people: standard output, or standard error where that belongs to a machine."""
        if self._people is None:
            from rich.console import Console

            stream = sys.stderr if self.as_json or self.events else sys.stdout
            width = None if stream.isatty() or os.environ.get("COLUMNS") else 120
            self._people = Console(
                file=stream,
                no_color=not self._color,
                color_system="auto" if self._color else None,
                highlight=False,
                soft_wrap=False,
                width=width,
                emoji=False,
                markup=False,
            )
        return self._people

    @property
    def is_live(self) -> bool:
        """Whether a person watches a terminal that can be drawn on."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def show(self, *parts: RenderableType) -> None:
        for part in parts:
            self.console.print(part)

    def line(self, text: str = "", style: str = "") -> None:
        """A line that is never wrapped: what reads it may be a program."""
        self.console.print(text, style=style or None, soft_wrap=True)

    def aside(self, text: str) -> None:
        """A line for those who asked for more with -v."""
        if self.verbose:
            self.line(text, style="dim")

    def document(self, document: Any) -> None:
        """The one document of `--json`."""
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def event(self, document: Any) -> None:
        """A line of `--events`."""
        sys.stdout.write(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")
        sys.stdout.flush()


def print_error(error: LiftlockError, *, color: bool = True) -> None:
    """What happened and what to do next, on standard error."""
    bold, dim, end = ("\x1b[1;31m", "\x1b[2m", "\x1b[0m") if color and _can_color() else ("", "", "")
    sys.stdout.flush()
    sys.stderr.write(f"{bold}error:{end} {error.message}\n")
    if error.hint:
        sys.stderr.write(f"{dim}{error.hint}{end}\n")


def _can_color() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
