"""When the steps of a run went on, as bars of text: each in a line, read without colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from liftlock import wording
from liftlock.cli.steps import WORDS
from liftlock.model import StepTime

NARROWEST = 12
"""No bar is drawn in fewer columns."""
WIDEST = 100
"""Wider bars tell no more."""
STYLES = {"stage": "blue", "backup": "cyan", "release": "bold green", "verify": "green"}


@dataclass(frozen=True, slots=True)
class Row:
    """One step of one app."""

    app: str
    step: str
    time: StepTime


def draw(rows: Sequence[Row], width: int) -> list[Text]:
    """A line for each row, with its app where that changes, its bar to scale, and how long it took.

    No line is wider than `width`, unless that leaves no room for bars at all.
    """
    if not rows:
        return []
    whole_s = max(row.time.ended_s for row in rows)
    names = max(len(row.app) for row in rows)
    times = [wording.duration(row.time.took_s) for row in rows]
    room = max(width - names - 9 - max(map(len, times)) - 6, NARROWEST)
    scale = room / whole_s if whole_s else 0.0
    end = wording.duration(whole_s)
    lines = [Text(f"  {'':<{names}}  {'':<7}  0{end:>{room - 1}}", style="dim")]
    app = ""
    for row, took in zip(rows, times, strict=True):
        first = min(round(row.time.began_s * scale), room - 1)
        last = min(max(round(row.time.ended_s * scale), first + 1), room)
        line = Text("  ")
        line.append(f"{row.app if row.app != app else '':<{names}}", style="bold")
        line.append(f"  {WORDS.get(row.step, row.step):<7}  {'·' * first}")
        line.append("█" * (last - first), style=STYLES.get(row.step, ""))
        line.append(f"{'·' * (room - last)}  {took:>{max(map(len, times))}}")
        lines.append(line)
        app = row.app
    return lines
