"""Weeks as columns: what succeeded, and above it what failed. In percent of the picture's width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from liftlock.web.numbers import Week

HEIGHT = 72


@dataclass(frozen=True, slots=True)
class Column:
    """One week."""

    week: Week
    x: float
    width: float
    good_y: float
    good_height: float
    bad_y: float
    bad_height: float
    words: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The picture."""

    columns: tuple[Column, ...]
    most: int
    words: str


def columns(weeks: Sequence[Week]) -> Columns:
    """The columns of these weeks, oldest first, the highest as high as the picture."""
    most = max((week.succeeded + week.failed for week in weeks), default=0)
    step = 100 / max(len(weeks), 1)
    scale = (HEIGHT - 2) / max(most, 1)
    drawn = []
    for number, week in enumerate(weeks):
        good, bad = week.succeeded * scale, week.failed * scale
        words = f"week from {week.since:%Y-%m-%d}: {week.succeeded} succeeded, {week.failed} failed"
        drawn.append(
            Column(
                week,
                round(number * step + step * 0.12, 2),
                round(step * 0.76, 2),
                round(HEIGHT - good, 1),
                round(good, 1),
                round(HEIGHT - good - bad, 1),
                round(bad, 1),
                words,
            )
        )
    return Columns(tuple(drawn), most, "; ".join(column.words for column in drawn))
