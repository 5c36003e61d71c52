"""A project whose app lives on a swarm, on a modelled engine or on a real one: the same stories on both."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from liftlock.model import (
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
from liftlock.platforms.swarm.api import Service, Swarm, Task, registry_auth
from liftlock.polling import wait_for
from liftlock.ports import Adapters

ENVIRONMENTS = ("dev", "staging")
TYPES = ("web", "worker")
COMMIT = "5" * 40
SECOND = 1_000_000_000


def project_of(
    registry: str,
    docker: str,
    *,
    name: str = "ODB",
    types: Sequence[str] = TYPES,
    compose: str = "",
    endpoint: str = "",
    root: str = ".",
) -> Project:
    """A project with one app on a swarm, in two environments on one engine."""
    sources = {each: ProcessSource(directory=each, command=("/start",)) for each in types}
    targets = {
        each: Target(
            name,
            each,
            "swarm",
            f"{name.lower()}-{each}",
            processes=tuple(types),
            options={"docker": docker, "compose": compose, "services": {}},
            registry=registry,
        )
        for each in ENVIRONMENTS
    }
    records = {each: RecordName("example/services", f"deploy:{name}", each) for each in ENVIRONMENTS}
    keys = ("github", "heroku", "heroku_data", "heroku_registry", "firebase") if endpoint else ()
    return Project(
        name="observatory",
        repository="example/services",
        ledger="github",
        settle_s=0.0,
        environments={"dev": Environment("dev"), "staging": Environment("staging", ("dev",))},
        apps={name: App(name, "swarm", "example/services", targets, records, processes=sources)},
        endpoints=dict.fromkeys(keys, endpoint),
        root=root,
    )


@dataclass
class World(ABC):
    """The engine, the project's platform on it, and somebody else who looks at the engine."""

    project: Project
    adapters: Adapters
    swarm: Swarm
    told: list[str] = field(default_factory=list)

    @property
    def platform(self) -> Any:
        return self.adapters.platforms["swarm"]

    @property
    def app(self) -> App:
        return next(iter(self.project.apps.values()))

    def target(self, environment: str = "staging") -> Target:
        return self.app.targets[environment]

    def progress(self, text: str) -> None:
        self.told.append(text)

    @abstractmethod
    async def push(self, process_type: str, seed: str, behaviour: str, commit: str) -> ImageId:
        """An image in the registry, under the commit's tag; the same seed gives the same image."""

    @abstractmethod
    async def crash(self, task: Task) -> None:
        """Let a task that is up end by itself, with an error."""

    async def built(self, version: str, commit: str = COMMIT, **behaviour: str) -> Release:
        """A release whose images are in the registry."""
        images = {
            each: await self.push(each, f"{each} {version}", behaviour.get(each, ""), commit)
            for each in self.target().processes
        }
        return Release(self.app.name, commit, images)

    async def deployed(self, release: Release, environment: str = "staging", **more: Any) -> None:
        """The team's stack, with this release, as `docker stack deploy` makes it."""
        target = self.target(environment)
        images = await self.platform._images(target, release)
        for process_type, image in images.items():
            spec = spec_of(target, process_type, f"{image.repository}@{image.digest}", **more)
            host = image.repository.partition("/")[0]
            await self.swarm.create(spec, registry_auth(("_", "owner"), host))
        await self.platform.settle(target, release, None, 0.0, self.progress)

    async def staged(self, release: Release, environment: str = "staging") -> Release:
        located = Located(release, dict.fromkeys(release.artifacts, "target"))
        staged: Release = await self.platform.stage(self.target(environment), located, None, self.progress)
        return staged

    async def lifted(
        self, release: Release, environment: str = "staging", promotion: str = "p1", settle_s: float = 0.0
    ) -> str:
        """Stage, release and settle; the marker."""
        target = self.target(environment)
        staged = await self.staged(release, environment)
        switch = await self.platform.release(target, staged, self.progress, promotion)
        await self.platform.settle(target, staged, switch, settle_s, self.progress)
        return str(switch.marker)

    async def running(self, environment: str = "staging") -> Any:
        return await self.platform.running(self.target(environment), [])

    async def service(self, process_type: str, environment: str = "staging") -> Service:
        found = await self.swarm.service(f"{self.target(environment).name}_{process_type}")
        assert found is not None
        return found

    async def up(self, process_type: str, *, but: Collection[str] = ()) -> Task:
        """The task of a service once it is up, which is none of those."""

        async def look() -> Task | None:
            tasks = await self.swarm.tasks_of((await self.service(process_type)).id)
            return next((task for task in tasks if task.is_up and task.id not in but), None)

        return await wait_for(look, limit_s=60.0, timed_out=lambda: AssertionError("no other task comes up"))

    async def changed(self, process_type: str, change: Any, environment: str = "staging") -> None:
        """Somebody else updates a service."""
        service = await self.service(process_type, environment)
        spec = json.loads(json.dumps(service.spec))
        change(spec)
        await self.swarm.update(service, spec, registry_auth(("_", "owner"), "registry"))


def spec_of(
    target: Target,
    process_type: str,
    image: str,
    *,
    replicas: int = 1,
    failure: str = "pause",
    update: Mapping[str, Any] | None = None,
    env: Sequence[str] = ("COLOUR=green",),
) -> dict[str, Any]:
    """A service as a team's Compose file describes it; `release` is the template of a migration."""
    is_phase = process_type == "release"
    command = ["/migrate"] if is_phase else ["/start"]
    policy = {"Parallelism": 1, "Order": "start-first", "Monitor": SECOND // 2, "FailureAction": failure}
    back = {"Parallelism": 1, "Order": "start-first", "Monitor": SECOND // 2, "FailureAction": "pause"}
    spec: dict[str, Any] = {
        "Name": f"{target.name}_{process_type}",
        "Labels": {"com.docker.stack.namespace": target.name, "team": "nightly"},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": image,
                "Command": command,
                "Env": list(env),
                "StopGracePeriod": SECOND,
            },
            "RestartPolicy": {"Condition": "any", "Delay": SECOND // 5},
            "Networks": [{"Target": "host"}],
        },
        "Mode": {"ReplicatedJob": {"TotalCompletions": 0}}
        if is_phase
        else {"Replicated": {"Replicas": replicas}},
        "EndpointSpec": {"Mode": "dnsrr"},
    }
    if not is_phase:
        spec["TaskTemplate"]["ContainerSpec"]["Healthcheck"] = {
            "Test": ["CMD", "/check"],
            "Interval": SECOND // 4,
            "Timeout": SECOND,
            "Retries": 2,
        }
        spec |= {"UpdateConfig": dict(update) if update is not None else policy, "RollbackConfig": back}
    return spec
