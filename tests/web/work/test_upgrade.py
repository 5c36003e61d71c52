"""A newer liftlock is rolled out while the older one is at work: two wheels of different versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import select

from liftlock.postgresql.address import Address
from liftlock.web.store import address_of, open_store
from liftlock.web.store.tables import workers
from liftlock.web.work import queue
from liftlock.web.work.durable import DurableWork
from liftlock.web.work.kept import Kept
from liftlock.web.work.orders import Options, Order, OrderKind, WorkState
from tests.postgresql import ledger_of, made_database
from tests.web.work.crowd import APPS, ROOT, Company, at_work, company, ended

pytestmark = pytest.mark.anyio


@pytest.fixture
def crowd(tmp_path: Path, server: Address) -> Iterator[Company]:
    ledger, own = made_database(server), made_database(server)
    with company(tmp_path / "company", ledger_of(ledger), ledger_of(own), 1) as made:
        yield made


def installed(folder: Path, version: str) -> Path:
    """The project's wheel as that version of it, in a folder that goes before what is installed."""
    source, wheels, at = folder / f"source-{version}", folder / f"wheels-{version}", folder / version
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "examples", source / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    init = source / "src" / "liftlock" / "__init__.py"
    init.write_text(re.sub(r'__version__ = "[^"]+"', f'__version__ = "{version}"', init.read_text()))
    build = ["-m", "build", "--no-isolation", "--wheel", "--outdir", str(wheels), str(source)]
    unpack = ["-m", "zipfile", "-e"]
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    subprocess.run([sys.executable, *unpack, str(*wheels.glob("*.whl")), str(at)], check=True)
    return at


@pytest.mark.e2e
@pytest.mark.promise("P5")
async def test_what_the_old_version_queued_and_began_is_finished_by_the_new_one(
    crowd: Company, tmp_path: Path
) -> None:
    old, new = installed(tmp_path, "0.8.0"), installed(tmp_path, "0.9.0")
    async with at_work(crowd) as work:
        crowd.start_worker(old)
        crowd.ready(crowd.workers[0])
        first = crowd.asks(old, "e1", "one")
        assert (await ended(work, first)).exit_code == 0
        # Long enough for the new worker to begin beside it, on a busy machine too.
        crowd.sandbox.request("PUT", "/_sandbox/settings", {"release_s": 20.0})
        begun, waits = crowd.asks(old, "e1", "two"), crowd.asks(old, "e1", "one")
        crowd.start_worker(new)
        await anyio.to_thread.run_sync(crowd.ready, crowd.workers[1])
        async for _, event in work.events(begun):
            if event["event"] == "step-started" and str(event["step"]).startswith("release:"):
                break
        async with open_store(address_of(crowd.project)) as store:
            rows = await store.read(lambda db: db.execute(select(workers.c.id, workers.c.version)).all())
        versions: dict[str, str] = {row.id: row.version for row in rows}
        item = await work.item(begun)
        assert item is not None
        assert sorted(versions.values()) == ["0.8.0", "0.9.0"]
        assert versions[item.worker] == "0.8.0", "an environment's next order went to the new one"
        crowd.kill(0)
        crowd.sandbox.request("PUT", "/_sandbox/settings", {"release_s": 0.0})
        done, after = await ended(work, begun), await ended(work, waits)
        assert [(each.state, each.exit_code) for each in (done, after)] == [(WorkState.ENDED, 0)] * 2
        assert [versions[each.worker] for each in (done, after)] == ["0.9.0", "0.9.0"]
    for app in APPS:
        assert crowd.running(app, "e1") == {"web": crowd.images["one", app]}
        released = [each["images"]["web"] for each in crowd.heroku(app, "e1")["releases"] if each["images"]]
        assert released == [crowd.images[source, app] for source in ("one", "two", "one")]
    crowd.stop()


async def test_an_order_of_a_later_kind_is_listed_and_left_to_those_who_know_it(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'serve.db'}"
    order = queue.written(Order(OrderKind.PROMOTION, "e1", "ana", "dev")) | {"kind": "rehearsal"}
    async with open_store(address) as store, queue.open_queue(store) as client:
        await Kept(store).add_order("later", "e1")
        await client.enqueue_async(
            {
                "workflow_name": queue.WORKFLOW,
                "queue_name": queue.QUEUE,
                "workflow_id": "later",
                "app_version": "orders-2",
                "queue_partition_key": "e1",
                "priority": 1,
            },
            order,
            datetime.now(UTC).isoformat(),
        )
        (item,) = await DurableWork(client, Kept(store)).items()
    assert (item.state, item.order.kind, item.order.environment) == (
        WorkState.QUEUED,
        OrderKind.UNKNOWN,
        "e1",
    )


def test_an_order_is_understood_as_an_older_or_a_newer_version_wrote_it() -> None:
    today = Order(OrderKind.PROMOTION, "e1", "ana", "dev", ("A",), "5" * 64, Options(accept_drift=True))
    assert queue.read_order(queue.written(today)) == today
    older = {
        "kind": "promotion",
        "environment": "e1",
        "requested_by": "ana",
        "options": {"on_failure": "stop"},
    }
    assert queue.read_order(older) == Order(
        OrderKind.PROMOTION, "e1", "ana", options=Options(on_failure="stop")
    )
    newer = queue.written(today)
    newer |= {"at_night": True, "options": {**newer["options"], "quietly": True}}
    assert queue.read_order(newer) == today
