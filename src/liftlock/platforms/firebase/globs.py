"""Which files of a site are left out, by the patterns of `ignore` (those of minimatch, dot files included).

A pattern is followed through a path by the set of places that it may have got to, so the worst of
patterns costs its length times the path's, and never a machine's whole time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

ALWAYS_IGNORED = ("**/firebase-debug.log", "**/firebase-debug.*.log", ".firebase/*")
"""What firebase-tools never uploads. Source: its `src/listFiles.ts`."""
LONGEST = 1000
MOST_CHOICES = 50


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path, relative and with `/`, is matched by any of the patterns.

    `**` stands for any number of folders, `*` and `?` stay within one, `{a,b}` and `[a-z]` choose.
    A pattern that ends in `/**` matches everything below; one that names a folder does not.
    """
    sequences = [_sequence(_relative(pattern)) for pattern in patterns]
    return lambda path: any(len(path) in sequence.after(path, {0}) for sequence in sequences)


def is_excessive(pattern: str) -> bool:
    """Whether a pattern is longer, or chooses more often, than anybody means it to."""
    return len(pattern) > LONGEST or pattern.count("{") > MOST_CHOICES


class _Part(Protocol):
    def after(self, path: str, places: set[int]) -> set[int]:
        """Where in `path` this part of a pattern may end that begins at one of `places`."""
        ...


@dataclass(frozen=True, slots=True)
class _Text:
    text: str

    def after(self, path: str, places: set[int]) -> set[int]:
        return {place + len(self.text) for place in places if path.startswith(self.text, place)}


@dataclass(frozen=True, slots=True)
class _Some:
    """`*`: anything within a folder."""

    def after(self, path: str, places: set[int]) -> set[int]:
        found = set(places)
        for place in range(min(places), len(path)):
            if place in found and path[place] != "/":
                found.add(place + 1)
        return found


@dataclass(frozen=True, slots=True)
class _Folders:
    """`**/`: any number of folders."""

    def after(self, path: str, places: set[int]) -> set[int]:
        found = set(places)
        within = False  # a folder that begins at a place and has a name
        for place in range(min(places), len(path)):
            if path[place] != "/":
                within = within or place in found
            elif within:
                found.add(place + 1)
                within = False
        return found


@dataclass(frozen=True, slots=True)
class _All:
    """`**` at the end: everything below."""

    def after(self, path: str, places: set[int]) -> set[int]:
        return set(range(min(places), len(path) + 1))


@dataclass(frozen=True, slots=True)
class _One:
    """`?` and `[a-z]`: one character within a folder."""

    ranges: tuple[tuple[str, str], ...] = ()
    negated: bool = True

    def after(self, path: str, places: set[int]) -> set[int]:
        return {place + 1 for place in places if place < len(path) and self._takes(path[place])}

    def _takes(self, character: str) -> bool:
        inside = any(first <= character <= last for first, last in self.ranges)
        return character != "/" and inside is not self.negated


@dataclass(frozen=True, slots=True)
class _Choice:
    choices: tuple[_Part, ...]

    def after(self, path: str, places: set[int]) -> set[int]:
        return set[int]().union(*(choice.after(path, places) for choice in self.choices))


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Part, ...]

    def after(self, path: str, places: set[int]) -> set[int]:
        for part in self.parts:
            if not places:
                break
            places = part.after(path, places)
        return places


def _relative(pattern: str) -> str:
    return pattern.removeprefix("./").removeprefix("/")


def _sequence(pattern: str) -> _Sequence:
    parts: list[_Part] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            parts.append(_Folders())
            at += 3
        elif pattern.startswith("**", at) and pattern[at - 1 : at] in {"", "/"} and at + 2 == len(pattern):
            parts.append(_All())
            at += 2
        elif pattern[at] in "*?":
            parts.append(_Some() if pattern[at] == "*" else _One())
            at += 1
        else:
            part, at = _text_or_choice(pattern, at)
            if isinstance(part, _Text) and parts and isinstance(parts[-1], _Text):
                part = _Text(parts.pop().text + part.text)  # type: ignore[attr-defined]
            parts.append(part)
    return _Sequence(tuple(parts))


def _text_or_choice(pattern: str, at: int) -> tuple[_Part, int]:
    """`{a,b}` and `[abc]` where they are closed; the character itself otherwise."""
    if pattern[at] == "{" and (end := _closing(pattern, at)) > 0:
        choices = _split(pattern[at + 1 : end])
        if len(choices) > 1:
            return _Choice(tuple(map(_sequence, choices))), end + 1
    if pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
        inside = pattern[at + 1 : end]
        negated = inside[0] in "!^" and len(inside) > 1
        return _One(_ranges(inside[1:] if negated else inside), negated), end + 1
    if pattern[at] == "\\" and at + 1 < len(pattern):
        return _Text(pattern[at + 1]), at + 2
    return _Text(pattern[at]), at + 1


def _ranges(inside: str) -> tuple[tuple[str, str], ...]:
    """What stands between brackets. A range that runs backwards holds nothing."""
    found, at = [], 0
    while at < len(inside):
        last = at + 2 if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside) else at
        found.append((inside[at], inside[last]))
        at = last + 1
    return tuple(found)


def _closing(pattern: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[at], 0)
        if depth == 0:
            return at
    return -1


def _split(choices: str) -> list[str]:
    """At the commas that stand in no inner braces."""
    parts, depth = [""], 0
    for character in choices:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts
