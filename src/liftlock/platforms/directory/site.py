"""One site's directory: its versions, the link to the one that is served, and those to the ones before.

    versions/SHA256/   a version, named by its content, complete from the moment that it has the name
    current            a link to the version that is served; replaced by one rename
    recent/1, 2, …     links to the versions that were served before, the last one first
    next               a link to the version that `current` is switched to, set before anything else moves

A web server that looks for a page's assets in `current`, then in `recent/1` and so on, and last in `next`,
finds those of every page that it has served lately, at every moment of a switch. Every change is made under a lock and is on the disk before the next one;
whatever a crash leaves is either complete or has a name that nobody looks at. It blocks: run it in a thread.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from liftlock.platforms.directory.content import Contents, contents, remove, sync, tree_files, write

CURRENT, RECENT, NEXT, VERSIONS = "current", "recent", "next", "versions"
LOCK = ".liftlock.lock"
SPARED_S = 86400.0
"""So long a version is kept that was never served: a promotion that takes it may be under way."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOOKS = 3


class NotALink(Exception):
    """`current` is something else than a link: not of our making, and not ours to replace."""


@dataclass(frozen=True, slots=True)
class Served:
    """What `current` leads to: the folder, and what it really holds."""

    folder: Path
    found: Contents
    is_intact: bool
    """Whether it is one of the versions and holds what its name says."""


@dataclass(frozen=True, slots=True)
class Site:
    """A site's directory, which has to be there: it is not made where nobody serves it."""

    root: Path

    def served(self) -> Served | None:
        """What is served now, every file of it read; None when nothing is. Raises `NotALink`, `OSError`."""
        for look in range(_LOOKS):
            folder = self._current()
            if folder is None:
                return None
            try:
                found = contents(folder)
            except FileNotFoundError:
                if self._current() == folder and not folder.exists():
                    return None  # a link to nothing: a web server finds nothing either
                if look + 1 == _LOOKS:
                    raise
                continue  # it was switched away from, and cleared up meanwhile
            return Served(folder, found, folder == self._version(found.digest))
        raise AssertionError("unreachable")

    def points_at(self, digest: str) -> bool:
        """Whether `current` leads to this version. What it holds is not read."""
        return self._current() == self._version(digest)

    def find(self, digest: str) -> Contents | None:
        """This version, if it is here and really holds what its name says."""
        try:
            found = contents(self._version(digest))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found if found.digest == digest else None

    def hold(self, digest: str) -> bool:
        """Whether this version is here, and whole; if so it stays for a day at least."""
        if self.find(digest) is None:
            return False
        os.utime(self._version(digest))
        return True

    def folder(self, digest: str) -> Path | None:
        """A folder with exactly this content: the version's, or what is served."""
        if self.find(digest) is not None:
            return self._version(digest)
        served = self.served()
        return served.folder if served is not None and served.found.digest == digest else None

    def add(self, files: Mapping[str, Path], digest: str = "") -> str:
        """Make a version of files, unless it is here; its digest. With `digest`, they have to have that one.

        Raises `ValueError`, with the digest that was found, when they have another.
        """
        new = self._versions() / f".new-{secrets.token_hex(8)}"
        new.mkdir()
        try:
            write(files, new)
            found = contents(new).digest  # read back: what is on this disk is what counts
            if digest and found != digest:
                raise ValueError(found)
            with self._locked():
                self._land(new, found)
            return found
        finally:
            remove(new)

    def add_tree(self, folder: Path, digest: str) -> str:
        """Make a version of the files of a folder, which have to have that digest. See `add`."""
        return self.add(tree_files(folder), digest)

    def keep_served(self) -> None:
        """Make a version of what is served, where it is none: put there by hand, or changed since.

        An undo goes back to what ran, whoever made it.
        """
        served = self.served()
        if served is not None and not served.is_intact and self.find(served.found.digest) is None:
            self.add_tree(served.folder, served.found.digest)

    def switch(self, digest: str, keep: int) -> bool:
        """Serve this version from now on; whether that was a change. Raises `NotALink`, `FileNotFoundError`."""
        with self._locked():
            before, after = self._current(), self._version(digest)
            if before == after:
                return False
            if not after.is_dir():
                raise FileNotFoundError(after)
            # Gone back to, it leaves its place among the recent ones before it is the current one.
            self._link(self.root / NEXT, after)
            # Before the switch: a page that was served a moment ago still finds its assets after it.
            self._set_recent([before, *self._recent()] if before is not None else self._recent(), keep)
            self._link(self.root / CURRENT, after)
            return True

    def clear(self) -> bool:
        """Serve nothing; whether that was a change."""
        with self._locked():
            if self._current() is None:
                return False
            (self.root / CURRENT).unlink()
            sync(self.root)
            return True

    def prune(self, keep: int, spared: str = "") -> None:
        """Remove what is neither served, nor among the last `keep` that were, nor of the last day."""
        with self._locked():
            wanted = {self._current(), self._version(spared), *self._recent()[:keep]}
            too_old = time.time() - SPARED_S
            gone = [
                path
                for path in self._versions().iterdir()
                if path not in wanted and path.lstat().st_mtime < too_old
            ]
            # Renamed first: a name in `versions` always means a whole version.
            hidden = [path.with_name(f".gone-{secrets.token_hex(8)}") for path in gone]
            for path, other in zip(gone, hidden, strict=True):
                path.rename(other)
        for path in hidden:
            remove(path)

    def count(self) -> int:
        """How many versions are kept."""
        with suppress(FileNotFoundError):
            return sum(1 for path in (self.root / VERSIONS).iterdir() if _DIGEST.fullmatch(path.name))
        return 0

    def _current(self) -> Path | None:
        path = self.root / CURRENT
        try:
            return self._target(path)
        except OSError:
            if path.exists():
                raise NotALink(path) from None
            return None

    def _target(self, link: Path) -> Path:
        """Where a link leads, one step: `…/versions/SHA256` of this very site, as `_version` spells it."""
        return Path(os.path.normpath(link.parent / link.readlink()))

    def _version(self, digest: str) -> Path:
        return self.root / VERSIONS / digest

    def _versions(self) -> Path:
        folder = self.root / VERSIONS
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
            sync(self.root)
        return folder

    def _land(self, new: Path, digest: str) -> None:
        """Give a complete folder its version's name, unless there is one that is whole."""
        version = self._version(digest)
        if self.hold(digest):
            return
        if version.exists():  # somebody changed it in place: it is no version any more
            version.rename(version.with_name(f".gone-{secrets.token_hex(8)}"))
        os.utime(new)
        new.rename(version)
        sync(version.parent)

    def _recent(self) -> list[Path]:
        """The versions that were served before, the last one first."""
        folder = self.root / RECENT
        found = []
        with suppress(OSError):
            numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
            found = [self._target(folder / str(number)) for number in numbers]
        return list(dict.fromkeys(found))

    def _set_recent(self, folders: list[Path], keep: int) -> None:
        """Number them anew, the last place first, so that at no moment one is in no place."""
        place = self.root / RECENT
        if not place.is_dir():
            place.mkdir()
            place.chmod(0o755)
        wanted = list(dict.fromkeys(folders))[:keep]
        for number in range(len(wanted), 0, -1):
            self._link(place / str(number), wanted[number - 1])
        for link in list(place.iterdir()):
            if not link.name.isdecimal() or int(link.name) > len(wanted):
                link.unlink()
        sync(place)

    def _link(self, link: Path, folder: Path) -> None:
        """Let a link lead to a folder by one rename; relative, so that the directory can be moved."""
        if link.is_symlink() and self._target(link) == folder:
            return
        new = link.with_name(f".{link.name}-{secrets.token_hex(8)}")
        new.symlink_to(os.path.relpath(folder, link.parent))
        new.replace(link)
        sync(link.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone, among all processes that change this site."""
        handle = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
