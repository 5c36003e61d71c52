"""A project of 64 apps in five environments with as many records as are wanted, on a real SQL ledger."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
from tests.doubles import FakePlatform

from liftlock.leases.memory import MemoryLeases
from liftlock.ledgers.postgresql import PostgresqlLedger
from liftlock.ledgers.sqlite import SqliteLedger
from liftlock.model import (
    App,
    Commit,
    Environment,
    ImageId,
    Kind,
    Known,
    Project,
    RecordName,
    Release,
    Running,
    State,
    StepTime,
    Target,
)
from liftlock.ports import Adapters, NewDeployment, NewIntent
from liftlock.postgresql.address import read_address
from liftlock.postgresql.database import Database
from liftlock.testing.source_code import NoSourceCode
from liftlock.wiring import SystemClock

APPS = 64
ENVIRONMENTS = ("dev", "qa", "staging", "preview", "production")
AT_ONCE = 16
"""How many apps a promotion of the history moves."""
PEOPLE = ("ada", "grace", "hedy", "katherine", "mary")


def project() -> Project:
    names = [f"service-{n:02d}" for n in range(APPS)]
    apps = {}
    for name in names:
        targets = {e: Target(name, e, "fake", f"{name}-{e}", "example/services") for e in ENVIRONMENTS}
        records = {e: RecordName("example/services", f"deploy:{name}", e) for e in ENVIRONMENTS}
        apps[name] = App(name, "fake", "example/services", targets, records)
    before = (None, *ENVIRONMENTS)
    environments = {e: Environment(e, (b,) if b else ()) for e, b in zip(ENVIRONMENTS, before, strict=False)}
    return Project("fleet", "example/services", "sqlite", 0.0, environments, apps, {}, config_digest="0" * 64)


def release(app: str, version: int, at: datetime) -> Release:
    sha = f"{version:07x}{app[-2:]}".ljust(40, "0")
    about = Commit(sha, f"Change the way that {app} answers, step {version}", "Ada Lovelace", committed_at=at)
    return Release(app, sha, {"web": ImageId("sha256:" + sha.ljust(64, "0"))}, about)


@dataclass
class Turned:
    """A clock that is turned by hand while the past is written."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def boottime(self) -> float:
        return 0.0


@dataclass
class Steady(FakePlatform):
    """Answers at once that everything runs as it is recorded."""

    current: dict[tuple[str, str], Release] = field(default_factory=dict)

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        found = self.current.get((target.app, target.environment))
        return Known(found.artifacts if found else {}, marker="v7", healthy=True)


OpenLedger = Callable[[Turned | SystemClock], AbstractAsyncContextManager[SqliteLedger | PostgresqlLedger]]


def ledger_at(address: str) -> OpenLedger:
    """Opens the ledger of an address: a file's path, or `postgresql://…`."""

    @asynccontextmanager
    async def opened(clock: Turned | SystemClock) -> AsyncIterator[SqliteLedger | PostgresqlLedger]:
        if address.startswith("postgresql:"):
            database = Database(read_address(address, "the benchmark"), os.environ)
            try:
                yield PostgresqlLedger(database, "fleet", clock, "ada")
            finally:
                await database.aclose()
        else:
            file = SqliteLedger(Path(address), "fleet", clock, "ada")
            try:
                yield file
            finally:
                file.close()

    return opened


async def fill(open_ledger: OpenLedger, records: int) -> None:
    """Write so many records, as promotions of `AT_ONCE` apps over the last two years."""
    chance = random.Random(7)
    whole = project()
    names = list(whole.apps)
    promotions = max(records // AT_ONCE, 1)
    begin = datetime.now(UTC) - timedelta(days=700)
    clock = Turned(begin)
    async with open_ledger(clock) as ledger:
        for number in range(promotions):
            clock.at = begin + timedelta(days=700) * number / promotions
            environment = ENVIRONMENTS[number % len(ENVIRONMENTS)]
            source = whole.environments[environment].promotes_from
            apps = names[(number // 5 * AT_ONCE) % APPS :][:AT_ONCE]
            releases = {
                app: release(app, number // 20, clock.at - timedelta(hours=chance.randint(2, 90)))
                for app in apps
            }
            kind = Kind.PROMOTION if source else Kind.DEPLOY
            intent = await ledger.open_intent(
                NewIntent(
                    f"k{number}", kind, environment, source[0] if source else "", "d" * 64, releases, {}, {}
                )
            )
            fails = chance.random() < 0.08
            if not fails:
                steps = {"release": StepTime(1.0, 4.0), "verify": StepTime(5.0, 30.0)}
                for app, one in releases.items():
                    made = await ledger.record(
                        NewDeployment(app, environment, one, intent.id, kind, steps=steps), intent
                    )
                    await ledger.mark(made, State.SUCCESS)
            clock.at += timedelta(seconds=chance.randint(30, 300))
            state = State.FAILURE if fails else State.SUCCESS
            await ledger.close_intent(intent, state, "failed: a test" if fails else "")


async def copy(from_: OpenLedger, to: OpenLedger) -> None:
    """Bring all that stands in one ledger into another one, which is empty."""
    clock = SystemClock()
    async with from_(clock) as old, to(clock) as new:
        await new.put(await old.entries(), "benchmark")


@asynccontextmanager
async def opened(open_ledger: OpenLedger) -> AsyncIterator[Adapters]:
    """The project's adapters: the ledger as it is, and a platform that runs what is recorded."""
    clock = SystemClock()
    async with open_ledger(clock) as ledger:
        platform = Steady()
        whole = project()
        for environment in ENVIRONMENTS:
            found = await ledger.read(environment, list(whole.apps)).recorded()
            for app, recorded in found.items():
                if recorded.current is not None:
                    platform.current[app, environment] = recorded.current.release
        yield Adapters(
            platforms={"fake": platform},
            ledger=ledger,
            databases={},
            notifiers=(),
            source_code=NoSourceCode(),
            clock=clock,
            leases=MemoryLeases(clock),
        )


if __name__ == "__main__":
    import sys

    anyio.run(fill, ledger_at(sys.argv[1]), int(sys.argv[2]))
