"""The commits of GitHub's repositories, over its REST API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import anyio

from liftlock.errors import Conflict, NotFound
from liftlock.http import Http, Trail, field, optional
from liftlock.model import Between, Check, CheckState, Commit, Relation
from liftlock.source_code.archives import unpack_archive
from liftlock.source_code.messages import read_message
from liftlock.tasks import together
from liftlock.wording import moment_or_none

LISTED_FILES = 300
"""A comparison that lists so many may have left some out."""

_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')
_GREEN = {"success", "neutral", "skipped"}
"""The conclusions that GitHub itself lets a required check pass with."""


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
        return _commit(answer.object())

    async def pull_request(self, repository: str, sha: str) -> int | None:
        """The number of the pull request that brought a commit; None when none did.

        Of several, the one that was merged as this commit, else one that was merged.
        Source: GitHub REST, "List pull requests associated with a commit".
        """
        commit = f"/repos/{quote(repository)}/commits/{quote(sha, safe='')}"
        try:
            answer = await self._http().request("GET", f"{commit}/pulls?per_page=100")
        except (NotFound, Conflict):
            return None
        found = answer.objects()
        found.sort(key=lambda pull: (pull.get("merge_commit_sha") != sha, not pull.get("merged_at")))
        return field(found[0], "number", int) if found else None

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
            await unpack_archive(archive, folder, 1, f"GitHub's archive of {repository} at {sha[:7]}")

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


def _commit(payload: Mapping[str, Any]) -> Commit:
    subject, pull_request = read_message(field(payload, "commit.message", str))
    parents = optional(payload, "parents", list) or []
    return Commit(
        sha=field(payload, "sha", str),
        subject=subject,
        author=optional(payload, "commit.author.name", str) or "",
        login=optional(payload, "author.login", str) or "",
        committed_at=moment_or_none(optional(payload, "commit.committer.date", str)),
        pull_request=pull_request,
        parents=tuple(str(parent.get("sha")) for parent in parents if isinstance(parent, dict)),
        url=optional(payload, "html_url", str) or "",
    )


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
