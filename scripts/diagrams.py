"""Draws the two diagrams of the documentation: how a promotion goes, and who imports whom.

The second is read from the import contract in pyproject.toml, so that it cannot say anything else.
Both follow the reader's light or dark colours. `make docs` runs it; a test fails when one is stale.

Usage: python scripts/diagrams.py [FOLDER]
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
STYLE = """
text { font: 15px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328; text-anchor: middle; }
.box { fill: #eef4fb; stroke: #3b6ea5; } .pure { fill: #eaf5ea; stroke: #3d8049; } .bar { fill: #3b6ea5; }
.back { fill: #fdf1e7; stroke: #b3641b; } .line { stroke: #57606a; fill: none; } .tip { fill: #57606a; }
.undo { stroke: #b3641b; stroke-dasharray: 5 4; fill: none; } .undotip { fill: #b3641b; }
.small { font-size: 12.5px; fill: #57606a; } .left { text-anchor: start; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .box { fill: #16263a; stroke: #6ea8e0; } .pure { fill: #16291a; stroke: #6fbf7d; }
  .bar { fill: #6ea8e0; } .back { fill: #332313; stroke: #e0a060; } .line { stroke: #9aa4af; } .tip { fill: #9aa4af; }
  .undo { stroke: #e0a060; } .undotip { fill: #e0a060; } .small { fill: #9aa4af; }
}
"""
ROW, PAD, GAP, STEP = 34, 10, 12, 56


@dataclass(frozen=True, slots=True)
class Box:
    """A rounded box with a word in it, `x` and `y` being its middle."""

    x: float
    y: float
    word: str
    style: str = "box"

    @property
    def width(self) -> float:
        return len(self.word) * 8.2 + 2 * PAD

    @property
    def left(self) -> tuple[float, float]:
        return self.x - self.width / 2, self.y

    @property
    def right(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y

    def draw(self) -> str:
        return (
            f'<rect class="{self.style}" x="{self.x - self.width / 2:.0f}" y="{self.y - ROW / 2:.0f}" '
            f'width="{self.width:.0f}" height="{ROW}" rx="7"/>'
            f'<text x="{self.x:.0f}" y="{self.y + 5:.0f}">{escape(self.word)}</text>'
        )


def arrow(*points: tuple[float, float], style: str = "") -> str:
    """A line through the points, with its tip at the last; `style` is "undo" for a way back."""
    (x0, y0), (x, y) = points[-2:]
    length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
    dx, dy = (x - x0) / length, (y - y0) / length
    corners = [(x, y), *((x - 8 * dx + side * 4 * dy, y - 8 * dy - side * 4 * dx) for side in (1, -1))]
    through = " ".join(f"{a:.0f},{b:.0f}" for a, b in points)
    tip = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
    return f'<polyline class="{style or "line"}" points="{through}"/><polygon class="{style}tip" points="{tip}"/>'


def small(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text class="small {more}" x="{x:.0f}" y="{y:.0f}">{escape(words)}</text>'


def svg(width: int, height: int, parts: Iterator[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}">\n<!-- Made by scripts/diagrams.py -->\n<style>{STYLE}</style>\n{body}\n</svg>\n'
    )


def flow() -> Iterator[str]:
    """A promotion from left to right, and its ways back below."""
    main, low, back = 70, 120, 205
    observe, plan, gates = (
        Box(55, main, "observe"),
        Box(150, main, "plan", "pure"),
        Box(235, main, "gates", "pure"),
    )
    lease, intent = Box(325, main, "lease"), Box(412, main, "intent")
    stage, backup = Box(520, 45, "stage"), Box(520, 95, "backup")
    release, verify = Box(672, main, "release"), Box(772, main, "verify")
    record, notify = Box(912, main, "record"), Box(1000, main, "notify")
    undo, failed = Box(722, back, "undo, in reverse", "back"), Box(412, back, "intent: failure", "back")
    for one, other in (
        (observe, plan),
        (plan, gates),
        (gates, lease),
        (lease, intent),
        (release, verify),
        (record, notify),
    ):
        yield arrow(one.right, other.left)
    for one in (stage, backup):
        yield arrow((intent.right[0], main), one.left)
        yield arrow(one.right, (592, one.y))
    for x, word in ((595, "all staged, all backed up"), (838, "all healthy")):
        yield f'<rect class="bar" x="{x}" y="22" width="6" height="96" rx="3"/>'
        yield small(x + 3, 14, word)
    yield arrow((601, main), release.left)
    yield arrow(verify.right, (837, main))
    yield arrow((844, main), record.left)
    yield arrow((772, main + 17), (772, low), (672, low), (672, main + 17))
    yield small(722, low + 15, "the next app, by after")
    yield arrow((520, 112), (520, 160), (412, 160), (412, back - 17), style="undo")
    yield small(528, 156, "a failure: nothing was switched", "left")
    yield arrow((800, main + 17), (800, back), undo.right, style="undo")
    yield small(806, 170, "a failure", "left")
    yield arrow(undo.left, failed.right, style="undo")
    for x, words in ((55, "asks only"), (192, "pure"), (368, "written first")):
        yield small(x, main + 34, words)
    yield small(956, main + 34, "the truth, then the news")
    for box in (
        observe,
        plan,
        gates,
        lease,
        intent,
        stage,
        backup,
        release,
        verify,
        record,
        notify,
        undo,
        failed,
    ):
        yield box.draw()


def layers() -> list[list[str]]:
    """The rows of the import contract, the uppermost first; what is in brackets does not exist yet."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    rows = next(one["layers"] for one in contracts if one["type"] == "layers")
    found = [[word for word in row.split(" | ") if not word.startswith("(")] for row in rows]
    return [row for row in found if row and row != ["__main__"]]


PURE = {"planning", "ports", "model", "errors"}


def width(row: list[Box]) -> float:
    """Of a row of boxes, with the gaps between them."""
    return sum(box.width for box in row) + GAP * (len(row) - 1)


def imports(rows: list[list[Box]], middle: float) -> Iterator[str]:
    """The layers, one below the other: each may import those below it."""
    last = 40 + (len(rows) - 1) * STEP
    for row in rows:
        y, x = row[0].y, middle - width(row) / 2
        for box in row:
            yield replace(box, x=x + box.width / 2).draw()
            x += box.width + GAP
        if y < last:
            yield arrow((middle, y + 19), (middle, y + STEP - 19))
    aside = 2 * middle - 110
    yield Box(aside, last / 2 + 120, "sandbox", "back").draw()
    yield small(aside, last / 2 + 152, "meets them on the wire alone")
    yield small(aside, last / 2 + 170, "and imports none of them")
    yield small(aside, last + 5, "green: no input, no output")


def diagrams() -> Mapping[str, str]:
    """The diagrams, by file name."""
    rows = [
        [Box(0, 40 + at * STEP, word, "pure" if word in PURE else "box") for word in row]
        for at, row in enumerate(layers())
    ]
    widest = max(width(row) for row in rows) + 20
    return {
        "flow.svg": svg(1050, 235, flow()),
        "imports.svg": svg(round(widest), 80 + (len(rows) - 1) * STEP, imports(rows, widest / 2)),
    }


def main(folder: Path) -> None:
    for name, text in diagrams().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
