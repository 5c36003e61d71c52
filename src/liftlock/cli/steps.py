"""What people are told a step does."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, str] = {"stage": "stage", "backup": "back up", "release": "switch", "verify": "verify"}
"""By a step's kind; the others are called as they are."""


def in_words(step: str) -> str:
    """A step's id as people say it: `switch ODB` of `release:ODB`."""
    kind, _, rest = step.partition(":")
    return f"{WORDS.get(kind, kind)} {rest}".strip()
