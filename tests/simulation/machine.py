"""The machine that an actor's process runs on: its files, its threads and its checkout, on the virtual clock."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio
import anyio.lowlevel
import anyio.to_thread

from liftlock.errors import LiftlockError
from liftlock.model import Between, Check, Commit, Relation
from liftlock.sqlite_file import SqliteFile
from tests.simulation.actors import Actor


@contextmanager
def without_threads() -> Iterator[None]:
    """What belongs into a thread is done at once: while a thread works, nobody would see that the clock must not jump."""

    async def at_once(work: Callable[..., Any], *given: Any, **_: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return work(*given)

    with patch.object(anyio.to_thread, "run_sync", at_once):
        yield


@contextmanager
def without_programs() -> Iterator[None]:
    """No program is installed: while a real one worked, the clock would jump for hours."""

    async def not_installed(*_: Any, **__: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    with patch.object(anyio, "open_process", not_installed):
        yield


class VersionedCode:
    """The repositories' commits, which are the versions 1, 2, 3 of everything, without a git that takes real time."""

    async def commit(self, repository: str, sha: str) -> None:
        return None

    async def about(self, repository: str, sha: str) -> Commit:
        return Commit(sha)

    async def checks(self, repository: str, sha: str) -> tuple[Check, ...]:
        return ()

    async def between(self, repository: str, base: str, head: str) -> Between:
        if base == head:
            return Between(Relation.SAME)
        return Between(Relation.AHEAD if base < head else Relation.BEHIND)

    async def distance(self, repository: str, base: str, head: str) -> None:
        return None

    async def history(self, repository: str, base: str, head: str) -> None:
        return None

    def commit_url(self, repository: str, sha: str) -> str:
        return ""

    def pull_request_url(self, repository: str, number: int) -> str:
        return ""

    async def compare_url(self, repository: str, base: str, head: str) -> str:
        return ""

    @asynccontextmanager
    async def checkout(self, repository: str, sha: str) -> AsyncIterator[Path]:
        raise AssertionError("no command app is in these worlds")
        yield


class MortalFile(SqliteFile):
    """A ledger's file that a dead actor cannot write to, and that the judge looks into after each change."""

    def __init__(self, path: Path, actor: Actor, changed: Callable[[Actor], None]) -> None:
        super().__init__(path)
        self._actor = actor
        self._changed = changed

    async def _when_free(self, work: Any) -> Any:
        actor = self._actor
        number = actor.begin_request()
        actor._befalls("before", number)
        await actor._awake()
        if actor.dead:
            raise LiftlockError("it is dead")
        done = await super()._when_free(work)
        self._changed(actor)
        actor._befalls("after", number)
        await actor._awake()
        await anyio.lowlevel.checkpoint()
        if actor.dead:
            raise LiftlockError("it is dead")
        return done
