"""What reaches the terminal: colours where they say something, and nothing that a vendor smuggled in."""

from __future__ import annotations

import io
import json

import pytest
from rich.table import Table
from rich.text import Text

from liftlock.cli import publishing
from liftlock.cli.output import Output, print_error
from liftlock.cli.progress import _Teller
from liftlock.cli.terminal import Terminal
from liftlock.engine.events import Notice, StepFinished
from liftlock.errors import LiftlockError
from liftlock.wording import printable


def shown_on_a_terminal(output: Output, width: int = 100) -> io.StringIO:
    """What `output` writes, as a terminal with colours gets it."""
    stream = io.StringIO()
    console = Terminal(
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


# A title that is set, a screen that is cleared, C1's own CSI, a line that is read backwards, half a character.
EVIL = "fix\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj\ud800\r\n\x00done"
OBEYED = ("\x1b]", "\x1b[2J", "\x07", "\x9b", "\u202e", "\ud800", "\r", "\x00")


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    assert printable(EVIL) == (r"fix\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj\ud800\r" + "\n" + r"\x00done")
    assert printable("Größe: 12 µs → ✓\tand so on\n") == "Größe: 12 µs → ✓\tand so on\n"


@pytest.mark.parametrize("way", ["line", "table", "notice", "progress"])
def test_no_escape_sequence_of_a_vendor_reaches_the_terminal(way: str) -> None:
    output = Output()
    stream = shown_on_a_terminal(output)
    if way == "line":
        output.line(EVIL, style="green", hang=2)
    elif way == "table":
        table = Table.grid()
        table.add_row(Text(EVIL, style="bold"), EVIL)
        output.show(table)
    elif way == "notice":
        _Teller(output)(Notice(EVIL))
    else:
        _Teller(output)(StepFinished("release:ODB", "release", "failed", 1.0, "ODB", EVIL))
    assert "fix" in stream.getvalue()
    assert "owned" in stream.getvalue()
    for sequence in OBEYED:
        assert sequence not in stream.getvalue()


def test_no_escape_sequence_is_in_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(LiftlockError(f"Heroku refused: {EVIL}", hint=EVIL))
    said = capsys.readouterr().err
    assert "owned" in said
    assert not any(sequence in said for sequence in OBEYED)


def test_documents_say_the_same_and_hold_nothing_that_a_terminal_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = Output(as_json=True)
    output.document({"note": EVIL, EVIL: ["é", EVIL]})
    output.event({"note": EVIL})
    said = capsys.readouterr().out
    assert not any(sequence in said for sequence in OBEYED)
    document, _, event = said.rpartition("\n{")
    assert json.loads(document) == {"note": EVIL, EVIL: ["é", EVIL]}
    assert json.loads("{" + event) == {"note": EVIL}


def test_how_far_a_push_is_shows_in_a_terminal_without_asking() -> None:
    output = Output()
    stream = shown_on_a_terminal(output)
    with publishing.shown(output) as tell:
        tell("ODB", "1 of 5 blobs at registry.heroku.com/odb-dev/web, 3.1 MB sent")
        tell("SSO", "building Dockerfile")
        tell("ODB", "2 of 5 blobs at registry.heroku.com/odb-dev/web, 9.4 MB sent")
    drawn = stream.getvalue()
    assert "ODB          2 of 5 blobs at registry.heroku.com/odb-dev/web, 9.4 MB sent" in drawn
    assert "SSO          building Dockerfile" in drawn
    assert drawn.endswith("\x1b[2K")  # taken away again: the result comes in its place


def test_a_log_hears_of_a_long_push_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 1.0, 9.0, 10.0, 12.0, 20.0])
    output = Output()
    with publishing.shown(output, lambda: next(clock)) as tell:
        for sent in (1, 2, 3, 4):
            tell("ODB", f"{sent} MB sent")
    assert capsys.readouterr().out == "  ODB          3 MB sent\n"


def test_a_log_hears_every_word_of_a_push_with_v(capsys: pytest.CaptureFixture[str]) -> None:
    with publishing.shown(Output(verbose=True)) as tell:
        tell("ODB", "1 MB sent")
        tell("ODB", "2 MB sent")
    assert capsys.readouterr().out == "  ODB          1 MB sent\n  ODB          2 MB sent\n"
