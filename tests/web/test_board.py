"""The board: what runs where, what waits, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import anyio
import pytest

from liftlock.errors import VendorError
from liftlock.ledgers.memory import Memory
from liftlock.model import Known, Release, Running, Target
from liftlock.ports import Adapters, EnvironmentRecords
from liftlock.web.live import PROJECT
from tests.commands.world import World
from tests.doubles import FakePlatform, release
from tests.web.served import served, words

pytestmark = pytest.mark.anyio


async def test_every_app_stands_in_every_environment_with_what_waits_one_click_from_its_plan() -> None:
    async with served(World()) as browser:
        html = await browser.get("/")
    said = words(html)
    assert "Lift 3 from dev" in said
    assert 'href="/plan/dev/staging"' in html
    assert 'href="/plan/dev/staging?app=ODB"' in html
    assert said.count("nothing recorded") == 3  # production is empty
    for app in ("SSO", "ODB", "Explore"):
        assert f'href="/apps/{app}"' in html


async def test_drift_is_said_with_how_it_differs() -> None:
    world = World()
    world.platform.runs["ODB", "staging"] = Known(release("ODB", "x").artifacts)
    async with served(world) as browser:
        assert "drift: Running differs from recorded" in await browser.text("/")
        assert "Explore" not in await browser.text("/?show=trouble")
        assert "ODB" in await browser.text("/?show=trouble")


async def test_an_app_that_is_not_healthy_is_said_to_be_so() -> None:
    world = World()
    world.platform.runs["SSO", "dev"] = replace(world.platform.runs["SSO", "dev"], healthy=False)
    async with served(world) as browser:
        assert "unhealthy" in await browser.text("/")


async def test_what_cannot_be_looked_at_is_unknown_and_the_rest_is_shown() -> None:
    world = World()
    world.platform.unknown.add("SSO")
    async with served(world) as browser:
        said = await browser.text("/")
    assert "unknown: What runs could not be told: nobody can tell" in said
    assert "Lift 3 from dev" in said


@dataclass
class Unsteady:
    """A ledger that answers, fails, or keeps everybody waiting, as it is told."""

    ledger: Memory
    fails: bool = False
    waits: anyio.Event | None = field(default=None)

    def __getattr__(self, name: str) -> object:
        return getattr(self.ledger, name)

    def read(self, environment: str, apps: list[str]) -> EnvironmentRecords:
        if self.fails:
            raise VendorError("GitHub does not answer.", vendor="github", hint="Look at its status page.")
        return self.ledger.read(environment, apps)


async def test_a_ledger_that_never_answered_is_told_in_its_own_words() -> None:
    world = World()
    unsteady = Unsteady(world.ledger, fails=True)
    async with served(world, lambda a: replace(a, ledger=unsteady)) as browser:  # type: ignore[arg-type]
        said = await browser.text("/")
    assert "Nothing is known yet of the board. GitHub does not answer" in said
    assert "Look at its status page." in said


async def test_what_was_seen_before_stays_and_says_how_old_it_is() -> None:
    world = World()
    unsteady = Unsteady(world.ledger)
    async with served(world, lambda a: replace(a, ledger=unsteady)) as browser:  # type: ignore[arg-type]
        assert "Lift 3 from dev" in await browser.text("/")
        unsteady.fails = True
        browser.reading.outdate()
        said = await browser.text("/")
    assert "This is the board as of" in said
    assert "GitHub does not answer" in said
    assert "Lift 3 from dev" in said


@dataclass
class Slow(FakePlatform):
    """A platform that answers once it is let."""

    let: anyio.Event = field(default_factory=anyio.Event)

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        await self.let.wait()
        return await super().running(target, expected)


async def test_a_slow_vendor_keeps_nobody_waiting() -> None:
    world = World()
    slow = Slow(runs=world.platform.runs)

    def adapters(found: Adapters) -> Adapters:
        return replace(found, platforms={"fake": slow})

    async with served(world, adapters) as browser:
        with anyio.fail_after(10):
            first = await browser.get("/")
            assert "Looking at the board" in words(first)
            assert '<meta http-equiv="refresh"' in first  # it goes on without scripts, too
            slow.let.set()
            await browser.changes.after([PROJECT], 0)
            assert "Lift 3 from dev" in await browser.text("/")


@dataclass
class Counting(FakePlatform):
    """Counts how often it is looked at."""

    looks: int = 0

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        self.looks += 1
        return await super().running(target, expected)


async def test_readers_share_one_look() -> None:
    world = World()
    counting = Counting(runs=world.platform.runs)
    async with served(world, lambda a: replace(a, platforms={"fake": counting})) as browser:
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(browser.get, "/")
        assert counting.looks == len(world.project.apps) * len(world.project.environments)


async def test_a_name_of_another_machine_is_refused() -> None:
    async with served(World()) as browser:
        answer = await browser.client.get("/", headers={"host": "elsewhere.example"})
    assert answer.status_code == 421
