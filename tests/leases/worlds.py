"""Leases with a world behind them, all to be held to the same contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from liftlock.http import Http
from liftlock.leases.github import GitHubKeeper
from liftlock.leases.memory import MemoryKeeper
from liftlock.leases.numbered import Keeper, NumberedLeases
from liftlock.leases.postgresql import PostgresqlKeeper
from liftlock.leases.record import MARGIN_S
from liftlock.leases.sqlite import SqliteKeeper
from liftlock.postgresql.address import Address
from liftlock.postgresql.database import Database
from liftlock.sandbox import Cloud
from liftlock.sandbox.inprocess import InProcess
from liftlock.sqlite_file import SqliteFile
from liftlock.testing.clock import Machine as Machine
from tests.postgresql import connected

REPOSITORY = "example/services"
BASE = "http://127.0.0.1:1"
TTL_S = 600.0
REFS = f"/repos/{REPOSITORY}/git"


@dataclass
class World:
    """One place where leases are kept, and takers on machines of their own."""

    keeper: Callable[[str, Machine], Keeper]
    let_pass: Callable[[float], None]
    """Let time pass for the keeper of leases alone: whoever sleeps meanwhile is suspended."""

    ttl_s: float = TTL_S
    gone_s: float = TTL_S + MARGIN_S + 2

    def leases(self, account: str = "anna", machine: Machine | None = None) -> NumberedLeases:
        """Leases as another process has them."""
        machine = machine or Machine()
        return NumberedLeases(self.keeper(account, machine), machine.boottime, ttl_s=TTL_S)


@dataclass
class GitHubWorld(World):
    cloud: Cloud = field(default_factory=lambda: Cloud(modelled=True))
    http: Http = field(default=None)  # type: ignore[assignment]

    def requests(self) -> list[tuple[str, str]]:
        """What was asked of GitHub's git database, as (method, path), and forgotten."""
        asked = self.cloud.log.since(0, "github")
        self.cloud.log.clear()
        return [(entry.method, entry.path.removeprefix(f"{REFS}/")) for entry in asked]

    def fault(self, **rule: Any) -> None:
        self.cloud.faults.add({"vendor": "github", **rule})

    async def refs(self) -> Mapping[str, str]:
        """Every ref of leases: names to objects."""
        found = (await self.http.request("GET", f"{REFS}/matching-refs/liftlock/")).array()
        return {one["ref"].removeprefix("refs/liftlock/"): one["object"]["sha"] for one in found}

    async def tag(self, name: str) -> dict[str, Any]:
        sha = (await self.refs())[name]
        return (await self.http.request("GET", f"{REFS}/tags/{sha}")).object()


@asynccontextmanager
async def github_world() -> AsyncIterator[GitHubWorld]:
    cloud = Cloud(modelled=True)
    async with cloud.running():
        transport = InProcess(cloud)
        clients: dict[str, Http] = {}

        def http(account: str) -> Http:
            async def bearer() -> str | None:
                return f"Bearer {'owner' if account == 'owner' else f'user-{account}'}"

            if account not in clients:
                clients[account] = Http("github", BASE, authorization=bearer, transport=transport)
            return clients[account]

        owner = http("owner")
        world = {"github": {"repositories": [REPOSITORY]}}
        await owner.request("PUT", "/_sandbox/world", json=world)
        commit = {"sha": "1" * 40, "parents": [], "message": "A commit", "author": "owner"}
        await owner.request("PUT", f"/_sandbox/github/{REPOSITORY}/commits", json=[commit])

        def keeper(account: str, machine: Machine) -> Keeper:
            return GitHubKeeper(lambda: http(account), REPOSITORY, "observatory")

        def let_pass(seconds: float) -> None:
            clock: Any = cloud.clock
            clock.epoch += timedelta(seconds=seconds)

        yield GitHubWorld(keeper, let_pass, cloud=cloud, http=owner)
        for client in clients.values():
            await client.aclose()


@dataclass
class LocalTime:
    """The one clock that the users of a file or of a memory share."""

    machine: Machine
    late_s: float = 0.0

    def now(self) -> datetime:
        return self.machine.now() + timedelta(seconds=self.late_s)

    def boottime(self) -> float:
        return self.machine.boottime()


@asynccontextmanager
async def memory_world() -> AsyncIterator[World]:
    time = LocalTime(Machine())
    shared = MemoryKeeper(time)

    def keeper(account: str, machine: Machine) -> Keeper:
        mine = MemoryKeeper(time, account)
        mine.numbers, mine.written = shared.numbers, shared.written
        return mine

    def let_pass(seconds: float) -> None:
        time.late_s += seconds

    yield World(keeper, let_pass)


@asynccontextmanager
async def sqlite_world(folder: Path) -> AsyncIterator[World]:
    time = LocalTime(Machine())
    files: list[SqliteFile] = []

    def keeper(account: str, machine: Machine) -> Keeper:
        files.append(SqliteFile(folder / "liftlock.db"))
        return SqliteKeeper(files[-1], "observatory", time, account)

    def let_pass(seconds: float) -> None:
        time.late_s += seconds

    yield World(keeper, let_pass)
    for file in files:
        file.close()


@asynccontextmanager
async def postgresql_world(address: Address) -> AsyncIterator[World]:
    """A project of its own in a database. Its clock cannot be turned: what is written there grows older."""
    project = f"observatory-{uuid4().hex}"
    databases: list[Database] = []

    def keeper(account: str, machine: Machine) -> Keeper:
        databases.append(Database(address, {}))
        return PostgresqlKeeper(databases[-1], project, account)

    def let_pass(seconds: float) -> None:
        older = "UPDATE liftlock.leases SET written_at = written_at - make_interval(secs => %s) WHERE project = %s"
        with connected(address) as db:
            db.execute(older, (seconds, project))

    yield World(keeper, let_pass)
    for database in databases:
        await database.aclose()
