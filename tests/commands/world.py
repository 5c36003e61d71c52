"""A small world for the use cases: three apps, a ledger in memory, a platform that runs what it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import anyio
import trio.testing

from liftlock.commands.promote import Conditions, plan_promotion
from liftlock.commands.run import Terms, run_under_lease
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Result
from liftlock.errors import LiftlockError
from liftlock.leases.memory import MemoryLeases
from liftlock.ledgers.memory import Memory
from liftlock.model import Approval, Backup, Check, Commit, Gates, Known, Release, State, Target
from liftlock.planning.plan import Plan, Verdict
from liftlock.ports import Adapters
from tests.doubles import (
    START,
    FakeClock,
    FakeDatabases,
    FakeNotifier,
    FakePlatform,
    NoSourceCode,
    app_of,
    deployment,
    project_of,
    release,
)


@dataclass
class Checked(NoSourceCode):
    """Knows every commit, and what the checks say of some."""

    said: dict[str, Sequence[Check]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def commit(self, repository: str, sha: str) -> Commit | None:
        return Commit(sha.ljust(40, "0")) if sha != "unknown" else None

    async def checks(self, repository: str, sha: str) -> Sequence[Check]:
        self.asked.append((repository, sha))
        if sha not in self.said:
            raise LiftlockError(f"{repository} has no commit {sha[:7]}.")
        return self.said[sha]


@dataclass
class Backed(FakeDatabases):
    """A service that has the backups that it is told."""

    kept: list[Backup] = field(default_factory=list)

    async def backups(self, target: Target, *, gone: bool = False) -> Sequence[Backup]:
        return [backup for backup in self.kept if backup.app == target.app]


@dataclass
class World:
    """dev runs and records version b, since 12:00; staging runs and records a. Now it is 13:00."""

    gates: Gates = field(default_factory=Gates)
    root: str = "."

    def __post_init__(self) -> None:
        apps = [app_of("SSO", backup=True), app_of("ODB", ["SSO"]), app_of("Explore", ["ODB"])]
        project = project_of(*apps)
        staging = replace(project.environments["staging"], gates=self.gates)
        self.project = replace(
            project, environments={**project.environments, "staging": staging}, root=self.root
        )
        self.platform = FakePlatform()
        self.clock = FakeClock()
        self.ledger = Memory(self.clock, "requester")
        self.source_code = Checked()
        self.notifier = FakeNotifier()
        self.databases = Backed(self.platform)
        for number, app in enumerate(apps):
            for environment, version in (("dev", "b"), ("staging", "a")):
                of = release(app.name, version)
                record = deployment(app.name, environment, of, 100 + number)
                done = replace(record, created_at=START, state=State.SUCCESS, reached_success=True)
                self.ledger.put(done)
                self.platform.runs[app.name, environment] = Known(of.artifacts, marker="v1")
        self.adapters = Adapters(
            platforms={"fake": self.platform},
            ledger=self.ledger,
            databases={"fake": self.databases},
            notifiers=[self.notifier],
            source_code=self.source_code,
            clock=self.clock,
            leases=MemoryLeases(self.clock),
        )

    async def plan(self, **overrides: str) -> Plan:
        return await plan_promotion(
            self.project, self.adapters, "dev", "staging", conditions=Conditions(overrides=overrides)
        )

    async def verdict(self) -> Verdict:
        """The one gate's verdict."""
        (verdict,) = (await self.plan()).verdicts
        return verdict

    async def run(self, make: Callable[[], Awaitable[Plan]], **terms: Any) -> Result:
        """What `--yes` does."""
        _, result = await run_under_lease(
            self.project,
            self.adapters,
            "staging",
            make,
            Terms("a test", **terms),
            show=lambda plan: None,
            agree=None,
            emit=lambda event: None,
            stop=StopRequest(),
        )
        return result

    def approved(self, plan: Plan, account: str, hours: float = 24) -> None:
        given = Approval(account, START, START + timedelta(hours=hours))
        self.ledger.put_approval("staging", plan.digest, given)

    def put(
        self, app: str, version: str, at_min: float, number: int, environment: str = "staging"
    ) -> Release:
        """A record from before, by another tool."""
        of = release(app, version)
        record = replace(
            deployment(app, environment, of, number),
            created_at=START + timedelta(minutes=at_min),
            promotion="",
            kind=None,
        )
        self.ledger.put(record)
        return of


def played(main: Callable[[], Awaitable[None]]) -> None:
    """Run on trio's virtual clock, from 13:00."""
    clock = trio.testing.MockClock(autojump_threshold=0)

    async def begin() -> None:
        await anyio.sleep(3600)
        await main()

    anyio.run(begin, backend="trio", backend_options={"clock": clock})
