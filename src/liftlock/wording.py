"""Sizes, lengths of time and moments, as people say them."""

from __future__ import annotations

from datetime import UTC, datetime


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


def moment(time: datetime) -> str:
    """2026-11-22 21:04:05 UTC, wherever its reader is."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
