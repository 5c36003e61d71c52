"""A clock for tests: wall-clock time that follows the event loop's, virtual or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import anyio

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""What a `FakeClock` says when the event loop's time is 0."""


class FakeClock:
    """`ports.Clock`. On trio's `MockClock` an hour of waiting costs nothing, and this clock goes along."""

    def now(self) -> datetime:
        return START + timedelta(seconds=anyio.current_time())

    def boottime(self) -> float:
        return anyio.current_time()


@dataclass
class Machine:
    """A machine's clocks: wall time that may be wrong, and time since its start, suspend included."""

    skew: timedelta = timedelta()
    passed_s: float = 0.0
    """What passes when a test says so, beside the event loop's own time."""
    zero: float = field(default_factory=anyio.current_time)

    def now(self) -> datetime:
        return START + self.skew + timedelta(seconds=self.boottime())

    def boottime(self) -> float:
        return anyio.current_time() - self.zero + self.passed_s
