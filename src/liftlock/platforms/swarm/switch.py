"""Giving a stack's services other images: a migration first, then all services at once; and taking them back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio

from liftlock.errors import (
    AnswerLost,
    LiftlockError,
    ReleaseFailed,
    Unreachable,
    VendorError,
    VendorFailure,
)
from liftlock.model import Artifact, ImageId, Release, Target
from liftlock.platforms.swarm.api import OutOfSequence, Service, Swarm, digest_of, image_of
from liftlock.platforms.swarm.compose import Compose
from liftlock.platforms.swarm.jobs import Phase
from liftlock.platforms.swarm.marks import APP, COMPOSE_IMAGE, Mark, marked
from liftlock.platforms.swarm.observe import PHASE, Identities, State, look, patiently, service_name
from liftlock.ports import Progress, RegistryImage, Switch
from liftlock.tasks import together

_REPEATS = 5
"""How often a service is read and changed again because something else changed it in between: the engine
itself does, whenever an update of it begins or ends."""
_PAUSE_S = 0.05
"""Before it is read again, doubled each time: what the engine writes of one update comes within a second."""

Auth = Callable[[str], Awaitable[Mapping[str, str]]]
"""The header with the credentials for a repository's registry."""


@dataclass(frozen=True, slots=True)
class Switched:
    """What a switch came to, and the tasks that had failed before it: they say nothing of what came after."""

    switch: Switch
    failed_before: frozenset[str]


@dataclass(frozen=True, slots=True)
class Switcher:
    """Takes one target to a set of images. Safe to repeat: it looks first, and after a lost answer."""

    swarm: Swarm
    target: Target
    compose: Compose
    auth: Auth
    progress: Progress

    async def to(self, wanted: Mapping[str, RegistryImage], mark: Mark) -> Switched:
        """Give every service its image of the release, all at once. Raises `ReleaseFailed`."""
        state = await self._look()
        changing = {t: s for t, s in state.services.items() if t in wanted and not _has(s, wanted[t])}
        missing = {t: image for t, image in wanted.items() if t not in state.services}
        extra = [s for t, s in state.services.items() if t not in wanted and APP in s.labels]
        if not changing and not missing and not extra:
            await self._forget(state.jobs)
            return Switched(Switch(state.marker, changed=False), state.failed)
        self.compose.check(missing)
        if missing.keys() - {PHASE}:
            self.progress(f"making {', '.join(sorted(missing))}")
        template = await self._template(state, missing, mark)
        jobs = list(state.jobs)
        if template is not None:
            image = wanted[PHASE]
            auth = await self.auth(image.repository)
            job = await self._phase.run(template, image, mark, auth, state.jobs)
            jobs = [job]
        missing.pop(PHASE, None)
        changes = [partial(self._give, each, wanted[t], mark, t) for t, each in changing.items()]
        if missing:
            changes.append(partial(self._make, missing, mark))
        await together(*changes)
        for service in extra:
            await self.swarm.remove(service.id)
        await self._forget(jobs)
        return Switched(Switch((await self._look()).marker), state.failed)

    async def back(
        self,
        before: Mapping[str, Artifact],
        images: Callable[[str], Awaitable[RegistryImage]],
        ids: Identities,
    ) -> Switched:
        """Take every service back to its image of `before`: its environment, secrets and all else with it.

        `images` gives the image of a process type whose service no longer knows what it was.
        A migration that still runs is waited for, and never cut off.
        """
        state = await self._look()
        await together(*(partial(self._phase.ended, job) for job in state.jobs))
        changes: list[Callable[[], Awaitable[None]]] = []
        for process_type, service in state.services.items():
            artifact = before.get(process_type)
            if isinstance(artifact, ImageId):
                changes.append(partial(self._back, process_type, service, artifact, images, ids))
            elif APP in service.labels:
                changes.append(partial(self.swarm.remove, service.id))
        gone = {t: await images(t) for t in before if t not in state.services}
        if gone:
            self.compose.check(gone)
            changes.append(partial(self._make, gone, None))
        await together(*changes)
        await self._forget(state.jobs)
        return Switched(Switch(state.marker), state.failed)

    async def _template(
        self, state: State, missing: Mapping[str, RegistryImage], mark: Mark
    ) -> Service | None:
        """The service that the migration is made from; None where the release has none."""
        template = state.services.get(PHASE)
        if template is None and PHASE in missing:
            await self._make({PHASE: missing[PHASE]}, mark)
            template = (await self._look()).services.get(PHASE)
        return template if PHASE in mark.release.artifacts else None

    async def _give(self, service: Service, image: RegistryImage, mark: Mark, process_type: str) -> None:
        auth = await self.auth(image.repository)
        self.progress(f"updating {process_type}")
        await self._change(service, process_type, lambda now: marked(now.spec, image, mark), auth)

    async def _back(
        self,
        process_type: str,
        service: Service,
        artifact: ImageId,
        images: Callable[[str], Awaitable[RegistryImage]],
        ids: Identities,
    ) -> None:
        if await ids.of(service.image, service.spec) == artifact:
            return
        previous = service.previous
        if previous is not None and await ids.of(image_of(previous), previous) == artifact:
            self.progress(f"rolling {process_type} back")
            spec = dict(previous)
            # A template never runs, and of a job's roll-back the engine never says that it has ended.
            await self._change(service, process_type, lambda _: spec, {}, roll_back=not service.is_job)
            return
        image = await images(process_type)
        auth = await self.auth(image.repository)
        unknown = Mark(Release(self.target.app, "", {process_type: artifact}), "")
        await self._change(service, process_type, lambda now: marked(now.spec, image, unknown), auth)

    async def _change(
        self,
        service: Service,
        process_type: str,
        change: Callable[[Service], Mapping[str, Any]],
        auth: Mapping[str, str],
        *,
        roll_back: bool = False,
    ) -> None:
        """One change of a service, repeated only where it surely was not made."""
        began = service.image
        for attempt in range(_REPEATS):
            spec = change(service)
            try:
                await self.swarm.update(service, spec, auth, roll_back=roll_back)
                return
            except (AnswerLost, OutOfSequence, Unreachable, VendorFailure) as error:
                await anyio.sleep(_PAUSE_S * 2**attempt)
                now = await patiently(partial(self.swarm.service, service.id))
                if now is not None and digest_of(now.image) == digest_of(image_of(spec)):
                    return
                if now is None or attempt == _REPEATS - 1 or now.image not in {began, service.image}:
                    what = (
                        error.message
                        if isinstance(error, VendorError)
                        else "something else keeps changing it"
                    )
                    raise ReleaseFailed(
                        f"{process_type} of {self._where} was not updated: {what}",
                        hint=f"Look at it with: docker service inspect --pretty {service.name}",
                    ) from error
                service = now
            except VendorError as error:
                raise ReleaseFailed(
                    f"The engine refused to update {process_type} of {self._where}: {error.message}",
                    hint=f"Look at it with: docker service inspect --pretty {service.name}",
                ) from error

    async def _make(self, missing: Mapping[str, RegistryImage], mark: Mark | None) -> None:
        """Services that are not there, from the team's Compose file."""
        await self.compose.make(self.target, missing, mark)
        state = await self._look()
        absent = sorted(missing.keys() - state.services.keys())
        if absent:
            raise ReleaseFailed(
                f"docker made no service {', '.join(service_name(self.target, t) for t in absent)}.",
                hint=f"Look at what there is with: docker stack services {self.target.name}",
            )
        named = self.compose.images(missing)
        await together(*(partial(self._name, t, state.services[t], text) for t, text in named.items()))

    async def _name(self, process_type: str, service: Service, text: str) -> None:
        """Say what the file calls the image, so that a later `docker stack deploy` sees that it has not changed."""

        def change(now: Service) -> Mapping[str, Any]:
            return {**now.spec, "Labels": {**now.labels, COMPOSE_IMAGE: text}}

        await self._change(service, process_type, change, {})

    async def _look(self) -> State:
        return await patiently(partial(look, self.swarm, self.target))

    async def _forget(self, jobs: Sequence[Service]) -> None:
        """Take finished jobs away. What does not work, and what still runs, is left for the next time."""
        for job in jobs:
            try:
                if not await self._phase.is_running(job):
                    await self.swarm.remove(job.id)
            except LiftlockError:
                return

    @property
    def _phase(self) -> Phase:
        return Phase(self.swarm, self.target, self.progress)

    @property
    def _where(self) -> str:
        return f"{self.target.app} in {self.target.environment} ({self.target.name})"


def _has(service: Service, image: RegistryImage) -> bool:
    """Whether a service was given this image, and nothing stands in its way."""
    stuck = service.update is not None and service.update.state not in {"updating", "completed"}
    return digest_of(service.image) == image.digest and (not stuck or service.is_job)
