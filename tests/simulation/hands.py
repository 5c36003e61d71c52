"""What befalls services on a swarm beside promotions: people with the docker command, and containers that crash."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import httpx2
import trio

from liftlock.sandbox.swarm_tasks import is_up, tasks_of
from liftlock.sandbox.swarm_updates import crash, is_job
from tests.simulation.promises import Promises
from tests.simulation.stacks import DOCKER, HOST, PHASE, services_of
from tests.simulation.world import World

_BASE = DOCKER.replace("tcp://", "http://")


async def by_hand(
    world: World,
    app: str,
    environment: str,
    deed: str,
    transport: httpx2.AsyncBaseTransport,
    dice: random.Random,
) -> None:
    """`docker service update`: another image, number of tasks, or variable; the same again; or a roll-back."""
    types = [t for t in services_of(world.cloud, app, environment) if t != PHASE]
    service = services_of(world.cloud, app, environment)[dice.choice(types)]
    spec, query = deepcopy(service["spec"]), f"version={service['version']}"
    template = spec["TaskTemplate"]
    kind = service["spec"]["Name"].rpartition("_")[2]
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
    async with httpx2.AsyncClient(base_url=_BASE, transport=transport) as client:
        await client.post(f"/v1.41/services/{service['id']}/update?{query}", json=spec)


async def crashes(world: World, promises: Promises, dice: random.Random, tell: Callable[[str], Any]) -> None:
    """A container ends by itself, once or twice, mostly while somebody is at work."""
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
