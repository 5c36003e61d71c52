"""What a seed decides of a project before anything is made of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from liftlock.model import Gates
from tests.simulation.stacks import Stacks, make_stacks


@dataclass(frozen=True)
class Shape:
    """What kind of project and of weather a seed has."""

    apps: tuple[str, ...]
    environments: tuple[str, ...]
    ledger: str
    undo_never: bool
    settle_s: float
    site: bool
    shares: bool = False
    """RES, where there is one, is backed up as well, and has ODB's database."""
    gates: Gates = field(default_factory=Gates)
    """Of the uppermost environment."""
    command: bool = False
    """There is an app that is a command: migrations, which can be undone or not."""
    stacks: Stacks = field(default_factory=Stacks)
    """The apps that live on a swarm."""


def make_shape(dice: random.Random, platforms: random.Random) -> Shape:
    apps = ["ODB", *dice.sample(["SSO", "ITC", "RES"], dice.choice([0, 1, 1, 2]))]
    site = dice.random() < 0.5
    ledger = "sqlite" if dice.random() < 0.15 else "github"
    on_swarm = make_stacks(apps, platforms)
    return Shape(
        apps=tuple(sorted(apps, reverse=True)),
        environments=("dev", "staging", "production") if dice.random() < 0.2 else ("dev", "staging"),
        ledger=ledger,
        undo_never=dice.random() < 0.2,
        settle_s=dice.choice([0.0, 0.0, 0.0, 0.0, 0.5, 20.0]),
        site=site,
        shares="RES" in apps and dice.random() < 0.5 and not {"RES", "ODB"} & set(on_swarm.apps),
        gates=_gates(dice, ledger) if dice.random() < 0.3 else Gates(),
        command=dice.random() < 0.25,
        stacks=on_swarm,
    )


def _gates(dice: random.Random, ledger: str) -> Gates:
    """One or two conditions, which hold at some times and not at others."""
    names = ["approvals", "approvals", "soak", "window", "freeze", "healthy", "age"]
    chosen = dice.sample(names, dice.choice([1, 1, 2]))
    minute = dice.choice([1, 2, 5, 20])
    window = dice.choice([f"Thu 00:00-00:{minute:02} UTC", f"Thu 00:{minute:02}-09:00 UTC"])
    freeze = dice.choice(
        ["2026-01-01 00:{:02} .. 2026-01-01 00:40 UTC", "2025-12-31 .. 2026-01-01 00:{:02} UTC"]
    )
    return Gates(
        # Who uses one file is one person to it, whatever the actors are called.
        approvals=1 if "approvals" in chosen and ledger == "github" else 0,
        soak_s=dice.choice([60.0, 600.0]) if "soak" in chosen else 0.0,
        window=window if "window" in chosen else "",
        freeze=(freeze.format(minute),) if "freeze" in chosen else (),
        source_healthy="healthy" in chosen,
        backup_age_s=600.0 if "age" in chosen else 0.0,
    )
