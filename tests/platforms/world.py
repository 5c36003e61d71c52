"""A project on the sandbox in-process, on a virtual clock: an hour of waiting costs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import trio
from trio.testing import MockClock

from liftlock.http import Http
from liftlock.model import (
    EMPTY,
    App,
    Environment,
    ImageId,
    Located,
    ProcessSource,
    Project,
    RecordName,
    Release,
    Target,
)
from liftlock.plugins import Context
from liftlock.ports import Adapters
from liftlock.sandbox import Cloud, create_app
from liftlock.sandbox.images import make_image
from liftlock.sandbox.inprocess import InProcess
from liftlock.wiring import open_project
from tests.contract.exchanges import Recorder
from tests.contract.vendors import unavailable, validate_request

COMMIT = "5" * 40
HEROKU = "http://sandbox.localhost"
ENVIRONMENTS = ("dev", "staging")
IMAGE = ProcessSource(image="example/service")
TYPES = ("release", "web", "worker")


def container_app(
    name: str = "ODB", processes: Mapping[str, ProcessSource] | None = None, **more: Any
) -> App:
    """A Heroku app in both environments."""
    processes = processes if processes is not None else dict.fromkeys(TYPES, IMAGE)
    targets = {
        e: Target(
            name,
            e,
            "heroku",
            f"{name.lower()}-{e}",
            processes=tuple(processes),
            health=more.get("health", ""),
        )
        for e in ENVIRONMENTS
    }
    return App(name, "heroku", "example/services", targets, _records(name), backup=True, processes=processes)


def site_app(name: str = "Explore") -> App:
    """A Firebase site in both environments."""
    targets = {e: Target(name, e, "firebase", f"{name.lower()}-{e}") for e in ENVIRONMENTS}
    return App(name, "firebase", "example/explore", targets, _records(name))


def _records(name: str) -> dict[str, RecordName]:
    return {e: RecordName("example/services", f"deploy:{name}", e) for e in ENVIRONMENTS}


def project_of(*apps: App, base: str = HEROKU, archive: str = "") -> Project:
    endpoints = ("github", "heroku", "heroku_data", "heroku_registry", "firebase")
    return Project(
        name="observatory",
        repository="example/services",
        ledger="github",
        settle_s=0.0,
        environments={"dev": Environment("dev"), "staging": Environment("staging", ("dev",))},
        apps={app.name: app for app in apps},
        endpoints=dict.fromkeys(endpoints, base),
        archive=archive,
    )


@dataclass
class World:
    """The cloud, and a project's adapters on it."""

    cloud: Cloud
    project: Project
    adapters: Adapters
    told: list[str]
    disturbed: bool = False
    """Whether faults were injected: then not everything on the wire is as the vendors describe."""

    @property
    def heroku(self) -> Any:
        return self.adapters.platforms["heroku"]

    @property
    def firebase(self) -> Any:
        return self.adapters.platforms["firebase"]

    @property
    def postgres(self) -> Any:
        return self.adapters.databases["heroku"]

    def target(self, app: str, environment: str) -> Target:
        return self.project.apps[app].targets[environment]

    def progress(self, text: str) -> None:
        self.told.append(text)

    def image(
        self, repository: str, seed: str, *, behaviour: str = "", tags: Sequence[str] = (COMMIT,)
    ) -> ImageId:
        """An image in a repository; the same seed gives the same image."""
        labels = {"io.liftlock.sandbox": behaviour} if behaviour else {}
        return ImageId(make_image(self.cloud, repository, tags, labels=labels, seed=seed)[0])

    def built(
        self, version: str, behaviour: Mapping[str, str] | None = None, commit: str = COMMIT
    ) -> Release:
        """A release of ODB, pushed to every environment."""
        images = {}
        for environment in ENVIRONMENTS:
            for each in self.project.apps["ODB"].processes:
                images[each] = self.image(
                    f"odb-{environment}/{each}",
                    f"{each}-{version}",
                    behaviour=(behaviour or {}).get(each, ""),
                    tags=(commit,),
                )
        return Release("ODB", commit, images)

    async def run(self, release: Release, environment: str = "staging", settle_s: float = 0.0) -> str:
        """Release and settle; the marker."""
        target = self.target(release.app, environment)
        switch = await self.heroku.release(target, release, self.progress)
        await self.heroku.settle(target, release, switch, settle_s, self.progress)
        return str(switch.marker)

    async def scaled(self, release: Release, environment: str = "staging", **quantities: int) -> None:
        """Give process types their quantities, as an operator does."""
        updates = [{"type": t, "quantity": q} for t, q in quantities.items()]
        async with self.client() as client:
            path = f"/apps/odb-{environment}/formation"
            (await client.patch(path, json={"updates": updates})).raise_for_status()

    def client(self) -> httpx2.AsyncClient:
        """Somebody else at the sandbox."""
        return httpx2.AsyncClient(
            base_url=HEROKU,
            transport=InProcess(self.cloud),
            headers={"authorization": "Bearer owner", "accept": "application/vnd.heroku+json; version=3"},
        )

    def fault(self, **rule: Any) -> Any:
        self.disturbed = True
        return self.cloud.faults.add(rule)

    def requests(self, vendor: str | None = None) -> list[tuple[str, str]]:
        return [
            (entry["method"], entry["path"])
            for entry in (each.document() for each in self.cloud.log.since(0, vendor))
        ]

    def changes(self) -> list[tuple[str, str]]:
        """What was sent to change something at Heroku's Platform API."""
        reads = ("resolve", "log-sessions")
        return [r for r in self.requests("heroku") if r[0] != "GET" and not r[1].endswith(reads)]


Story = Callable[[World], Awaitable[None]]


def simulate(story: Story, *apps: App, archive: str = "", real_time: bool = False, **settings: Any) -> None:
    """Run a story on the sandbox, on trio's virtual clock.

    `real_time` is for stories whose requests wait for threads: the virtual clock would jump over
    their time limits meanwhile.
    """
    project = project_of(*(apps or (container_app(),)), archive=archive)

    async def main() -> None:
        async with opened(project, settings) as here:
            await story(here)

    trio.run(main, clock=None if real_time else MockClock(autojump_threshold=0.0))


@asynccontextmanager
async def opened(project: Project, settings: Mapping[str, Any] = EMPTY) -> AsyncIterator[World]:
    """A project on the sandbox, whose every request is checked on leaving."""
    cloud = Cloud(modelled=True)
    recorder = Recorder(create_app(cloud))
    transport = InProcess(cloud, recorder)
    async with cloud.running():
        cloud.settings.change(dict(settings))
        names = [t.name for a in project.apps.values() for t in a.targets.values() if a.platform == "heroku"]
        sites = [
            t.name for a in project.apps.values() for t in a.targets.values() if a.platform == "firebase"
        ]
        await cloud.vendors["heroku"].create(cloud, {"apps": [{"name": n, "database": True} for n in names]})
        await cloud.vendors["firebase"].create(
            cloud, {"sites": [{"name": n, "project": "observatory"} for n in sites]}
        )
        cloud.log.clear()
        async with open_project(project, transport=transport, environ={}) as adapters:
            here = World(cloud, project, adapters, [])
            yield here
            if not here.disturbed:
                _check_requests(recorder)


def _check_requests(recorder: Recorder) -> None:
    """Everything that was sent is as the vendors describe it; the answers are the sandbox's own affair."""
    for each in recorder.exchanges:
        if each.status < 400 and not unavailable(each.vendor):
            validate_request(each.vendor, each.method, each.path, each.sent, each.query)


def located(release: Release, where: str = "target") -> Located:
    return Located(release, dict.fromkeys(release.artifacts, where))


def context_of(project: Project, answer: Callable[[httpx2.Request], httpx2.Response], **more: Any) -> Context:
    """A context whose every request is answered by a function."""
    transport = httpx2.MockTransport(answer)
    clients: dict[str, Http] = {}

    def http(key: str) -> Http:
        return clients.setdefault(key, Http(key, project.endpoints[key], transport=transport))

    def plain(vendor: str, base: str) -> Http:
        return Http(vendor, base, transport=transport)

    def none(*_: Any) -> Any:
        raise AssertionError("not to be used here")

    given: dict[str, Any] = {
        "project": project,
        "http": http,
        "images": none,
        "source_code": None,
        "clock": None,
        "environ": {},
        "secret": none,
        "plain_http": plain,
    }
    return Context(**(given | more))


def with_health(app: App, path: str) -> App:
    return replace(app, targets={e: replace(t, health=path) for e, t in app.targets.items()})
