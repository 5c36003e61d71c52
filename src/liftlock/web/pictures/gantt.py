"""A run as bars beside each other: a row for each app, on one scale, with the gates that all wait at.

Places are in percent of the picture's width, so that it is drawn as wide as there is room for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from liftlock import wording
from liftlock.web.timeline import PAST, WORDS, Bar, Mark, Progress, Timeline

LANE = 14
"""How high a lane is, in pixels; what goes on at once in one app has a lane of its own."""
NARROWEST = 0.35
"""No bar is narrower, in percent."""
TICKS = 6
HIDDEN = frozenset({"mark", "retire", "free", "journal"})
"""What nobody waits for or wonders at; shown where it failed."""
STEPS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
GATES = {
    "ready": "all is in place and backed up",
    "point of no return": "point of no return",
    "verified": "all are healthy",
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A bar in its row."""

    bar: Bar
    x: float
    width: float
    y: int
    filled: float
    """How much of the width has gone by, in percent of the picture; for what runs."""
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """An app's row, or that of the promotion itself."""

    name: str
    bars: tuple[Drawn, ...]
    lanes: int
    words: str
    """The whole row, for whoever does not see it."""

    @property
    def height(self) -> int:
        return 8 + self.lanes * (LANE + 4)


@dataclass(frozen=True, slots=True)
class Gate:
    """Where everything waits for everything before it."""

    mark: Mark
    x: float
    words: str
    is_last_call: bool
    y: int
    """Where its name stands: each name is below the one before."""
    is_right: bool
    """Whether its name stands left of it, where there is no room on its right."""


@dataclass(frozen=True, slots=True)
class Gantt:
    """The picture."""

    rows: tuple[Row, ...]
    gates: tuple[Gate, ...]
    ticks: tuple[tuple[float, str], ...]
    now: float | None
    is_to_scale: bool

    @property
    def head(self) -> int:
        """How high the head is, with the gates' names and the scale."""
        return 20 + max((gate.y + 4 for gate in self.gates), default=0)


def gantt(timeline: Timeline, order: Sequence[str] = ()) -> Gantt | None:
    """The picture of a run; None where there is nothing to draw. Apps come in this order, then as they began."""
    total = max(timeline.total_s, timeline.now_s or 0.0)
    if not timeline.bars or total <= 0:
        return None
    scale = 100.0 / (total * 1.02)
    names: dict[str, list[Bar]] = {app: [] for app in order}
    own: list[Bar] = []
    for bar in sorted(timeline.bars, key=lambda one: (one.began_s, one.ended_s)):
        if bar.kind in HIDDEN and bar.progress is not Progress.FAILED:
            continue
        if bar.app:
            names.setdefault(bar.app, []).append(bar)
        else:
            own.append(bar)
    rows = [_row(name, bars, scale, timeline.now_s) for name, bars in names.items() if bars]
    if own:
        rows.append(_row("", own, scale, timeline.now_s))
    return Gantt(
        tuple(rows),
        _gates(timeline.marks, scale),
        _ticks(total, scale),
        None if timeline.now_s is None else _round(timeline.now_s * scale),
        not timeline.is_guess,
    )


def _gates(marks: Sequence[Mark], scale: float) -> tuple[Gate, ...]:
    found: list[Gate] = []
    for mark in sorted({mark.kind: mark for mark in marks}.values(), key=lambda one: one.at_s):
        x = _round(mark.at_s * scale)
        is_right = x > 60
        y = 12 + 15 * len(found)
        found.append(
            Gate(mark, x, GATES.get(mark.kind, mark.kind), mark.kind == "point of no return", y, is_right)
        )
    return tuple(found)


def _row(name: str, bars: Sequence[Bar], scale: float, now_s: float | None) -> Row:
    free: list[float] = []
    drawn = []
    for bar in bars:
        lane = next((n for n, end in enumerate(free) if end <= bar.began_s + 0.001), len(free))
        if lane == len(free):
            free.append(0.0)
        free[lane] = bar.ended_s
        width = max(bar.took_s * scale, NARROWEST)
        filled = 0.0
        if bar.progress is Progress.RUNNING and now_s is not None:
            filled = min(max((now_s - bar.began_s) * scale, NARROWEST), width)
        drawn.append(
            Drawn(
                bar,
                _round(bar.began_s * scale),
                _round(width),
                4 + lane * (LANE + 4),
                _round(filled),
                in_words(bar),
            )
        )
    return Row(name, tuple(drawn), len(free), "; ".join(one.words for one in drawn))


def in_words(bar: Bar) -> str:
    """A bar in a few words: what, how it stands, and how long it takes."""
    what = WORDS.get(bar.kind, bar.kind)
    if bar.progress is Progress.PLANNED:
        return what if bar.is_guess else f"{what}, about {wording.duration(bar.took_s)}"
    detail = f": {bar.detail}" if bar.detail else ""
    if bar.progress is Progress.RUNNING:
        return f"{what} goes on{detail}"
    return f"{what} {PAST[bar.progress]} in {wording.duration(bar.took_s)}{detail}"


def _ticks(total: float, scale: float) -> tuple[tuple[float, str], ...]:
    step = next((one for one in STEPS_S if total / one <= TICKS), STEPS_S[-1])
    found: list[tuple[float, str]] = []
    at = 0.0
    while at <= total and len(found) <= 4 * TICKS:
        found.append((_round(at * scale), _clock(at, step)))
        at += step
    return tuple(found)


def _clock(seconds: float, step: float) -> str:
    if step < 60 and seconds < 120:
        return f"{seconds:g} s"
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def _round(percent: float) -> float:
    return round(percent, 2)
