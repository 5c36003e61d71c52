"""Plain PostgreSQL: backed up whole or not at all, restored all or nothing, no secret in sight."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest

from liftlock.databases.pg_programs import Programs
from liftlock.databases.postgres import PlainPostgres
from liftlock.databases.scratch import open_scratch
from liftlock.errors import BackupFailed, LiftlockError, UsageError
from liftlock.model import Backup, Database
from liftlock.postgresql.address import Address, read_address, variables
from tests.databases.conftest import PASSWORD, ROWS
from tests.databases.plain import plain_app, service

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC)


def silent(_: str) -> None: ...


async def taken(postgres: PlainPostgres, promotion: str = "") -> tuple[Database, Backup]:
    """A backup as a promotion takes it that begins now; without one, as somebody does by hand."""
    (database,) = await postgres.databases(postgres._context.project.apps["SHOP"].targets["staging"])
    not_before = datetime.now(UTC) if promotion else None
    backup = await postgres.capture(database, not_before, silent, promotion)
    return database, backup


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def postgres(folder: Path, database: Address) -> PlainPostgres:
    return service(plain_app("SHOP", folder), database)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.promise("P2")
async def test_backup_is_there_with_its_size_its_times_and_its_checksum(
    postgres: PlainPostgres, folder: Path
) -> None:
    began = datetime.now(UTC)
    database, backup = await taken(postgres)
    dump, about = files(folder)
    assert (dump.stem, about.stem) == (backup.id, backup.id)
    assert backup.size_bytes == dump.stat().st_size > 1000
    assert began <= backup.started_at <= backup.finished_at <= datetime.now(UTC)
    assert dump.parent == folder / database.id
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    assert json.loads(about.read_text())["tables"] == len(ROWS)
    target = postgres._context.project.apps["SHOP"].targets["staging"]
    assert await postgres.backups(target) == [backup]


async def test_backup_is_not_taken_twice_for_one_promotion(postgres: PlainPostgres) -> None:
    _, first = await taken(postgres, "one")
    _, again = await taken(postgres, "one")
    _, by_hand = await taken(postgres)
    assert again == first
    assert by_hand.id != first.id
    assert by_hand.earlier_bytes == (first.size_bytes,)


@dataclass
class WrongClock:
    """A machine's clock that is ahead or behind."""

    off: timedelta

    def now(self) -> datetime:
        return datetime.now(UTC) + self.off

    def boottime(self) -> float:
        return 0.0


@pytest.mark.promise("P2")
@pytest.mark.parametrize("off", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
async def test_backup_for_another_promotion_never_counts_whatever_the_clocks_say(
    postgres: PlainPostgres, folder: Path, database: Address, off: timedelta
) -> None:
    """The one of a machine whose clock is ahead seems to be from after every promotion's begin."""
    theirs = service(plain_app("SHOP", folder), database, clock=WrongClock(off))
    _, earlier = await taken(theirs, "the one before")
    _, own = await taken(postgres, "ours")
    assert own.id != earlier.id
    assert own.earlier_bytes == (earlier.size_bytes,)


@pytest.mark.promise("P5")
@pytest.mark.parametrize("off", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
async def test_the_promotions_own_backup_counts_whatever_the_clocks_say(
    postgres: PlainPostgres, folder: Path, database: Address, off: timedelta
) -> None:
    """A resume on a machine whose clock is right, of a promotion that began where it was wrong, or the reverse."""
    theirs = service(plain_app("SHOP", folder), database, clock=WrongClock(off))
    _, first = await taken(theirs, "one")
    _, again = await taken(postgres, "one")
    assert again == first


async def test_backups_of_the_same_second_have_names_of_their_own(postgres: PlainPostgres) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(taken, postgres)
    target = postgres._context.project.apps["SHOP"].targets["staging"]
    assert len({backup.id for backup in await postgres.backups(target)}) == 3


async def test_restore_makes_the_database_what_it_was(
    postgres: PlainPostgres, programs: Programs, database: Address
) -> None:
    held, backup = await taken(postgres)
    await programs.query(
        "DELETE FROM locks.lifts; DELETE FROM boats WHERE id > 10; DROP VIEW lifted;"
        "CREATE TABLE since (boat integer REFERENCES boats (id)); CREATE SCHEMA more; CREATE TABLE more.x ()",
        database,
    )
    await postgres.restore(held, backup, silent)
    assert await programs.tables(database) == ROWS
    assert (await programs.query("SELECT boats_afloat(), count(*) FROM lifted", database)).split(b"\0")[
        :2
    ] == [
        b"500",
        b"100",
    ]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-300], lambda b: b[:200] + b"?" + b[201:], lambda _: b"PGDMP"]
)
async def test_damaged_backup_is_not_restored(
    postgres: PlainPostgres,
    programs: Programs,
    database: Address,
    folder: Path,
    damage: Callable[[bytes], bytes],
) -> None:
    held, backup = await taken(postgres)
    await programs.query("DELETE FROM locks.lifts", database)
    dump = files(folder)[0]
    dump.write_bytes(damage(dump.read_bytes()))
    with pytest.raises(BackupFailed, match="not as it was written"):
        await postgres.restore(held, backup, silent)
    assert (await programs.tables(database))["locks.lifts"] == 0


async def test_restore_that_fails_changes_nothing(
    postgres: PlainPostgres, programs: Programs, database: Address, folder: Path
) -> None:
    """The archive itself breaks off half-way, and its checksum says that it was written so."""
    held, backup = await taken(postgres)
    await programs.query("DELETE FROM locks.lifts", database)
    dump, about = files(folder)
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-300])
    told = json.loads(about.read_text())
    told |= {"sha256": hashlib.sha256(whole[:-300]).hexdigest(), "size_bytes": len(whole) - 300}
    about.write_text(json.dumps(told))
    with pytest.raises(BackupFailed, match=r"was not restored from b\S+: pg_restore failed") as caught:
        await postgres.restore(held, backup, silent)
    assert "stands as before" in caught.value.hint
    assert await programs.tables(database) == ROWS | {"locks.lifts": 0}


@pytest.mark.promise("P2")
@pytest.mark.parametrize("change", ["shorter", "no about", "not json"])
async def test_what_is_not_whole_counts_as_nothing(
    postgres: PlainPostgres, folder: Path, change: str
) -> None:
    await taken(postgres, "one")
    dump, about = files(folder)
    if change == "shorter":
        dump.write_bytes(dump.read_bytes()[:-1])
    elif change == "no about":
        about.unlink()
    else:
        about.write_text("<html>")
    target = postgres._context.project.apps["SHOP"].targets["staging"]
    assert await postgres.backups(target) == []
    assert (await taken(postgres, "one"))[1].earlier_bytes == ()


async def test_failed_dump_leaves_nothing(folder: Path, database: Address) -> None:
    postgres = service(plain_app("SHOP", folder), replace(database, database="nowhere"))
    with pytest.raises(
        BackupFailed, match=r'(?s)SHOP\'s database in staging was not backed up.*"nowhere"'
    ) as e:
        await taken(postgres)
    assert PASSWORD not in str(e.value)
    assert files(folder) == []


async def test_folder_that_cannot_be_written_to_is_named(tmp_path: Path, database: Address) -> None:
    (tmp_path / "file").write_text("")
    postgres = service(plain_app("SHOP", tmp_path / "file"), database)
    with pytest.raises(BackupFailed, match=r"cannot be written to .*file"):
        await taken(postgres)


async def test_deleted_backup_is_gone_and_deleting_again_is_fine(
    postgres: PlainPostgres, folder: Path
) -> None:
    database, backup = await taken(postgres)
    await postgres.delete(database, backup)
    await postgres.delete(database, backup)
    assert files(folder) == []
    with pytest.raises(LiftlockError, match="There is no backup"):
        await postgres.restore(database, backup, silent)


@pytest.mark.promise("P7")
async def test_no_secret_stands_in_arguments_or_environment_of_a_process(
    tmp_path: Path, folder: Path, database: Address, programs: Programs
) -> None:
    """Each program is run by way of one that first writes down what /proc shows of it to everybody."""
    real, seen = await programs.folder(), tmp_path / "seen"
    for name in ("pg_dump", "pg_restore", "psql"):
        path = tmp_path / name
        path.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "{name} (PostgreSQL) 99.1"; exit; }}\n'
            f'cat /proc/$$/cmdline /proc/$$/environ >> "{seen}"\nexec "{real / name}" "$@"\n'
        )
        path.chmod(0o755)
    search = f"{tmp_path}:{os.environ['PATH']}"
    postgres = service(plain_app("SHOP", folder), database, PATH=search)
    held, backup = await taken(postgres)
    await postgres.restore(held, backup, silent)
    text = seen.read_bytes()
    for shown in (b"/pg_dump\0", b"/pg_restore\0", b"/psql\0", b"PGPASSFILE="):
        assert shown in text, shown
    assert PASSWORD.encode() not in text
    assert quote(PASSWORD, safe="").encode() not in text
    assert b"postgresql://" not in text


@pytest.mark.promise("P7")
def test_password_goes_by_a_file_that_only_its_owner_can_read() -> None:
    address = read_address("postgresql://shop:hunter%3A2%5C@db.example.com:5433/shop?sslmode=require", "X")
    with variables(address, {"PATH": "/bin", "GITHUB_TOKEN": "t", "PGPASSWORD": "another's"}) as given:
        file = Path(given["PGPASSFILE"])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() == "*:*:*:*:hunter\\:2\\\\\n"
        assert (given["PGHOST"], given["PGPORT"]) == ("db.example.com", "5433")
        assert given["PGSSLMODE"] == "require"
        assert not {"GITHUB_TOKEN", "PGPASSWORD"} & given.keys()
    assert not file.exists()
    assert "hunter" not in repr(address)


@pytest.mark.parametrize(
    "text",
    [
        "mysql://shop:hunter2@db/shop",
        "shop:hunter2",
        "postgresql://shop:hunter2@db",
        "postgresql://shop:hunter2@db/shop?hunter3=1",
        "postgresql://shop:hunter2%0A@db/shop",
        "postgresql://shop:hunter2@[db/shop",
    ],
)
def test_address_that_cannot_be_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(UsageError, match=r"^env:DATABASE_URL is no address") as caught:
        read_address(text, "env:DATABASE_URL")
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_one_database_is_the_same_for_everybody_who_uses_it() -> None:
    one = read_address("postgresql://a:x@DB.example.com/shop", "X")
    same = read_address("postgres://b:y@db.example.com:5432/shop?sslmode=require", "X")
    other = read_address("postgres://b:y@db.example.com:5433/shop", "X")
    assert one.identity == same.identity != other.identity
    assert "example" not in one.identity


async def test_newer_server_is_named_with_both_versions(tmp_path: Path, database: Address) -> None:
    refusal = "pg_dump: error: aborting because of server version mismatch\\n"
    refusal += "pg_dump: detail: server version: 18.6; pg_dump version: 15.18\\n"
    programs = Programs({"PATH": str(_fakes(tmp_path, "99", refusal))})
    with pytest.raises(
        LiftlockError, match=r"server runs PostgreSQL 18, and pg_dump here is of version 15"
    ) as e:
        await programs.run("pg_dump", address=database)
    assert "version 18 or later" in e.value.hint


async def test_newest_programs_are_taken(tmp_path: Path, programs: Programs) -> None:
    old = Programs({"PATH": str(_fakes(tmp_path, "9", ""))})
    assert await old.folder() == await Programs({"PATH": ""}).folder()
    assert await Programs({"PATH": str(_fakes(tmp_path, "99", ""))}).folder() == tmp_path


def _fakes(folder: Path, version: str, says: str) -> Path:
    for name in ("pg_dump", "pg_restore", "psql"):
        script = f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "{name} (PostgreSQL) {version}.1"; exit; }}\n'
        path = folder / name
        path.write_text(script + f'printf "{says}" >&2\nexit 1\n')
        path.chmod(0o755)
    return folder


async def test_scratch_database_on_a_named_server_is_dropped_in_the_end(
    postgres: PlainPostgres, server: Address, programs: Programs, folder: Path
) -> None:
    await taken(postgres)
    async with open_scratch(os.environ, server) as scratch:
        await scratch.load(files(folder)[0])
        assert await scratch.tables() == ROWS
        assert b"liftlock_verify" in await programs.query("SELECT datname FROM pg_database", server)
    assert b"liftlock_verify" not in await programs.query("SELECT datname FROM pg_database", server)


async def test_scratch_database_that_cannot_be_made_says_what_is_lacking(database: Address) -> None:
    with pytest.raises(LiftlockError, match="permission denied to create database") as caught:
        async with open_scratch(os.environ, database):
            pass
    assert "CREATEDB" in caught.value.hint
