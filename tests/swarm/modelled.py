"""The stories on a modelled engine: in-process, on a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import trio
from trio.testing import MockClock

from liftlock.http import Http
from liftlock.model import ImageId
from liftlock.platform_images import id_tag
from liftlock.platforms.swarm.api import Swarm, Task
from liftlock.sandbox import Cloud, create_app
from liftlock.sandbox.images import make_image
from liftlock.sandbox.inprocess import InProcess
from liftlock.sandbox.swarm_tasks import tasks
from liftlock.sandbox.swarm_updates import crash, services
from liftlock.wiring import open_project
from tests.swarm.world import World, project_of

BASE = "http://sandbox.localhost"
ENGINE = "tcp://sandbox.localhost/_docker/main"


@dataclass
class Modelled(World):
    cloud: Any = None

    async def push(self, process_type: str, seed: str, behaviour: str, commit: str) -> ImageId:
        repository = f"observatory/{self.app.name.lower()}/{process_type}"
        labels = {"io.liftlock.sandbox": behaviour} if behaviour else {}
        image_id = ImageId(make_image(self.cloud, repository, [commit], labels=labels, seed=seed)[0])
        make_image(self.cloud, repository, [id_tag(image_id)], labels=labels, seed=seed)
        return image_id

    async def crash(self, task: Task) -> None:
        service, found = services(self.cloud).get(task.service), tasks(self.cloud).get(task.id)
        assert service is not None
        assert found is not None
        crash(self.cloud, service, found)

    def fault(self, **rule: Any) -> Any:
        return self.cloud.faults.add({"vendor": "swarm", **rule})

    def sent(self, method: str = "POST") -> list[str]:
        """The paths of what was sent to the engine by this method, without its version."""
        entries = (each.document() for each in self.cloud.log.since(0, "swarm"))
        paths = [entry["path"].partition("?")[0] for entry in entries if entry["method"] == method]
        return [path.split("/", 4)[-1] for path in paths]


@asynccontextmanager
async def modelled(**project: Any) -> AsyncIterator[Modelled]:
    """A world of its own."""
    cloud = Cloud(modelled=True)
    transport: httpx2.AsyncBaseTransport = InProcess(cloud, create_app(cloud))
    made = project_of("sandbox.localhost/observatory", ENGINE, endpoint=BASE, **project)
    async with cloud.running():
        engine = Http("docker", f"{BASE}/_docker/main", transport=transport)
        async with open_project(made, transport=transport, environ={}) as adapters:
            yield Modelled(made, adapters, Swarm(engine), cloud=cloud)


def play(story: Any, **project: Any) -> None:
    """Run a story; an hour of waiting costs nothing."""

    async def main() -> None:
        async with modelled(**project) as world:
            await story(world)

    trio.run(main, clock=MockClock(autojump_threshold=0.0))
