"""Backups as files: downloaded whole or not at all, and restored to see what is in them."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from liftlock import wording
from liftlock.commands.backups import Kept, find_backup
from liftlock.errors import BackupFailed, LiftlockError, UsageError
from liftlock.model import Project
from liftlock.ports import Adapters, Scratch

MAGIC = b"PGDMP"
"""What every archive of `pg_dump -Fc` begins with."""

Say = Callable[[str], None]


async def download(
    project: Project,
    adapters: Adapters,
    environment: str,
    app: str,
    backup_id: str,
    out: Path,
    say: Say = lambda _: None,
) -> Kept:
    """Write a backup, the newest if none is named, to a file that is not there yet.

    Raises `UsageError` when `out` is there or cannot be written, `BackupFailed` when what arrives is
    not the backup as it was taken. Then nothing is left of it.
    """
    _refuse_taken(out)
    kept = await find_backup(project, adapters, environment, app, backup_id)
    say(f"{kept.backup.id} of {kept.used.whose}, {wording.size(kept.backup.size_bytes)}")
    await save(kept, out)
    return kept


async def save(kept: Kept, out: Path) -> None:
    """Stream a backup to `out`; it appears there when it is whole, and never in another file's place."""
    partial = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        await _receive(kept, partial)
        await anyio.to_thread.run_sync(_give_name, partial, out)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


async def _receive(kept: Kept, partial: Path) -> None:
    name = f"Backup {kept.backup.id} of {kept.used.whose}"
    received, head = 0, b""
    async with kept.used.service.content(kept.used.database, kept.backup) as content:
        algorithm, digest = content.checksum
        hashed = hashlib.new(algorithm or "sha256", usedforsecurity=False)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        async with await anyio.open_file(descriptor, "wb") as file:
            async for piece in content.pieces:
                head = head or piece[: len(MAGIC)]
                received += len(piece)
                hashed.update(piece)
                await file.write(piece)
            await file.flush()
            await anyio.to_thread.run_sync(os.fsync, descriptor)
    hint = "Nothing was kept. Try again; if it stays so, choose another backup."
    if received != content.size_bytes:
        raise BackupFailed(f"{name} has {content.size_bytes:,} bytes, and {received:,} arrived.", hint=hint)
    if algorithm and hashed.hexdigest() != digest.lower():
        raise BackupFailed(f"{name} did not arrive as it was written: its {algorithm} differs.", hint=hint)
    if not head.startswith(MAGIC[: max(len(head), 1)]):
        raise BackupFailed(f"{name} is no archive of pg_dump: it begins with {head!r}.", hint=hint)


def _give_name(partial: Path, out: Path) -> None:
    try:
        os.link(partial, out)  # unlike a rename, it never replaces a file
    except FileExistsError:
        _refuse_taken(out)
        raise
    except OSError:
        _refuse_taken(out)
        partial.rename(out)  # a file system without hard links


def _refuse_taken(out: Path) -> None:
    if out.is_symlink() or out.exists():
        raise UsageError(f"{out} is there already, and is not overwritten.", hint="Name another file.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a backup holds, beside what its database holds now."""

    kept: Kept
    where: str
    """On which server it was restored."""
    tables: Mapping[str, int]
    """The rows of every table, by name."""
    source: Mapping[str, int] | None
    unreached: str = ""
    """Why the source could not be looked at."""

    @property
    def missing(self) -> list[str]:
        """Tables of the source that the backup has not."""
        return sorted((self.source or {}).keys() - self.tables.keys())

    @property
    def emptied(self) -> list[str]:
        """Tables that have rows in the source and none in the backup."""
        return sorted(t for t, rows in (self.source or {}).items() if rows and self.tables.get(t) == 0)

    @property
    def differing(self) -> list[str]:
        """Tables of both with other numbers of rows, and those that the source no longer has."""
        if self.source is None:
            return []
        return sorted(t for t, rows in self.tables.items() if self.source.get(t) != rows)

    def passed(self, *, exact: bool = False) -> bool:
        """A database moves on, so other numbers alone are no failure, unless it must be `exact`."""
        return not (self.missing or self.emptied or (exact and self.differing))


async def verify(
    project: Project,
    adapters: Adapters,
    environment: str,
    app: str,
    backup_id: str,
    scratch: Scratch,
    say: Say = lambda _: None,
) -> Verdict:
    """Restore a backup, the newest if none is named, and count its tables' rows beside the source's.

    Raises `BackupFailed` when it is not whole, or `pg_restore` fails on it.
    """
    kept = await find_backup(project, adapters, environment, app, backup_id)
    with tempfile.TemporaryDirectory(prefix="liftlock-") as folder:
        archive = Path(folder, "backup.dump")
        say(f"fetching {kept.backup.id}, {wording.size(kept.backup.size_bytes)}")
        await save(kept, archive)
        say(f"restoring it on {scratch.where}")
        await scratch.load(archive)
    tables = await scratch.tables()
    say("counting the source's rows")
    try:
        source = await scratch.tables_at(await kept.used.service.address(kept.used.database))
    except LiftlockError as error:
        return Verdict(kept, scratch.where, tables, None, error.message)
    return Verdict(kept, scratch.where, tables, source)
