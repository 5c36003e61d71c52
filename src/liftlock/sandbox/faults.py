"""Faults on purpose: rules that make chosen requests fail in chosen ways.

status   answer `status` with `headers` and `body`; nothing is applied
reset    close the connection before anything is applied
lost     apply the request, then close the connection instead of answering
hang     do not answer until the rule is deleted (then go on as usual) or the client leaves
delay    apply on arrival, answer `delay_s` later
body     apply the request, then answer with this `body` (and `status`, `headers` where given)
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from typing import Any

import anyio

ACTIONS = ("status", "delay", "reset", "hang", "lost", "body")
_KEYS: dict[str, tuple[type, ...]] = {
    "action": (str,),
    "vendor": (str,),
    "method": (str,),
    "path": (str,),
    "times": (int,),
    "skip": (int,),
    "probability": (int, float),
    "seed": (int, str),
    "status": (int,),
    "headers": (dict,),
    "body": (object,),
    "delay_s": (int, float),
}


class ConnectionDropped(ConnectionResetError):
    """The connection was closed on purpose, where there is no TCP connection to close.

    Raised out of the ASGI application when its server offers no `liftlock.reset` extension, that is
    in-process. `inprocess.InProcess` turns it into the client's own error.
    """


@dataclass(slots=True)
class Rule:
    """Which requests it meets, how often, and what it does to them."""

    id: int
    action: str
    vendor: str | None = None
    method: str | None = None
    path: re.Pattern[str] | None = None
    times: int | None = None
    skip: int = 0
    probability: float = 1.0
    seed: int | str | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay_s: float = 0.0
    met: int = 0
    applied: int = 0
    deleted: anyio.Event = field(default_factory=anyio.Event)
    chance: random.Random = field(default_factory=random.Random)

    def takes(self, vendor: str, method: str, path: str) -> bool:
        """Whether this request is its victim; counts towards `skip` and `times`."""
        if self.times is not None and self.applied >= self.times:
            return False
        if self.vendor is not None and self.vendor != vendor:
            return False
        if self.method is not None and self.method != method:
            return False
        if self.path is not None and not self.path.search(path):
            return False
        self.met += 1
        if self.met <= self.skip:
            return False
        if self.probability < 1 and self.chance.random() >= self.probability:
            return False
        self.applied += 1
        return True

    def document(self) -> dict[str, Any]:
        """As `/_sandbox/faults` shows it."""
        return {
            "id": self.id,
            "action": self.action,
            "vendor": self.vendor,
            "method": self.method,
            "path": self.path.pattern if self.path else None,
            "times": self.times,
            "skip": self.skip,
            "probability": self.probability,
            "seed": self.seed,
            "status": self.status,
            "headers": self.headers,
            "body": self.body.decode(errors="replace") if self.body is not None else None,
            "delay_s": self.delay_s,
            "met": self.met,
            "applied": self.applied,
        }


class Faults:
    """The rules in force; the first that takes a request decides."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._last = 0

    def add(self, document: dict[str, Any]) -> Rule:
        """A rule from its JSON form. Raises `ValueError` that says what is wrong with it."""
        for key, value in document.items():
            if key not in _KEYS:
                raise ValueError(f"unknown key {key!r}; a rule has {', '.join(_KEYS)}")
            if value is not None and not isinstance(value, _KEYS[key]):
                raise ValueError(f"{key} has the wrong type: {value!r}")
        given = {key: value for key, value in document.items() if value is not None}
        if given.get("action") not in ACTIONS:
            raise ValueError(f"action must be one of {', '.join(ACTIONS)}")
        if "path" in given:
            try:
                given["path"] = re.compile(given["path"])
            except re.error as error:
                raise ValueError(f"path is not a regular expression: {error}") from error
        if "body" in given and not isinstance(given["body"], str):
            given["body"] = json.dumps(given["body"])
        if "body" in given:
            given["body"] = given["body"].encode()
        self._last += 1
        rule = Rule(id=self._last, chance=random.Random(given.get("seed")), **given)  # noqa: S311  chance, not secrets
        self.rules.append(rule)
        return rule

    def take(self, vendor: str, method: str, path: str) -> Rule | None:
        """The rule that this request falls to, if any."""
        for rule in self.rules:
            if rule.takes(vendor, method, path):
                return rule
        return None

    def delete(self, rule_id: int | None = None) -> int:
        """Delete one rule or all; hanging requests go on. Gives how many there were."""
        gone = [rule for rule in self.rules if rule_id is None or rule.id == rule_id]
        self.rules = [rule for rule in self.rules if rule not in gone]
        for rule in gone:
            rule.deleted.set()
        return len(gone)
