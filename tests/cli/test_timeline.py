"""Bars of text: to scale, as wide as they may be, and readable without colour."""

from __future__ import annotations

import pytest

from liftlock.cli.timeline import Row, draw
from liftlock.model import StepTime

ROWS = [
    Row("SSO", "stage", StepTime(0.0, 5.0)),
    Row("SSO", "backup", StepTime(0.0, 60.0)),
    Row("SSO", "release", StepTime(60.0, 20.0)),
    Row("SSO", "verify", StepTime(80.0, 40.0)),
    Row("preferences", "release", StepTime(119.9, 0.1)),
]


@pytest.mark.parametrize("width", [50, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(line.cell_len for line in draw(ROWS, width)) <= width


def test_bars_begin_and_end_where_their_steps_did() -> None:
    _, stage, backup, switch, verify, late = [line.plain for line in draw(ROWS, 80)]
    assert backup.index("█") == stage.index("█")
    assert backup.rindex("█") + 1 == switch.index("█")
    assert switch.rindex("█") + 1 == verify.index("█")
    assert late.rindex("█") == verify.rindex("█")
    assert backup.count("█") == pytest.approx(3 * switch.count("█"), abs=3)


def test_each_step_is_named_with_how_long_it_took() -> None:
    head, *lines = [line.plain for line in draw(ROWS, 80)]
    assert head.rstrip().endswith("120 s") or "2 min" in head
    assert [line.split()[-2:] for line in lines] == [
        ["5.0", "s"],
        ["60", "s"],
        ["20", "s"],
        ["40", "s"],
        ["0.1", "s"],
    ]
    assert [line.split("·")[0].split("█")[0].split() for line in lines] == [
        ["SSO", "stage"],
        ["back", "up"],
        ["switch"],
        ["verify"],
        ["preferences", "switch"],
    ]


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw([], 80) == []


def test_steps_that_took_no_time_are_still_shown() -> None:
    _, line = draw([Row("SSO", "verify", StepTime(0.0, 0.0))], 80)
    assert line.plain.count("█") == 1
