"""The PostgreSQL ledger among other sessions and roles, with older and newer layouts, and many records."""

from __future__ import annotations

import dataclasses
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from liftlock import sqlite_file
from liftlock.errors import Unauthorized, Unreachable, UsageError
from liftlock.ledgers import postgresql as module
from liftlock.ledgers.postgresql import PostgresqlLedger
from liftlock.ledgers.sql import (
    CREATORS,
    HISTORY,
    INTENTS,
    INTENTS_BY,
    INTENTS_OF_ENVIRONMENT,
    INTENTS_OF_ENVIRONMENT_BY,
    LAST,
    NEVER,
    OPEN_INTENTS,
    OTHERS,
    OTHERS_BY,
    OTHERS_CREATORS,
    OTHERS_OF_APP,
    OTHERS_OF_APP_BY,
)
from liftlock.postgresql.address import Address, read_address
from liftlock.postgresql.database import POSTGRESQL, Database, address_of, is_remote
from liftlock.postgresql.layout import MIGRATIONS, REVISIONS
from liftlock.wiring import check_endpoints, open_project
from tests.ledgers.test_plugins import context
from tests.ledgers.worlds import (
    Ticking,
    containers,
    new_deployment,
    new_intent,
    observatory,
    postgresql_world,
)
from tests.postgresql import connected, ledger_of, made_role

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """psycopg speaks asyncio alone."""
    return "asyncio"


EXPIRES = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
PLAN = "5" * 64
ROLE_GRANTS = """
    GRANT USAGE ON SCHEMA liftlock TO {role};
    GRANT SELECT ON ALL TABLES IN SCHEMA liftlock TO {role};
    GRANT INSERT, UPDATE ON liftlock.intents, liftlock.deployments TO {role};
    GRANT INSERT, UPDATE, DELETE ON liftlock.leases TO {role};
    GRANT INSERT ON liftlock.approvals TO {role};
"""


@asynccontextmanager
async def opened(address: Address, account: str = "") -> AsyncIterator[PostgresqlLedger]:
    database = Database(address, {})
    try:
        yield PostgresqlLedger(database, "observatory", Ticking(), account)
    finally:
        await database.aclose()


def as_role(address: Address, role: str) -> Address:
    """Another person's way in, with the rights that the guide lists."""
    made_role(dataclasses.replace(address, user="postgres"), role)
    with connected(address) as db:
        db.execute(ROLE_GRANTS.format(role=role).encode())
    return dataclasses.replace(address, user=role)


async def test_the_first_of_many_makes_the_layout(empty_database: Address) -> None:
    async def come() -> None:
        async with opened(empty_database) as ledger:
            assert await ledger.intents(None, 10) == []

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(come)
    with connected(empty_database) as db:
        assert db.execute("SELECT version_num FROM liftlock.layout").fetchall() == [(REVISIONS[-1],)]


async def test_a_newer_layout_is_refused(empty_database: Address) -> None:
    async with opened(empty_database) as ledger:
        await ledger.account()
    with connected(empty_database) as db:
        db.execute("UPDATE liftlock.layout SET version_num = '9999'")
    async with opened(empty_database) as ledger:
        with pytest.raises(UsageError, match=r"written by a newer liftlock \(layout 9999; this one knows"):
            await ledger.account()


def test_every_revision_is_known_to_the_program() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    found = [each.revision for each in script.walk_revisions()]
    assert found[::-1] == list(REVISIONS)


def test_both_sql_ledgers_have_the_same_tables_and_columns(ledger_database: Address, tmp_path: Path) -> None:
    anyio.run(_touched, ledger_database)
    with connected(ledger_database) as db:
        columns = db.execute(
            "SELECT table_name, column_name, is_nullable = 'YES' FROM information_schema.columns"
            " WHERE table_schema = 'liftlock' AND table_name <> 'layout'"
        ).fetchall()
        indexes = db.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'liftlock'").fetchall()
    with closing(sqlite_file._open(tmp_path / "liftlock.db")) as file:
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        there = {
            (table, row["name"], not (row["notnull"] or row["pk"]))
            for (table,) in file.execute(tables).fetchall()
            for row in file.execute(f"PRAGMA table_info({table})")
        }
        named = file.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql <> ''").fetchall()
    assert set(columns) == there
    assert {name for (name,) in indexes} >= {row[0] for row in named}


async def _touched(address: Address) -> None:
    async with opened(address) as ledger:
        await ledger.account()


async def test_we_are_who_the_database_knows_us_as(empty_database: Address) -> None:
    async with opened(empty_database) as ledger:
        assert await ledger.account() == "owner"
        intent = await ledger.open_intent(new_intent())
        assert intent.creator == "owner"
    async with opened(as_role(empty_database, "anna")) as ledger:
        assert await ledger.account() == "anna"
        record = await ledger.record(new_deployment(containers(), intent.id), intent)
        assert record.creator == "anna"
        assert (await ledger.approve("staging", PLAN, EXPIRES)).account == "anna"


async def test_nobody_but_the_owner_approves_in_another_name(empty_database: Address) -> None:
    async with opened(empty_database, "ben") as server:
        assert await server.account() == "ben"
        await server.approve("staging", PLAN, EXPIRES)
    async with opened(as_role(empty_database, "anna"), "ben") as forger:
        with pytest.raises(Unauthorized, match="row-level security"):
            await forger.approve("staging", "6" * 64, EXPIRES)
        assert [a.account for a in await forger.approvals("staging", PLAN)] == ["ben"]
        assert await forger.approvals("staging", "6" * 64) == []


async def test_a_role_that_may_not_make_the_tables_is_told_who_has_to(empty_database: Address) -> None:
    made_role(dataclasses.replace(empty_database, user="postgres"), "guest")
    async with opened(dataclasses.replace(empty_database, user="guest")) as ledger:
        with pytest.raises(UsageError, match="has no ledger yet, and our role may not") as refused:
            await ledger.account()
    assert "liftlock ledger migrate" in refused.value.hint


async def test_a_role_without_rights_on_the_tables_is_told_what_it_lacks(empty_database: Address) -> None:
    await _touched(empty_database)
    with connected(empty_database) as db:
        made_role(dataclasses.replace(empty_database, user="postgres"), "guest")
        db.execute("GRANT USAGE ON SCHEMA liftlock TO guest; GRANT SELECT ON liftlock.layout TO guest")
    async with opened(dataclasses.replace(empty_database, user="guest")) as ledger:
        with pytest.raises(Unauthorized, match="permission denied for table intents"):
            await ledger.intents(None, 10)


async def test_a_session_that_is_ended_is_begun_anew(empty_database: Address) -> None:
    async with opened(empty_database) as ledger:
        await ledger.open_intent(new_intent())
        with connected(empty_database) as db:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert len(await ledger.intents(None, 10)) == 1


async def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with opened(Address(str(tmp_path), "5432", "owner", "liftlock")) as ledger:
        with pytest.raises(Unreachable, match=r"The ledger liftlock at .* cannot be reached"):
            await ledger.account()


async def test_projects_in_one_database_do_not_see_each_other(ledger_database: Address) -> None:
    async with postgresql_world(ledger_database) as one, postgresql_world(ledger_database) as two:
        intent = await one.ledger.open_intent(new_intent())
        await one.ledger.record(new_deployment(containers(), intent.id), intent)
        assert await two.ledger.intents(None, 10) == []
        assert (await two.ledger.read("staging", ["SSO"]).recorded())["SSO"].current is None


async def test_every_look_of_a_plan_uses_an_index(empty_database: Address) -> None:
    async with opened(empty_database) as ledger:
        intent = await ledger.open_intent(new_intent())
        await ledger.record(new_deployment(containers(), intent.id), intent)
    with connected(empty_database) as db:
        db.execute(
            "INSERT INTO liftlock.deployments (project, app, environment, sha, payload, promotion, creator,"
            " created_at, state, reached_success) SELECT project, app, environment, sha, payload, 'p' || i,"
            " creator, created_at, 'success', true FROM liftlock.deployments, generate_series(1, 20000) AS i"
        )
        db.execute(
            "INSERT INTO liftlock.intents (project, key, environment, payload, creator, created_at, state)"
            " SELECT project, 'k' || i, environment, payload, creator, created_at, 'success'"
            " FROM liftlock.intents, generate_series(1, 20000) AS i"
        )
        db.execute("ANALYZE")
        values = {
            "project": "observatory",
            "environment": "staging",
            "app": "SSO",
            "apps": ["SSO", "ODB"],
            "before": LAST,
            "until": NEVER,
            "creator": "ada",
            "most": 20,
        }
        for sql in (
            HISTORY,
            INTENTS,
            INTENTS_BY,
            INTENTS_OF_ENVIRONMENT,
            INTENTS_OF_ENVIRONMENT_BY,
            CREATORS,
            OTHERS,
            OTHERS_OF_APP,
            OTHERS_OF_APP_BY,
            OTHERS_BY,
            OTHERS_CREATORS,
            OPEN_INTENTS,
            module._SINCE_CURRENT,
            module._NEWEST,
        ):
            asked = re.sub(r":(\w+)", r"%(\1)s", POSTGRESQL.sql(sql))
            plan = db.execute(f"EXPLAIN {asked}".encode(), values).fetchall()
            said = "\n".join(row[0] for row in plan)
            assert "Index" in said, said
            assert "Seq Scan" not in said, said


async def test_a_project_that_says_so_records_there(ledger_database: Address) -> None:
    project = dataclasses.replace(observatory(), name="observatory", ledger=ledger_of(ledger_database))
    async with open_project(project, environ={}, acting_for="carla") as adapters:
        assert adapters.ledger.name == "postgresql"
        assert await adapters.ledger.account() == "carla"
        lease = await adapters.leases.take("staging", "a promotion")
        assert lease.holding.holder.startswith("carla@")
        await lease.free()


def test_an_address_holds_no_password() -> None:
    project = dataclasses.replace(observatory(), ledger="postgresql://liftlock:hunter2@db/liftlock")
    with pytest.raises(UsageError, match="holds a password") as refused:
        address_of(project)
    assert "hunter2" not in refused.value.message + refused.value.hint


def test_the_way_to_another_machine_is_encrypted_unless_the_address_says_otherwise() -> None:
    def mode(text: str, **environ: str) -> object:
        return Database(read_address(text, "ledger"), environ)._parameters().get("sslmode")

    assert mode("postgresql://db.example.com/liftlock") == "require"
    assert mode("postgresql://db.example.com/liftlock?sslmode=verify-full") == "verify-full"
    assert mode("postgresql://db.example.com/liftlock", PGSSLMODE="disable") == "disable"
    assert mode("postgresql://127.0.0.1/liftlock") is None
    assert not is_remote(read_address("postgresql://[::1]:5433/liftlock", "ledger"))
    assert not is_remote(read_address("postgresql:///liftlock?host=/run/postgresql", "ledger"))


def test_the_ledgers_own_password_wins() -> None:
    address = read_address("postgresql://127.0.0.1/liftlock", "ledger")
    given = {"PGUSER": "anna", "PGPASSWORD": "theirs", "LIFTLOCK_LEDGER_PASSWORD": "ours"}
    found = Database(address, given)._parameters()
    assert (found["user"], found["password"]) == ("anna", "ours")
    assert "password" not in Database(address, {})._parameters()


def test_a_sandbox_is_not_recorded_in_a_ledger_of_another_machine() -> None:
    near = dict.fromkeys(("github", "heroku", "heroku_data", "heroku_registry"), "http://127.0.0.1:1")
    near["firebase"] = "http://127.0.0.1:1"
    project = dataclasses.replace(
        observatory(), endpoints=near, ledger="postgresql://db.example.com/liftlock"
    )
    with pytest.raises(UsageError, match="a sandbox"):
        check_endpoints(project)
    check_endpoints(dataclasses.replace(project, ledger="postgresql://127.0.0.1/liftlock"))


def test_nothing_is_connected_to_before_it_is_used() -> None:
    made = module.plugin.build(context(ledger="postgresql://db.example.com/liftlock"))
    assert made.name == module.plugin.name == "postgresql"


async def test_sqlites_earlier_records_are_kept_by_the_newest_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of records is made anew there."""
    path = tmp_path / "liftlock.db"
    with monkeypatch.context() as older:
        older.setattr(sqlite_file, "MIGRATIONS", sqlite_file.MIGRATIONS[:3])
        with closing(sqlite_file._open(path)) as db:
            db.execute(
                "INSERT INTO deployments (project, app, environment, sha, payload, promotion, creator,"
                " created_at, state, reached_success) VALUES ('observatory', 'SSO', 'staging', 'abc', '{}',"
                " '7', 'anna', '2026-11-01T12:00:00+00:00', 'success', 1)"
            )
    with closing(sqlite3.connect(sqlite_file.SqliteFile(path).path)) as raw:
        before = raw.execute("SELECT * FROM deployments").fetchall()
    with closing(sqlite_file._open(path)) as db:
        assert [tuple(row)[:11] for row in db.execute("SELECT * FROM deployments")] == before
        db.execute("INSERT INTO deployments SELECT NULL, project, 'ITC', environment, sha, payload, promotion,"
                   " creator, created_at, state, reached_success, url, origin FROM deployments")  # fmt: skip
        assert [row["id"] for row in db.execute("SELECT id FROM deployments ORDER BY id")] == [1, 2]
