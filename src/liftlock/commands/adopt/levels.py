"""What teams call their environments, and how names of targets and records carry it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LEVELS: Mapping[str, tuple[str, ...]] = {
    "development": ("dev", "development", "devel", "develop"),
    "test": ("test", "testing", "qa", "uat"),
    "staging": ("staging", "stage", "stg"),
    "preproduction": ("preprod", "preproduction"),
    "production": ("production", "prod", "prd", "live"),
}
"""By level, from the first up: the words that stand for it. The first is taken where nothing says more."""

_LEVEL_OF = {word: level for level, words in LEVELS.items() for word in words}
_WORD = "|".join(sorted(_LEVEL_OF, key=len, reverse=True))
_LAST = re.compile(rf"(?P<stem>.+?)(?P<joint>[-_./ :])(?P<word>{_WORD})", re.IGNORECASE)
_FIRST = re.compile(rf"(?P<word>{_WORD})(?P<joint>[-_./ :])(?P<stem>.+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Split:
    """A name taken apart: `shop-dev` is the stem `shop`, the word `dev` and the template `shop-{env}`."""

    stem: str
    word: str
    template: str

    @property
    def level(self) -> str:
        return _LEVEL_OF[self.word.lower()]


def split(name: str) -> Split | None:
    """The environment in a name, at its end or else its beginning; None when there is none."""
    if name.lower() in _LEVEL_OF:
        return Split("", name, "{env}")
    if match := _LAST.fullmatch(name):
        return Split(match["stem"], match["word"], f"{match['stem']}{match['joint']}{{env}}")
    if match := _FIRST.fullmatch(name):
        return Split(match["stem"], match["word"], f"{{env}}{match['joint']}{match['stem']}")
    return None


def in_order(levels: Iterable[str]) -> list[str]:
    """Levels from the first up."""
    known = set(levels)
    return [level for level in LEVELS if level in known]
