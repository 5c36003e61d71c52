"""The sandbox's idea of now, and how each vendor writes it.

A served sandbox lives in real time. An in-process one takes its time from the event loop, so that a
virtual clock (trio's `MockClock`) moves vendors' dates together with everybody's waiting.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Protocol

import anyio

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time in UTC."""

    def now(self) -> datetime:
        """The time, with its zone."""
        ...


class WallClock:
    """Real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class LoopClock:
    """Time that passes as the event loop's does, counted from `epoch` at the first look."""

    def __init__(self, epoch: datetime = EPOCH) -> None:
        self.epoch = epoch
        self._zero: float | None = None

    def now(self) -> datetime:
        seconds = anyio.current_time()
        if self._zero is None:
            self._zero = seconds
        return self.epoch + timedelta(seconds=seconds - self._zero)


def seconds_iso(moment: datetime) -> str:
    """As GitHub and Heroku write it: `2026-01-01T00:00:00Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def micros_iso(moment: datetime) -> str:
    """As Google writes it: `2026-01-01T00:00:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_iso(text: str) -> datetime:
    """The moment that an ISO 8601 text means; without a zone it is UTC. Raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def http_date(moment: datetime) -> str:
    """As the `Date` header writes it."""
    return format_datetime(moment, usegmt=True)
