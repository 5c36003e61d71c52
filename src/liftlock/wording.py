"""Sizes, lengths of time and moments, as people say them and as they are read; what of a text may be shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

# What a terminal obeys instead of showing it, what turns a line's direction round, and halves of characters.
_OBEYED = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """`text` as a terminal may be given it: what it would obey is spelled out (`\\x1b`); lines stay lines.

    Commit subjects, log lines and error messages come from elsewhere, and may hold anything.
    """
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def printable_json(text: str) -> str:
    """A JSON text that says the same, with nothing in it that a terminal obeys."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def size(size_bytes: int) -> str:
    """In powers of 1000: 905 B, 12.3 MB."""
    value = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float) -> str:
    """4.2 s, 48 s, 12 min 5 s, 3 h 20 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def read_moment(text: object) -> datetime:
    """A moment of an ISO 8601 text with a time zone, in UTC.

    Raises `ValueError` for any other text, and for what is so far off that reckoning with it would fail.
    """
    if not isinstance(text, str):
        raise TypeError(f"a time has to be a text, not {type(text).__name__}")
    time = datetime.fromisoformat(text)
    if time.tzinfo is None or not 1970 < time.year < 9000:
        raise ValueError(f"{text[:40]!r} is no moment: it has no time zone, or lies in no year of ours")
    return time.astimezone(UTC)


def moment_or_none(text: object) -> datetime | None:
    """As `read_moment`; None for what is no moment."""
    try:
        return read_moment(text)
    except (TypeError, ValueError):
        return None


def listed(names: Sequence[str]) -> str:
    """SSO; SSO and ITC; SSO, ITC and ODB."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def moment(time: datetime) -> str:
    """2026-11-22 21:04:05 UTC, wherever its reader is."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def plain(text: str) -> str:
    """What somebody else wrote as one line, with nothing in it that a terminal obeys."""
    return printable(" ".join(text.split()))


def clipped(text: str, most: int) -> str:
    """At most so many characters, the last of them an ellipsis where something is missing."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
