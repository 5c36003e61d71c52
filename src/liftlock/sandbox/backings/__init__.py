"""What stands behind the HTTP layer of Heroku: something that runs images, something that keeps databases.

There are two of each. The real ones start the image's process and keep a PostgreSQL server; the
modelled ones take their durations from the settings and start nothing, so that simulations can run
in-process on a virtual clock. Everything above (dynos, their states, restarts, logs) is the same code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from liftlock.sandbox.images import Image

if TYPE_CHECKING:
    from liftlock.sandbox.backings.supervisor import Backing
    from liftlock.sandbox.cloud import Cloud

RUNTIME_VARIABLE = "LIFTLOCK_SANDBOX_RUNTIME"
BOOT_LIMIT_S = 60.0
"""How long a web process has until its port accepts connections. Source: Heroku error R10."""


class LaunchError(Exception):
    """The process could not even be started; the message is a line of the app's log."""


class DatabaseError(Exception):
    """A database, a backup or a restore failed; the message has no secrets."""


@dataclass(frozen=True, slots=True)
class Job:
    """One process to run: a dyno of an app at a release, or the release phase's."""

    app: str
    dyno: str
    """Heroku's name of it: `web.1`, `release.1234`."""
    image: Image
    version: int
    environ: Mapping[str, str] = field(repr=False)
    """The config vars. They hold secrets: never shown."""
    switching: bool = False
    """Whether it is started by a release without a release phase (a modelled release then takes its time here)."""

    @property
    def type(self) -> str:
        return self.dyno.partition(".")[0]


class Run(Protocol):
    """A process that was started."""

    port: int | None
    """Where a web process listens on 127.0.0.1; None when there is nothing to connect to."""

    async def ready(self) -> bool:
        """Wait until it is up; False when it ended first, or (web) never accepted a connection."""
        ...

    async def wait(self) -> int:
        """Its exit status, once it has ended."""
        ...

    async def stop(self) -> None:
        """End it and everything that it started, and wait until that is gone. Safe to repeat."""
        ...


class Runtime(Protocol):
    """Runs images."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Nothing that it started is left afterwards."""
        ...

    async def launch(self, job: Job, log: Callable[[str], None]) -> Run:
        """Start a process; `log` is called with each line that it writes. Raises `LaunchError`."""
        ...


class Databases(Protocol):
    """Keeps the apps' databases and their dumps. Its methods raise `DatabaseError`."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def create(self, app: str) -> str:
        """The address (DATABASE_URL) of the app's database, made when it is absent."""
        ...

    async def size(self, app: str) -> int:
        """Bytes."""
        ...

    async def dump(self, app: str, key: str) -> int:
        """Write a backup under `key`; gives its size in bytes. An interrupted one leaves nothing."""
        ...

    async def restore(self, app: str, key: str) -> None:
        """Make the app's database what it was when `key` was written, by any app."""
        ...

    def dumped(self, key: str) -> Path | bytes | None:
        """The backup as a file or as bytes."""
        ...

    def forget(self, key: str) -> None:
        """Delete a backup. Safe to repeat."""
        ...


def make_backing(cloud: Cloud) -> Backing:
    """The backing of a cloud: modelled, or real with the runtime that the environment asks for."""
    # Late, each: the modelled one must not need PostgreSQL, and the real one is slow to import.
    from liftlock.sandbox.backings.supervisor import Backing

    if cloud.modelled:
        from liftlock.sandbox.backings.modelled import ModelledDatabases, ModelledRuntime

        return Backing(cloud, ModelledRuntime(cloud), ModelledDatabases(cloud))
    from liftlock.sandbox.backings.postgres import Postgres
    from liftlock.sandbox.backings.runtime import make_runtime
    from liftlock.sandbox.backings.watchdog import Watchdog

    watchdog = Watchdog()
    runtime = make_runtime(cloud, watchdog, os.environ.get(RUNTIME_VARIABLE, "auto"))
    return Backing(cloud, runtime, Postgres(cloud, watchdog), watchdog)
