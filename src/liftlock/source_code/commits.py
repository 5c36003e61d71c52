"""`ports.SourceCode`: the checkout at hand first, then GitHub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from liftlock.errors import LiftlockError
from liftlock.model import Between, Check, Commit
from liftlock.source_code.github import GitHubCommits
from liftlock.source_code.local import LocalGit
from liftlock.tasks import together

ABOUT_S = 3.0
"""What is worth knowing of a commit is not worth a longer wait."""


class Commits:
    """`ports.SourceCode`: the checkout at hand first, then GitHub."""

    def __init__(self, local: LocalGit, github: GitHubCommits) -> None:
        self._local = local
        self._github = github

    async def commit(self, repository: str, sha: str) -> Commit | None:
        if await self._is_local(sha):
            return await self._local.commit(sha)
        return await self._github.commit(repository, sha) if repository and sha else None

    async def about(self, repository: str, sha: str) -> Commit:
        found: dict[str, Commit] = {}
        pulls: list[int | None] = []

        async def at_hand() -> None:
            if await self._is_local(sha):
                found["local"] = await self._local.commit(sha)

        async def at_github() -> None:
            if commit := await self._github.commit(repository, sha):
                found["github"] = commit

        async def pull_request() -> None:
            pulls.append(await self._github.pull_request(repository, sha))

        asked = [at_hand, *([at_github, pull_request] if repository else [])]
        with anyio.move_on_after(ABOUT_S):
            await together(*[partial(_if_it_can_be_told, ask) for ask in asked])
        commit = found.get("local") or found.get("github") or Commit(sha)
        if "github" in found:
            commit = replace(commit, login=found["github"].login)
        return replace(commit, pull_request=next(iter(pulls), None) or commit.pull_request)

    async def checks(self, repository: str, sha: str) -> Sequence[Check]:
        return await self._github.checks(repository, sha)

    async def distance(self, repository: str, base: str, head: str) -> Between | None:
        if found := await _told(partial(self._local.distance, base, head)):
            return found
        return await self._github.distance(repository, base, head) if repository else None

    async def between(self, repository: str, base: str, head: str) -> Between | None:
        if found := await _told(partial(self._local.between, base, head)):
            return found
        return await self._github.between(repository, base, head) if repository else None

    async def history(self, repository: str, base: str, head: str) -> Between | None:
        """GitHub first: it alone knows accounts and pull requests."""
        failure: LiftlockError | None = None
        found = None
        try:
            found = await self._github.history(repository, base, head) if repository else None
        except LiftlockError as error:
            failure = error
        if found is None or found.paths is None:
            here = await _told(partial(self._local.history, base, head))
            if here is not None:
                return here if found is None else replace(found, paths=here.paths)
        if found is None and failure is not None:
            raise failure
        return found

    async def compare_url(self, repository: str, base: str, head: str) -> str:
        if not (repository and base and head) or base == head:
            return ""
        return self._github.compare_url(repository, base, head)

    def commit_url(self, repository: str, sha: str) -> str:
        return self._github.commit_url(repository, sha) if repository and sha else ""

    def pull_request_url(self, repository: str, number: int) -> str:
        return self._github.pull_request_url(repository, number) if repository else ""

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


async def _if_it_can_be_told(ask: Callable[[], Awaitable[None]]) -> None:
    with suppress(LiftlockError):
        await ask()


async def _told(look: Callable[[], Awaitable[Between | None]]) -> Between | None:
    """What the checkout tells; None where it cannot: there is no git, or objects are missing."""
    try:
        return await look()
    except LiftlockError:
        return None
