"""Three workers, one PostgreSQL, forty promotions in eight environments, and kills at random.

The promises are judged by the sandbox's own state, when all is over.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from liftlock.model import Deployment, Intent, State
from liftlock.postgresql.address import Address
from liftlock.web.work.durable import DurableWork
from liftlock.web.work.orders import WorkItem, WorkState
from liftlock.wiring import open_project
from tests.postgresql import ledger_of, made_database
from tests.web.work.crowd import APPS, Company, at_work, company, promotion, told

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

ORDERS = int(os.environ.get("LIFTLOCK_ORDERS", "40"))
ENVIRONMENTS = 8
WORKERS = 3
KILLS = max(ORDERS // 4, 1)
LASTS_S = 1.5
"""About how long such a promotion takes."""


@pytest.fixture
def crowd(tmp_path: Path, server: Address) -> Iterator[Company]:
    ledger, own = made_database(server), made_database(server)
    with company(tmp_path / "company", ledger_of(ledger), ledger_of(own), ENVIRONMENTS) as made:
        yield made


@pytest.mark.promise("P1")
@pytest.mark.promise("P2")
@pytest.mark.promise("P3")
@pytest.mark.promise("P4")
@pytest.mark.promise("P5")
@pytest.mark.timeout(900)
async def test_three_workers_forty_promotions_and_kills_at_random(crowd: Company) -> None:
    dice = random.Random(11)
    crowd.sandbox.request("PUT", "/_sandbox/settings", {"release_s": 0.5, "backup_s": 0.4})
    async with at_work(crowd) as work:
        items = [
            await work.submit(promotion(environment, ("one", "two")[number % 2]))
            for number in range(ORDERS // ENVIRONMENTS)
            for environment in crowd.environments
        ]
        for _ in range(WORKERS):
            crowd.start_worker()
        for worker in crowd.workers:
            await anyio.to_thread.run_sync(crowd.ready, worker)
        killed = [await struck(work, crowd, dice) for _ in range(KILLS)]
        while not await all_over(work, items):  # noqa: ASYNC110 - other processes tell nobody
            await anyio.sleep(0.5)
        found = [item for each in items if (item := await work.item(each.id)) is not None]
    crowd.stop()
    assert killed.count(True) >= KILLS // 2
    assert len(found) == len(items)
    assert {item.state for item in found} == {WorkState.ENDED}
    assert {item.exit_code for item in found} <= {0, 1}, [
        item.result for item in found if item.exit_code not in {0, 1}
    ]
    assert all(item.exit_code == 0 or was_put_back(item) for item in found), [
        item.result for item in found if item.exit_code and not was_put_back(item)
    ]
    async with open_project(crowd.project, environ=crowd.variables) as adapters:
        for environment in crowd.environments:
            intents = await adapters.ledger.intents(environment, 1000)
            one_at_a_time(intents)
            for app in APPS:
                records = await adapters.ledger.deployments(environment, app, 1000)
                records_tell_the_truth(crowd, app, environment, records)
                nothing_was_released_twice(crowd, app, environment, intents)
            backed_up_before(crowd, environment, await adapters.ledger.deployments(environment, "A", 1000))
            all_new_or_all_old(crowd, environment)


async def struck(work: DurableWork, crowd: Company, dice: random.Random) -> bool:
    """kill -9 a worker at a random instant of a run that it performs; another one begins in its place.

    Whether it died in the middle of anything: that run may have ended before.
    """
    running: list[tuple[WorkItem, int]] = []
    while not running:
        found = await work.items(limit=ORDERS)
        if all(item.state.is_over for item in found):
            return False
        places = {worker.pid: place for place, worker in enumerate(crowd.workers)}
        pids = {item.id: int(item.worker.split("-")[-2]) for item in found if item.worker}
        running = [
            (item, places[pids[item.id]])
            for item in found
            if item.state is WorkState.RUNNING and pids[item.id] in places
        ]
    item, place = dice.choice(running)
    await told(work, item.id, "run-started")
    await anyio.sleep(dice.uniform(0.0, LASTS_S))
    crowd.kill(place)
    left = [
        each
        for each in await work.items(limit=ORDERS)
        if each.state is WorkState.RUNNING and each.worker == item.worker
    ]
    crowd.start_worker()
    await anyio.to_thread.run_sync(crowd.ready, crowd.workers[-1])
    return bool(left)


async def all_over(work: DurableWork, items: Sequence[WorkItem]) -> bool:
    found = await work.items(limit=len(items))
    return all(item.state.is_over for item in found)


def was_put_back(item: WorkItem) -> bool:
    """Another worker undid what a killed one had begun; it may have been killed before it could say so."""
    is_told_by_the_ledger = item.result.get("did") is None and item.result.get("ending") == "failed"
    says_so = "another one put back" in " ".join(item.result.get("notes", ()))
    return item.exit_code == 1 and (says_so or is_told_by_the_ledger)


def one_at_a_time(intents: Sequence[Intent]) -> None:
    """P3, P5: each ended, before the next one began."""
    assert not any(intent.is_open for intent in intents)
    for later, earlier in pairwise(intents):
        assert earlier.finished_at is not None
        assert earlier.finished_at <= later.created_at


def records_tell_the_truth(crowd: Company, app: str, environment: str, records: Sequence[Deployment]) -> None:
    """P1: each record's image was released there, and the newest one runs."""
    ran = [release["images"] for release in crowd.heroku(app, environment)["releases"]]
    for record in records:
        assert record.state in {State.SUCCESS, State.INACTIVE}
        assert {part: str(image) for part, image in record.release.artifacts.items()} in [
            {part: str(image) for part, image in images.items()} for images in ran
        ]
    if records:
        images = dict(crowd.running(app, environment).items())
        assert {part: str(image) for part, image in records[0].release.artifacts.items()} == images


def nothing_was_released_twice(crowd: Company, app: str, environment: str, intents: Sequence[Intent]) -> None:
    """P5: no release repeats the one before it; one for each promotion, and one for each way back."""
    releases = [release for release in crowd.heroku(app, environment)["releases"] if release["images"]]
    for one, other in pairwise(releases):
        assert one["images"] != other["images"], f"{app} in {environment}"
    done = sum(intent.state is State.SUCCESS for intent in intents)
    assert len(releases) <= done + 2 * (len(intents) - done)


def backed_up_before(crowd: Company, environment: str, records: Sequence[Deployment]) -> None:
    """P2: each record names a backup that was complete before its release."""
    releases: list[dict[str, Any]] = crowd.heroku("A", environment)["releases"]
    for record in records:
        (backup,) = record.backups
        assert backup.size_bytes > 0
        after = [each for each in releases if each["created_at"] >= backup.finished_at.isoformat()[:19]]
        assert after, f"a release of A in {environment} after {backup.id}"


def all_new_or_all_old(crowd: Company, environment: str) -> None:
    """P4: every app runs the same source's version."""
    running = {app: crowd.running(app, environment) for app in APPS}
    versions = [{app: {"web": crowd.images[source, app]} for app in APPS} for source in ("one", "two")]
    assert running in [*versions, {app: {} for app in APPS}]
