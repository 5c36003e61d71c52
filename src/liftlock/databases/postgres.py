"""Plain PostgreSQL, by address: backed up by `pg_dump` into a folder, restored by `pg_restore`.

A backup is two files in `FOLDER/DATABASE/`: the archive `ID.dump`, and `ID.json`, which says what it
is and is written last. So what has no `.json` is not complete, and counts as nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from liftlock.databases.pg_programs import ProgramFailed, Programs, as_backup_failure
from liftlock.databases.pg_restoring import restore_archive
from liftlock.errors import BackupFailed, LiftlockError
from liftlock.model import Backup, Database, Target
from liftlock.plugins import Context, Plugin
from liftlock.ports import Content, Progress
from liftlock.postgresql.address import Address, read_address
from liftlock.probes import Finding, Probe
from liftlock.wording import read_moment

PROBED = "PostgreSQL"
PIECE = 256 * 1024
LOOK_S = 2.0
STALE_S = 24 * 3600.0
"""A partial file that nobody wrote to for so long was left by a process that was killed."""
_EARLIER = 10
_TABLE = re.compile(rb"^\d+; \d+ \d+ TABLE DATA ", re.MULTILINE)


class PlainPostgres:
    """Databases that apps name by `backup = { url = "env:…", folder = "…" }`."""

    name = "postgres"
    concurrency = 4

    def __init__(self, context: Context) -> None:
        self._context = context
        self._programs = Programs(context.environ)

    def probes(self) -> Sequence[Probe]:
        """See `probes.Probed`. The programs, and each database with its folder."""
        targets = [
            target
            for app in self._context.project.apps.values()
            if app.databases == self.name
            for target in app.targets.values()
        ]
        found = [Probe(PROBED, "pg_dump, pg_restore and psql", self._probe_programs)] if targets else []
        return [
            *found,
            *(Probe(PROBED, f"{t.app} in {t.environment}", partial(self._probe, t)) for t in targets),
        ]

    async def _probe_programs(self) -> Finding:
        folder = await self._programs.folder()
        return Finding(f"version {self._programs.version}, in {folder}")

    async def _probe(self, target: Target) -> Finding:
        """Log in and ask the server's version; its backups' folder has to be writable."""
        address = self._address(target)
        told = await self._programs.query("SHOW server_version_num", address)
        server = int(told.strip(b"\0\n ") or 0) // 10000
        if server > self._programs.version:
            raise BackupFailed(
                f"{address.server} runs PostgreSQL {server}, and pg_dump here is of version {self._programs.version}.",
                hint=f"Install PostgreSQL's client programs of version {server} or later.",
            )
        folder = Path(self._context.project.root, target.backup["folder"])
        there = _existing(folder)
        if not os.access(there, os.W_OK):
            raise BackupFailed(
                f"{there} cannot be written, and backups of {target.app} in {target.environment} belong there.",
                hint=f"Let this user write it, or set another `folder` in [apps.{target.app}] backup.",
            )
        return Finding(f"PostgreSQL {server} lets us in, and {folder} can be written")

    async def databases(self, target: Target) -> Sequence[Database]:
        """The one that the app's `backup.url` names. Asks nobody."""
        database = self._address(target).identity
        return [Database(database, target.app, target.environment, self.name)]

    async def capture(
        self, database: Database, not_before: datetime | None, progress: Progress, promotion: str = ""
    ) -> Backup:
        """See `ports.DatabaseService`. A backup that another process is taking is not waited for.

        Its times are those of the machine that took it, so what it was taken for decides, and no clock:
        a promotion's own backups are all from before its first switch.
        """
        target, folder = self._target(database), self._folder(database)
        earlier = await anyio.to_thread.run_sync(_read_all, folder, database)
        if promotion and not_before:
            own = await anyio.to_thread.run_sync(_read_all, folder, database, promotion)
            if own:
                return _with_earlier(own[0], earlier)
        try:
            await anyio.to_thread.run_sync(_prepare, folder)
            backup = await self._dump(database, self._address(target), folder, progress, promotion)
        except ProgramFailed as error:
            raise as_backup_failure(error, f"{_where(database)} was not backed up") from error
        except OSError as error:
            raise BackupFailed(
                f"The backup of {_where(database)} cannot be written to {folder}: {error.strerror}.",
                hint=f"Look at `folder` in [apps.{database.app}], at its permissions and at the free space.",
            ) from error
        return _with_earlier(backup, earlier)

    async def backups(self, target: Target, *, gone: bool = False) -> Sequence[Backup]:
        """See `ports.DatabaseService`. A deleted backup leaves nothing, so `gone` adds none."""
        found: list[Backup] = []
        for database in await self.databases(target):
            found += await anyio.to_thread.run_sync(_read_all, self._folder(database), database)
        return found

    @asynccontextmanager
    async def content(self, database: Database, backup: Backup) -> AsyncIterator[Content]:
        """From its file, with the checksum that was written down when it was taken."""
        archive = self._archive(database, backup)
        about = await anyio.to_thread.run_sync(_read, archive.with_suffix(".json"))
        checksum = ("sha256", str(about["sha256"])) if about else ("", "")
        yield Content(_pieces(archive), backup.size_bytes, checksum)

    async def restore(self, database: Database, backup: Backup, progress: Progress) -> None:
        """See `ports.DatabaseService`. In one transaction: a failed one changes nothing."""
        archive = self._archive(database, backup)
        about = await anyio.to_thread.run_sync(_read, archive.with_suffix(".json"))
        progress("its checksum is compared")
        if about is None or await anyio.to_thread.run_sync(_sha256, archive) != about["sha256"]:
            raise BackupFailed(
                f"{archive} is not as it was written: its checksum differs.",
                hint="The database stands as before. Choose another backup.",
            )
        progress("pg_restore runs")
        try:
            await restore_archive(
                self._programs, self._address(self._target(database)), archive, replace=True
            )
        except ProgramFailed as error:
            raise BackupFailed(
                f"{_where(database)} was not restored from {backup.id}: {error.message}",
                hint="The database stands as before: nothing of it was kept.",
            ) from error

    async def delete(self, database: Database, backup: Backup) -> None:
        """See `ports.DatabaseService`. First what says that it is complete."""
        archive = self._folder(database) / f"{backup.id}.dump"
        for path in (archive.with_suffix(".json"), archive):
            path.unlink(missing_ok=True)

    async def address(self, database: Database) -> str:
        """The value of the app's `backup.url`."""
        return self._context.secret(self._target(database).backup["url"])

    async def _dump(
        self, database: Database, address: Address, folder: Path, progress: Progress, promotion: str
    ) -> Backup:
        started = self._context.clock.now()
        partial = folder / f".{secrets.token_hex(8)}.part"
        try:
            async with _watched(partial, progress):
                await self._programs.run("pg_dump", "-Fc", "-w", "-f", str(partial), address=address)
            # The end of an archive says nothing; its table of contents must be there and be readable.
            listed = await self._programs.run("pg_restore", "-l", "--", str(partial))
            size, digest = await anyio.to_thread.run_sync(_settled, partial)
            about = {
                "liftlock": 1,
                "app": database.app,
                "environment": database.environment,
                "promotion": promotion,
                "size_bytes": size,
                "sha256": digest,
                "tables": len(_TABLE.findall(listed)),
                "started_at": started.isoformat(),
                "finished_at": self._context.clock.now().isoformat(),
            }
            archive = await anyio.to_thread.run_sync(_keep, partial, f"b{started:%Y%m%dT%H%M%SZ}", about)
        finally:
            partial.unlink(missing_ok=True)
        backup = _backup(archive.with_suffix(".json"), database)
        if backup is None:
            raise BackupFailed(
                f"{archive} was written and cannot be read again.", hint="Look at that folder's disk."
            )
        return backup

    def _target(self, database: Database) -> Target:
        return self._context.project.apps[database.app].targets[database.environment]

    def _address(self, target: Target) -> Address:
        reference = target.backup["url"]
        return read_address(self._context.secret(reference), reference)

    def _folder(self, database: Database) -> Path:
        folder = Path(self._context.project.root, self._target(database).backup["folder"])
        return folder.absolute() / database.id

    def _archive(self, database: Database, backup: Backup) -> Path:
        archive = self._folder(database) / f"{backup.id}.dump"
        if not archive.is_file():
            raise LiftlockError(
                f"There is no backup {backup.id} of {_where(database)}: {archive} is not there.",
                hint=f"See those that there are: liftlock backups list {database.environment} {database.app}",
            )
        return archive


@asynccontextmanager
async def _watched(partial: Path, progress: Progress) -> AsyncIterator[None]:
    """Tell how far the dump is, as long as it runs."""

    async def watch() -> None:
        while True:
            await anyio.sleep(LOOK_S)
            with suppress(OSError):
                written = (await anyio.Path(partial).stat()).st_size
                progress(f"pg_dump runs, {written:,} bytes so far")

    failure: LiftlockError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            yield
        except LiftlockError as error:  # carried out of the group, so that it is raised as itself
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that there is."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _prepare(folder: Path) -> None:
    """Make the folder, its owner's alone, and remove what killed processes left in it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for leftover in folder.glob(".*.part"):
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > STALE_S:
                leftover.unlink()


def _settled(partial: Path) -> tuple[int, str]:
    """The size and the checksum of a file that is now surely on the disk, its owner's alone."""
    partial.chmod(0o600)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    return partial.stat().st_size, _sha256(partial)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(partial: Path, name: str, about: dict[str, Any]) -> Path:
    """Give the archive its name, one that nobody else takes, and then write down what it is."""
    number = 1
    while True:
        archive = partial.with_name(f"{name}.dump" if number == 1 else f"{name}-{number}.dump")
        try:
            os.link(partial, archive)
            break
        except FileExistsError:
            number += 1
    written = partial.with_suffix(".json.part")
    written.touch(mode=0o600)
    written.write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    written.rename(archive.with_suffix(".json"))
    return archive


def _read(path: Path) -> dict[str, Any] | None:
    try:
        about = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) and about.get("liftlock") == 1 else None


def _read_all(folder: Path, database: Database, promotion: str = "") -> list[Backup]:
    """The complete backups in the folder, newest first; with `promotion`, those that were taken for it."""

    def each() -> Iterator[Backup]:
        for path in folder.glob("*.json"):
            if promotion and (_read(path) or {}).get("promotion") != promotion:
                continue
            found = _backup(path, database)
            if found is not None:
                yield found

    return sorted(each(), key=lambda backup: (backup.started_at, backup.id), reverse=True)


def _backup(path: Path, database: Database) -> Backup | None:
    """None for one whose archive is not there as it was written: that is no backup."""
    about = _read(path)
    try:
        if about is None or path.with_suffix(".dump").stat().st_size != about["size_bytes"]:
            return None
        return Backup(
            id=path.stem,
            database=database.id,
            app=database.app,
            service=PlainPostgres.name,
            size_bytes=about["size_bytes"],
            started_at=read_moment(about["started_at"]),
            finished_at=read_moment(about["finished_at"]),
        )
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _with_earlier(backup: Backup, earlier: Sequence[Backup]) -> Backup:
    sizes = [each.size_bytes for each in earlier if each.id != backup.id]
    return replace(backup, earlier_bytes=tuple(sizes[:_EARLIER]))


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while piece := await file.read(PIECE):
            yield piece


def _where(database: Database) -> str:
    return f"{database.app}'s database in {database.environment}"


plugin = Plugin("postgres", PlainPostgres)
