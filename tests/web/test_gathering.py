"""The changes behind the numbers: read once, and kept true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from liftlock.ledgers.memory import Memory
from liftlock.model import Intent, State
from liftlock.testing.samples import new_intent
from liftlock.web.gathering import AGAIN, WHOLE, Gathered, Gathering
from liftlock.web.numbers import Outcome
from tests.commands.world import World

pytestmark = pytest.mark.anyio


@dataclass
class Turned:
    """A clock that is turned by hand."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def boottime(self) -> float:
        return 0.0


class Counting(Memory):
    """Counts the promotions that are read."""

    read_intents = 0

    async def intents(self, environment: str | None, limit: int, **asked: Any) -> Sequence[Intent]:
        found = await super().intents(environment, limit, **asked)
        self.read_intents += len(found)
        return found


@dataclass
class Past:
    """A ledger with a past, and whoever gathers from it."""

    clock: Turned = field(default_factory=lambda: Turned(World().clock.now()))

    def __post_init__(self) -> None:
        world = World()
        self.ledger = Counting(self.clock)
        adapters = replace(world.adapters, ledger=self.ledger)
        self.gathering = Gathering(world.project, adapters, self.clock.now)

    async def begin(self, key: str) -> Intent:
        return await self.ledger.open_intent(new_intent(key))

    async def end(self, intent: Intent, state: State = State.SUCCESS) -> None:
        await self.ledger.close_intent(intent, state, "")

    async def lived(self, days: int) -> None:
        """A promotion every two hours."""
        for number in range(12 * days):
            await self.end(await self.begin(f"p{number}"))
            self.clock.at += timedelta(hours=2)

    async def look(self, days: int = 30) -> Gathered:
        self.ledger.read_intents = 0
        return await self.gathering.within(days)


async def test_a_further_look_reads_no_more_than_the_last_day() -> None:
    past = Past()
    await past.lived(20)
    assert len((await past.look()).changes) == past.ledger.read_intents == 240
    await past.end(await past.begin("new"))
    assert len((await past.look()).changes) == 241
    assert past.ledger.read_intents <= 12 * (AGAIN / timedelta(days=1)) + 2


async def test_nothing_new_is_the_very_same() -> None:
    past = Past()
    await past.lived(2)
    first = await past.look()
    past.clock.at += timedelta(minutes=1)
    assert await past.look() is first
    await past.begin("new")
    assert await past.look() is not first


async def test_what_stood_open_is_read_again_until_it_has_ended() -> None:
    past = Past()
    stands = await past.begin("stands")
    await past.look()
    past.clock.at += WHOLE
    await past.look()
    past.clock.at += 3 * AGAIN - WHOLE / 2
    await past.look()
    past.clock.at += WHOLE / 2
    await past.end(stands, State.FAILURE)
    (change,) = (await past.look()).changes
    assert change.outcome is Outcome.FAILED


async def test_what_was_copied_into_the_past_is_found_within_hours() -> None:
    past = Past()
    await past.lived(10)
    assert len((await past.look()).changes) == 120
    now = past.clock.at
    past.clock.at = now - timedelta(days=5)
    await past.end(await past.begin("copied"))
    past.clock.at = now + WHOLE + timedelta(minutes=1)
    assert len((await past.look()).changes) == 121


async def test_more_days_are_read_when_they_are_asked_for_and_what_is_past_them_is_let_go() -> None:
    past = Past()
    await past.lived(20)
    assert len((await past.look(5)).changes) == 60
    assert len((await past.look(15)).changes) == 180
    assert len((await past.look(5)).changes) == 60
    past.clock.at += timedelta(days=10)
    assert len((await past.look(15)).changes) == 60
