"""The built-in services that back databases up keep the contract that every one is held to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from liftlock.model import Target
from liftlock.plugins import Context, load
from liftlock.ports import Clock, DatabaseService
from liftlock.sandbox.inprocess import InProcess
from liftlock.testing import DatabaseContract, open_context
from tests.databases.plain import RealTime, plain_app, service
from tests.platforms import world as sandboxes


@dataclass
class HerokuWorld:
    here: sandboxes.World
    context: Context
    target: Target
    clock: Clock
    apart_s: float = 60.0

    def service(self) -> DatabaseService:
        made: DatabaseService = load("databases", "heroku").build(self.context)
        return made

    async def write(self, value: str) -> None: ...

    async def read(self) -> str | None:
        return None  # this sandbox only models its databases


class TestHeroku(DatabaseContract):
    @pytest.fixture
    def anyio_backend(self) -> object:
        return "trio", {"clock": MockClock(autojump_threshold=0)}

    @pytest.fixture
    async def world(self) -> AsyncIterator[HerokuWorld]:
        project = sandboxes.project_of(sandboxes.container_app())
        async with (
            sandboxes.opened(project) as here,
            open_context(project, transport=InProcess(here.cloud), environ={}) as context,
        ):
            clock: Any = here.cloud.clock
            yield HerokuWorld(here, context, here.target("ODB", "staging"), clock)


@dataclass
class PlainWorld:
    folder: Path
    database: Any
    """Where it is: an address of PostgreSQL."""
    programs: Any
    clock: Clock
    apart_s: float = 0.01

    def __post_init__(self) -> None:
        self.app = plain_app("SHOP", self.folder)
        self.target = self.app.targets["staging"]

    def service(self) -> DatabaseService:
        return service(self.app, self.database)

    async def write(self, value: str) -> None:
        script = f"DROP TABLE IF EXISTS said; CREATE TABLE said AS SELECT '{value}' AS word;"
        await self.programs.query(script, self.database)

    async def read(self) -> str | None:
        cells: bytes = await self.programs.query("SELECT word FROM said;", self.database)
        return cells.rstrip(b"\0").decode()


class TestPostgres(DatabaseContract):
    @pytest.fixture
    def world(self, tmp_path: Path, database: Any, programs: Any) -> PlainWorld:
        return PlainWorld(tmp_path / "backups", database, programs, RealTime())
