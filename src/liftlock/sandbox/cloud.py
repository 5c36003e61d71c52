"""The cloud itself: everything that outlives one request.

Vendor modules read and change it; `app` serves it. One event loop uses it at a time.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from liftlock.sandbox.clock import Clock, LoopClock, WallClock
from liftlock.sandbox.faults import Faults
from liftlock.sandbox.limits import Limits
from liftlock.sandbox.requests import RequestLog
from liftlock.sandbox.store import Store

if TYPE_CHECKING:
    from liftlock.sandbox.backings.supervisor import Backing

_NAMESPACE = uuid.UUID("6c1f7f0e-52a4-4b3b-9d0e-6c6966746c6b")


@dataclass(slots=True)
class Settings:
    """How the cloud behaves; changed by `PUT /_sandbox/settings`. Times in seconds."""

    release_s: float = 0.0
    """The modelled backing: how long a release takes, its release phase included."""
    boot_s: float = 0.0
    """The modelled backing: how long a dyno starts."""
    backup_s: float = 0.0
    """The modelled backing: how long a backup takes."""
    clone_s: float = 0.0
    """How long the clone of a site version takes."""
    github_listing_delay_s: float = 0.0
    """How late a new deployment appears in GitHub's lists (it can be read by its id at once)."""
    limits: bool = False
    """Whether GitHub's and Heroku's rate limits are enforced and advertised."""
    formation_images: bool = True
    """Whether reading a Heroku formation tells the image ids: nobody confirmed it of the real one."""
    registry_any_manifest: bool = False
    """Whether the registry takes every manifest, as an ordinary one does; Heroku's takes schema 2 alone."""

    def change(self, document: dict[str, Any]) -> None:
        """Take the given keys. Raises `ValueError` that names the wrong one; then nothing is changed."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        for key, value in document.items():
            if key not in known:
                raise ValueError(f"unknown setting {key!r}; there are {', '.join(known)}")
            right = isinstance(value, bool) if isinstance(known[key], bool) else _is_number(value)
            if not right:
                raise ValueError(f"setting {key} has the wrong type: {value!r}")
        for key, value in document.items():
            setattr(self, key, value)

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Cloud:
    """GitHub, Heroku, its registry, Postgres, Firebase Hosting, Docker Swarm and Slack, as one state.

    `directory`: where the state lives; None keeps it in memory. `modelled`: no processes and no
    PostgreSQL, and time that follows the event loop's clock when there is no directory.
    Used inside `async with cloud.running()`, which the served application's lifespan does itself.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        modelled: bool = False,
        clock: Clock | None = None,
        backing: Backing | None = None,
    ) -> None:
        self.directory = directory
        self.modelled = modelled
        # With a directory it has to agree with what it wrote before the restart.
        self.clock = clock or (LoopClock() if modelled and directory is None else WallClock())
        self.store = Store(directory)
        self.settings = Settings()
        self.faults = Faults()
        self.log = RequestLog()
        self.limits = Limits(self.clock)
        self.vendors: dict[str, Any] = {}
        """The vendors' modules by name, once an application is made of them (see `app.Vendor`)."""
        self.port: int | None = None
        """The loopback port, once it is served; None in-process."""
        self._tasks: TaskGroup | None = None
        kept = self.store.table("settings").get("settings")
        if kept:
            self.settings.change(kept)
        self.backing: Backing = backing or _default_backing(self)

    @property
    def base(self) -> str:
        """The address of the cloud, for answers whose request tells no host."""
        return f"http://127.0.0.1:{self.port}" if self.port else "http://sandbox.localhost"

    def uuid(self) -> str:
        """A new identifier: the same world asked the same questions gives the same ones."""
        return str(uuid.uuid5(_NAMESPACE, str(self.store.next("uuid"))))

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> None:
        """Run `function(*args)` beside the requests; it is cancelled when the cloud stops."""
        if self._tasks is None:
            raise RuntimeError("the cloud does not run: use it inside `async with cloud.running()`")
        self._tasks.start_soon(function, *args)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Cloud]:
        """The cloud with its background work; when left, every process it started is stopped."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                await self.backing.start()
                yield self
            finally:
                self.faults.delete()
                with anyio.CancelScope(shield=True):
                    await self.backing.stop()
                tasks.cancel_scope.cancel()
                self._tasks = None

    def close(self) -> None:
        """Close the state's file; the cloud cannot be used afterwards."""
        self.store.close()


def _default_backing(cloud: Cloud) -> Backing:
    # Late: the real one brings psycopg and PostgreSQL.
    from liftlock.sandbox.backings import make_backing

    return make_backing(cloud)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
