"""P2 and P5, judged where backups are files: of the databases whose apps live on a swarm."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import trio

from liftlock.sandbox.clock import from_iso
from tests.simulation.actors import Actor
from tests.simulation.seen import Change, Seen
from tests.simulation.truth import seconds

AT_ONCE_S = 3.0
"""Who begins so soon after another one's backup is complete may have looked just before."""


@dataclass
class Dump:
    """One run of `pg_dump`, by the simulation's clock and not by its actor's."""

    actor: str
    began: float
    ended: float


@dataclass
class Dumps:
    """The dumps of one story: which were run, and which backups lie in their folders."""

    _seen: Seen
    _made: list[Dump] = field(default_factory=list)

    def hear(self, actor: Actor, began: float) -> bytes:
        """A dump has ended well; gives what is written of it, so that it is known again."""
        self._seen.counts["dumps"] += 1
        self._made.append(Dump(actor.name, began, trio.current_time()))
        return str(len(self._made) - 1).encode()

    def judge_restore(self, actor: Actor, app: str, environment: str) -> Change:
        """P2: what stood is backed up before. Gives what the restore changes."""
        self._seen.counts["restores"] += 1
        since = self._seen.changed_at(actor.name)
        if not any(dump.began >= since for dump, _ in self.kept(app, environment)):
            self._seen.break_("P2", f"{app} in {environment} is restored, and what stood is not backed up")
        return Change(actor.name, app, environment, {}, trio.current_time())

    def kept(self, app: str, environment: str) -> list[tuple[Dump, dict[str, Any]]]:
        """The complete backups of an app's database in the order in which they were taken, and what is written
        beside each."""
        folder = self._seen.world.dumps(app, environment)
        found = [
            (self._made[int(path.with_suffix(".dump").read_bytes())], json.loads(path.read_text()))
            for path in folder.glob("*/*.json")
        ]
        return sorted(found, key=lambda each: each[0].began)

    def any_since(self, app: str, environment: str, moment: float) -> bool:
        """Whether one was complete after that, as the clock of whoever took it has it."""
        ends = [about["finished_at"] for _, about in self.kept(app, environment)]
        return any(seconds(from_iso(end)) >= int(moment) for end in ends)

    def last_judgement(self) -> None:
        """P5: no promotion took another backup of a database where it had one."""
        world = self._seen.world
        plain = [name for name, app in world.project.apps.items() if app.databases]
        for app in plain:
            for environment in world.shape.environments:
                first: dict[str, Dump] = {}
                for dump, about in self.kept(app, environment):
                    had = first.setdefault(about["promotion"], dump)
                    if about["promotion"] and dump.began > had.ended + AT_ONCE_S:
                        self._seen.break_(
                            "P5",
                            f"{dump.actor} takes a second backup of {app} in {environment} for one promotion",
                        )
