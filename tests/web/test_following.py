"""A promotion that runs elsewhere: what is drawn of it is what can be seen from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import pytest

from liftlock.commands.history import Account, account_of
from liftlock.model import Known, State
from liftlock.web.following import Sightings, followed
from liftlock.web.timeline import Timeline
from tests.commands.world import World, played
from tests.web.served import served


@dataclass
class Watched:
    """Somebody who looks at a promotion of another machine now and then."""

    world: World
    seen: Sightings = field(default_factory=Sightings)
    is_held: bool = True

    async def look(self) -> Timeline:
        (intent,) = await self.world.ledger.intents("staging", 1)
        account = await account_of(self.world.project, self.world.adapters, intent.id)
        assert isinstance(account, Account)
        running = {app: self.world.platform.runs[app, "staging"] for app in self.world.project.apps}
        now = self.world.clock.now()
        return followed(self.world.project, account, running, now, self.seen, is_held=self.is_held)


def steps(told: Timeline, progress: str) -> set[str]:
    return {bar.step for bar in told.bars if bar.progress == progress}


def slowly(world: World) -> World:
    world.platform.takes_s = {"stage": 10, "backup": 20, "release": 30, "settle": 40}
    return world


def watching(watch: Callable[[Watched], Awaitable[None]]) -> None:
    """Play a promotion, and watch it from the side."""

    async def main() -> None:
        world = slowly(World())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.run, world.plan)
            await watch(Watched(world))

    played(main)


def test_its_steps_are_seen_one_after_the_other() -> None:
    async def watch(watched: Watched) -> None:
        await anyio.sleep(5)
        told = await watched.look()
        assert steps(told, "done") == {"intent"}
        assert steps(told, "running") == {"backup:SSO", "stage:SSO", "stage:ODB", "stage:Explore"}
        await anyio.sleep(20)
        told = await watched.look()
        assert "backup:db-SSO" in steps(told, "done")
        assert told.standings["SSO"] == "old"
        await anyio.sleep(30)
        told = await watched.look()
        assert {"stage:SSO", "release:SSO"} <= steps(told, "done")
        assert steps(told, "running") == {"verify:SSO"}
        assert "release:ODB" in steps(told, "planned")
        (switch,) = [bar for bar in told.bars if bar.step == "release:SSO"]
        assert (switch.ended_s, switch.detail) == (55, "as seen from here")
        assert switch.began_s < switch.ended_s
        await anyio.sleep(5)
        (again,) = [bar for bar in (await watched.look()).bars if bar.step == "release:SSO"]
        assert again == switch

    watching(watch)


def test_without_a_holder_nothing_goes_on() -> None:
    async def watch(watched: Watched) -> None:
        await anyio.sleep(55)
        watched.is_held = False
        told = await watched.look()
        assert steps(told, "running") == set()
        assert told.now_s is None
        assert "release:SSO" in steps(told, "done")

    watching(watch)


def test_what_nobody_can_tell_is_not_called_done() -> None:
    async def watch(watched: Watched) -> None:
        await anyio.sleep(55)
        watched.world.platform.runs["SSO", "staging"] = Known({}, pending="v3")
        told = await watched.look()
        assert told.standings["SSO"] == ""
        assert "release:SSO" not in steps(told, "done")

    watching(watch)


@pytest.mark.anyio
async def test_the_page_says_who_holds_it_and_what_its_apps_run() -> None:
    world = World()
    world.platform.takes_s = {"release": 0.3, "settle": 5}
    async with served(world) as browser, anyio.create_task_group() as tasks:
        tasks.start_soon(world.run, world.plan)
        while world.platform.runs["SSO", "staging"].marker != "v2":  # noqa: ASYNC110 - what runs wakes nobody
            await anyio.sleep(0.02)
        (intent,) = await world.ledger.intents("staging", 1)
        said = await browser.text(f"/promotions/{intent.id}")
        assert intent.state is State.IN_PROGRESS
        assert "It has not ended." in said
        assert "holds staging until" in said
        assert "steps done" in said
        assert said.count("runs the new") == 1
        assert said.count("runs as before") == 2
        tasks.cancel_scope.cancel()
