"""On which line a key of a TOML document stands.

`tomllib` gives values without places. This scanner reads a document that `tomllib` has accepted,
so it need not judge: it only follows keys, through headers, dotted keys, inline tables and arrays.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress

Key = tuple[str | int, ...]
"""Where a value stands: table keys and array indices, from the top of the document."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'  # two more quotes may belong to the text
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_SCALAR = re.compile(r"[^,\]}\n#]+")


def lines_of_keys(text: str) -> Mapping[Key, int]:
    """By key, the line (from 1) where it first stands; what cannot be followed is left out."""
    scanner = _Scanner(text)
    with suppress(
        _Lost, tomllib.TOMLDecodeError, RecursionError
    ):  # a place that is not known only makes a message shorter
        scanner.document()
    return scanner.lines


class _Lost(Exception):
    """The text is not what this scanner can follow."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Key, int] = {}
        self.breaks = [match.start() for match in re.finditer("\n", text)]

    def document(self) -> None:
        table: Key = ()
        counts: dict[Key, int] = {}
        while self.next():
            start = self.at
            if self.take("[["):
                array = self.key()
                counts[array] = counts.get(array, -1) + 1
                table = (*array, counts[array])
                self.note(table, start)
                self.expect("]]")
            elif self.take("["):
                table = self.key()
                self.note(table, start)
                self.expect("]")
            else:
                self.pair(table)

    def pair(self, table: Key) -> None:
        start = self.at
        key = (*table, *self.key())
        self.note(key, start)
        self.expect("=")
        self.value(key)

    def value(self, key: Key) -> None:
        if self.next() == "[":
            self.array(key)
        elif self.next() == "{":
            self.inline_table(key)
        elif self.match(_STRING) is None and self.match(_SCALAR) is None:
            raise _Lost

    def array(self, key: Key) -> None:
        self.expect("[")
        index = 0
        while self.next() != "]":
            self.note((*key, index), self.at)
            self.value((*key, index))
            index += 1
            if not self.take(","):
                break
        self.expect("]")

    def inline_table(self, key: Key) -> None:
        self.expect("{")
        while self.next() != "}":
            self.pair(key)
            if not self.take(","):
                break
        self.expect("}")

    def key(self) -> Key:
        parts: list[str] = []
        self.next()
        while True:
            quoted = self.match(_STRING)
            word = quoted or self.match(_BARE)
            if word is None:
                raise _Lost
            parts.append(tomllib.loads(f"x = {quoted}")["x"] if quoted else word)
            if self.match(_DOT) is None:
                return tuple(parts)

    def note(self, key: Key, start: int) -> None:
        """Remember the place of a key, and of the tables that it brings into being."""
        line = bisect_right(self.breaks, start - 1) + 1
        for length in range(len(key), 0, -1):
            if key[:length] in self.lines:
                break
            self.lines[key[:length]] = line

    def next(self) -> str:
        """The next character that is neither blank nor comment; "" at the end."""
        self.match(_BLANK)
        return self.text[self.at : self.at + 1]

    def take(self, token: str) -> bool:
        self.next()
        found = self.text.startswith(token, self.at)
        self.at += len(token) if found else 0
        return found

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise _Lost

    def match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[0]
