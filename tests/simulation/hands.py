"""What befalls an environment beside promotions: people who change things by hand, and containers that crash."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from copy import deepcopy
from typing import Any

import httpx2
import trio

from liftlock.sandbox.swarm_tasks import is_up, tasks_of
from liftlock.sandbox.swarm_updates import crash, is_job
from tests.simulation.promises import Promises
from tests.simulation.stacks import DOCKER, HOST, PHASE, services_of
from tests.simulation.world import ADDRESS, SITE, World, serve

_ENGINE = DOCKER.replace("tcp://", "http://")
_HEADERS = {
    "authorization": "Bearer owner",
    "accept": "application/vnd.heroku+json; version=3.docker-releases",
}


class Operator:
    """Somebody who releases, scales and restarts without liftlock, and breaks leases with it."""

    def __init__(
        self,
        world: World,
        promises: Promises,
        dice: random.Random,
        line: httpx2.AsyncBaseTransport,
        breaks: Callable[[str], Awaitable[None]],
        tell: Callable[[str], None],
    ) -> None:
        self._world = world
        self._promises = promises
        self._dice = dice
        self._line = line
        self._breaks = breaks
        self._tell = tell

    async def play(self) -> None:
        """One deed, or two."""
        dice, shape = self._dice, self._world.shape
        for _ in range(dice.choice([1, 1, 2])):
            deed = dice.choice(["break"] * 3 + ["serve"] * 2 + ["release", "scale", "restart"])
            if deed not in {"break", "serve"}:
                await trio.sleep(dice.choice([dice.uniform(0, 30), dice.uniform(0, 200)]))
            environment = dice.choice(shape.environments[1:])
            app = dice.choice(shape.apps)
            self._tell(f"operator: {deed} {app.lower()}-{environment}")
            if deed == "serve":
                self._serves()
            elif deed == "break":
                environment = await self._somebody_is_at_work() or environment
                await trio.sleep(dice.choice([0.0, dice.uniform(0, 5)]))
                await self._breaks(environment)
            elif self._world.on_swarm(app):
                await self._on_swarm(app, environment, deed)
            else:
                await self._on_heroku(app, environment, deed)

    async def _somebody_is_at_work(self) -> str:
        """The environment in which somebody has just switched something; "" when nobody does for long."""
        with trio.move_on_after(2000):
            return (await self._promises.next_change()).environment
        return ""

    def _serves(self) -> None:
        """A site goes to another version somewhere, mostly where promotions come from, and nobody records it."""
        shape = self._world.shape
        if shape.site:
            environment = self._dice.choice(shape.environments[:1] * 3 + shape.environments)
            self._promises.touched[environment, SITE] = trio.current_time()
            serve(self._world, environment, self._dice.choice([1, 3]))

    async def _on_heroku(self, app: str, environment: str, deed: str) -> None:
        """`heroku container:release`, `ps:scale` and `ps:restart`."""
        name = f"{app.lower()}-{environment}"
        async with httpx2.AsyncClient(base_url=ADDRESS, transport=self._line, headers=_HEADERS) as client:
            if deed == "release":
                image = self._world.images[app, self._dice.choice([1, 3])]["web"]
                updates: list[dict[str, Any]] = [{"type": "web", "docker_image": image}]
                await client.patch(f"/apps/{name}/formation", json={"updates": updates})
            elif deed == "scale":
                updates = [{"type": "web", "quantity": self._dice.choice([0, 1, 3])}]
                await client.patch(f"/apps/{name}/formation", json={"updates": updates})
            else:
                self._promises.touched[environment, app] = trio.current_time()
                await client.delete(f"/apps/{name}/dynos")

    async def _on_swarm(self, app: str, environment: str, deed: str) -> None:
        """`docker service update`: another image, number of tasks, or variable; the same again; or a roll-back."""
        world, dice = self._world, self._dice
        types = [t for t in services_of(world.cloud, app, environment) if t != PHASE]
        kind = dice.choice(types)
        service = services_of(world.cloud, app, environment)[kind]
        spec, query = deepcopy(service["spec"]), f"version={service['version']}"
        template = spec["TaskTemplate"]
        match deed if deed != "restart" else dice.choice(["restart", "variable", "roll back"]):
            case "release":
                image = world.images[app, dice.choice([1, 3])][kind]
                repository = f"{world.shape.stacks.registry(environment)}/{app.lower()}/{kind}"
                held = world.cloud.store.table("registry.held").get(f"{repository}@{image}")
                if held is not None:
                    template["ContainerSpec"]["Image"] = f"{HOST}/{repository}@{held['manifest']}"
            case "scale":
                spec["Mode"] = {"Replicated": {"Replicas": dice.choice([0, 1, 3])}}
            case "variable":
                template["ContainerSpec"]["Env"] = ["COLOUR=by hand"]
            case "roll back":
                query += "&rollback=previous"
            case _:
                template["ForceUpdate"] = template.get("ForceUpdate", 0) + 1
        async with httpx2.AsyncClient(base_url=_ENGINE, transport=self._line) as client:
            await client.post(f"/v1.41/services/{service['id']}/update?{query}", json=spec)


async def crashes(world: World, promises: Promises, dice: random.Random, tell: Callable[[str], None]) -> None:
    """A container on a swarm ends by itself, once or twice, mostly while somebody is at work."""
    for _ in range(dice.choice([1, 1, 2])):
        with trio.move_on_after(dice.choice([2.0, 30.0, 2000.0])):
            await promises.next_change()
        await trio.sleep(dice.choice([0.0, 0.1, dice.uniform(0, 10)]))
        app, environment = dice.choice(world.shape.stacks.apps), dice.choice(world.shape.environments[1:])
        services = [s for s in services_of(world.cloud, app, environment).values() if not is_job(s)]
        up = [(s, task) for s in services for task in tasks_of(world.cloud, s) if is_up(task)]
        if up:
            service, task = dice.choice(up)
            tell(f"a task of {service['spec']['Name']} crashes")
            promises.migrations.crashed[environment, app] = trio.current_time()
            promises.counts["tasks crashed"] += 1
            crash(world.cloud, service, task)
