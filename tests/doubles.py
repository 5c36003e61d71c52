"""Small stand-ins for the outside world: a platform, a database service, a clock, a project.

They keep what they are told and fail when they are asked to. The adapters have their own tests.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from liftlock.errors import LeaseLost, LiftlockError, NotHealthy, ReleaseFailed
from liftlock.model import (
    App,
    Backup,
    Database,
    Deployment,
    Environment,
    Holding,
    ImageId,
    Kind,
    Known,
    Located,
    Missing,
    Project,
    Recorded,
    RecordName,
    Release,
    Running,
    State,
    Target,
    Undo,
    Unknown,
)
from liftlock.planning.observation import AppObservation, Observation, Wanted
from liftlock.ports import PUBLICATION, Announcement, BuiltImage, Content, Progress, Publication, Switch
from liftlock.testing.clock import START as START
from liftlock.testing.clock import FakeClock as FakeClock
from liftlock.testing.source_code import NoSourceCode as NoSourceCode


def image(name: str) -> ImageId:
    """An image id that a reader can tell from others in a failure's text."""
    return ImageId("sha256:" + name.encode().hex().ljust(64, "0")[:64])


def release(app: str, version: str, processes: Sequence[str] = ("web",)) -> Release:
    return Release(app, version.ljust(40, "0"), {p: image(f"{app}-{p}-{version}"[:30]) for p in processes})


def app_of(
    name: str,
    after: Sequence[str] = (),
    *,
    backup: bool = False,
    undo: Undo = Undo.SAFE,
    environments: Collection[str] = ("dev", "staging", "production"),
) -> App:
    targets = {e: Target(name, e, "fake", f"{name.lower()}-{e}", "example/services") for e in environments}
    records = {e: RecordName("example/services", f"deploy:{name}", e) for e in environments}
    return App(name, "fake", "example/services", targets, records, tuple(after), backup, undo=undo)


def project_of(*apps: App, settle_s: float = 0.0) -> Project:
    return Project(
        name="observatory",
        repository="example/services",
        ledger="memory",
        settle_s=settle_s,
        environments={
            "dev": Environment("dev"),
            "staging": Environment("staging", ("dev",)),
            "production": Environment("production", ("staging", "dev")),
        },
        apps={app.name: app for app in apps},
        endpoints={},
        config_digest="0" * 64,
    )


def deployment(app: str, environment: str, of: Release, number: int = 1) -> Deployment:
    return Deployment(
        id=str(number),
        app=app,
        environment=environment,
        release=of,
        created_at=START + timedelta(minutes=number),
        state=State.SUCCESS,
        reached_success=True,
        promotion="earlier",
        kind=Kind.PROMOTION,
    )


def seen(
    app: str,
    *,
    wanted: Release | Missing,
    runs: Running | Release | None = None,
    recorded: Release | None = None,
    databases: tuple[Database, ...] = (),
    located: Missing | None = None,
) -> AppObservation:
    """An observation; what runs is what is recorded unless it is said."""
    if isinstance(runs, Release):
        runs = Known(runs.artifacts, marker="v1")
    if runs is None:
        runs = Known(recorded.artifacts if recorded else {}, marker="v1" if recorded else "")
    current = deployment(app, "staging", recorded) if recorded else None
    found: Located | Missing | None = None
    if isinstance(wanted, Release):
        found = located or Located(wanted, dict.fromkeys(wanted.artifacts, "target"))
    return AppObservation(
        app=app,
        wanted=Wanted(wanted, deployment(app, "dev", wanted, 9)) if isinstance(wanted, Release) else wanted,
        located=found,
        recorded=Recorded(current),
        recorded_artifacts=recorded.artifacts if recorded else {},
        running=runs,
        databases=databases,
    )


def observation(*apps: AppObservation) -> Observation:
    return Observation(at=START + timedelta(hours=1), apps={a.app: a for a in apps})


@dataclass
class FakePlatform:
    """Runs what it is told. `fails` names (verb, app) pairs that fail; `takes_s` how long a verb takes."""

    name: str = "fake"
    concurrency: int = 64
    runs: dict[tuple[str, str], Known] = field(default_factory=dict)
    fails: dict[tuple[str, str], LiftlockError] = field(default_factory=dict)
    takes_s: dict[str, float] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    switched_anyway: set[str] = field(default_factory=set)
    """Apps whose failing release has switched all the same."""
    unknown: set[str] = field(default_factory=set)
    """Apps of which it cannot tell what they run."""

    async def _do(self, verb: str, app: str) -> None:
        self.log.append((verb, app))
        await anyio.sleep(self.takes_s.get(verb, 0.0))
        if (error := self.fails.get((verb, app))) is not None:
            raise error
        self.log.append((f"{verb} done", app))

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        if target.app in self.unknown:
            return Unknown("nobody can tell")
        return self.runs.get((target.app, target.environment), Known({}))

    async def locate(self, target: Target, release: Release, source: Target | None) -> Located | Missing:
        return Located(release, dict.fromkeys(release.artifacts, "target"))

    async def pin(self, source: Target, release: Release) -> Release:
        return release

    async def stage(
        self, target: Target, located: Located, source: Target | None, progress: Progress
    ) -> Release:
        await self._do("stage", target.app)
        return located.release

    async def release(
        self, target: Target, release: Release, progress: Progress, promotion: str = ""
    ) -> Switch:
        before = self.runs.get((target.app, target.environment), Known({}))
        try:
            await self._do("release", target.app)
        except LiftlockError:
            if target.app in self.switched_anyway:
                self.runs[target.app, target.environment] = replace(before, artifacts=release.artifacts)
            raise
        self.runs[target.app, target.environment] = Known(release.artifacts, marker="v2")
        return Switch("v2")

    async def settle(
        self, target: Target, release: Release, switch: Switch, settle_s: float, progress: Progress
    ) -> None:
        await self._do("settle", target.app)

    async def restore(
        self, target: Target, before: Known, progress: Progress, released: Release | None = None
    ) -> None:
        await self._do("restore", target.app)
        self.runs[target.app, target.environment] = before

    async def publish(
        self,
        app: App,
        commit: str,
        checkout: Path,
        progress: Progress,
        publication: Publication = PUBLICATION,
    ) -> Release:
        return Release(app.name, commit, {"web": image(f"{app.name}-{commit[:7]}")})

    async def build(self, app: App, checkout: Path, progress: Progress) -> Mapping[str, BuiltImage]:
        return {"web": BuiltImage(image(app.name), 1000)}


@dataclass
class FakeDatabases:
    """Backs up in an instant, or fails."""

    platform: FakePlatform
    name: str = "fake"
    concurrency: int = 8
    size_bytes: int = 1000

    async def databases(self, target: Target) -> Sequence[Database]:
        return (Database(f"db-{target.app}", target.app, target.environment, self.name),)

    async def capture(
        self, database: Database, not_before: datetime | None, progress: Progress, promotion: str = ""
    ) -> Backup:
        await self.platform._do("backup", database.app)
        return Backup("b001", database.id, database.app, self.name, self.size_bytes, START, START)

    async def backups(self, target: Target, *, gone: bool = False) -> Sequence[Backup]:
        return ()

    def content(self, database: Database, backup: Backup) -> AbstractAsyncContextManager[Content]:
        raise LiftlockError(f"There is no backup {backup.id} to read.")

    async def restore(self, database: Database, backup: Backup, progress: Progress) -> None:
        await self.platform._do("restore database", database.app)

    async def delete(self, database: Database, backup: Backup) -> None: ...

    async def address(self, database: Database) -> str:
        raise LiftlockError(f"{database.id} is nowhere.")


@dataclass
class FakeLease:
    """A lease that lasts, until it is told not to."""

    holding: Holding = field(
        default_factory=lambda: Holding("staging", "us", "a test", START, START + timedelta(hours=1), 1)
    )
    left_s: float = 600.0
    lost: LeaseLost | None = None
    journal: list[Mapping[str, Any]] = field(default_factory=list)
    seen_at: float = 0.0

    def lasts_s(self) -> float:
        return self.left_s

    def seen_s(self) -> float:
        return anyio.current_time() - self.seen_at

    def vacant_s(self) -> float | None:
        return None

    async def look(self) -> None:
        await anyio.lowlevel.checkpoint()
        self._see()

    async def renew(self) -> None:
        await anyio.lowlevel.checkpoint()
        self._see()

    def _see(self) -> None:
        if self.lost is not None:
            raise self.lost
        self.seen_at = anyio.current_time()

    async def write(self, entry: Mapping[str, Any]) -> None:
        self.journal.append(entry)

    async def free(self, *, hand_on: bool = False) -> None:
        self.left_s = 0.0


@dataclass
class FakeNotifier:
    name: str = "slack"
    told: list[Announcement] = field(default_factory=list)
    error: LiftlockError | None = None

    async def announce(self, announcement: Announcement) -> None:
        if self.error is not None:
            raise self.error
        self.told.append(announcement)


def crash(app: str) -> NotHealthy:
    return NotHealthy(f"web of {app} crashed at start.")


def refusal(app: str) -> ReleaseFailed:
    return ReleaseFailed(f"The platform refused to release {app}: 500.")
