"""What every service that backs databases up owes the core, as tests: see `ports.DatabaseService`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import anyio
import pytest

from liftlock.model import Backup, Database, Target
from liftlock.ports import Clock, DatabaseService


class DatabaseWorld(Protocol):
    """Your service and a target with one database."""

    target: Target
    clock: Clock
    """The service's own time: a backup says by it when it was taken."""
    apart_s: float
    """How far apart two backups are told apart by the times that the service gives them."""

    def service(self) -> DatabaseService:
        """A new one over the same place, as another process has it."""
        ...

    async def write(self, value: str) -> None:
        """Make the database hold `value`, and nothing of before."""
        ...

    async def read(self) -> str | None:
        """What `write` wrote last, as the database has it now; None where it cannot be looked into."""
        ...


class DatabaseContract:
    """Inherit from it and give it the fixture `world`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> object:
        return "asyncio"

    async def test_a_target_s_database_is_named_the_same_each_time(self, world: DatabaseWorld) -> None:
        database = await database_of(world)
        assert database == await database_of(world)
        assert database.id
        assert (database.app, database.environment) == (world.target.app, world.target.environment)
        assert database.service == world.service().name

    async def test_a_backup_is_complete_and_listed(self, world: DatabaseWorld) -> None:
        database = await database_of(world)
        began = world.clock.now()
        backup = await taken(world, database)
        assert backup.id
        assert (backup.database, backup.app) == (database.id, database.app)
        assert backup.size_bytes > 0
        assert began - timedelta(seconds=1) <= backup.started_at <= backup.finished_at
        assert [one.id for one in await world.service().backups(world.target)] == [backup.id]

    async def test_one_that_began_late_enough_is_not_taken_twice(self, world: DatabaseWorld) -> None:
        """As a resume asks, from another machine, with its promotion's key and the time at which that began."""
        database = await database_of(world)
        since = world.clock.now() - timedelta(seconds=1)
        first = await world.service().capture(database, since, quiet, "a promotion")
        again = await world.service().capture(database, since, quiet, "a promotion")
        assert again.id == first.id

    async def test_a_new_one_is_taken_where_none_may_count(self, world: DatabaseWorld) -> None:
        """Before a restore: what stands is backed up, whatever was backed up a moment ago."""
        database = await database_of(world)
        first = await world.service().capture(database, None, quiet)
        assert (await world.service().capture(database, None, quiet)).id != first.id

    async def test_one_of_before_does_not_count(self, world: DatabaseWorld) -> None:
        database = await database_of(world)
        first = await taken(world, database)
        await anyio.sleep(world.apart_s)
        later = await taken(world, database)
        assert later.id != first.id
        assert later.earlier_bytes[:1] == (first.size_bytes,)
        assert [one.id for one in await world.service().backups(world.target)] == [later.id, first.id]

    async def test_its_content_can_be_read_again_and_again(self, world: DatabaseWorld) -> None:
        database = await database_of(world)
        backup = await taken(world, database)
        assert await content(world, database, backup) == await content(world, database, backup)

    async def test_restoring_gives_back_what_was_there(self, world: DatabaseWorld) -> None:
        database = await database_of(world)
        await world.write("before")
        backup = await taken(world, database)
        await world.write("after")
        for _ in range(2):
            await world.service().restore(database, backup, quiet)
            assert await world.read() in {"before", None}

    async def test_one_that_was_deleted_is_gone_and_may_be_deleted_again(self, world: DatabaseWorld) -> None:
        database = await database_of(world)
        backup = await taken(world, database)
        for _ in range(2):
            await world.service().delete(database, backup)
            assert list(await world.service().backups(world.target)) == []

    async def test_a_target_without_backups_lists_none(self, world: DatabaseWorld) -> None:
        assert list(await world.service().backups(world.target)) == []


def quiet(text: str) -> None:
    """Progress that nobody wants to hear of."""


async def database_of(world: DatabaseWorld) -> Database:
    (database,) = await world.service().databases(world.target)
    return database


async def taken(world: DatabaseWorld, database: Database) -> Backup:
    return await world.service().capture(database, world.clock.now(), quiet)


async def content(world: DatabaseWorld, database: Database, backup: Backup) -> bytes:
    """The whole of it, as long and as true as the service says."""
    async with world.service().content(database, backup) as given:
        pieces: Sequence[bytes] = [piece async for piece in given.pieces]
    read = b"".join(pieces)
    assert len(read) == given.size_bytes
    algorithm, expected = given.checksum
    if algorithm:
        assert hashlib.new(algorithm, read, usedforsecurity=False).hexdigest() == expected
    return read
