"""Workers as real processes: orders that wait, are taken back, and outlive whoever performs them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from liftlock.errors import LiftlockError
from liftlock.model import Kind, State
from liftlock.ports import NewIntent
from liftlock.postgresql.address import Address
from liftlock.web.access.audit import Audit
from liftlock.web.store import address_of, open_store
from liftlock.web.work.durable import DurableWork
from liftlock.web.work.kept import Kept
from liftlock.web.work.orders import WorkState
from liftlock.web.work.process import opening
from liftlock.web.work.queue import open_queue
from liftlock.web.work.retention import forget
from liftlock.wiring import open_project
from tests.postgresql import ledger_of, made_database
from tests.web.work.crowd import APPS, SOURCES, Company, at_work, company, ended, promotion, told

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]


@pytest.fixture(params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Company]:
    """Two environments, on either kind of databases."""
    ledger = own = "sqlite:///ledger.db"
    if request.param == "postgresql":
        server: Address = request.getfixturevalue("server")
        ledger, own = ledger_of(made_database(server)), ledger_of(made_database(server))
    else:
        own = "sqlite:///serve.db"
    with company(tmp_path / "company", ledger, own, 2) as made:
        yield made


async def test_orders_wait_their_turn_and_can_be_taken_back(pair: Company) -> None:
    async with at_work(pair) as work:
        first = await work.submit(promotion("e1"))
        second = await work.submit(promotion("e1", "two"))
        third = await work.submit(promotion("e1"))
        other = await work.submit(promotion("e2"))
        assert [each.position for each in (first, second, third, other)] == [0, 1, 2, 0]
        await work.withdraw(second.id, "ben")
        found = {item.id: item for item in await work.items()}
        assert list(found) == [other.id, third.id, second.id, first.id]
        assert found[second.id].state is WorkState.WITHDRAWN
        assert found[second.id].withdrawn_by == "ben"
        assert found[third.id].position == 1
        assert [item.id for item in await work.items("e2")] == [other.id]
        assert found[first.id].order == promotion("e1")
        with pytest.raises(LiftlockError, match="is over"):
            await work.withdraw(second.id, "ana")
        assert await work.item("nobody knows") is None

        pair.start_worker()
        for item in (first, third, other):
            done = await ended(work, item.id)
            assert (done.state, done.exit_code, done.withdrawn_by) == (WorkState.ENDED, 0, "")
            assert done.worker
            assert done.started_at is not None
            assert done.ended_at is not None
        await until_over(work, second.id)
        assert (await ended(work, second.id)).state is WorkState.WITHDRAWN
        numbers = [number async for number, _ in work.events(first.id)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert [number async for number, _ in work.events(first.id, after=5)] == numbers[5:]
        async with open_project(pair.project, environ=pair.variables) as adapters:
            (intent, *_) = await adapters.ledger.intents("e1", 5)
            assert intent.creator == "ana"
    for app in APPS:
        assert pair.running(app, "e1") == {"web": pair.images["one", app]}
    pair.stop()


async def until_over(work: DurableWork, id_: str) -> None:
    while (item := await work.item(id_)) is not None and not item.state.is_over:  # noqa: ASYNC110
        await anyio.sleep(0.1)


async def test_a_run_that_is_taken_back_puts_back_what_it_switched(pair: Company) -> None:
    pair.sandbox.request("PUT", "/_sandbox/settings", {"release_s": 2.0})
    async with at_work(pair) as work:
        pair.start_worker()
        assert (await ended(work, (await work.submit(promotion("e1"))).id)).exit_code == 0
        item = await work.submit(promotion("e1", "two"))
        await told(work, item.id, "step-finished")
        await work.withdraw(item.id, "ben")
        done = await ended(work, item.id)
        assert (done.state, done.exit_code, done.withdrawn_by) == (WorkState.ENDED, 1, "ben")
    for app in APPS:
        assert pair.running(app, "e1") == {"web": pair.images["one", app]}
    pair.stop()


@pytest.mark.promise("P5")
async def test_what_a_killed_worker_began_is_seen_to_by_another(pair: Company) -> None:
    pair.sandbox.request("PUT", "/_sandbox/settings", {"release_s": 3.0})
    async with at_work(pair) as work:
        pair.start_worker()
        await ended(work, (await work.submit(promotion("e1"))).id)
        item = await work.submit(promotion("e1", "two"))
        after = await work.submit(promotion("e1", "two"))
        async for _, document in work.events(item.id):
            if document["event"] == "step-started" and document["step"].startswith("release:"):
                break
        pair.kill(0)
        pair.start_worker()
        done = await ended(work, item.id)
        assert (done.state, done.exit_code) == (WorkState.ENDED, 1)
        assert "another one put back" in " ".join(done.result["notes"])
        assert (await ended(work, after.id)).exit_code == 0
    for app in APPS:
        assert pair.running(app, "e1") == {"web": pair.images["two", app]}
    pair.stop()


async def test_a_worker_that_is_told_to_stop_ends_what_it_began_and_leaves_what_waits_to_others(
    pair: Company,
) -> None:
    """SIGTERM in the middle of a run: nothing is undone, nothing is done twice, and nobody waits for its end."""
    pair.sandbox.request("PUT", "/_sandbox/settings", {"release_s": 2.0})
    async with at_work(pair) as work:
        pair.start_worker()
        pair.ready(pair.workers[0])
        begun = await work.submit(promotion("e1"))
        async for _, document in work.events(begun.id):
            if document["event"] == "step-started" and document["step"].startswith("release:"):
                break
        first_worker = pair.workers[0]
        assert first_worker.stdout is not None
        first_worker.send_signal(signal.SIGTERM)
        assert "Nothing more is taken" in await to_thread.run_sync(first_worker.stdout.readline)
        waits, elsewhere = await work.submit(promotion("e1", "two")), await work.submit(promotion("e2"))
        pair.start_worker()
        there = await ended(work, elsewhere.id)
        first, second = await ended(work, begun.id), await ended(work, waits.id)
        assert [each.exit_code for each in (first, second, there)] == [0, 0, 0]
        assert "notes" not in first.result or not first.result["notes"]
        assert second.worker == there.worker != first.worker
        assert await to_thread.run_sync(first_worker.wait) == 0
    for app in APPS:
        released = [each["images"]["web"] for each in pair.heroku(app, "e1")["releases"] if each["images"]]
        assert released == [pair.images[source, app] for source in SOURCES]
    pair.stop()


async def test_what_is_over_for_long_is_forgotten_and_what_stands_open_is_not(pair: Company) -> None:
    """Records and the audit log stay as they are, and so does what waits or runs."""
    later = datetime.now(UTC) + timedelta(hours=1)
    opened = opening(pair.project, pair.variables)
    async with open_store(address_of(pair.project)) as store, at_work(pair) as work:
        await Audit(store).write(None, "test")
        pair.start_worker()
        done = await ended(work, (await work.submit(promotion("e1"))).id)
        refused = await ended(work, (await work.submit(replace(promotion("e2"), plan_digest="5" * 64))).id)
        assert (done.exit_code, refused.exit_code) == (0, 3)
        pair.stop()
        waits = await work.submit(promotion("e1", "two"))
        async with opened("") as adapters:
            new = NewIntent(refused.id, Kind.PROMOTION, "e2", "one", "5" * 64, {}, {}, {})
            intent = await adapters.ledger.open_intent(new)
            records = await adapters.ledger.deployments("e1", "A", 10)
        async with open_queue(store) as client:
            assert await forget(pair.project, opened, client, Kept(store), done.created_at) == 0
            assert await forget(pair.project, opened, client, Kept(store), later) == 1
            assert [item.id for item in await work.items()] == [waits.id, refused.id]
            assert await work.item(done.id) is None
            assert [event async for event in work.events(done.id)] == []
            async with opened("") as adapters:
                assert await adapters.ledger.deployments("e1", "A", 10) == records
                assert await adapters.ledger.intents("e1", 10)
                await adapters.ledger.close_intent(intent, State.FAILURE, "given up")
            assert await forget(pair.project, opened, client, Kept(store), later) == 1
        assert [line.action for line in await Audit(store).read(limit=5)] == ["test"]
        pair.config.write_text(pair.config.read_text().replace("[serve]\n", '[serve]\nkeep = "1s"\n'))
        pair.start_worker()
        await ended(work, waits.id)
        while await work.items():  # noqa: ASYNC110 - another process forgets it
            await anyio.sleep(0.1)
    pair.stop()
