"""Apps whose services are on a modelled swarm: how a team has deployed them, and what they run."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from liftlock.model import ImageId
from liftlock.platform_images import id_tag
from liftlock.platforms.swarm.marks import JOB
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.images import make_image
from liftlock.sandbox.store import Document
from liftlock.sandbox.swarm import make_service
from liftlock.sandbox.swarm_tasks import find_image, is_up, tasks_of
from liftlock.sandbox.swarm_updates import is_job, replicas, services

SWARM = "main"
HOST = "sandbox.localhost"
DOCKER = f"tcp://{HOST}/_docker/{SWARM}"
PHASE = "release"
STUCK = frozenset({"paused", "rollback_started", "rollback_paused", "rollback_completed"})
_SECOND = 1_000_000_000
_BESIDE = " beside "


@dataclass(frozen=True)
class Stacks:
    """Which apps of a seed live on a swarm, and how their team has it update them."""

    apps: tuple[str, ...] = ()
    own_registries: bool = False
    """Whether every environment has a place in the registry of its own."""
    failure: str = "pause"
    order: str = "start-first"
    monitor_s: float = 0.5

    def registry(self, environment: str) -> str:
        """The place in the registry below which an environment's images are."""
        return f"observatory-{environment}" if self.own_registries else "observatory"


def make_stacks(apps: Sequence[str], dice: random.Random) -> Stacks:
    """In about a quarter of the seeds: every container app, or some beside Heroku's."""
    if dice.random() >= 0.25:
        return Stacks()
    chosen = list(apps) if dice.random() < 0.3 else dice.sample(list(apps), dice.randint(1, len(apps)))
    return Stacks(
        apps=tuple(sorted(chosen)),
        own_registries=dice.random() < 0.5,
        failure=dice.choice(["pause", "pause", "rollback", "rollback", "continue", ""]),
        order=dice.choice(["start-first", "start-first", "stop-first"]),
        monitor_s=dice.choice([0.05, 0.5, 5.0]),
    )


def tag_by_id(cloud: Cloud, place: str, image: str, labels: Mapping[str, str], seed: str) -> None:
    """Let a registry have an image by its id too, as whatever liftlock pushes."""
    make_image(cloud, place, [id_tag(ImageId(image))], labels=labels, seed=seed)


def stack(app: str, environment: str) -> str:
    return f"{app.lower()}-{environment}"


def service(cloud: Cloud, app: str, environment: str, process_type: str) -> Document | None:
    """A process type's service."""
    name = f"{stack(app, environment)}_{process_type}"
    return next((s for s in services(cloud).values() if s["spec"]["Name"] == name), None)


async def deploy(
    cloud: Cloud, stacks: Stacks, app: str, environment: str, images: Mapping[str, str], dice: random.Random
) -> None:
    """The team's `docker stack deploy`, weeks ago."""
    policy = {
        "Parallelism": dice.choice([1, 1, 0]),
        "Order": stacks.order,
        "Monitor": int(stacks.monitor_s * _SECOND),
    }
    for process_type, image in images.items():
        repository = f"{stacks.registry(environment)}/{app.lower()}/{process_type}"
        held = cloud.store.table("registry.held").get(f"{repository}@{image}")
        assert held is not None
        phase = process_type == PHASE
        count = dice.choice([0, 1, 1, 2]) if process_type == "worker" else dice.choice([1, 1, 2])
        spec: dict[str, Any] = {
            "Name": f"{stack(app, environment)}_{process_type}",
            "Labels": {"com.docker.stack.namespace": stack(app, environment), "team": "nightly"},
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": f"{HOST}/{repository}@{held['manifest']}",
                    "Env": [f"COLOUR={environment}"],
                    "Secrets": [{"SecretName": f"{app.lower()}-key"}],
                },
                "RestartPolicy": {"Condition": "any", "Delay": dice.choice([5, 30]) * _SECOND},
                "Networks": [{"Target": "net"}],
            },
            "Mode": {"ReplicatedJob": {"TotalCompletions": 0}}
            if phase
            else {"Replicated": {"Replicas": count}},
        }
        if not phase and stacks.failure:
            spec |= {"UpdateConfig": {**policy, "FailureAction": stacks.failure}, "RollbackConfig": policy}
        await make_service(cloud, SWARM, spec)


def image_of(cloud: Cloud, spec: Mapping[str, Any]) -> str:
    """The id of the image that a specification names by digest; its name where it is named in another way."""
    name = spec["TaskTemplate"]["ContainerSpec"]["Image"]
    found = find_image(cloud, name)
    return found[1] if found else str(name)


def specified(cloud: Cloud, app: str, environment: str) -> dict[str, str]:
    """By process type, the image that its service is to run."""
    return {t: image_of(cloud, s["spec"]) for t, s in services_of(cloud, app, environment).items()}


def running(cloud: Cloud, app: str, environment: str) -> dict[str, str]:
    """By process type, the image that runs. Tasks that are of another than their service make it several."""
    found = {}
    for process_type, each in services_of(cloud, app, environment).items():
        images = {image_of(cloud, each["spec"])}
        images |= {image_of(cloud, {"TaskTemplate": t["spec"]}) for t in tasks_of(cloud, each) if is_up(t)}
        found[process_type] = _BESIDE.join(sorted(images))
    return found


def several(image: str) -> list[str]:
    """The images that run beside each other, of what `running` says of a process type."""
    return image.split(_BESIDE)


def services_of(cloud: Cloud, app: str, environment: str) -> dict[str, Document]:
    """By process type, an app's services; not the jobs that are made of one."""
    prefix = f"{stack(app, environment)}_"
    return {
        s["spec"]["Name"].removeprefix(prefix): s
        for s in services(cloud).values()
        if s["spec"]["Name"].startswith(prefix) and JOB not in (s["spec"].get("Labels") or {})
    }


def jobs_of(cloud: Cloud, app: str, environment: str) -> list[Document]:
    """The migrations of an app that are there, ended ones too."""
    template = f"{stack(app, environment)}_{PHASE}"
    return [s for s in services(cloud).values() if (s["spec"].get("Labels") or {}).get(JOB) == template]


def shortfall(cloud: Cloud, app: str, environment: str) -> str:
    """What an app's services lack of what they are to run; "" when every task is up and no update hangs."""
    for process_type, each in services_of(cloud, app, environment).items():
        if is_job(each):
            continue
        state = (each["update"] or {}).get("State", "")
        if state not in {"", "completed", "rollback_completed"}:
            return f"{process_type}: its update is {state}"
        up = sum(is_up(task) for task in tasks_of(cloud, each))
        if up < replicas(each):
            return f"{process_type}: {up} of {replicas(each)} tasks up"
    return ""


def teams_own(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A specification without what liftlock may change of it: the image, its labels, and that it is started first."""
    own = deepcopy(dict(spec))
    own["TaskTemplate"]["ContainerSpec"].pop("Image")
    own["Labels"] = {k: v for k, v in (own.get("Labels") or {}).items() if not k.startswith("io.liftlock.")}
    own.pop("UpdateConfig", None)
    return own


def definitions(cloud: Cloud, app: str, environment: str) -> dict[str, Any]:
    """By process type, what the team's Compose file says of it."""
    return {t: teams_own(s["spec"]) for t, s in services_of(cloud, app, environment).items()}
