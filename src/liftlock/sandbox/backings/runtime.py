"""Which runtime runs an image: a Docker engine or plain processes.

`LIFTLOCK_SANDBOX_RUNTIME`: `process`, `docker`, or `auto` (the default), which takes Docker when an
engine answers and the image's command lies inside the image, else a plain process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from liftlock.sandbox.backings import Job, LaunchError, Run, Runtime
from liftlock.sandbox.backings.docker import DockerRuntime
from liftlock.sandbox.backings.processes import DEFAULT_PATH, ProcessRuntime
from liftlock.sandbox.backings.scratch import folder_of
from liftlock.sandbox.backings.unpack import UnpackError, inside
from liftlock.sandbox.backings.watchdog import Watchdog
from liftlock.sandbox.images import Image

if TYPE_CHECKING:
    from liftlock.sandbox.cloud import Cloud

CHOICES = ("auto", "docker", "process")


def make_runtime(cloud: Cloud, watchdog: Watchdog, choice: str) -> Runtime:
    """The runtime of that name. Raises `ValueError` for another one."""
    if choice not in CHOICES:
        raise ValueError(f"LIFTLOCK_SANDBOX_RUNTIME is {choice!r}; it is one of {', '.join(CHOICES)}")
    processes = ProcessRuntime(cloud, watchdog, folder_of(cloud) / "images")
    if choice == "process":
        return processes
    docker = DockerRuntime(cloud, watchdog)
    return docker if choice == "docker" else AutoRuntime(docker, processes)


class AutoRuntime:
    """Docker where it can be, image by image."""

    def __init__(self, docker: DockerRuntime, processes: ProcessRuntime) -> None:
        self._docker = docker
        self._processes = processes
        self._answers = False

    async def start(self) -> None:
        await self._processes.start()
        self._answers = await self._docker.answers()
        if self._answers:
            await self._docker.start()

    async def stop(self) -> None:
        if self._answers:
            await self._docker.stop()
        await self._processes.stop()

    async def launch(self, job: Job, log: Callable[[str], None]) -> Run:
        if self._answers and await self._is_complete(job.image):
            return await self._docker.launch(job, log)
        return await self._processes.launch(job, log)

    async def _is_complete(self, image: Image) -> bool:
        """Whether the image's command lies inside the image."""
        if not image.argv:
            return False
        try:
            root = await self._processes.root_of(image)
        except (UnpackError, OSError) as error:
            raise LaunchError(f"the image cannot be unpacked: {error}") from error
        name = image.argv[0]
        if "/" in name:
            places = [name if name.startswith("/") else f"{image.directory}/{name}"]
        else:
            path = dict(image.environ).get("PATH", DEFAULT_PATH)
            places = [f"{part}/{name}" for part in path.split(":") if part]
        return any(inside(root, place, follow_last=True).is_file() for place in places)
