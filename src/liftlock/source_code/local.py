"""The checkout at hand, asked by git itself."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import anyio

from liftlock.errors import LiftlockError
from liftlock.model import Between, Commit, Relation
from liftlock.source_code.archives import unpack_archive
from liftlock.source_code.messages import read_message
from liftlock.tasks import Once, together
from liftlock.wording import moment_or_none

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ORIGIN = re.compile(r"(?:[^@/\s]+@)?[^:/\s]+:(?P<path>[^:\s]+)")
MOST_COMMITS = 1000
"""Of so many commits at most is told what they say."""
PROCESSES = 8
"""How many git processes run at once."""

_FORMAT, _FIELDS = "%H%x00%P%x00%an%x00%cI%x00%B", 5
_RELATIONS = {
    (False, False): Relation.SAME,
    (True, False): Relation.AHEAD,
    (False, True): Relation.BEHIND,
    (True, True): Relation.DIVERGED,
}
"""By whether it is ahead, and whether it is behind."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a checkout stands."""

    commit: Commit
    dirty: bool
    """Whether tracked files differ from the commit, or untracked ones lie about."""
    repository: str
    """OWNER/NAME of its `origin`; "" when there is none."""


class LocalGit:
    """The commits whose objects are in the checkout at a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._shallow = Once(self._is_shallow)
        self._processes = anyio.Semaphore(PROCESSES)

    async def has(self, sha: str) -> bool:
        """Whether the commit is here, whole."""
        if not _SHA.fullmatch(sha):
            return False
        return (await self._git("cat-file", "-e", f"{sha}^{{commit}}")).returncode == 0

    async def commit(self, sha: str) -> Commit:
        """What is known of a commit that `has` found, or of "HEAD"."""
        told = await self._told("log", "-1", f"--format={_FORMAT}", sha)
        return _commit(told.split("\0"))

    async def distance(self, base: str, head: str) -> Between | None:
        """How two commits stand to each other; None unless both are here with all of their history."""
        if not (_SHA.fullmatch(base) and _SHA.fullmatch(head)) or await self._shallow():
            return None
        counted = await self._git("rev-list", "--left-right", "--count", f"{base}...{head}")
        if counted.returncode != 0:
            return None
        behind, ahead = map(int, counted.stdout.split())
        return Between(_RELATIONS[ahead > 0, behind > 0], None, ahead, behind)

    async def between(self, base: str, head: str) -> Between | None:
        """As `distance`, with the files that differ. Raises `LiftlockError`."""
        found = await self.distance(base, head)
        if found is None:
            return None
        changed = await self._told("diff", "--name-only", "--no-renames", "-z", base, head)
        return replace(found, paths=tuple(path for path in changed.split("\0") if path))

    async def history(self, base: str, head: str) -> Between | None:
        """As `between`, with the commits that `head` is ahead by: the newest `MOST_COMMITS`."""
        found = await self.between(base, head)
        if found is None:
            return None
        told = await self._told(
            "log", "-z", f"--max-count={MOST_COMMITS}", f"--format={_FORMAT}", f"{base}..{head}"
        )
        fields = told.split("\0")
        commits = (_commit(fields[i : i + _FIELDS]) for i in range(0, len(fields) - 1, _FIELDS))
        return replace(found, commits=tuple(commits))

    async def _is_shallow(self) -> bool:
        """Whether its history is cut off, as in most CI checkouts: then it cannot tell ancestors."""
        return (await self._told("rev-parse", "--is-shallow-repository")).strip() != "false"

    async def export(self, sha: str, folder: Path) -> None:
        """Unpack the files of a commit that `has found into an empty folder."""
        with TemporaryDirectory(prefix="liftlock-") as place:
            archive = Path(place) / "commit.tar"
            await self._told("archive", "--format=tar", f"--output={archive}", sha)
            await unpack_archive(archive, folder, 0, f"The commit {sha[:7]} of {self.root}")

    async def head(self, ours: Collection[Path] = ()) -> Head:
        """Where the checkout stands; the files in `ours`, resolved paths, do not make it dirty.

        Raises `LiftlockError` when it is none, or has no commit.
        """
        commit, dirty, repository = await together(
            lambda: self.commit("HEAD"), lambda: self._told("status", "--porcelain"), self.repository
        )
        return Head(commit, bool(dirty) and await self._differs(ours), repository)

    async def _differs(self, ours: Collection[Path]) -> bool:
        """Whether anything but `ours` differs from the commit."""
        if not ours:
            return True
        top = await self.top()
        listed = await self._told("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
        return any(top / entry[3:] not in ours for entry in listed.split("\0") if entry)

    async def repository(self) -> str:
        """OWNER/NAME of the remote `origin`; "" without one, and outside a checkout."""
        origin = await self._git("remote", "get-url", "origin")
        return repository_of(origin.stdout.decode().strip()) if origin.returncode == 0 else ""

    async def top(self) -> Path:
        """The folder that the checkout begins at. Raises `LiftlockError` outside of any."""
        return Path((await self._told("rev-parse", "--show-toplevel")).strip())

    async def main_branch(self) -> str:
        """The branch that `origin` says is its main one, or "main" where it never said."""
        told = await self._git("symbolic-ref", "--short", "refs/remotes/origin/HEAD")
        name = told.stdout.decode(errors="replace").strip().partition("/")[2]
        return name if told.returncode == 0 and name else "main"

    async def _told(self, *arguments: str) -> str:
        done = await self._git(*arguments)
        if done.returncode != 0:
            why = done.stderr.decode(errors="replace").strip().splitlines()
            raise LiftlockError(
                f"git {arguments[0]} failed in {self.root}: {why[0] if why else done.returncode}.",
                hint="Check that the folder is a git checkout with at least one commit.",
            )
        return done.stdout.decode(errors="replace")

    async def _git(self, *arguments: str) -> CompletedProcess[bytes]:
        # Without lazy fetches: a partial clone would go to the network, and ask for a password.
        quiet = {
            **os.environ,
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
        }
        try:
            async with self._processes:
                return await anyio.run_process(
                    ["git", "-C", str(self.root), *arguments], check=False, env=quiet, stdin=DEVNULL
                )
        except OSError as error:
            raise LiftlockError(
                f"git cannot be run: {error.strerror}.", hint="Install git, and check that it is on the PATH."
            ) from error


def _commit(fields: Sequence[str]) -> Commit:
    """A commit as git prints it by `_FORMAT`."""
    sha, parents, author, date, message = fields
    subject, pull_request = read_message(message)
    return Commit(
        sha=sha,
        subject=subject,
        author=author,
        committed_at=moment_or_none(date),
        pull_request=pull_request,
        parents=tuple(parents.split()),
    )


async def head(path: Path, ours: Collection[Path] = ()) -> Head:
    """Where the checkout at `path` stands, for a deploy of it; the files in `ours` do not make it dirty."""
    return await LocalGit(path).head(ours)


def repository_of(url: str) -> str:
    """OWNER/NAME in the address of a git remote; "" for a folder or anything else."""
    try:
        path = urlsplit(url).path if "://" in url else ""
    except ValueError:
        return ""
    if not path and (match := _ORIGIN.fullmatch(url)):
        path = match["path"]
    parts = path.strip("/").removesuffix(".git").split("/")
    return "/".join(parts) if len(parts) == 2 and all(parts) and not url.startswith("file:") else ""
