"""The history: filters, what they find, and what they say of a mistake."""

from __future__ import annotations

import pytest

from tests.commands.world import World
from tests.web.served import served

pytestmark = pytest.mark.anyio


async def test_every_entry_is_told_newest_first() -> None:
    world = World()
    await world.run(world.plan)
    async with served(world) as browser:
        said = await browser.text("/history")
    assert "promotion from dev" in said
    assert "by requester" in said
    assert "succeeded" in said


async def test_filters_find_what_they_say() -> None:
    world = World()
    await world.run(world.plan)
    async with served(world) as browser:
        assert "promotion from dev" in await browser.text("/history?environment=staging&app=ODB&by=requester")
        said = await browser.text("/history?environment=production")
        assert "Nothing fits these conditions." in said


async def test_a_mistyped_name_is_told_the_near_one() -> None:
    world = World()
    await world.run(world.plan)
    async with served(world) as browser:
        assert "Did you mean requester?" in await browser.text("/history?by=requestr")
        assert "Did you mean staging?" in await browser.text("/history?environment=stagin")
        assert "since soon is neither" in await browser.text("/history?since=soon")
