"""The SQLite ledger among other processes, older and newer files, and a hundred thousand records."""

from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from liftlock import sqlite_file
from liftlock.errors import LiftlockError, UsageError
from liftlock.ledgers.sqlite import SqliteLedger
from liftlock.model import State
from liftlock.ports import Entry
from liftlock.sqlite_file import MIGRATIONS, path_of
from tests.ledgers.worlds import Ticking, containers, new_deployment, new_intent, observatory, sqlite_world

pytestmark = pytest.mark.anyio

CHILD = """
import sys, anyio
from pathlib import Path
from liftlock.ledgers.sqlite import SqliteLedger
from tests.ledgers.worlds import Ticking, containers, new_deployment, new_intent

async def main():
    ledger = SqliteLedger(Path(sys.argv[1]), "observatory", Ticking(), sys.argv[2])
    for number in range(25):
        intent = await ledger.open_intent(new_intent(f"shared-{number}"))
        await ledger.record(new_deployment(containers(), intent.id), intent)
        await ledger.open_intent(new_intent(f"{sys.argv[2]}-{number}"))

anyio.run(main)
"""


def _run_three_processes(path: Path) -> None:
    root = Path(__file__).parents[2]
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(path), f"child{n}"], cwd=root) for n in range(3)
    ]
    assert [child.wait(timeout=60) for child in children] == [0, 0, 0]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_processes_at_once_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    _run_three_processes(tmp_path / "liftlock.db")
    async with sqlite_world(tmp_path) as world:
        assert len(await world.ledger.intents(None, 1000)) == 25 + 3 * 25
        assert len(await world.ledger.deployments("staging", "SSO", 1000)) == 25


async def test_a_write_waits_while_another_process_writes(tmp_path: Path) -> None:
    async with sqlite_world(tmp_path) as world:
        await world.ledger.account()
        other = sqlite3.connect(tmp_path / "liftlock.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        async def let_go() -> None:
            await anyio.sleep(0.05)
            other.execute("COMMIT")
            other.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(let_go)
            began = anyio.current_time()
            await world.ledger.open_intent(new_intent())
            assert anyio.current_time() - began >= 0.04


async def test_a_file_that_stays_busy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_S", 0.05)
    async with sqlite_world(tmp_path) as world:
        await world.ledger.account()
        other = sqlite3.connect(tmp_path / "liftlock.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LiftlockError, match=r"liftlock\.db cannot be used: database is locked") as caught:
            await world.ledger.open_intent(new_intent())
        assert "Another process" in caught.value.hint
        other.close()


async def test_projects_in_one_file_do_not_see_each_other(tmp_path: Path) -> None:
    async with sqlite_world(tmp_path) as world:
        intent = await world.ledger.open_intent(new_intent())
        await world.ledger.record(new_deployment(containers(), intent.id), intent)
        other = SqliteLedger(tmp_path / "liftlock.db", "planetarium", Ticking())
        assert await other.intents(None, 10) == []
        assert (await other.read("staging", ["SSO"]).recorded())["SSO"].current is None
        await other.close_intent(intent, State.FAILURE, "not mine")
        other.close()
        assert len(await world.ledger.read("staging", ["SSO"]).open_intents()) == 1


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "liftlock.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    ledger = SqliteLedger(path, "observatory", Ticking())
    with pytest.raises(UsageError, match="written by a newer liftlock"):
        await ledger.account()


async def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "liftlock.db"
    path.write_text("[project]\nname = 'observatory'\n" * 40)
    before = path.read_bytes()
    with pytest.raises(LiftlockError, match=r"liftlock\.db cannot be used"):
        await SqliteLedger(path, "observatory", Ticking()).account()
    assert path.read_bytes() == before


async def test_a_folder_in_the_files_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LiftlockError, match="cannot be used"):
        await SqliteLedger(tmp_path / "file" / "liftlock.db", "observatory", Ticking()).account()


async def test_a_half_made_change_is_none(tmp_path: Path) -> None:
    """A process that dies between the statements of a change leaves nothing of it."""
    async with sqlite_world(tmp_path) as world:
        ledger = world.ledger
        assert isinstance(ledger, SqliteLedger)

        def dies(db: sqlite3.Connection) -> None:
            db.execute("UPDATE intents SET state = 'success'")
            raise KeyboardInterrupt

        await ledger.open_intent(new_intent())
        with pytest.raises(KeyboardInterrupt):
            await ledger.file.write(dies, durable=True)
        (found,) = await ledger.intents("staging", 10)
        assert found.is_open


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///liftlock.db", "/srv/project/liftlock.db"),
        ("sqlite:///state/liftlock.db", "/srv/project/state/liftlock.db"),
        ("sqlite:////var/lib/liftlock.db", "/var/lib/liftlock.db"),
    ],
)
def test_the_path_starts_at_the_projects_folder(url: str, path: str) -> None:
    project = dataclasses.replace(observatory(), ledger=url, root="/srv/project")
    assert path_of(project) == Path(path)


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:///", "sqlite://liftlock.db", "postgresql:///x"])
def test_another_form_of_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="does not name an SQLite ledger"):
        path_of(dataclasses.replace(observatory(), ledger=url))


async def test_other_tools_records_are_found_by_app_person_and_time(tmp_path: Path) -> None:
    async with sqlite_world(tmp_path) as world:
        assert isinstance(world.ledger, SqliteLedger)
        at = datetime(2026, 11, 1, tzinfo=UTC)
        put = [
            Entry(
                "deployment", str(number), "staging", at + timedelta(days=number), who, app=app, sha="a" * 40
            )
            for number, (app, who) in enumerate(
                [("SSO", "ada"), ("ODB", "ada via bot"), ("SSO", "bot"), ("Gone", "ada")], 1
            )
        ]
        await world.ledger.put(put, "elsewhere")

        async def found(apps: list[str], **wanted: Any) -> list[str]:
            return [f"{d.app} {d.creator}" for d in await world.ledger.others("staging", apps, 9, **wanted)]

        assert await found(["SSO", "ODB"]) == ["SSO bot", "ODB ada via bot", "SSO ada"]
        assert await found(["SSO", "ODB"], by="Ada") == ["ODB ada via bot", "SSO ada"]
        assert await found(["SSO", "ODB"], by="bot") == ["SSO bot", "ODB ada via bot"]
        assert await found(["SSO"], by="ada") == ["SSO ada"]
        assert await found(["SSO", "ODB"], until=at + timedelta(days=3)) == ["ODB ada via bot", "SSO ada"]
        assert await found(["SSO", "ODB"], since=at + timedelta(days=3)) == ["SSO bot"]


async def test_reads_stay_flat_with_a_hundred_thousand_records(tmp_path: Path) -> None:
    """Counted in the steps of SQLite's machine, so that a busy computer does not matter."""
    async with sqlite_world(tmp_path) as world:
        ledger = world.ledger
        assert isinstance(ledger, SqliteLedger)
        intent = await ledger.open_intent(new_intent())
        await ledger.record(new_deployment(containers(), intent.id), intent)

        def fill(db: sqlite3.Connection) -> None:
            db.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
                " INSERT INTO deployments (project, app, environment, sha, payload, promotion, creator,"
                " created_at, state, reached_success)"
                " SELECT project, app, environment, sha, payload, 'p' || i, creator, created_at, 'success', 1"
                " FROM deployments, n"
            )
            db.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
                " INSERT INTO intents (project, key, environment, payload, creator, created_at, state)"
                " SELECT project, 'k' || i, environment, payload, creator, created_at, 'success'"
                " FROM intents, n"
            )

        async def plan() -> None:
            reading = ledger.read("staging", ["SSO", "ODB"])
            assert set(await reading.newest()) == {"SSO"}
            assert (await reading.recorded())["SSO"].current is not None
            assert len(await reading.open_intents()) == 1
            assert await ledger.intents(None, 1)
            assert await ledger.deployments("staging", "SSO", 1)

        async def history() -> None:
            assert await ledger.intents(None, 1, by="somebody else") == []
            assert await ledger.intents("staging", 1, by="somebody else") == []
            assert await ledger.others("staging", ["SSO", "ODB"], 1) == []
            assert await ledger.others("staging", ["SSO"], 1, by="somebody else") == []

        async def account() -> None:
            assert await ledger.intent_of(intent.id) is not None
            assert await ledger.deployment_of("1") is not None
            assert (await ledger.records_of(intent, ["SSO", "ODB"])).made

        async def steps(look: Callable[[], Awaitable[None]]) -> int:
            assert ledger.file.connection is not None
            taken = 0

            def count() -> int:
                nonlocal taken
                taken += 1
                return 0

            ledger.file.connection.set_progress_handler(count, 10)
            await look()
            ledger.file.connection.set_progress_handler(None, 10)
            return taken

        few = [await steps(plan), await steps(history), await steps(account)]
        await ledger.file.write(fill, durable=False)
        assert await steps(plan) <= few[0] + 5
        assert await steps(history) <= few[1] + 5
        assert await steps(account) <= few[2] + 5
