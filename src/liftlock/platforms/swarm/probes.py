"""What `doctor` tries at swarms: each engine, each stack's services, and the registries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from liftlock.errors import LiftlockError
from liftlock.http import optional
from liftlock.model import Target
from liftlock.platforms.swarm.api import Swarm
from liftlock.platforms.swarm.compose import Compose
from liftlock.platforms.swarm.observe import PHASE, look, service_name
from liftlock.probes import Finding, Probe, of_targets

GROUP = "Docker Swarm"
TEMPLATE_HINT = "Write deploy: {mode: replicated-job, replicas: 0} for it in the Compose file: liftlock runs a copy of it."


def probes(
    targets: Sequence[Target], swarm: Callable[[Target], Swarm], compose: Callable[[Target], Compose]
) -> Sequence[Probe]:
    """One for each engine, and one for each app in each environment."""
    engines = {target.options.get("docker", ""): target for target in targets}
    found = [
        Probe(GROUP, f"engine {address or 'of this machine'}", partial(_engine, swarm, target))
        for address, target in engines.items()
    ]
    return [
        *found,
        *of_targets(GROUP, targets, partial(_stack, swarm, compose)),
    ]


async def _engine(swarm: Callable[[Target], Swarm], target: Target) -> Finding:
    info = await swarm(target).info()
    engine = optional(info, "ServerVersion", str) or "of unknown version"
    if optional(info, "Swarm.LocalNodeState", str) != "active":
        raise LiftlockError(
            f"The engine {engine} is in no swarm.",
            hint="docker swarm init, or docker swarm join on a swarm's manager.",
        )
    if not optional(info, "Swarm.ControlAvailable", bool):
        raise LiftlockError(
            f"The engine {engine} is a worker of its swarm, and only a manager takes orders.",
            hint=f"Name a manager as `docker` in [environments.{target.environment}].",
        )
    nodes = optional(info, "Swarm.Nodes", int) or 1
    return Finding(f"Docker {engine}, manager of {nodes} {'node' if nodes == 1 else 'nodes'}")


async def _stack(
    swarm: Callable[[Target], Swarm], compose: Callable[[Target], Compose], target: Target
) -> Finding:
    state = await look(swarm(target), target)
    missing = [each for each in target.processes if each not in state.services]
    template = state.services.get(PHASE)
    if template is not None and template.replicas != 0:
        raise LiftlockError(
            f"{template.name} runs by itself, and every update would run it again.", hint=TEMPLATE_HINT
        )
    if missing:
        compose(target).check(missing)
        names = ", ".join(service_name(target, each) for each in missing)
        return Finding(f"the first release makes {names} from {target.options.get('compose')}", note=True)
    stopping = [
        service_name(target, process_type)
        for process_type, service in sorted(state.services.items())
        if ((service.spec.get("UpdateConfig") or {}).get("Order") or "") == "stop-first"
        and process_type != PHASE
        and service.replicas == 1
    ]
    if stopping:
        return Finding(
            f"there; {', '.join(stopping)} stops before its successor starts: "
            "update_config: {order: start-first} would leave no gap",
            note=True,
        )
    return Finding("there")
