"""Commits' files as archives, unpacked with care: one may be broken, or mean harm."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread

from liftlock.errors import LiftlockError
from liftlock.tar_files import TAR_ERRORS, members

MAX_FILES = 500_000
MAX_BYTES = 4 * 1024**3
"""Limits on what a checkout may unpack to: a broken or hostile archive must not fill the disk."""


async def unpack_archive(archive: Path, folder: Path, strip: int, what: str) -> None:
    """As `unpack`, in a thread. Raises `LiftlockError`, which names `what` it is."""
    try:
        await anyio.to_thread.run_sync(unpack, archive, folder, strip)
    except TAR_ERRORS as error:
        raise LiftlockError(
            f"{what} cannot be unpacked: {error}.",
            hint="Check the disk's free space, and that the commit's links stay within it.",
        ) from error


def unpack(archive: Path, folder: Path, strip: int) -> None:
    """Unpack a tar file into `folder` without its `strip` topmost folders.

    Refuses what would leave the folder, devices, and more than a repository holds
    (`tarfile.FilterError`, a `tarfile.TarError`).
    """
    files = size = 0

    def check(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo | None:
        nonlocal files, size
        renamed = _stripped(member, strip)
        if renamed is None:
            return None
        files, size = files + 1, size + max(0, renamed.size)
        if files > MAX_FILES or size > MAX_BYTES:
            raise tarfile.ReadError("it unpacks to more than a checkout may hold")
        return tarfile.data_filter(renamed, destination)

    with tarfile.open(archive) as tar:
        tar.extractall(folder, members=members(tar), filter=check)  # noqa: S202 - `check` refuses what leaves it


def _stripped(member: tarfile.TarInfo, strip: int) -> tarfile.TarInfo | None:
    if not strip:
        return member
    changes: dict[str, Any] = {"name": _below(member.name, strip)}
    if member.islnk():  # a hard link names its target from the archive's top
        changes["linkname"] = _below(member.linkname, strip)
    return member.replace(**changes, deep=False) if changes["name"] else None


def _below(name: str, strip: int) -> str:
    parts: Sequence[str] = [part for part in name.split("/") if part not in {"", "."}]
    return "/".join(parts[strip:])
