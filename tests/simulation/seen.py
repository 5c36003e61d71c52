"""What the judge of a story has seen of it: promotions, changes, and what was found broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.stacks import several
from tests.simulation.truth import Books
from tests.simulation.world import COMMAND, World, version_of


@dataclass
class Change:
    """Something that was switched, as it was asked for."""

    actor: str
    app: str
    environment: str
    parts: Mapping[str, str]
    at: float
    promotion: str = ""
    command: int = 0


@dataclass
class Promotion:
    """What is known of one promotion, by the key of its intent."""

    key: str
    began: float
    """When it was begun on its actor's machine: the first thing that it asked."""
    opened: float
    before: Mapping[str, Mapping[str, str]]
    """What ran when its intent was written, by app."""
    new: Mapping[str, Mapping[str, str]]
    command: tuple[str, int]
    """Whose command it is, and which one of theirs."""
    first_change: float | None = None
    changes: list[Change] = field(default_factory=list)
    definitions: Mapping[str, Any] = field(default_factory=dict)
    """By app on a swarm, what its team said of its services when the intent was written."""


@dataclass
class Seen:
    """Of one story; what judges it keeps to this."""

    world: World
    books: Books
    promotions: dict[str, Promotion] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    touched: dict[tuple[str, str], float] = field(default_factory=dict)
    """By environment and app, when an operator last changed something by hand."""
    commands: dict[str, float] = field(default_factory=dict)
    """By actor, when its command began."""
    runs: Counter[str] = field(default_factory=Counter)
    """By actor, how many commands it has begun."""
    undoing: set[str] = field(default_factory=set)
    """Who runs `resume --undo` now."""
    late: set[tuple[str, str]] = field(default_factory=set)
    """What was made late: deployments by environment and task, backups by database."""
    tell: Any = None

    def break_(self, promise: str, what: str) -> None:
        """Note what is broken; the first one is what counts."""
        self.broken.append(f"{promise}: {what}")
        if self.tell:
            self.tell(f"BROKEN {promise}: {what}")

    def open_promotion(self, environment: str) -> Promotion | None:
        opened = [w for w in self.books.intents(environment) if w.is_open]
        if not opened:
            return None
        return self.promotions.get(opened[-1].key)

    def changed_at(self, actor: str) -> float:
        """When an actor's command changed something last; when it began, where it has changed nothing."""
        own = actor, self.runs[actor]
        changes = [c.at for p in self.promotions.values() for c in p.changes if (c.actor, c.command) == own]
        return max(changes, default=self.commands[actor])

    def by_id(self, environment: str, number: str) -> Promotion | None:
        for written in self.books.intents(environment):
            if number in {written.id, written.key}:
                return self.promotions.get(written.key)
        return next((p for p in self.promotions.values() if p.key == number), None)

    def by_hand(self, environment: str, app: str, since: float) -> bool:
        """Whether an operator has changed the app by hand since then.

        Or ever, where Heroku names no images: what they released cannot be told then, and an undo goes to the record.
        """
        is_told = self.world.cloud.settings.formation_images
        return self.touched.get((environment, app), -1.0) >= (since if is_told else 0.0)

    def in_content(self, parts: Mapping[str, str]) -> Mapping[str, str]:
        """Site versions by what they hold: a clone has another name."""
        return {p: self.world.content(v) if v.startswith("sites/") else v for p, v in parts.items()}

    def same(
        self, app: str, running: Mapping[str, str], wanted: Mapping[str, str], *, up: bool = True
    ) -> bool:
        """Whether an app runs that, or one of what ran beside each other. Migrations that are applied beyond it
        have applied it too."""
        if app != COMMAND or not wanted:
            return running.keys() == wanted.keys() and all(
                image == wanted[part] or image in several(wanted[part]) for part, image in running.items()
            )
        has, needs = version_of(running["commit"]), version_of(wanted["commit"])
        return has >= needs if up else has <= needs

    def standing(self, environment: str, promotion: Promotion) -> str:
        """What an environment runs of a promotion: new, old, both when they are the same, or mixed."""
        apps = [a for a in promotion.new if not self.by_hand(environment, a, promotion.began)]
        running = {app: dict(self.world.running(app, environment)) for app in apps}
        new = all(self.same(a, running[a], promotion.new[a]) for a in apps)
        old = all(self.same(a, running[a], promotion.before[a], up=False) for a in apps)
        return "both" if new and old else "new" if new else "old" if old else "mixed"
