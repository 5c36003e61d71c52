"""Time windows of a gate: `Mon-Thu 09:00-16:00 America/Santiago`, several separated by `;`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from liftlock.config.values import Mistake, did_you_mean, shown

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HINT = 'Write it as in "Mon-Thu 09:00-16:00 America/Santiago"; ";" separates several.'
_WINDOW = re.compile(r"(\S+)\s+(\d\d):(\d\d)-(\d\d):(\d\d)\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to before `end`, in minutes of the local day, on `days` (0 is Monday)."""

    days: frozenset[int]
    start: int
    end: int
    zone: str


def windows(text: str) -> tuple[Window, ...]:
    """The windows that a gate's text means. Raises `Mistake`."""
    return tuple(_window(part.strip()) for part in text.split(";"))


def window_text(text: str) -> str:
    windows(text)
    return text


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text)
    if not found:
        raise Mistake(f"{shown(text)} is not a time window.", _HINT)
    days, *clock, zone = found.groups()
    start_hour, start_minute, end_hour, end_minute = map(int, clock)
    start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
    if max(start_minute, end_minute) > 59 or max(start, end) > 24 * 60:
        raise Mistake(f"{shown(text)} has a time that no clock shows.", _HINT)
    if start >= end:
        raise Mistake(
            f"{shown(text)} ends before it begins.", "Over midnight, write two: until 24:00 and from 00:00."
        )
    return Window(_days(days), start, end, _zone(zone))


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _day(first), _day(last or first)
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)


def _day(text: str) -> int:
    if text not in DAYS:
        raise Mistake(f"{shown(text)} is not a day of the week.", did_you_mean(text, DAYS, "Days"))
    return DAYS.index(text)


def _zone(text: str) -> str:
    # Imported here: most files have no window, and reading zones costs what they would wait for.
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):  # no such zone, a path, a folder
        known = _zones()
        hint = did_you_mean(text, known, "") if known else "This machine has no time zones: install tzdata."
        raise Mistake(f"{shown(text)} is not a time zone.", hint if len(hint) < 80 else _HINT) from None
    return text


@cache
def _zones() -> tuple[str, ...]:
    from zoneinfo import available_timezones

    return tuple(sorted(available_timezones()))
