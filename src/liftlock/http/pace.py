"""Keeping under a vendor's published limits on writes, without a needless pause."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

MARGIN_S = 1.0
"""Requests may overtake each other on the way, so our window is this much longer than the vendor's."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `most` requests in any `seconds`."""

    most: int
    seconds: float


GITHUB_WRITES = (Window(80, 60.0), Window(500, 3600.0))
"""Content-creating requests of one account. Source: GitHub REST, "Secondary rate limits"."""


class Pace:
    """Sliding windows over the writes of one client.

    Writes are always counted, but held back only while `on`: the client turns it on when the
    vendor's answers carry limits, so a server that has none is never slowed down.
    """

    def __init__(self, windows: Sequence[Window] = GITHUB_WRITES) -> None:
        self.windows = tuple(windows)
        self.on = False
        self._longest_s = max(window.seconds for window in windows)
        self._slots: deque[float] = deque()

    def reserve(self, now: float) -> float:
        """Take the next free slot; returns its time, `now` or later."""
        while self._slots and self._slots[0] + self._longest_s + MARGIN_S <= now:
            self._slots.popleft()
        slot = self.peek(now)
        self._slots.append(slot)
        return slot

    def peek(self, now: float) -> float:
        """The time of the next free slot."""
        if not self.on:
            return now
        slot = now
        for window in self.windows:
            if len(self._slots) >= window.most:
                slot = max(slot, self._slots[-window.most] + window.seconds + MARGIN_S)
        return slot

    def give_back(self, slot: float) -> None:
        """A reserved slot was not used after all."""
        if slot in self._slots:
            self._slots.remove(slot)
