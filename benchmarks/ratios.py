"""One table of everything that a run of `make bench` measured beside something else.

Each benchmark notes its comparisons in the file that LIFTLOCK_BENCH names; `python -m benchmarks.ratios FILE`
prints them. On its own, a benchmark prints what it measured and notes nothing.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "LIFTLOCK_BENCH"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was done, and what it cost liftlock and whatever stands beside it; None is not counted."""

    what: str
    seconds: float
    beside: str
    their_seconds: float
    requests: int | None = None
    their_requests: int | None = None
    sent: float | None = None
    """Bytes."""
    their_sent: float | None = None

    def row(self) -> str:
        """A line of the table; the ratio says how many times as long the other takes."""
        cells = [
            self.what,
            f"{self.seconds:.3g} s",
            self.beside,
            f"{self.their_seconds:.3g} s",
            f"{self.their_seconds / self.seconds:.2g} x",
            _pair(self.requests, self.their_requests),
            _pair(self.sent and self.sent / 1e3, self.their_sent and self.their_sent / 1e3),
        ]
        return f"| {' | '.join(cells)} |"


def note(comparison: Comparison) -> None:
    """Keep it for the table, where one is wanted."""
    if place := os.environ.get(FILE):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(comparison)) + "\n")


def _pair(ours: float | None, theirs: float | None) -> str:
    if ours is None:
        return ""
    return f"{ours:,.0f} / {theirs:,.0f}" if theirs is not None else f"{ours:,.0f}"


def main(file: Path) -> None:
    """Print the table."""
    comparisons = [Comparison(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]
    print(
        "\n| | liftlock | beside | takes | that is | requests | kB |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for comparison in comparisons:
        print(comparison.row())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
