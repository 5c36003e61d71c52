"""Docker Swarm as a platform: the verbs of `ports.Platform` over the engine's API and any registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import anyio

from liftlock.errors import ArtifactMissing, ReleaseFailed, VendorError
from liftlock.http import optional
from liftlock.model import App, Artifacts, Digest, ImageId, Known, Located, Missing, Release, Running, Target
from liftlock.platform_images import Publisher, complete, of_registry
from liftlock.platform_images import probes as image_probes
from liftlock.platforms.swarm.api import Swarm, registry_auth
from liftlock.platforms.swarm.compose import Compose
from liftlock.platforms.swarm.marks import Mark
from liftlock.platforms.swarm.observe import PHASE, Identities, look, running
from liftlock.platforms.swarm.probes import GROUP, TEMPLATE_HINT, probes
from liftlock.platforms.swarm.settle import Settling
from liftlock.platforms.swarm.switch import Switched, Switcher
from liftlock.plugins import Context
from liftlock.ports import PUBLICATION, BuiltImage, Progress, Publication, RegistryImage, Switch
from liftlock.probes import Probe
from liftlock.tasks import together


class DockerSwarm:
    """Apps that are services of a stack on a swarm.

    The services are the team's own. liftlock replaces their images, by digest, and labels them;
    scale, configs, secrets, networks and ports are not touched.
    """

    name = "swarm"
    concurrency = 16

    def __init__(self, context: Context) -> None:
        self._context = context
        self._platform_images = of_registry(context)
        self._publisher = Publisher(self._platform_images, context.project)
        self._swarms: dict[str, Swarm] = {}
        self._identities: Identities | None = None
        self._found: dict[tuple[str, str, str, str], RegistryImage] = {}
        self._turns: dict[tuple[str, str], anyio.Lock] = {}
        self._switched: dict[tuple[str, str], Switched] = {}

    def probes(self) -> Sequence[Probe]:
        """See `probes.Probed`."""
        targets = self._context.project.targets_on(self.name)
        return [
            *probes(targets, self._swarm, self._compose),
            *image_probes(self._platform_images, targets, GROUP),
        ]

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        """See `ports.Platform`. One round trip, and one to the registry for each image not put there by liftlock."""
        return await running(await look(self._swarm(target), target), self._ids)

    async def locate(self, target: Target, release: Release, source: Target | None) -> Located | Missing:
        """See `ports.Platform`."""
        return await self._platform_images.locate(target, release, source)

    async def pin(self, source: Target, release: Release) -> Release:
        """See `ports.Platform`. Asks nobody."""
        return complete(release, self._context.project.apps[source.app])

    async def stage(
        self, target: Target, located: Located, source: Target | None, progress: Progress
    ) -> Release:
        """See `ports.Platform`. The engine itself finds each image by its digest, and pulls it ahead of its use."""
        swarm = self._swarm(target)
        template = (await look(swarm, target)).services.get(PHASE)
        if template is not None and template.replicas != 0 and PHASE in located.release.artifacts:
            raise ReleaseFailed(
                f"{template.name} runs by itself, and every update would run it again.", hint=TEMPLATE_HINT
            )
        release = await self._platform_images.stage(target, located, source, progress)
        images = await self._images(target, release)
        for image in images.values():
            self._ids.learn(image.digest, image.image_id)
        distinct = {f"{image.repository}@{image.digest}": image for image in images.values()}
        await together(
            *(partial(self._prove, swarm, image, progress) for _, image in sorted(distinct.items()))
        )
        return release

    async def release(
        self, target: Target, release: Release, progress: Progress, promotion: str = ""
    ) -> Switch:
        """See `ports.Platform`. A migration to its end, then one update of each service, all at once."""
        images = await self._images(target, release)
        switched = await self._switcher(target, progress).to(images, Mark(release, promotion))
        self._switched[target.app, target.environment] = switched
        return switched.switch

    async def settle(
        self, target: Target, release: Release, switch: Switch, settle_s: float, progress: Progress
    ) -> None:
        """See `ports.Platform`. A task counts when the engine's own health check says that it is healthy."""
        images = await self._images(target, release)
        digests = {process_type: image.digest for process_type, image in images.items()}
        switched = self._switched.get((target.app, target.environment))
        before = switched.failed_before if switched is not None and switched.switch == switch else frozenset()
        await Settling(self._swarm(target), target, digests, progress, before).run(settle_s)

    async def restore(
        self, target: Target, before: Known, progress: Progress, released: Release | None = None
    ) -> None:
        """See `ports.Platform`. Each service goes back to its whole specification of before."""
        artifacts = before.artifacts

        async def image(process_type: str) -> RegistryImage:
            wanted = {process_type: artifacts[process_type]}
            return (await self._images(target, Release(target.app, "", wanted)))[process_type]

        switcher = self._switcher(target, progress)
        switched = await switcher.back(artifacts, image, self._ids)
        digests = await self._digests_now(target, artifacts)
        if digests:
            before_undo = switched.failed_before
            await Settling(self._swarm(target), target, digests, progress, before_undo).run(0.0)

    async def build(self, app: App, checkout: Path, progress: Progress) -> Mapping[str, BuiltImage]:
        """See `ports.Platform`."""
        return await self._publisher.build(app, checkout, progress)

    async def publish(
        self,
        app: App,
        commit: str,
        checkout: Path,
        progress: Progress,
        publication: Publication = PUBLICATION,
    ) -> Release:
        """See `ports.Platform`."""
        return await self._publisher.publish(app, commit, checkout, progress, publication)

    async def blobs(self, target: Target, release: Release) -> Mapping[str, Mapping[str, int]]:
        """See `ports.Measures`."""
        return await self._platform_images.blobs(target, release)

    async def _digests_now(self, target: Target, artifacts: Artifacts) -> dict[str, Digest]:
        """The manifests that the services were given for these artifacts. Raises `ReleaseFailed` for another."""
        state = await look(self._swarm(target), target)
        found: dict[str, Digest] = {}
        for process_type, service in state.services.items():
            if process_type not in artifacts:
                continue
            image_id = await self._ids.of(service.image, service.spec)
            digest = service.digest
            if image_id != artifacts[process_type] or digest is None:
                raise ReleaseFailed(
                    f"{process_type} of {target.app} in {target.environment} was not put back: it has {service.image}."
                )
            found[process_type] = digest
        return found

    async def _images(self, target: Target, release: Release) -> Mapping[str, RegistryImage]:
        """The images to run, as the target's own repositories have them."""
        for process_type, artifact in release.artifacts.items():
            if not isinstance(artifact, ImageId):
                raise ReleaseFailed(
                    f"{process_type} of {target.app} in {target.environment} has no image id, but {artifact!r}.",
                    hint="Nothing was switched there. Plan again.",
                )
        keys = {t: (target.app, target.environment, t, str(a)) for t, a in release.artifacts.items()}
        unknown = {t: release.artifacts[t] for t, key in keys.items() if key not in self._found}
        if unknown:  # once: a registry that goes down after the switch must not keep a release from its proof
            found = await self._platform_images.pulled(target, Release(release.app, release.commit, unknown))
            self._found.update({keys[t]: image for t, image in found.items()})
        return {t: self._found[key] for t, key in keys.items()}

    async def _prove(self, swarm: Swarm, image: RegistryImage, progress: Progress) -> None:
        """The engine finds the image in its registry, with the credentials that services will be given."""
        reference = f"{image.repository}@{image.digest}"
        auth = await self._auth(image.repository)
        progress(f"the engine looks {image.repository} up")
        try:
            found = await swarm.resolve(reference, auth)
        except VendorError as error:
            raise ArtifactMissing(
                f"The engine cannot pull {reference}: {error.message}",
                hint="Nothing was released. The engine asks the registry from where it is, with your login for it.",
            ) from error
        if found != image.digest:
            raise ArtifactMissing(
                f"The engine finds {found} under {reference}.", hint="Nothing was released."
            )
        info = await swarm.info()
        if optional(info, "Swarm.Nodes", int) == 1:  # elsewhere nobody can say on which nodes it will run
            progress(f"the engine pulls {image.repository}")
            await swarm.pull(image.repository, image.digest, auth)

    async def _auth(self, repository: str) -> Mapping[str, str]:
        host = repository.partition("/")[0]
        return registry_auth(await self._context.registry_login(host), host)

    def _switcher(self, target: Target, progress: Progress) -> Switcher:
        return Switcher(self._swarm(target), target, self._compose(target), self._auth, progress)

    def _swarm(self, target: Target) -> Swarm:
        address = target.options.get("docker", "")
        made = self._swarms.get(address)
        if made is None:
            made = self._swarms[address] = Swarm(self._context.docker(address))
        return made

    def _compose(self, target: Target) -> Compose:
        turn = self._turns.setdefault((target.options.get("docker", ""), target.name), anyio.Lock())
        return Compose(target, Path(self._context.project.root), self._context.environ, turn)

    @property
    def _ids(self) -> Identities:
        if self._identities is None:
            self._identities = Identities(self._context.images())
        return self._identities
