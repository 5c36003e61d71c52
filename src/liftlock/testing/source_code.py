"""Repositories that have nothing in them, for tests that want no commits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from liftlock.errors import LiftlockError
from liftlock.model import Between, Check, Commit


class NoSourceCode:
    """`ports.SourceCode`. Knows no commit."""

    async def commit(self, repository: str, sha: str) -> Commit | None:
        return None

    async def about(self, repository: str, sha: str) -> Commit:
        return Commit(sha)

    async def checks(self, repository: str, sha: str) -> Sequence[Check]:
        raise LiftlockError(f"{repository} has no commit {sha}.")

    async def between(self, repository: str, base: str, head: str) -> Between | None:
        return None

    async def distance(self, repository: str, base: str, head: str) -> Between | None:
        return None

    async def history(self, repository: str, base: str, head: str) -> Between | None:
        return None

    def commit_url(self, repository: str, sha: str) -> str:
        return f"https://github.example/{repository}/commit/{sha}"

    def pull_request_url(self, repository: str, number: int) -> str:
        return f"https://github.example/{repository}/pull/{number}"

    async def compare_url(self, repository: str, base: str, head: str) -> str:
        return f"https://github.example/{repository}/compare/{base}...{head}"

    def checkout(self, repository: str, sha: str) -> AbstractAsyncContextManager[Path]:
        raise LiftlockError(f"There is no commit {sha} to check out.")
