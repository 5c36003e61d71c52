"""What goes where: documents and tables on standard output, everything else on standard error.

With `--json` one document is all that standard output gets; with `--events`, a line for each
event. Then what is meant for people goes to standard error.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from liftlock.errors import LiftlockError
from liftlock.wording import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text


_COMMAND = re.compile(r"`[^`]+`|(?<=: )liftlock .+")
"""A command in an error's hint: between backticks, or all that follows a colon."""


class Output:
    """Where one command writes to."""

    documents = 0
    """How many documents this process has written."""

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
            from liftlock.cli.terminal import Terminal

            stream = sys.stderr if self.as_json or self.events else sys.stdout
            width = None if stream.isatty() or os.environ.get("COLUMNS") else 120
            self._people = Terminal(
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

    def linked(self, text: str, address: str, style: str = "") -> Text:
        """A text that leads to an address where the terminal can (OSC 8), and a plain one elsewhere."""
        from rich.style import Style
        from rich.text import Text

        if not address or not self.is_live or os.environ.get("TERM") == "linux":
            return Text.assemble((text, style))
        return Text.assemble((text, Style.parse(style) + Style(link=address)))

    def show(self, *parts: RenderableType) -> None:
        for part in parts:
            self.console.print(part)

    def fits(self, table: Table) -> bool:
        """Whether every row of `table` is one line here; it always is where nobody's terminal ends."""
        console = self.console
        wide = console.options.update(max_width=10_000)
        wanted = table.__rich_measure__(console, wide).maximum
        if not console.is_terminal and not os.environ.get("COLUMNS"):
            console.width = max(console.width, wanted)
        return wanted <= console.width

    def line(self, text: str = "", style: str = "", *, hang: int | None = None, mark: str = "") -> None:
        """A line. On a terminal it is broken between words, and goes on below column `hang`.

        Elsewhere, and without `hang`, it is never broken: what reads it may be a program. The style
        is that of `mark` alone where a line begins with one.
        """
        from rich.text import Text

        text = mark + text
        if hang is not None and self.console.is_terminal:
            text = "\n".join(_broken(line, self.console.width, hang) for line in text.split("\n"))
        shown = Text(text)
        shown.stylize(style, 0, len(mark) or len(text))
        self.console.print(shown, soft_wrap=True)

    def aside(self, text: str) -> None:
        """A line for those who asked for more with -v."""
        if self.verbose:
            self.line(text, style="dim")

    def document(self, document: Any) -> None:
        """The one document of `--json`."""
        Output.documents += 1
        sys.stdout.write(printable_json(json.dumps(document, indent=2, ensure_ascii=False)) + "\n")
        sys.stdout.flush()

    def event(self, document: Any) -> None:
        """A line of `--events`."""
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        sys.stdout.write(printable_json(text) + "\n")
        sys.stdout.flush()


def _broken(line: str, width: int, hang: int) -> str:
    own = len(line) - len(line.lstrip())
    indent = hang if own <= 2 or own >= hang else own + 4
    return "\n".join(
        textwrap.wrap(
            line,
            max(width, indent + 20),
            subsequent_indent=" " * indent,
            replace_whitespace=False,
            break_on_hyphens=False,
            break_long_words=False,
        )
    )


def print_error(error: LiftlockError, *, color: bool = True) -> None:
    """What happened and what to do next, on standard error."""
    bold, dim, end = ("\x1b[1;31m", "\x1b[2m", "\x1b[0m") if color and _can_color() else ("", "", "")
    sys.stdout.flush()
    message = printable(f"error: {error.message}")
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        message = "\n".join(
            _broken(line, width, 7 if index == 0 else 2) for index, line in enumerate(message.split("\n"))
        )
    sys.stderr.write(f"{bold}error:{end}{message.removeprefix('error:')}\n")
    if error.hint:
        hint = printable(error.hint)
        if sys.stderr.isatty():
            hint = "\n".join(_broken(_held_together(line), width, 0) for line in hint.split("\n")).replace(
                "\0", " "
            )
        sys.stderr.write(f"{dim}{hint}{end}\n")


def _held_together(line: str) -> str:
    """A line whose commands have a NUL for every blank: what is to be copied is broken nowhere of ours."""
    return _COMMAND.sub(lambda found: found[0].replace(" ", "\0"), line)


def _can_color() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
