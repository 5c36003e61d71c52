"""What a folder of files holds, by content, and copies of it that survive a crash. It blocks: run it in a thread."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from liftlock.errors import UsageError

FILE_MODE, FOLDER_MODE = 0o444, 0o755
"""A version's files are there to be read: whoever would mend one in place makes another version instead."""
LEFT_OUT = frozenset({".git", ".hg", ".svn"})
"""Of a checkout's files, what is never a site's: every earlier version of every file."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The files below a folder. `digest` is the SHA-256 over their list, sorted by path, as `sha256sum`
    prints it: two folders with the same files have the same one, and anybody can reckon it again."""

    digest: str
    sizes: Mapping[str, int]
    """The bytes of each distinct file, by the SHA-256 of its content."""

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())


def contents(folder: Path) -> Contents:
    """What a folder holds now; every file is read. A link counts as where it leads, and is not followed.

    Raises `FileNotFoundError` when the folder, or a file that was listed, is not there any more.
    """
    whole = hashlib.sha256()
    sizes: dict[str, int] = {}
    for name, path in sorted(_below(folder)):
        if path.is_symlink():
            digest = hashlib.sha256(b"link to " + os.fsencode(path.readlink())).hexdigest()
        else:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                sizes[digest] = os.fstat(file.fileno()).st_size
        whole.update(digest.encode() + b"  " + name + b"\n")
    return Contents(whole.hexdigest(), sizes)


def _below(folder: Path) -> Iterator[tuple[bytes, Path]]:
    """Every file and link below a folder, by its path from there. Sockets and the like are no content."""
    for entry in os.scandir(folder):
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            for name, below in _below(path):
                yield os.fsencode(entry.name) + b"/" + name, below
        elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
            yield os.fsencode(entry.name), path


def site_files(public: Path, checkout: Path) -> dict[str, Path]:
    """The files of a site by their path, from a folder of a checkout. Links are followed, inside the checkout.

    Raises `UsageError` for a link that leads out of it, and for a name that no address should have.
    """
    inside = checkout.resolve()
    found: dict[str, Path] = {}
    seen: set[Path] = set()
    for folder, folders, names in os.walk(public, followlinks=True):
        here = Path(folder)
        _refuse_outside(here, inside)
        if (real := here.resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for name in names:
            path = here / name
            if not path.is_file() or name in LEFT_OUT:
                continue
            _refuse_outside(path, inside)
            relative = path.relative_to(public).as_posix()
            if not relative.isprintable() or "\\" in relative:
                raise UsageError(
                    f"{relative!r} cannot be a file of a site: its name has a character that addresses do not have.",
                    hint="Rename it, or keep it out of the folder.",
                )
            found[relative] = path.resolve()
    return found


def _refuse_outside(path: Path, checkout: Path) -> None:
    if not path.resolve().is_relative_to(checkout):
        raise UsageError(
            f"{path} is a link to {path.resolve()}, outside of the checkout: it is not published.",
            hint="Copy the file into the checkout, or take the link out.",
        )


def tree_files(folder: Path) -> dict[str, Path]:
    """The files and links below a folder by their path, to be copied as they are."""
    return {os.fsdecode(name): path for name, path in _below(folder)}


def write(files: Mapping[str, Path], folder: Path) -> None:
    """Copy files into a new folder, readable for everybody, and see them to the disk."""
    folders = {folder}
    for name, path in files.items():
        copy = folder / name
        folders.update(folder / parent for parent in copy.relative_to(folder).parents)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            copy.symlink_to(path.readlink())
            continue
        shutil.copyfile(path, copy)  # by the kernel, which shares the blocks where the file system can
        copy.chmod(FILE_MODE)
    for name, path in files.items():
        if not path.is_symlink():
            sync(folder / name)
    for each in folders:
        each.chmod(FOLDER_MODE)
        sync(each)


def sync(path: Path) -> None:
    """See a file, or the entries of a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(folder: Path) -> None:
    """Remove a folder with all that is below; what is not there is no error."""
    if folder.is_symlink() or not stat.S_ISDIR(_mode(folder)):
        folder.unlink(missing_ok=True)
    else:
        shutil.rmtree(folder)


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0
