"""The server's own database: SQLite and PostgreSQL alike, brought to the newest layout by whoever is first."""

from __future__ import annotations

import sqlite3
import stat
import sys
from functools import partial
from pathlib import Path

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Project, Serve
from liftlock.web.store import address_of, open_store, tables
from liftlock.web.store.migrate import VERSIONS
from liftlock.web.work.queue import open_queue

pytestmark = pytest.mark.anyio
LINE = {
    "at": 1.0, "account": "ada", "via": "session", "address": "127.0.0.1", "action": "promote",
    "environment": "dev", "subject": "", "outcome": "done", "detail": {"apps": ["ODB"]},
}  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_migrations_make_what_the_tables_say(database: str) -> None:
    async with open_store(database) as store:

        def differences(connection: Connection) -> list[object]:
            context = MigrationContext.configure(
                connection, opts={"version_table": VERSIONS, "compare_type": True}
            )
            return list(compare_metadata(context, tables.metadata))

        assert await store.read(differences) == []


async def test_processes_that_start_at_once_migrate_once(database: str) -> None:
    async def use() -> None:
        async with open_store(database) as store:
            await store.write(lambda connection: connection.execute(insert(tables.audit).values(LINE)))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(use)
    async with open_store(database) as store:
        counted = await store.read(
            lambda c: c.execute(select(func.count()).select_from(tables.audit)).scalar()
        )
    assert counted == 4


async def test_whoever_comes_second_to_a_new_file_waits_for_the_first(tmp_path: Path) -> None:
    first = sqlite3.connect(tmp_path / "serve.db", isolation_level=None)
    try:
        first.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as tasks:

            async def second() -> None:
                async with open_store(f"sqlite:///{tmp_path / 'serve.db'}") as store:
                    assert await store.answers()

            tasks.start_soon(second)
            await anyio.sleep(0.2)
            first.execute("COMMIT")
    finally:
        first.close()


async def test_the_database_itself_refuses_to_change_the_audit_log(database: str) -> None:
    async with open_store(database) as store:
        await store.write(lambda connection: connection.execute(insert(tables.audit).values(LINE)))
        for change in (update(tables.audit).values(account="mallory"), delete(tables.audit)):
            with pytest.raises(DBAPIError, match="only ever added to"):
                await store.write(partial(Connection.execute, statement=change))
        assert await store.read(lambda c: c.execute(select(tables.audit.c.account)).scalars().all()) == [
            "ada"
        ]


async def test_what_fails_half_way_is_not_done(database: str) -> None:
    async with open_store(database) as store:

        def fail(connection: Connection) -> None:
            connection.execute(insert(tables.audit).values(LINE))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await store.write(fail)
        assert await store.read(lambda c: c.execute(select(tables.audit.c.id)).all()) == []


async def test_layout_of_a_newer_liftlock_is_left_alone(database: str) -> None:
    async with open_store(database) as store:
        await store.write(lambda c: c.execute(text(f"UPDATE {VERSIONS} SET version_num = '9999_later'")))
    with pytest.raises(LiftlockError, match="9999_later, which this liftlock does not know"):
        async with open_store(database):
            pass


async def test_database_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(LiftlockError) as caught:
        async with open_store("postgresql://ada:hunter2@127.0.0.1:1/serve"):
            pass
    assert "does not answer" in caught.value.message
    assert "hunter2" not in caught.value.message + caught.value.hint


async def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    place = tmp_path / "state" / "serve.db"
    async with open_store(f"sqlite:///{place}") as store, open_queue(store):
        for file in (place, place.with_name("serve-work.db")):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


async def test_a_file_that_a_process_has_open_twice_is_not_folded_up_by_another(tmp_path: Path) -> None:
    """Whoever closes a file's descriptor lets go of all locks that its process has on it.

    The other process would be the last one, and take the write-ahead log away from under this one.
    """
    place = tmp_path / "serve.db"
    other = "import sys, anyio; from liftlock.web.store import open_store\n"
    other += "async def use():\n  async with open_store(sys.argv[1]): pass\nanyio.run(use)"
    async with open_store(f"sqlite:///{place}") as store:
        await store.write(lambda connection: connection.execute(insert(tables.audit).values(LINE)))
        async with open_store(f"sqlite:///{place}"):
            pass
        log = anyio.Path(f"{place}-wal")
        inode = (await log.stat()).st_ino
        await anyio.run_process([sys.executable, "-c", other, f"sqlite:///{place}"])
        assert await log.exists()
        assert (await log.stat()).st_ino == inode


async def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        async with open_store(f"sqlite:///{tmp_path / 'file' / 'serve.db'}"):
            pass


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", "sqlite:////people/ada/.local/state/liftlock/shop/serve.db"),
        ("sqlite:///serve.db", "sqlite:////srv/shop/serve.db"),
        ("sqlite:////var/serve.db", "sqlite:////var/serve.db"),
        ("postgresql://db/serve", "postgresql://db/serve"),
    ],
)
def test_place_of_the_database(said: str, expected: str) -> None:
    project = Project("shop", "", "github", 0, {}, {}, {}, root="/srv/shop", serve=Serve(database=said))
    assert address_of(project, {"HOME": "/people/ada"}) == expected
