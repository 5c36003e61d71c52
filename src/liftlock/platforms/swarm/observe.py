"""What a stack runs, told from its services and from the tasks that are really up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import anyio

from liftlock.errors import VendorError
from liftlock.model import Digest, ImageId, Known, Running, Target, Unknown
from liftlock.platforms.swarm.api import Service, Swarm, Task, digest_of, repository_of
from liftlock.platforms.swarm.marks import told_id
from liftlock.polling import PATIENCE_S, gap_s
from liftlock.ports import Images
from liftlock.tasks import together

T = TypeVar("T")

PHASE = "release"
"""The process type that is run to its end before a release: a migration."""


@dataclass(frozen=True, slots=True)
class State:
    """One look at a target: its services, and their tasks, by process type."""

    services: Mapping[str, Service]
    tasks: Mapping[str, Sequence[Task]]
    jobs: Sequence[Service]
    """The jobs of ours that are there, finished ones too."""

    @property
    def failed(self) -> frozenset[str]:
        """The ids of the tasks that have ended by themselves, as far as the swarm remembers them."""
        return frozenset(task.id for tasks in self.tasks.values() for task in tasks if task.has_ended)

    @property
    def marker(self) -> str:
        """The engine's own number of the newest of the services."""
        newest = max((service.version for service in self.services.values()), default=0)
        return f"version {newest}" if newest else ""


def service_name(target: Target, process_type: str) -> str:
    """A process type's service, as the swarm calls it."""
    services: Mapping[str, str] = target.options.get("services", {})
    return f"{target.name}_{services.get(process_type, process_type)}"


async def look(swarm: Swarm, target: Target) -> State:
    """What is at a target now. One round trip."""
    services, tasks = await together(partial(swarm.services, target.name), partial(swarm.tasks, target.name))
    found: dict[str, Service] = {}
    for process_type in target.processes:
        service = services.get(service_name(target, process_type))
        if service is not None:
            found[process_type] = service
    by_service: dict[str, list[Task]] = {}
    for task in tasks:
        by_service.setdefault(task.service, []).append(task)
    own = {service.id: process_type for process_type, service in found.items()}
    jobs = [service for service in services.values() if service.labels.get("io.liftlock.app") == target.app]
    return State(
        found,
        {process_type: by_service.get(service.id, []) for process_type, service in found.items()},
        [service for service in jobs if service.id not in own and service.is_job],
    )


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """What `call`, a look, gives, though the engine may be restarting: asked again for a minute."""
    began = anyio.current_time()
    while True:
        try:
            return await call()
        except VendorError as error:
            elapsed = anyio.current_time() - began
            if not error.retryable or elapsed > PATIENCE_S:
                raise
        await anyio.sleep(max(gap_s(elapsed), 0.2))


@dataclass(slots=True)
class Identities:
    """Which image a manifest is. A manifest never becomes another, so what was learnt once stays true."""

    images: Images
    _known: dict[str, ImageId] = field(default_factory=dict)

    def learn(self, digest: Digest, image_id: ImageId) -> None:
        self._known[digest.value] = image_id

    async def of(self, image: str, *specs: Mapping[str, object] | None) -> ImageId | str:
        """The image id of `repository@digest`, or why it cannot be told.

        Told by our labels on a service that was given this manifest, else by the registry. Never by
        the engine's own `Id`: on one of its image stores that is a config's digest, on the other a manifest's.
        """
        digest = digest_of(image)
        if digest is None:
            return f"it was started by a tag, {image}, which may have moved"
        if digest.value in self._known:
            return self._known[digest.value]
        for told in map(told_id, specs):
            if told is not None and told[0] == digest:
                self.learn(*told)
                return told[1]
        try:
            found = await self.images.look_up(repository_of(image), digest.value)
        except VendorError as error:
            return f"{image} could not be looked up: {error.message}"
        if found is None:
            return f"its registry does not have {image} any more"
        self.learn(digest, found.image_id)
        return found.image_id


async def running(state: State, identities: Identities) -> Running:
    """What runs, by the tasks that are up; a service that is to have none counts by its specification."""
    artifacts: dict[str, ImageId] = {}
    notes: list[str] = []
    pending = ""
    is_healthy = True
    for process_type, service in sorted(state.services.items()):
        up = [task for task in state.tasks[process_type] if task.is_up]
        images = {digest_of(task.image): task.image for task in up}
        is_under_way = any(digest_of(task.image) != service.digest for task in up)
        if service.is_updating or is_under_way:  # a paused update goes on with whatever anybody changes next
            pending = pending or f"the update of {process_type}"
        if service.update is not None and service.update.state not in {"updating", "completed"}:
            notes.append(f"{process_type}: {told_update(service)}")
        if len(images) > 1:
            standing = told_update(service) or "its tasks are not of one kind"
            return Unknown(f"{process_type} runs {len(images)} images at once: {standing}")
        image = next(iter(images.values()), service.image)
        found = await identities.of(image, service.spec, service.previous)
        if isinstance(found, str):
            return Unknown(f"which image {process_type} runs cannot be told: {found}")
        artifacts[process_type] = found
        wanted = service.replicas
        if (wanted is None and not up) or (wanted is not None and len(up) < wanted):
            is_healthy = False
            shown = f"{len(up)} of {wanted} tasks are" if wanted is not None else "no task is"
            notes.append(f"{process_type}: {shown} up")
    scale = {
        process_type: service.replicas
        for process_type, service in state.services.items()
        if service.replicas is not None
    }
    asleep = sorted(t for t, quantity in scale.items() if quantity == 0 and t != PHASE)
    if asleep:
        notes.insert(0, f"scaled to zero: {', '.join(asleep)}")
    if not artifacts:
        return Known({})
    return Known(
        artifacts,
        scale=scale,
        marker=state.marker,
        healthy=is_healthy,
        note="; ".join(notes),
        pending=pending,
    )


def told_update(service: Service) -> str:
    """How a service's last update stands, in words; "" when there is nothing to say."""
    if service.update is None:
        return ""
    words = {
        "updating": "its update goes on",
        "paused": "its update is paused",
        "rollback_started": "the engine rolls its update back",
        "rollback_paused": "the engine's roll-back is paused",
        "rollback_completed": "the engine rolled its update back",
    }
    told = words.get(service.update.state, "")
    return f"{told} ({service.update.message})" if told and service.update.message else told
