"""Time windows of a gate (`Mon-Thu 09:00-16:00 America/Santiago`, several separated by `;`) and freezes.

Only checked here; whether one holds is judged by `liftlock.planning.gates`, which reads the same forms.
"""

from __future__ import annotations

import re
from functools import cache

from liftlock.config.values import Mistake, did_you_mean, shown

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HINT = 'Write it as in "Mon-Thu 09:00-16:00 America/Santiago"; ";" separates several.'
_FREEZE_HINT = (
    'Write it as in "2026-12-20 .. 2027-01-04 America/Santiago", both days included, '
    'or with times, as in "2026-12-20 18:00 .. 2027-01-04 08:00 UTC".'
)
_TIME = r"[0-9]{2}:[0-9]{2}"
_WINDOW = re.compile(rf"([A-Za-z]+)(?:-([A-Za-z]+))? ({_TIME})-({_TIME}) (\S+)")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def window(text: str) -> str:
    """The text of a gate's windows, when it is one. Raises `Mistake`."""
    for part in text.split(";"):
        _check(part.strip())
    return text


def freeze(text: str) -> str:
    """The text of a freeze, when it is one. Raises `Mistake`."""
    # Imported here: only a file with a freeze needs it.
    from liftlock.planning.gates.times import FREEZE, freeze_of

    found = FREEZE.fullmatch(text)
    if not found:
        raise Mistake(f"{shown(text)} is not a freeze.", _FREEZE_HINT)
    _check_zone(found.groups()[-1])
    try:
        freeze_of(text)
    except (ValueError, OverflowError) as error:  # a day or an hour that there is not, or a wrong order
        raise Mistake(f"{shown(text)}: {error}.", _FREEZE_HINT) from None
    return text


def _check(text: str) -> None:
    found = _WINDOW.fullmatch(text)
    if not found:
        raise Mistake(f"{shown(text)} is not a time window.", _HINT)
    first, last, start, end, zone = found.groups()
    for day in (first, last or first):
        if day not in DAYS:
            raise Mistake(f"{shown(day)} is not a day of the week.", did_you_mean(day, DAYS, "Days"))
    for time in (start, end):
        if not _CLOCK.fullmatch(time):
            raise Mistake(f"{shown(time)} is not a time of the day.", "Times go from 00:00 to 23:59.")
    _check_zone(zone)


def _check_zone(zone: str) -> None:
    # Imported here: only a file with a window needs it.
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):  # no such zone, a path, a folder
        known = _zones()
        hint = did_you_mean(zone, known, "") if known else "This machine has no time zones: install tzdata."
        raise Mistake(f"{shown(zone)} is not a time zone.", hint if len(hint) < 80 else _HINT) from None


@cache
def _zones() -> tuple[str, ...]:
    from zoneinfo import available_timezones

    return tuple(sorted(available_timezones()))
