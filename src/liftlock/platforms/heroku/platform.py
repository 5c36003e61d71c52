"""Heroku as a platform: the verbs of `ports.Platform` over its API and its registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from liftlock.errors import ReleaseFailed
from liftlock.model import App, Artifacts, ImageId, Known, Located, Missing, Release, Running, Target
from liftlock.platform_images import PlatformImages, Publisher, complete
from liftlock.platforms.heroku import observe
from liftlock.platforms.heroku.api import HerokuApp
from liftlock.platforms.heroku.observe import State, Watch
from liftlock.platforms.heroku.probes import probes
from liftlock.platforms.heroku.settle import BOOT_LIMIT_S, Settling
from liftlock.platforms.heroku.switch import Switched, Switcher
from liftlock.plugins import Context
from liftlock.ports import PUBLICATION, BuiltImage, Progress, Publication, Switch
from liftlock.probes import Probe


class Heroku:
    """Apps on Heroku that run containers.

    Lockstep means one release per app that carries every process type. Requests are counted in
    the reference, "Requests".
    """

    name = "heroku"
    concurrency = 64

    def __init__(self, context: Context) -> None:
        self._context = context
        self._platform_images = PlatformImages(context.images, self._repository, context.project.archive)
        self._publisher = Publisher(self._platform_images, context.project)
        self._switched: dict[str, Switched] = {}
        self._observed: dict[str, State] = {}
        """What planning saw of each target: a release that follows need not look again first."""

    def probes(self) -> Sequence[Probe]:
        """See `probes.Probed`."""
        return probes(self._context, self._platform_images)

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        """See `ports.Platform`. One round trip."""
        formation, releases = self._observed[target.name] = await Watch(self._context, target).state()
        return observe.running(formation, releases, expected)

    async def locate(self, target: Target, release: Release, source: Target | None) -> Located | Missing:
        """See `ports.Platform`. One round trip where the target has the commit's tag, else two."""
        return await self._platform_images.locate(target, release, source)

    async def pin(self, source: Target, release: Release) -> Release:
        """See `ports.Platform`. Asks nobody."""
        return complete(release, self._context.project.apps[source.app])

    async def stage(
        self, target: Target, located: Located, source: Target | None, progress: Progress
    ) -> Release:
        """See `ports.Platform`. Asks nobody when every image is at the target."""
        return await self._platform_images.stage(target, located, source, progress)

    async def release(
        self, target: Target, release: Release, progress: Progress, promotion: str = ""
    ) -> Switch:
        """See `ports.Platform`. One update, and looks until Heroku's release has ended.

        It begins from what planning saw, under the same lease; where Heroku answers that something
        else is under way there, and where nobody has looked, it looks first.
        """
        switcher = Switcher(Watch(self._context, target), target, progress)
        seen = self._observed.pop(target.name, None)
        switched = await switcher.to(_images(target, release.artifacts), seen=seen)
        self._switched[target.name] = switched
        return switched.switch

    async def settle(
        self, target: Target, release: Release, switch: Switch, settle_s: float, progress: Progress
    ) -> None:
        """See `ports.Platform`. With `settle_s` 0, the last look of `release` counts while it is fresh."""
        switched = self._switched.pop(target.name, None)
        if switched is None or switched.switch != switch:
            switched = Switched(switch)
        await self._settling(target, release.artifacts, switched, progress).run(settle_s)

    async def restore(
        self, target: Target, before: Known, progress: Progress, released: Release | None = None
    ) -> None:
        """See `ports.Platform`. What ran before need not be healthy, but its dynos have to be up."""
        target = replace(target, health="")
        images = _images(target, before.artifacts)
        switched = await Switcher(Watch(self._context, target), target, progress).to(images, before.scale)
        if images:
            await self._settling(target, images, switched, progress).run(0.0)

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

    async def maintain(self, target: Target, on: bool) -> bool:
        """See `ports.Maintenance`. Web requests are answered by Heroku's page; other processes run on."""
        app = HerokuApp(self._context, target.name)
        before = await app.in_maintenance()
        if before != on:
            await app.maintain(on)
        return before

    async def blobs(self, target: Target, release: Release) -> Mapping[str, Mapping[str, int]]:
        """See `ports.Measures`. One round trip where the target has the commit's tag, else two."""
        return await self._platform_images.blobs(target, release)

    def page(self, target: Target) -> str:
        """See `ports.HasPages`. Heroku makes the app's own address up; its dashboard leads there."""
        base = self._context.http("heroku").base
        if base.startswith("http://"):
            return f"{base}/_apps/{target.name}/"
        return f"https://dashboard.heroku.com/apps/{target.name}"

    def _repository(self, target: Target, process_type: str) -> str:
        """Heroku's registry has one for each process type of each Heroku app."""
        host = urlsplit(self._context.http("heroku_registry").base).netloc
        return f"{host}/{target.name}/{process_type}"

    def _settling(
        self, target: Target, artifacts: Artifacts, switched: Switched, progress: Progress
    ) -> Settling:
        boot_limit_s = float(target.options.get("boot_s", BOOT_LIMIT_S))
        watch = Watch(self._context, target)
        return Settling(watch, target, _images(target, artifacts), switched, progress, boot_limit_s)


def _images(target: Target, artifacts: Artifacts) -> Mapping[str, ImageId]:
    """The image ids to release. Anything else was not located, and releasing it would be a guess."""
    images = {}
    for process_type, artifact in artifacts.items():
        if not isinstance(artifact, ImageId):
            raise ReleaseFailed(
                f"{process_type} of {target.app} in {target.environment} has no image id, but {artifact!r}.",
                hint="Nothing was switched there. Plan again.",
            )
        images[process_type] = artifact
    return images
