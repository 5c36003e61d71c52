"""The modelled backing: nothing is started, everything takes as long as the settings say.

How a process behaves is written in its image's label `io.liftlock.sandbox`: `crash` (it ends at
start), `unhealthy` (it answers 500), `release-fails` (its release phase fails).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from liftlock.sandbox.backings import DatabaseError, Job

if TYPE_CHECKING:
    from liftlock.sandbox.cloud import Cloud


class ModelledRun:
    """A process that is only told of."""

    port: int | None = None

    def __init__(self, job: Job, lasts_s: float | None, boot_s: float, exit_status: int) -> None:
        self.job = job
        self._lasts_s = lasts_s
        self._boot_s = boot_s
        self._exit_status = exit_status

    async def ready(self) -> bool:
        await anyio.sleep(self._boot_s)
        return self._lasts_s is None

    async def wait(self) -> int:
        if self._lasts_s is None:
            await anyio.sleep_forever()
        else:
            await anyio.sleep(self._lasts_s)
        return self._exit_status

    async def stop(self) -> None:
        """Nothing is left of it."""


class ModelledRuntime:
    """Runs nothing."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def launch(self, job: Job, log: Callable[[str], None]) -> ModelledRun:
        settings = self._cloud.settings
        behaviour = job.image.behaviour
        if job.type == "release":
            fails = behaviour == "release-fails"
            log("release phase fails" if fails else "release phase succeeds")
            return ModelledRun(job, settings.release_s, 0.0, 1 if fails else 0)
        boot_s = settings.boot_s + (settings.release_s if job.switching else 0.0)
        log(f"runs {job.image.id}")
        crashes = behaviour == "crash"
        return ModelledRun(job, 0.0 if crashes else None, boot_s, 1 if crashes else 0)


class ModelledDatabases:
    """Databases that hold one text each: which backup they were last restored from."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._content = cloud.store.table("modelled.databases")
        self._dumps = cloud.store.table("modelled.dumps")

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def create(self, app: str) -> str:
        if app not in self._content:
            self._content.put(app, {"content": f"new database of {app}"})
        return f"postgres://{app}:modelled@127.0.0.1:5432/{app}"

    async def size(self, app: str) -> int:
        return len(self._read(app)) * 1024

    async def dump(self, app: str, key: str) -> int:
        text = self._read(app)
        await anyio.sleep(self._cloud.settings.backup_s)
        self._dumps.put(key, {"text": text})
        return len(self.dumped(key) or b"")

    async def restore(self, app: str, key: str) -> None:
        await anyio.sleep(self._cloud.settings.backup_s)
        kept = self._dumps.get(key)
        if kept is None:
            raise DatabaseError("there is no such backup")
        self._content.put(app, {"content": kept["text"]})

    def dumped(self, key: str) -> bytes | None:
        kept = self._dumps.get(key)
        return None if kept is None else b"PGDMP modelled " + json.dumps(kept["text"]).encode()

    def forget(self, key: str) -> None:
        self._dumps.delete(key)

    def _read(self, app: str) -> str:
        kept = self._content.get(app)
        if kept is None:
            raise DatabaseError(f"{app} has no database")
        content: str = kept["content"]
        return content


if TYPE_CHECKING:
    from liftlock.sandbox.backings import Databases, Runtime

    def _proof(cloud: Cloud) -> tuple[Runtime, Databases]:
        return ModelledRuntime(cloud), ModelledDatabases(cloud)
