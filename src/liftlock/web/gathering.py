"""The changes that the numbers are made of, each read from the ledger once.

What has ended stays as it was read. So a further look reads the last day, and back to the oldest promotion
that stands open; what it costs grows neither with the history nor with the days that are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio

from liftlock.commands.history import Wanted, read_history
from liftlock.model import Project
from liftlock.ports import Adapters
from liftlock.tasks import each
from liftlock.web.numbers import Change, change_of

MOST = 10_000
"""How many of an environment's entries are looked through, at most."""
AGAIN = timedelta(days=1)
"""How far back a further look reads what was read before: other tools' records end later than they begin, and
GitHub lists late."""
WHOLE = timedelta(hours=6)
"""How often all of it is read anew: what is older than `AGAIN` may have ended, or been copied into the ledger."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The changes of some days; the very same one as long as nothing is new."""

    changes: Sequence[Change]
    is_cut: bool
    """Whether there are more than are looked through: then the oldest are missing."""


@dataclass(slots=True)
class _Known:
    """What was read of one environment."""

    changes: dict[str, Change]
    since: datetime
    whole_at: datetime
    looked_at: datetime
    is_cut: bool

    def settled(self) -> datetime:
        """Everything that began before has ended, and is known."""
        begun = (change.began_at for change in self.changes.values() if change.ended_at is None)
        return max(min([self.looked_at - AGAIN, *begun]), self.since)


class Gathering:
    """The changes of a project, for everybody who asks."""

    def __init__(self, project: Project, adapters: Adapters, now: Callable[[], datetime]) -> None:
        self._project = project
        self._adapters = adapters
        self._now = now
        self._days = 0
        """Over how many days somebody wanted to know."""
        self._known: dict[str, _Known] = {}
        self._given: dict[int, Gathered] = {}
        self._turn = anyio.Lock()

    async def within(self, days: int) -> Gathered:
        """The changes that began in the last so many days, oldest first."""
        async with self._turn:
            self._days = max(self._days, days)
            await each(self._project.environments, self._look)
        since = self._now() - timedelta(days=days)
        known = self._known.values()
        changes = [c for one in known for c in one.changes.values() if c.began_at >= since]
        changes.sort(key=lambda change: (change.began_at, change.id))
        found = Gathered(changes, any(one.is_cut for one in known))
        if found != self._given.get(days):
            self._given[days] = found
        return self._given[days]

    async def _look(self, environment: str) -> None:
        now = self._now()
        since = now - timedelta(days=self._days)
        known = self._known.get(environment)
        if known is None or since < known.since or now - known.whole_at > WHOLE:
            changes, is_cut = await self._read(environment, since)
            self._known[environment] = _Known(changes, since, now, now, is_cut)
            return
        settled = known.settled()
        kept = {id_: change for id_, change in known.changes.items() if change.began_at < settled}
        changes, _ = await self._read(environment, settled)
        known.changes, known.looked_at = kept | changes, now

    async def _read(self, environment: str, since: datetime) -> tuple[dict[str, Change], bool]:
        found = await read_history(self._project, self._adapters, environment, MOST, Wanted(since=since))
        changes = {c.id: c for entry in found.entries if (c := change_of(entry)) is not None}
        return changes, len(found.entries) >= MOST
