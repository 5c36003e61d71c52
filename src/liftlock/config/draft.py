"""A file's values on the way to a project, and the mistakes that were found in them.

A mistake is noted once, with its place; then the value is mended (a key that was mistyped) or
taken out, so that everything else is still checked and one run tells everything.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from liftlock.config.places import Key, lines_of_keys
from liftlock.config.schema import File, file_model, keys_at
from liftlock.config.values import Mistake, did_you_mean, looks_secret, shown
from liftlock.errors import ConfigurationError, Problem
from liftlock.naming import nearest

_BARE = re.compile(r"[A-Za-z0-9_-]+")

_STAND_INS: dict[tuple[str, ...], Any] = {
    ("project",): {"name": "x"},
    ("project", "name"): "x",
    ("environments",): {"x": {}},
    ("apps",): {"x": {}},
    ("notify", "slack", "webhook"): "env:X",
    ("serve", "sign_in", "oidc", "issuer"): "https://x.example",
}
"""What stands in for a required value that is missing, until all mistakes are known."""


class Draft:
    """The values of one file, and what is wrong with them."""

    def __init__(self, path: str, text: str, values: dict[str, Any]) -> None:
        self.path = path
        self.values = values
        self._text = text
        self._lines: dict[Key, int] | None = None
        self._problems: list[Problem] = []
        self._noted: set[Key] = set()

    def note(self, key: Key, message: str, hint: str = "") -> None:
        """Remember a mistake; the first one at a place is the cause, later ones there are not told."""
        if not self.is_noted(key):
            self._noted.add(key)
            self._problems.append(Problem(dotted(key), message, self._line(key), hint))

    def is_noted(self, key: Key) -> bool:
        """Whether a mistake is known at this place or above it."""
        return any(key[:length] in self._noted for length in range(len(key) + 1))

    def is_noted_below(self, key: Key) -> bool:
        """Whether a mistake is known at this place, above it or below it."""
        return self.is_noted(key) or any(noted[: len(key)] == key for noted in self._noted)

    def raise_if_wrong(self) -> None:
        """Raise `ConfigurationError` with all mistakes, in file order."""
        if self._problems:
            ordered = sorted(self._problems, key=lambda problem: problem.line or 10**9)
            raise ConfigurationError(self.path, ordered)

    def take_out_secrets(self) -> None:
        """Note every value that looks like a credential, and forget it: no message may show it."""
        for key in _secret_places(self.values, ()):
            hint = 'Where a secret is wanted, write "env:NAME" or "keyring:NAME"; revoke this one.'
            if key in {("project", "ledger"), ("serve", "database")}:
                hint = "Leave the password to PGPASSWORD or ~/.pgpass, and change this one."
            self.note(key, "looks like a credential, and none must stand in the file.", hint)
            self._drop(key)

    def validated(self, added_platforms: Collection[str]) -> File:
        """The file in its shape; what did not fit is noted, and mended or taken out."""
        model = file_model(frozenset(added_platforms))
        while True:
            known = len(self._noted)
            try:
                return model.model_validate(self.values)
            except ValidationError as error:
                details = error.errors(include_url=False)
                # A key that was mistyped is mended first: then it is not missing either.
                mistyped = [each for each in details if each["type"] == "extra_forbidden"]
                for detail in mistyped or details:
                    self._refuse(detail, added_platforms)
            if len(self._noted) == known:  # every round mends something new, or what is known is told
                self.raise_if_wrong()

    def _refuse(self, detail: Any, added_platforms: Collection[str]) -> None:
        kind: str = detail["type"]
        key: Key = detail["loc"]
        if key[-1] == "[key]":  # what is wrong is the name of a table, not its value
            key = key[:-1]
        if kind == "missing":
            if not self.is_noted_below(key):
                self.note(key, "is missing." if len(key) > 1 else f"there is no [{key[0]}].")
            self._stand_in(key)
        elif kind == "too_short" and key in {("environments",), ("apps",)}:
            if not self.is_noted_below(key):
                self.note(key, "is empty.", f"Name at least one, as in [{key[0]}.NAME].")
            self._stand_in(key)
        elif kind == "extra_forbidden":
            self._refuse_key(key, added_platforms)
        else:
            message, hint = _words(detail)
            self.note(key, message, hint)
            self._drop(key)

    def _refuse_key(self, key: Key, added_platforms: Collection[str]) -> None:
        *table, last = key
        known = keys_at([str(part) for part in table], added_platforms)
        hint = did_you_mean(str(last), known, "Keys here")
        near = nearest(str(last), known)
        self.note(key, "there is no such key.", hint)
        values = self._at(tuple(table))
        value = values.pop(last, None)
        if near and near not in values:  # go on as if it were spelled well
            values[near] = value
            for place, number in list(self._places().items()):
                if place[: len(key)] == key:
                    self._places()[*table, near, *place[len(key) :]] = number

    def _stand_in(self, key: Key) -> None:
        self._noted.add(key)
        pattern = tuple(str(part) for part in key)
        if pattern in _STAND_INS:
            self._at(key[:-1])[key[-1]] = _copy(_STAND_INS[pattern])
        else:
            arguments = key[-2] == "command"
            self._at(key[:-1])[key[-1]] = ["x"] if arguments else "env:X"

    def _drop(self, key: Key) -> None:
        """Take out the value, or the nearest table key above it."""
        while isinstance(key[-1], int):
            key = key[:-1]
        self._at(key[:-1]).pop(key[-1], None)

    def _at(self, key: Key) -> dict[str | int, Any]:
        """The table at this place; an empty one when it was taken out already."""
        found: Any = self.values
        for part in key:
            found = found.get(part) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _places(self) -> dict[Key, int]:
        if self._lines is None:
            self._lines = dict(lines_of_keys(self._text))
        return self._lines

    def _line(self, key: Key) -> int | None:
        """The line of the key, or of the table in which it should be."""
        places = self._places()
        return next((places[key[:size]] for size in range(len(key), 0, -1) if key[:size] in places), None)


def dotted(key: Key) -> str:
    """A key as a person writes it: `apps.ODB.after[1]`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else shown(part))
    return text


def _secret_places(value: Any, key: Key) -> list[Key]:
    if isinstance(value, str):
        return [key] if looks_secret(value) else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for part, each in items for place in _secret_places(each, (*key, part))]


def _copy(value: Any) -> Any:
    return {part: _copy(each) for part, each in value.items()} if isinstance(value, dict) else value


_WANTED = {
    "string_type": "a string in quotes",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "list_type": "a list, as in [ … ]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
}


def _words(detail: Any) -> tuple[str, str]:
    """What pydantic found, in our words, and what to write instead."""
    kind, value = detail["type"], detail["input"]
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, Mistake):
        return str(cause), cause.hint
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, not {_KINDS.get(type(value), 'a date or time')}.", ""
    if kind == "greater_than_equal":
        return f"must be {detail['ctx']['ge']} or more, not {value}.", ""
    if kind == "too_short":
        return "is empty.", ""
    if kind == "literal_error":
        hint = did_you_mean(value, ["safe", "never"], "Values") if isinstance(value, str) else ""
        return 'must be "safe" or "never".', hint
    return f"{detail['msg']}.", ""
