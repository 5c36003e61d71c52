"""What reaches the terminal: colours where they say something, and nothing that a vendor smuggled in."""

from __future__ import annotations

import io

from rich.console import Console

from liftlock.cli.output import Output
from liftlock.cli.progress import _Teller
from liftlock.engine.events import StepFinished


def shown_on_a_terminal(output: Output, width: int = 100) -> io.StringIO:
    """What `output` writes, as a terminal with colours gets it."""
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, color_system="standard", width=width, highlight=False, markup=False
    )
    output._people = console
    return stream


def test_only_the_mark_of_a_finished_step_is_coloured() -> None:
    output = Output()
    stream = shown_on_a_terminal(output)
    _Teller(output)(StepFinished("release:ODB", "release", "done", 1.25, "ODB", "v43"))
    assert stream.getvalue() == "\x1b[32m  ✓\x1b[0m ODB          switched: v43 (1.2 s)\n"


def test_a_long_line_goes_on_below_its_text() -> None:
    output = Output()
    stream = shown_on_a_terminal(output, width=40)
    _Teller(output)(StepFinished("verify:ODB", "verify", "failed", 1.0, "ODB", "web crashed twice in a row"))
    first, second, *_ = stream.getvalue().splitlines()
    assert first.startswith("\x1b[1;31m  ✗\x1b[0m ODB")
    assert second.startswith(" " * 17)
