"""What goes wrong on the way to the vendors: decided by the seed, request by request."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from liftlock.sandbox.faults import Rule

STATUSES = (401, 404, 409, 422, 429, 500, 500, 502, 503, 503)
DELAYS_S = (0.5, 5.0, 25.0, 40.0)
LATE_S = (32.0, 45.0)
"""Later than anybody waits for an answer."""


@dataclass
class Outage:
    """One vendor misbehaves in one way for some time."""

    vendor: str
    since: float
    until: float
    kind: str
    share: float


@dataclass
class Weather:
    """How often a request is hit, and by what. Calm once `ends` is past."""

    dice: random.Random
    rate: float
    outages: list[Outage]
    calm: bool = False
    hits: Counter[str] = field(default_factory=Counter)

    def refuses(self, vendor: str, now: float) -> bool:
        """Whether the connection is refused: nothing is sent."""
        return self._kind(vendor, now, only="refused") == "refused"

    def fault(self, vendor: str, now: float) -> Rule | None:
        """What happens to a request that is sent."""
        kind = self._kind(vendor, now, but="refused")
        if not kind:
            return None
        self.hits[kind] += 1
        if kind.isdigit():
            status = int(kind)
            headers = {"retry-after": str(self.dice.choice([0, 1, 30]))} if status == 429 else {}
            return Rule(
                0, "status", status=status, headers=headers, body=b'{"message": "a fault of the weather"}'
            )
        return Rule(0, kind, delay_s=self.dice.choice(LATE_S if kind == "late" else DELAYS_S))

    def fails_program(self) -> bool:
        """Whether a program that is run now ends with an error."""
        is_hit = not self.calm and self.dice.random() < 2 * self.rate
        self.hits["program"] += is_hit
        return is_hit

    def _kind(self, vendor: str, now: float, *, only: str = "", but: str = "") -> str:
        if self.calm:
            return ""
        kind = ""
        for outage in self.outages:
            is_hit = outage.vendor == vendor and outage.since <= now <= outage.until
            if is_hit and self.dice.random() < outage.share:
                kind = outage.kind
        if not kind and only != "refused" and self.dice.random() < self.rate:
            kind = self._any(write=False)
        if not kind and only == "refused" and self.dice.random() < self.rate / 6:
            kind = "refused"
        if (only and kind != only) or (but and kind == but):
            return ""
        if kind == "refused":
            self.hits[kind] += 1
        return kind

    def _any(self, *, write: bool) -> str:
        kinds = ["status"] * 4 + ["lost"] * 4 + ["reset"] * 2 + ["delay"] * 2 + ["hang"] * 2 + ["late"]
        kind = self.dice.choice(kinds)
        return str(self.dice.choice(STATUSES)) if kind == "status" else kind


def make_weather(dice: random.Random, *others: str) -> Weather:
    """`others`: vendors beside those that every seed may meet."""
    outages = []
    for _ in range(dice.choice([0, 0, 0, 1, 1, 2])):
        since = dice.uniform(0, 120)
        kind = dice.choice(["500", "503", "429", "lost", "reset", "hang", "refused", "delay", "401", "404"])
        length = dice.choice([3, 30, 200, 900])
        vendor = dice.choice(
            ["github", "heroku", "heroku", "heroku_data", "registry", "firebase", "slack", "router", *others]
        )
        outages.append(Outage(vendor, since, since + length, kind, dice.choice([0.3, 1.0])))
    return Weather(dice, dice.choice([0.0, 0.0, 0.005, 0.02, 0.06]), outages)
