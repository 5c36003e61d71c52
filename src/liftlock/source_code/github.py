"""The commits of GitHub's repositories, over its REST API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import anyio

from liftlock.errors import Conflict, LiftlockError, NotFound
from liftlock.http import Answer, Http, Trail, field, optional
from liftlock.model import Between, Check, CheckState, Commit, Relation, mainline
from liftlock.source_code.local import MOST_COMMITS
from liftlock.source_code.messages import read_message
from liftlock.tasks import each, together
from liftlock.wording import moment_or_none

PAGE = 100
"""Of a comparison's commits: GitHub's largest."""
MOST_ASKED = 50
"""How many commits are asked about for their pull requests, each with a request."""
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
            field(answer.object(), name, list)
            found += _listed(answer, name)
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
            from liftlock.source_code.archives import unpack_archive  # few commands unpack one

            await unpack_archive(archive, folder, 1, f"GitHub's archive of {repository} at {sha[:7]}")

    async def distance(self, repository: str, base: str, head: str) -> Between | None:
        """How two commits stand to each other; None when GitHub does not know both."""
        # The second page: the files, with all that changed in them, are on the first.
        answer = await self._compared(repository, base, head, page=2, per_page=1)
        return None if answer is None else _distance(answer)

    async def between(self, repository: str, base: str, head: str) -> Between | None:
        """As `distance`, with the files that differ."""
        answer = await self._compared(repository, base, head, page=1, per_page=1)
        return None if answer is None else replace(_distance(answer), paths=_paths(answer))

    async def history(self, repository: str, base: str, head: str) -> Between | None:
        """As `between`, with the commits that `head` is ahead by: the newest `MOST_COMMITS`, each
        with its pull request. Three waits at most."""
        first = await self._compared(repository, base, head, page=1, per_page=PAGE)
        if first is None:
            return None
        found = _distance(first)
        last = -(-found.ahead // PAGE)
        pages = range(max(2, last + 1 - MOST_COMMITS // PAGE), last + 1)
        rest = await together(
            *[partial(self._compared, repository, base, head, page=number, per_page=PAGE) for number in pages]
        )
        answers = [first] if last <= MOST_COMMITS // PAGE else []
        answers += [answer for answer in rest if answer is not None]
        listed = [_commit(payload) for answer in answers for payload in _listed(answer, "commits")]
        commits = await self._with_pull_requests(repository, listed[::-1])
        return replace(found, paths=_paths(first), commits=commits)

    async def _with_pull_requests(self, repository: str, commits: Sequence[Commit]) -> tuple[Commit, ...]:
        """The commits; those whose messages name no pull request are asked about, the newest ones."""
        unnamed = [commit.sha for commit in mainline(commits) if commit.pull_request is None]

        async def ask(sha: str) -> int | None:
            try:
                return await self.pull_request(repository, sha)
            except LiftlockError:
                return None

        found = await each(unnamed[:MOST_ASKED], ask)
        return tuple(replace(c, pull_request=c.pull_request or found.get(c.sha)) for c in commits)

    async def _compared(
        self, repository: str, base: str, head: str, *, page: int, per_page: int
    ) -> Answer | None:
        """GitHub's comparison; None when it does not know both commits.

        Source: GitHub REST, "Compare two commits": the oldest commits first; at most 300 files, on
        the first page alone.
        """
        ends = f"{quote(base, safe='')}...{quote(head, safe='')}"
        try:
            return await self._http().request(
                "GET",
                f"/repos/{quote(repository)}/compare/{ends}",
                params={"page": page, "per_page": per_page},
            )
        except (NotFound, Conflict):
            return None

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

    def commit_url(self, repository: str, sha: str) -> str:
        """The page that shows a commit."""
        return f"{web_address(self._http().base)}/{repository}/commit/{sha}"

    def pull_request_url(self, repository: str, number: int) -> str:
        """The page of a pull request."""
        return f"{web_address(self._http().base)}/{repository}/pull/{number}"

    def compare_url(self, repository: str, base: str, head: str) -> str:
        """The page that shows what lies between two commits."""
        return f"{web_address(self._http().base)}/{repository}/compare/{base}...{head}"


def _distance(answer: Answer) -> Between:
    payload = answer.object()
    try:
        relation = Relation(field(payload, "status", str))
    except ValueError as error:
        raise answer.bad("names a relation of commits that is not documented") from error
    return Between(relation, None, field(payload, "ahead_by", int), field(payload, "behind_by", int))


def _paths(answer: Answer) -> tuple[str, ...] | None:
    """The files that differ; None where some may not be listed."""
    files = _listed(answer, "files")
    if len(files) >= LISTED_FILES:
        return None
    both = ("filename", "previous_filename")
    return tuple(sorted({str(file[key]) for file in files for key in both if key in file}))


def _listed(answer: Answer, name: str) -> list[dict[str, Any]]:
    entries = optional(answer.object(), name, list) or []
    if not all(isinstance(entry, dict) for entry in entries):
        raise answer.bad(f"lists something that is not an object as {name!r}")
    return entries


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
