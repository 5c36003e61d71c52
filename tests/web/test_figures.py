"""The numbers' page, document and metrics."""

from __future__ import annotations

import re

import pytest

from liftlock.errors import NotHealthy
from liftlock.web.pages.figures import frequency
from tests.commands.world import World
from tests.web.served import served

pytestmark = pytest.mark.anyio


async def test_the_page_says_the_numbers_and_how_they_are_computed() -> None:
    world = World()
    await world.run(world.plan)
    async with served(world) as browser:
        said = await browser.text("/numbers?environment=staging")
    assert "1 deployed, 0 of 1 failed" in said
    assert "Change failure rate Of the promotions and deploys that ended" in said
    assert "The numbers of each app in staging" in said


async def test_the_document_has_nulls_for_what_is_not_known() -> None:
    world = World()
    world.platform.fails["settle", "ODB"] = NotHealthy("ODB is not healthy.")
    await world.run(world.plan)
    async with served(world) as browser:
        answer = await browser.client.get("/numbers.json?days=30")
    staging = answer.json()["environments"]["staging"]
    assert (staging["changes"], staging["failures"], staging["failure_rate"]) == (1, 1, 1.0)
    assert staging["lead_time_s"] is None
    assert answer.json()["days"] == 30
    assert sum(week["failed"] for week in staging["weeks"]) == 1


async def test_metrics_are_what_prometheus_reads() -> None:
    world = World()
    world.platform.unknown.add("SSO")
    async with served(world) as browser:
        answer = await browser.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    line = re.compile(r'# (HELP|TYPE) liftlock_\w+ .+|liftlock_\w+(\{(\w+="[^"]*",?)+\})? [\d.e+-]+')
    assert [text for text in answer.text.splitlines() if not line.fullmatch(text)] == []
    assert 'liftlock_unknown_apps{environment="dev"} 1' in answer.text
    assert 'liftlock_waiting_apps{environment="staging"} 3' in answer.text


@pytest.mark.parametrize(
    ("per_day", "said"),
    [
        (3.25, "3.2 a day"),
        (1.0, "1.0 a day"),
        (0.5, "3.5 a week"),
        (0.05, "1.5 a month"),
        (0.01, "every 100 d"),
        (0, "none"),
    ],
)
def test_how_often_is_said_in_the_unit_that_fits(per_day: float, said: str) -> None:
    assert frequency(per_day) == said
