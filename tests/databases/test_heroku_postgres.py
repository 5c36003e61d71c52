"""Backups on Heroku Postgres: taken once, waited for, and believed only when they are complete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx2
import pytest

from liftlock.databases.heroku_postgres import FRESH_S, HerokuPostgres
from liftlock.errors import BackupFailed, BadAnswer, VendorError
from liftlock.model import Database
from tests.platforms.world import World, container_app, context_of, project_of, simulate

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DATABASE = Database("addon-1", "ODB", "staging", "heroku", "odb-staging")


async def database_of(world: World) -> Database:
    (database,) = await world.postgres.databases(world.target("ODB", "staging"))
    assert isinstance(database, Database)
    return database


def captures(world: World) -> list[tuple[str, str]]:
    return [request for request in world.requests("heroku_data") if request[0] == "POST"]


def test_database_of_an_app_is_what_its_database_url_is_attached_to() -> None:
    async def story(world: World) -> None:
        database = await database_of(world)
        assert (database.app, database.environment) == ("ODB", "staging")
        assert (database.service, database.account) == ("heroku", "odb-staging")

    simulate(story)


def test_app_without_a_database_has_none() -> None:
    async def story(world: World) -> None:
        world.fault(
            vendor="heroku",
            path="resolve",
            action="status",
            status=404,
            body={"id": "not_found", "message": "no"},
        )
        assert await world.postgres.databases(world.target("ODB", "staging")) == []

    simulate(story)


def test_backup_is_taken_waited_for_and_listed() -> None:
    async def story(world: World) -> None:
        database = await database_of(world)
        backup = await world.postgres.capture(database, world.cloud.clock.now(), world.progress)
        assert (backup.id, backup.database, backup.app) == ("b001", database.id, "ODB")
        assert backup.size_bytes > 0
        assert backup.finished_at - backup.started_at == timedelta(seconds=20)
        assert await world.postgres.backups(world.target("ODB", "staging")) == [backup]
        assert len(captures(world)) == 1

    simulate(story, backup_s=20.0)


def test_waiting_adds_less_than_a_tenth() -> None:
    async def story(world: World) -> None:
        database = await database_of(world)
        world.fault(vendor="heroku_data", action="delay", delay_s=0.2)
        began = anyio.current_time()
        await world.postgres.capture(database, world.cloud.clock.now(), world.progress)
        taken = anyio.current_time() - began
        # The list, the capture, which the backup begins at, and the answer to the last look.
        assert taken <= 0.2 + 30.0 * 1.1 + 0.2 + 0.01
        assert len(world.requests("heroku_data")) < 70

    simulate(story, backup_s=30.0)


@pytest.mark.promise("P2")
def test_backup_that_began_late_enough_counts_whoever_asked_for_it() -> None:
    async def story(world: World) -> None:
        database = await database_of(world)
        since = world.cloud.clock.now()
        async with world.client() as client:
            await client.post(f"/client/v11/databases/{database.id}/backups")
        await anyio.sleep(FRESH_S)  # the list that planning asked for does not count for ever
        backup = await world.postgres.capture(database, since, world.progress)
        assert backup.id == "b001"
        assert len(captures(world)) == 1

    simulate(story, backup_s=5.0)


@pytest.mark.promise("P2")
def test_backup_that_began_too_early_does_not_count() -> None:
    async def story(world: World) -> None:
        database = await database_of(world)
        await world.postgres.capture(database, LONG_AGO, world.progress)
        await anyio.sleep(60.0)
        backup = await world.postgres.capture(database, world.cloud.clock.now(), world.progress)
        assert backup.id == "b002"

    simulate(story, backup_s=5.0)


@pytest.mark.parametrize(("action", "posts"), [("lost", 1), ("reset", 2)])
def test_lost_answer_is_resolved_by_the_list(action: str, posts: int) -> None:
    async def story(world: World) -> None:
        database = await database_of(world)
        world.fault(vendor="heroku_data", method="POST", action=action, times=1)
        backup = await world.postgres.capture(database, world.cloud.clock.now(), world.progress)
        assert backup.id == "b001"
        assert len(captures(world)) == posts

    simulate(story, backup_s=3.0)


def test_heroku_that_begins_no_backup_is_reported() -> None:
    async def story(world: World) -> None:
        database = await database_of(world)
        world.fault(vendor="heroku_data", method="POST", action="status", status=500)
        with pytest.raises(
            BackupFailed, match=r"began no backup of ODB's database in staging .* in 3 attempts"
        ):
            await world.postgres.capture(database, world.cloud.clock.now(), world.progress)

    simulate(story)


def test_failed_backup_shows_its_log() -> None:
    async def story(world: World) -> None:
        database = await database_of(world)
        app = world.cloud.vendors["heroku"].find(world.cloud, "odb-staging")
        app["fail_backups"] = True
        world.cloud.store.table("heroku.apps").put("odb-staging", app)
        with pytest.raises(
            BackupFailed, match=r"Backup b001 of ODB's database in staging .* failed\.\n    "
        ) as e:
            await world.postgres.capture(database, world.cloud.clock.now(), world.progress)
        assert e.value.hint.endswith("heroku pg:backups:info b001 --app odb-staging")

    simulate(story, backup_s=3.0)


def test_canceled_backup_has_failed() -> None:
    async def story(world: World) -> None:
        database = await database_of(world)

        async def cancel() -> None:
            await anyio.sleep(10.0)
            async with world.client() as client:
                await client.post("/client/v11/apps/odb-staging/transfers/1/actions/cancel")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel)
            with pytest.raises(BackupFailed, match=r"was canceled"):
                await world.postgres.capture(database, world.cloud.clock.now(), world.progress)

    simulate(story, backup_s=30.0)


def transfer(**changes: Any) -> dict[str, Any]:
    """A complete backup as Heroku lists it."""
    return {
        "uuid": "u-1",
        "num": 7,
        "from_name": "DATABASE",
        "from_type": "pg_dump",
        "to_type": "gof3r",
        "options": {},
        "source_bytes": 4096,
        "processed_bytes": 1024,
        "succeeded": True,
        "created_at": "2026-11-20 12:00:01 +0000",
        "started_at": "2026-11-20T12:00:02Z",
        "finished_at": "2026-11-20T12:00:09Z",
        "canceled_at": None,
        "deleted_at": None,
        "schedule": None,
        "logs": [{"created_at": "2026-11-20T12:00:03Z", "level": "info", "message": "pg_dump: it is so"}],
    } | changes


def service(listed: list[dict[str, Any]], asked: list[str], captured: Any = None) -> HerokuPostgres:
    """The service, before a list of transfers; a capture gives `captured`."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(f"{request.method} {request.url.path}")
        if request.url.path == "/addons/addon-1":
            return httpx2.Response(200, json={"name": "postgresql-x", "config_vars": ["DATABASE_URL"]})
        if request.method == "POST":
            return httpx2.Response(201, json=captured)
        if request.url.path.endswith("/transfers"):
            return httpx2.Response(200, json=listed)
        return httpx2.Response(200, json=captured)

    return HerokuPostgres(context_of(project_of(container_app(), base="http://127.0.0.1:1"), answer))


pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("changes", "not_before", "counts"),
    [
        ({}, NOON, True),
        ({}, NOON + timedelta(hours=1), False),
        ({"started_at": "2026-11-20T12:00:00Z"}, NOON + timedelta(seconds=0.4), True),
        (
            {"started_at": "2026-11-20T12:00:00Z", "finished_at": "2026-11-20T12:00:00Z"},
            NOON + timedelta(seconds=0.4),
            False,
        ),
        ({"succeeded": False}, NOON, False),
        ({"canceled_at": "2026-11-20T12:00:05Z"}, NOON, False),
        ({"from_name": "HEROKU_POSTGRESQL_RED"}, NOON, False),
        ({"from_name": "postgresql-x"}, NOON, True),
        ({"to_type": "pg_restore"}, NOON, False),
        ({"from_type": "gof3r", "to_type": "pg_restore"}, NOON, False),
    ],
)
async def test_which_backup_counts(changes: dict[str, Any], not_before: datetime, counts: bool) -> None:
    asked: list[str] = []
    postgres = service([transfer(**changes)], asked, transfer(uuid="u-2", num=8))
    backup = await postgres.capture(DATABASE, not_before, lambda _: None)
    assert backup.id == ("b007" if counts else "b008")
    assert ("POST /client/v11/databases/addon-1/backups" in asked) is not counts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"succeeded": False}, "Backup b008 of ODB's database in staging (odb-staging) failed."),
        ({"canceled_at": "2026-11-20T12:00:05Z", "finished_at": None}, "was canceled"),
        ({"processed_bytes": 0}, "its size is 0 bytes"),
        ({"processed_bytes": None}, "its size is 0 bytes"),
        ({"started_at": None, "created_at": None}, "does not say since when"),
    ],
)
async def test_every_other_end_of_a_backup_is_a_failure(changes: dict[str, Any], message: str) -> None:
    postgres = service([], [], transfer(uuid="u-2", num=8, **changes))
    with pytest.raises(BackupFailed) as caught:
        await postgres.capture(DATABASE, NOON, lambda _: None)
    assert message in str(caught.value)
    assert caught.value.hint


async def test_names_are_those_of_heroku_cli() -> None:
    listed = [
        transfer(),
        transfer(num=12, schedule={"uuid": "s"}, uuid="u-3"),
        transfer(options={"pgbackups_name": "b123"}, uuid="u-4"),
        transfer(num=9, deleted_at="2026-11-21T00:00:00Z", uuid="u-5"),
        transfer(num=10, finished_at=None, succeeded=None, uuid="u-6"),
    ]
    postgres = service(
        listed, [], [{"name": "DATABASE", "addon": {"id": "addon-1", "app": {"name": "odb-staging"}}}]
    )
    found = await postgres.backups(project_of(container_app()).apps["ODB"].targets["staging"])
    assert sorted(backup.id for backup in found) == ["a012", "b007", "ob123"]


@pytest.mark.parametrize(
    "answer", [[1], [{"num": 1}], [{"uuid": 1}], {"uuid": "x"}, [transfer(started_at="yesterday")]]
)
async def test_answers_that_heroku_does_not_document_are_bad_answers(answer: Any) -> None:
    with pytest.raises(BadAnswer):
        await service(answer, []).capture(DATABASE, NOON, lambda _: None)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 406, 409, 410, 416, 422])
async def test_every_refusal_of_heroku_fails_the_backup_in_its_words(status: int) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=[] if "transfers" in request.url.path else {"name": "x"})
        return httpx2.Response(status, json={"id": "an_id", "message": "Heroku's words."})

    postgres = HerokuPostgres(context_of(project_of(container_app(), base="http://127.0.0.1:1"), answer))
    with pytest.raises(BackupFailed, match=r"Heroku refused to back .* an_id Heroku's words\.") as caught:
        await postgres.capture(DATABASE, NOON, lambda _: None)
    assert isinstance(caught.value.__cause__, VendorError)
