"""Ledgers with a world behind them, all to be held to the same contract."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from liftlock.http import Http
from liftlock.ledgers.github import GitHubLedger
from liftlock.ledgers.github_deployments import Deployments
from liftlock.ledgers.memory import Memory
from liftlock.ledgers.postgresql import PostgresqlLedger
from liftlock.ledgers.sqlite import SqliteLedger
from liftlock.model import App, Environment, Project, RecordName, Target
from liftlock.ports import Ledger
from liftlock.postgresql.address import Address
from liftlock.postgresql.database import Database
from liftlock.sandbox import Cloud
from liftlock.sandbox.inprocess import InProcess
from liftlock.testing.samples import BACKUP as BACKUP
from liftlock.testing.samples import COMMITS as COMMITS
from liftlock.testing.samples import RELEASES as RELEASES
from liftlock.testing.samples import containers as containers
from liftlock.testing.samples import image as image
from liftlock.testing.samples import new_deployment as new_deployment
from liftlock.testing.samples import new_intent as new_intent

FIXTURES = Path(__file__).parent / "fixtures"
OBSERVATORY: dict[str, Any] = json.loads((FIXTURES / "observatory.json").read_text())
BASE = "http://127.0.0.1:1"


class Ticking:
    """A clock that never tells the same time twice."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time

    def boottime(self) -> float:
        return self.time.timestamp()


def observatory() -> Project:
    """The reference project, with the names that its records have had from before liftlock."""
    environments = {
        name: Environment(name, names=names) for name, names in OBSERVATORY["environments"].items()
    }
    apps = {}
    for name, told in OBSERVATORY["apps"].items():
        own = told.get("environment", {})
        records = {
            e.name: RecordName(
                told["repository"], told["task"], own.get(e.name) or e.names.get("github", e.name)
            )
            for e in environments.values()
        }
        targets = {e: Target(name, e, told["platform"], f"{name.lower()}-{e}") for e in environments}
        apps[name] = App(name, told["platform"], told["repository"], targets, records)
    return Project(
        name="observatory",
        repository=OBSERVATORY["repository"],
        ledger="github",
        settle_s=0.0,
        environments=environments,
        apps=apps,
        endpoints={},
    )


@dataclass
class World:
    """`liftlock.testing.LedgerWorld`, with the project that its ledger is of."""

    ledger: Ledger
    project: Project
    another: Callable[[], Ledger]
    account: str = "owner"


@dataclass
class GitHubWorld(World):
    """GitHub's sandbox behind the ledger."""

    cloud: Cloud = field(default_factory=lambda: Cloud(modelled=True))
    http: Http = field(default=None)  # type: ignore[assignment]

    def requests(self, method: str = "") -> list[tuple[str, str]]:
        """What was asked of GitHub, as (method, path)."""
        asked = self.cloud.log.since(0, "github")
        return [(entry.method, entry.path) for entry in asked if method in ("", entry.method)]

    def fault(self, **rule: Any) -> None:
        self.cloud.faults.add({"vendor": "github", **rule})

    async def foreign(self, repository: str, body: Mapping[str, Any], *states: str, **status: Any) -> str:
        """A record as another tool makes it, `auto_inactive` and all."""
        body = {"ref": COMMITS[0], "auto_merge": False, "required_contexts": [], **body}
        made = (await self.http.request("POST", f"/repos/{repository}/deployments", json=body)).object()
        for state in states:
            path = f"/repos/{repository}/deployments/{made['id']}/statuses"
            await self.http.request("POST", path, json={"state": state, **status})
        return str(made["id"])

    def records(self, repository: str = "example/services") -> list[dict[str, Any]]:
        """GitHub's own truth: deployments with their statuses."""
        from liftlock.sandbox import github

        deployments: list[dict[str, Any]] = github.observe(self.cloud)["repositories"][repository][
            "deployments"
        ]
        return deployments


@asynccontextmanager
async def github_world(looks_s: tuple[float, ...] = (0.0, 0.0)) -> AsyncIterator[GitHubWorld]:
    cloud = Cloud(modelled=True)
    project = observatory()
    async with cloud.running():
        transport = InProcess(cloud)

        async def owner() -> str | None:
            return "Bearer owner"

        http = Http("github", BASE, authorization=owner, transport=transport)
        repositories = sorted({app.repository for app in project.apps.values()})
        await http.request("PUT", "/_sandbox/world", json={"github": {"repositories": repositories}})
        commits = [{"sha": sha, "parents": [], "message": "A commit", "author": "owner"} for sha in COMMITS]
        for repository in repositories:
            await http.request("PUT", f"/_sandbox/github/{repository}/commits", json=commits)

        def another() -> Ledger:
            return GitHubLedger(project, Deployments(lambda: http, looks_s))

        yield GitHubWorld(another(), project, another, cloud=cloud, http=http)


@asynccontextmanager
async def sqlite_world(folder: Path) -> AsyncIterator[World]:
    project = observatory()
    clock = Ticking()
    opened: list[SqliteLedger] = []

    def another() -> Ledger:
        opened.append(SqliteLedger(folder / "liftlock.db", project.name, clock, "owner"))
        return opened[-1]

    yield World(another(), project, another)
    for ledger in opened:
        ledger.close()


@asynccontextmanager
async def postgresql_world(address: Address, **changes: Any) -> AsyncIterator[World]:
    """A project of its own in a database that others use as well."""
    project = replace(observatory(), name=f"observatory-{uuid4().hex}")
    opened: list[Database] = []

    def another() -> Ledger:
        opened.append(Database(address, {}))
        return PostgresqlLedger(opened[-1], project.name, Ticking(), **changes)

    yield World(another(), project, another)
    for database in opened:
        await database.aclose()


@asynccontextmanager
async def memory_world() -> AsyncIterator[World]:
    ledger = Memory(Ticking(), "owner")
    yield World(ledger, observatory(), lambda: ledger)
