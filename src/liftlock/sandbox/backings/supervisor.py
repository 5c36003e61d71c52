"""Dynos: the processes of every app, their states, their restarts and their logs.

States as Heroku names them: `starting` → `up` → `crashed`. A crashed dyno is restarted at once, and
when it crashes again, after a pause that grows (Source: Heroku Dev Center, "Dyno crash restart
policy"; the pauses are ours, shorter). A release stops the old dynos while the new ones start, as
Heroku does without preboot. Heroku's `idle` and `down` do not occur: nothing sleeps here, and a
dyno that was stopped is gone from the list.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import anyio

from liftlock.sandbox.backings import Databases, Job, LaunchError, Run, Runtime
from liftlock.sandbox.clock import micros_iso

if TYPE_CHECKING:
    from liftlock.sandbox.backings.watchdog import Watchdog
    from liftlock.sandbox.cloud import Cloud

RESTART_AFTER_S = (0.0, 20.0, 60.0, 300.0, 1200.0)
FORGIVEN_AFTER_S = 60.0
"""A dyno that was up so long begins anew with the first pause when it crashes."""
STOP_LIMIT_S = 15.0
LOG_LINES = 1500
"""Source: Heroku's Logplex keeps the last 1,500 lines."""


@dataclass(eq=False, slots=True)
class Dyno:
    """One process of an app, with the release that it belongs to."""

    id: str
    job: Job
    release_id: str
    changed_at: datetime
    created_at: datetime
    state: str = "starting"
    run: Run | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)

    @property
    def name(self) -> str:
        return self.job.dyno


class App:
    """What the supervisor knows of one app."""

    __slots__ = ("changed", "dynos", "lines")

    def __init__(self) -> None:
        self.dynos: dict[str, Dyno] = {}
        self.lines: deque[tuple[int, str]] = deque(maxlen=LOG_LINES)
        self.changed = anyio.Event()
        """Set and replaced whenever a dyno's state changes or a line is logged."""


class Backing:
    """Supervises every app's dynos on a `Runtime`, beside the `Databases`."""

    def __init__(
        self, cloud: Cloud, runtime: Runtime, databases: Databases, watchdog: Watchdog | None = None
    ) -> None:
        self._cloud = cloud
        self.runtime = runtime
        self.databases = databases
        self._watchdog = watchdog
        self._apps: dict[str, App] = {}
        self._count = 0
        self.at_start: list[Callable[[], Awaitable[None]]] = []
        """What a cloud with a past does first (the apps' processes are started again)."""

    async def start(self) -> None:
        await self.runtime.start()
        await self.databases.start()
        for function in self.at_start:
            await function()

    async def stop(self) -> None:
        """End every process that was started, dynos before databases."""
        async with anyio.create_task_group() as tasks:
            for app in self._apps.values():
                for dyno in app.dynos.values():
                    tasks.start_soon(_ended, dyno)
                app.dynos = {}
        await self.runtime.stop()
        await self.databases.stop()
        if self._watchdog is not None:
            await self._watchdog.stop()

    def replace(self, app: str, release_id: str, jobs: Sequence[Job]) -> None:
        """Switch an app to a release: its dynos stop while those of `jobs` start. Returns at once."""
        for dyno in self._app(app).dynos.values():
            dyno.scope.cancel()
        self._app(app).dynos = {}
        self.adjust(app, release_id, jobs)

    def adjust(self, app: str, release_id: str, jobs: Sequence[Job]) -> None:
        """Scale: start the jobs that have no dyno, stop the dynos that have no job. Returns at once."""
        mine = self._app(app)
        wanted = {job.dyno for job in jobs}
        for name in [name for name in mine.dynos if name not in wanted]:
            mine.dynos.pop(name).scope.cancel()
        for job in jobs:
            if job.dyno not in mine.dynos:
                mine.dynos[job.dyno] = self._start(job, release_id)
        self._tell(mine)

    def restart(self, app: str, name: str | None = None, type_: str | None = None) -> None:
        """Start all dynos of an app anew, or one, or those of one process type. Returns at once."""
        mine = self._app(app)
        for dyno in list(mine.dynos.values()):
            if name in (None, dyno.name) and type_ in (None, dyno.job.type):
                dyno.scope.cancel()
                mine.dynos[dyno.name] = self._start(dyno.job, dyno.release_id)
        self._tell(mine)

    async def release_phase(self, job: Job, release_id: str, log: Callable[[str], None]) -> int:
        """Run an app's release command to its end; gives its exit status. `log` is told its lines too."""
        now = self._cloud.clock.now()
        dyno = Dyno(self._cloud.uuid(), job, release_id, now, now, state="up")
        mine = self._app(job.app)
        mine.dynos[dyno.name] = dyno

        def heard(line: str) -> None:
            self.log(job.app, f"app[{job.dyno}]", line)
            log(line)

        status = 143  # as a shell tells of SIGTERM: the dyno was stopped
        try:
            with dyno.scope:
                dyno.run = await self._launch(job, heard)
                try:
                    status = await dyno.run.wait()
                finally:
                    with anyio.CancelScope(shield=True):
                        await dyno.run.stop()
        except LaunchError as error:
            heard(str(error))
            status = 127
        finally:
            dyno.ended.set()
            if mine.dynos.get(dyno.name) is dyno:
                del mine.dynos[dyno.name]
            self._tell(mine)
        return status

    def dynos(self, app: str) -> list[Dyno]:
        """An app's dynos, in the order in which they were started."""
        return list(self._app(app).dynos.values())

    def log(self, app: str, source: str, line: str) -> None:
        """Add a line to an app's log, as Logplex writes it: `2026-01-01T00:00:00.000000Z app[web.1]: …`."""
        mine = self._app(app)
        self._count += 1
        mine.lines.append((self._count, f"{micros_iso(self._cloud.clock.now())} {source}: {line}"))
        self._tell(mine)

    def lines(self, app: str, after: int = 0) -> list[tuple[int, str]]:
        """The numbered lines of an app's log after number `after`, oldest first."""
        return [entry for entry in self._app(app).lines if entry[0] > after]

    async def change(self, app: str) -> None:
        """Wait until one of the app's dynos changes its state or logs something."""
        await self._app(app).changed.wait()

    def _app(self, name: str) -> App:
        app = self._apps.get(name)
        if app is None:
            app = self._apps[name] = App()
        return app

    def _tell(self, app: App) -> None:
        app.changed.set()
        app.changed = anyio.Event()

    def _start(self, job: Job, release_id: str) -> Dyno:
        now = self._cloud.clock.now()
        dyno = Dyno(self._cloud.uuid(), job, release_id, now, now)
        self._cloud.start_soon(self._supervise, dyno)
        return dyno

    def _set(self, dyno: Dyno, state: str) -> None:
        app = self._app(dyno.job.app)
        if dyno.scope.cancel_called or app.dynos.get(dyno.name) is not dyno:
            return
        self.log(dyno.job.app, f"heroku[{dyno.name}]", f"State changed from {dyno.state} to {state}")
        dyno.state = state
        dyno.changed_at = self._cloud.clock.now()
        self._tell(app)

    async def _supervise(self, dyno: Dyno) -> None:
        """Keep one dyno running until its scope is cancelled."""
        crashes = 0
        try:
            with dyno.scope:
                while True:
                    began = anyio.current_time()
                    await self._live(dyno)
                    if anyio.current_time() - began > FORGIVEN_AFTER_S and dyno.state == "up":
                        crashes = 0
                    self._set(dyno, "crashed")
                    await anyio.sleep(RESTART_AFTER_S[min(crashes, len(RESTART_AFTER_S) - 1)])
                    crashes += 1
                    self._set(dyno, "starting")
        finally:
            dyno.ended.set()

    async def _launch(self, job: Job, log: Callable[[str], None]) -> Run:
        # A launch that was cancelled half-way would leave a process that nobody knows.
        with anyio.CancelScope(shield=True):
            run = await self.runtime.launch(job, log)
        return run  # noqa: RET504  a type checker cannot tell that the scope lets nothing slip

    async def _live(self, dyno: Dyno) -> None:
        """One life of a dyno, from its start to its end."""
        app, source = dyno.job.app, f"app[{dyno.name}]"
        try:
            dyno.run = await self._launch(dyno.job, lambda line: self.log(app, source, line))
        except LaunchError as error:
            self.log(app, f"heroku[{dyno.name}]", str(error))
            return
        try:
            if await dyno.run.ready():
                self._set(dyno, "up")
                status = await dyno.run.wait()
                self.log(app, f"heroku[{dyno.name}]", f"Process exited with status {status}")
            else:
                reason = "Process exited before it was up, or did not bind to $PORT (R10)"
                self.log(app, f"heroku[{dyno.name}]", reason)
        finally:
            with anyio.CancelScope(shield=True):
                await dyno.run.stop()
            dyno.run = None


async def _ended(dyno: Dyno) -> None:
    dyno.scope.cancel()
    # A dyno whose task was cancelled before it began never ends.
    with anyio.move_on_after(STOP_LIMIT_S):
        await dyno.ended.wait()
