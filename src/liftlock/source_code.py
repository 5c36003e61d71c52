"""The repositories' commits: from the checkout at hand where it has them, else from GitHub.

A commit's name is the hash of its content, so whichever repository holds it, it is the same. Only
its objects are read, never the work tree as it happens to stand.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import anyio.to_thread

from liftlock.errors import Conflict, LiftlockError, NotFound
from liftlock.http import Http, Trail, field, optional
from liftlock.model import Between, Check, CheckState, Commit, Relation
from liftlock.tasks import together
from liftlock.wording import read_moment

MAX_FILES = 500_000
MAX_BYTES = 4 * 1024**3
"""Limits on what a checkout may unpack to: a broken or hostile archive must not fill the disk."""

LISTED_FILES = 300
"""A comparison that lists so many may have left some out."""

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ORIGIN = re.compile(r"(?:[^@/\s]+@)?[^:/\s]+:(?P<path>[^:\s]+)")
_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')
_GREEN = {"success", "neutral", "skipped"}
"""The conclusions that GitHub itself lets a required check pass with."""
_FORMAT = "%H%x00%s%x00%an%x00%aI"


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

    async def has(self, sha: str) -> bool:
        """Whether the commit is here, whole."""
        if not _SHA.fullmatch(sha):
            return False
        return (await self._git("cat-file", "-e", f"{sha}^{{commit}}")).returncode == 0

    async def commit(self, sha: str) -> Commit:
        """What is known of a commit that `has` found, or of "HEAD"."""
        told = await self._told("log", "-1", f"--format={_FORMAT}", sha)
        name, subject, author, date = told.rstrip("\n").split("\0")
        return Commit(sha=name, subject=subject, author=author, authored_at=_time(date))

    async def between(self, base: str, head: str) -> Between:
        """What lies between two commits that `has` found. Raises `LiftlockError`."""
        if base == head:
            return Between(Relation.SAME, ())
        changed = await self._told("diff", "--name-only", "--no-renames", "-z", base, head)
        paths = tuple(path for path in changed.split("\0") if path)
        if await self._is_ancestor(base, head):
            return Between(Relation.AHEAD, paths)
        is_behind = await self._is_ancestor(head, base)
        return Between(Relation.BEHIND if is_behind else Relation.DIVERGED, paths)

    async def is_shallow(self) -> bool:
        """Whether its history is cut off, as in most CI checkouts: then it cannot tell ancestors."""
        return (await self._told("rev-parse", "--is-shallow-repository")).strip() != "false"

    async def _is_ancestor(self, base: str, head: str) -> bool:
        return (await self._git("merge-base", "--is-ancestor", base, head)).returncode == 0

    async def export(self, sha: str, folder: Path) -> None:
        """Unpack the files of a commit that `has found into an empty folder."""
        with TemporaryDirectory(prefix="liftlock-") as place:
            archive = Path(place) / "commit.tar"
            await self._told("archive", "--format=tar", f"--output={archive}", sha)
            await _unpacked(archive, folder, 0, f"The commit {sha[:7]} of {self.root}")

    async def head(self) -> Head:
        """Where the checkout stands. Raises `LiftlockError` when it is none, or has no commit."""
        commit = await self.commit("HEAD")
        dirty = bool(await self._told("status", "--porcelain"))
        origin = await self._git("remote", "get-url", "origin")
        repository = repository_of(origin.stdout.decode().strip()) if origin.returncode == 0 else ""
        return Head(commit, dirty, repository)

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
            return await anyio.run_process(
                ["git", "-C", str(self.root), *arguments], check=False, env=quiet, stdin=DEVNULL
            )
        except OSError as error:
            raise LiftlockError(
                f"git cannot be run: {error.strerror}.", hint="Install git, and check that it is on the PATH."
            ) from error


class GitHubCommits:
    """The commits of GitHub's repositories."""

    def __init__(self, http: Callable[[], Http]) -> None:
        """`http` is called at the first request, so that nobody needs a token before."""
        self._http = http

    async def commit(self, repository: str, sha: str) -> Commit | None:
        """What GitHub knows of a commit; None when it has none of that name."""
        try:
            answer = await self._http().request(
                "GET", f"/repos/{quote(repository)}/commits/{quote(sha, safe='')}"
            )
        except (NotFound, Conflict):  # 409 of an empty repository, 422 of a sha that is no commit
            return None
        payload = answer.object()
        written = optional(payload, "commit.author.date", str)
        return Commit(
            sha=field(payload, "sha", str),
            subject=field(payload, "commit.message", str).partition("\n")[0],
            author=optional(payload, "commit.author.name", str) or "",
            authored_at=_time(written),
            url=optional(payload, "html_url", str) or "",
        )

    async def checks(self, repository: str, sha: str) -> Sequence[Check]:
        """What every check run and every commit status says, the newest word of each.

        Source: GitHub REST, "List check runs for a Git reference" (of each, the latest, as it is by
        default) and "Get the combined status for a specific reference".
        """
        commit = f"/repos/{quote(repository)}/commits/{quote(sha, safe='')}"
        runs, statuses = await together(
            lambda: self._all(f"{commit}/check-runs", "check_runs"),
            lambda: self._all(f"{commit}/status", "statuses"),
        )
        return [*map(_check_run, runs), *map(_commit_status, statuses)]

    async def _all(self, path: str, name: str) -> list[Mapping[str, Any]]:
        """The entries of every page of a listing that GitHub wraps in an object."""
        found: list[Mapping[str, Any]] = []
        following, trail = f"{path}?per_page=100", Trail("github")
        while following:
            answer = await self._http().request("GET", trail.to(following))
            entries = field(answer.object(), name, list)
            if not all(isinstance(entry, dict) for entry in entries):
                raise answer.bad(f"lists something that is not an object as {name!r}")
            found += entries
            link = _NEXT.search(answer.headers.get("link", ""))
            following = link[1] if link else ""
        return found

    async def export(self, repository: str, sha: str, folder: Path) -> None:
        """Unpack the files of a commit into an empty folder, without GitHub's top folder.

        Raises `NotFound` when the repository does not have it.
        """
        with TemporaryDirectory(prefix="liftlock-") as place:
            archive = Path(place) / "commit.tar.gz"
            path = f"/repos/{quote(repository)}/tarball/{quote(sha, safe='')}"
            async with (
                self._http().stream("GET", path) as download,
                await anyio.open_file(archive, "wb") as file,
            ):
                async for piece in download.chunks():
                    await file.write(piece)
            await _unpacked(archive, folder, 1, f"GitHub's archive of {repository} at {sha[:7]}")

    async def between(self, repository: str, base: str, head: str) -> Between | None:
        """What lies between two commits; None when GitHub does not know both.

        Source: GitHub REST, "Compare two commits": at most 300 files are listed.
        """
        ends = f"{quote(base, safe='')}...{quote(head, safe='')}"
        try:
            answer = await self._http().request("GET", f"/repos/{quote(repository)}/compare/{ends}")
        except (NotFound, Conflict):
            return None
        payload = answer.object()
        try:
            relation = Relation(field(payload, "status", str))
        except ValueError as error:
            raise answer.bad("names a relation of commits that is not documented") from error
        files = optional(payload, "files", list) or []
        if len(files) >= LISTED_FILES or not all(isinstance(file, dict) for file in files):
            return Between(relation)
        both = ("filename", "previous_filename")
        return Between(
            relation, tuple(sorted({str(file[key]) for file in files for key in both if key in file}))
        )

    async def file(self, repository: str, ref: str, path: str) -> str:
        """The text of a file at a branch, tag or commit; "" is the default branch. Raises `NotFound`.

        Source: GitHub REST, "Get repository content", media type `raw`.
        """
        answer = await self._http().request(
            "GET",
            f"/repos/{quote(repository)}/contents/{quote(path)}",
            params={"ref": ref or None},
            headers={"accept": "application/vnd.github.raw+json"},
        )
        try:
            return answer.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise answer.bad("is not UTF-8 text") from error

    def compare_url(self, repository: str, base: str, head: str) -> str:
        """The page that shows what lies between two commits."""
        return f"{web_address(self._http().base)}/{repository}/compare/{base}...{head}"


class Commits:
    """`ports.SourceCode`: the checkout at hand first, then GitHub."""

    def __init__(self, local: LocalGit, github: GitHubCommits) -> None:
        self._local = local
        self._github = github

    async def commit(self, repository: str, sha: str) -> Commit | None:
        if await self._is_local(sha):
            return await self._local.commit(sha)
        return await self._github.commit(repository, sha) if repository and sha else None

    async def checks(self, repository: str, sha: str) -> Sequence[Check]:
        return await self._github.checks(repository, sha)

    async def between(self, repository: str, base: str, head: str) -> Between | None:
        try:
            if await self._has_history(base, head):
                return await self._local.between(base, head)
        except LiftlockError:  # objects are missing: GitHub has them
            pass
        return await self._github.between(repository, base, head) if repository else None

    async def _has_history(self, *commits: str) -> bool:
        for commit in commits:
            if not await self._is_local(commit):
                return False
        return not await self._local.is_shallow()

    async def compare_url(self, repository: str, base: str, head: str) -> str:
        if not (repository and base and head) or base == head:
            return ""
        return self._github.compare_url(repository, base, head)

    def checkout(self, repository: str, sha: str) -> AbstractAsyncContextManager[Path]:
        return self._checkout(repository, sha)

    @asynccontextmanager
    async def _checkout(self, repository: str, sha: str) -> AsyncIterator[Path]:
        with TemporaryDirectory(prefix="liftlock-", ignore_cleanup_errors=True) as place:
            folder = Path(place) / "checkout"
            folder.mkdir()
            if await self._is_local(sha):
                await self._local.export(sha, folder)
            elif repository and sha:
                await self._github.export(repository, sha, folder)
            else:
                raise LiftlockError(
                    f"There is no commit {sha!r} to check out: the checkout at hand does not have it.",
                    hint="Name the app's repository in liftlock.toml, or fetch the commit.",
                )
            yield folder

    async def _is_local(self, sha: str) -> bool:
        try:
            return await self._local.has(sha)
        except LiftlockError:  # no git: GitHub has it all
            return False


def _check_run(payload: Mapping[str, Any]) -> Check:
    name, url = field(payload, "name", str), optional(payload, "html_url", str) or ""
    if field(payload, "status", str) != "completed":
        return Check(name, CheckState.PENDING, url)
    is_green = optional(payload, "conclusion", str) in _GREEN
    return Check(name, CheckState.GREEN if is_green else CheckState.FAILED, url)


def _commit_status(payload: Mapping[str, Any]) -> Check:
    states = {"success": CheckState.GREEN, "pending": CheckState.PENDING}
    state = states.get(field(payload, "state", str), CheckState.FAILED)
    return Check(field(payload, "context", str), state, optional(payload, "target_url", str) or "")


async def head(path: Path) -> Head:
    """Where the checkout at `path` stands, for a deploy of it."""
    return await LocalGit(path).head()


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


def web_address(api: str) -> str:
    """Where people look at what an API's address serves to programs.

    Source: GitHub Enterprise Server serves its API under /api/v3 of the same host. On loopback
    there are no pages: the API's own answer is what there is to see.
    """
    if api.startswith("http://"):
        return f"{api}/repos"
    if api == "https://api.github.com":
        return "https://github.com"
    return api.removesuffix("/api/v3")


async def _unpacked(archive: Path, folder: Path, strip: int, what: str) -> None:
    try:
        await anyio.to_thread.run_sync(unpack, archive, folder, strip)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
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
        tar.extractall(folder, filter=check)  # noqa: S202 - `check` refuses what leaves it


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


def _time(text: str | None) -> datetime | None:
    try:
        return read_moment(text) if text else None
    except ValueError:
        return None
