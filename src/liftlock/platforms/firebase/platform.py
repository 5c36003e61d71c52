"""Firebase Hosting as a platform: the verbs of `ports.Platform` over its API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import anyio

from liftlock.errors import (
    AnswerLost,
    ArtifactMissing,
    NotFound,
    NotHealthy,
    ReleaseFailed,
    Unauthorized,
    VendorFailure,
)
from liftlock.model import (
    App,
    Known,
    Located,
    Missing,
    Release,
    Running,
    SiteVersion,
    Target,
)
from liftlock.platforms.firebase.api import FINALIZED, Hosting, Version, plain_name
from liftlock.plugins import Context
from liftlock.polling import gap_s, holds, wait_for
from liftlock.ports import PUBLICATION, BuiltImage, Progress, Publication, Switch
from liftlock.probes import Finding, Probe, of_targets
from liftlock.tasks import together

SITE = "site"
_LIVE_LIMIT_S = 60.0
_REPEATS = 2
_LOST_S = 2.0
_CANDIDATES = 3


class Firebase:
    """Sites on Firebase Hosting.

    A clone has another name than its source: content, over every file and the configuration,
    decides what is the same.
    """

    name = "firebase"
    concurrency = 64

    def __init__(self, context: Context) -> None:
        self._context = context
        self._hosting = Hosting(context)

    def probes(self) -> Sequence[Probe]:
        """See `probes.Probed`. Each site's live channel is read."""
        return of_targets("Firebase", self._context.project.targets_on(self.name), self._probe)

    async def _probe(self, target: Target) -> Finding:
        try:
            live = await self._hosting.live(target.name)
        except NotFound as error:
            error.hint = (
                f"Make it: firebase hosting:sites:create {target.name}. Or name the right site as `firebase` of "
                f"[apps.{target.app}]."
            )
            raise
        except Unauthorized as error:
            if error.status == 403:
                error.hint = (
                    "Give the credential's account the role Firebase Hosting Admin in the site's project: "
                    "https://console.cloud.google.com/iam-admin/iam"
                )
            raise
        return Finding("serves a version" if live.version else "there, and serves nothing yet")

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        """See `ports.Platform`. Two round trips: the live channel, then its version's files."""
        live = await self._hosting.live(target.name)
        if not live.version:
            return Known({})
        _, version = await self._hosting.content(live.version)
        return Known({SITE: version}, marker=version.short)

    async def blobs(self, target: Target, release: Release) -> Mapping[str, Mapping[str, int]]:
        """See `ports.Measures`. One round trip: Firebase tells the bytes of a whole version alone."""
        version = _site(release)
        try:
            found = await self._hosting.version(version.name)
        except NotFound:
            return {}
        _, size_bytes = found.size
        return {SITE: {version.content or version.name: int(size_bytes)}} if size_bytes.isdigit() else {}

    def page(self, target: Target) -> str:
        """See `ports.HasPages`."""
        base = self._context.http("firebase").base
        return (
            f"{base}/_sites/{target.name}/"
            if base.startswith("http://")
            else f"https://{target.name}.web.app"
        )

    async def locate(self, target: Target, release: Release, source: Target | None) -> Located | Missing:
        """See `ports.Platform`. One round trip."""
        version = _site(release)
        try:
            found = await self._hosting.version(version.name)
        except NotFound:
            return Missing(
                f"{release.app}'s site version {version.name} does not exist any more.",
                hint=f"Deploy {release.app} again in the first environment.",
            )
        if found.status != FINALIZED:
            return Missing(
                f"{release.app}'s site version {version.name} cannot be used: it is {found.status}.",
                hint=f"Deploy {release.app} again in the first environment.",
            )
        return Located(release, {SITE: "target" if _is_of(version, target) else "clone"})

    async def pin(self, source: Target, release: Release) -> Release:
        """See `ports.Platform`. One round trip where the record names a version, else two."""
        recorded = release.artifacts.get(SITE)
        if isinstance(recorded, SiteVersion) and recorded.content:
            return release
        name = plain_name(recorded.name) if isinstance(recorded, SiteVersion) else ""
        name = name or (await self._hosting.live(source.name)).version
        if not name:
            raise ArtifactMissing(
                f"The record of {release.app} in {source.environment} names no version, "
                f"and the site {source.name} serves none.",
                hint=f"Deploy {release.app} in {source.environment} first.",
            )
        try:
            _, version = await self._hosting.content(name)
        except NotFound as error:
            raise ArtifactMissing(
                f"The version {name} that is recorded for {release.app} in {source.environment} "
                "does not exist any more.",
                hint=f"Deploy {release.app} in {source.environment} again.",
            ) from error
        return Release(release.app, release.commit, {SITE: version})

    async def stage(
        self, target: Target, located: Located, source: Target | None, progress: Progress
    ) -> Release:
        """See `ports.Platform`. An equal version that the site has already is taken: a clone that an
        interrupted run made, or an earlier release."""
        version = _site(located.release)
        if _is_of(version, target):
            return located.release
        (record, wanted), candidates = await together(
            partial(self._hosting.content, version.name), partial(self._hosting.versions, target.name)
        )
        if version.content and wanted.content != version.content:
            raise ArtifactMissing(
                f"The content of {version.name} is not what was planned ({wanted.content[:12]} instead of "
                f"{version.content[:12]}).",
                hint="Nothing was released. Plan again.",
            )
        staged = await self._equal_version(record, wanted, candidates)
        if staged is None:
            progress(f"cloning {version.short} into {target.name}")
            name = await self._hosting.clone(version.name, target.name)
            _, staged = await self._hosting.content(name)
        if staged.content != wanted.content:
            raise ArtifactMissing(
                f"The clone {staged.name} is not the same as {version.name}: its content is "
                f"{staged.content[:12]} instead of {wanted.content[:12]}.",
                hint="Nothing was released. Try again, and if it stays so, compare the files of both versions.",
            )
        return Release(located.release.app, located.release.commit, {SITE: staged})

    async def _equal_version(
        self, record: Version, wanted: SiteVersion, candidates: Sequence[Version]
    ) -> SiteVersion | None:
        """A version with the same content; only those of the same size are looked at."""
        alike = [c for c in candidates if c.size == record.size and any(c.size)][:_CANDIDATES]
        contents = await together(*(partial(self._hosting.content, each.name) for each in alike))
        return next((version for _, version in contents if version.content == wanted.content), None)

    async def release(
        self, target: Target, release: Release, progress: Progress, promotion: str = ""
    ) -> Switch:
        """See `ports.Platform`. A look and one release; a lost answer is resolved by looking."""
        version = _site(release)
        if not _is_of(version, target):
            raise ReleaseFailed(
                f"{version.name} is not a version of {target.name}: it was not staged.",
                hint="Nothing was switched there. Plan again.",
            )
        changed = await self._make_live(target, version, f"liftlock: {release.app} {release.commit}")
        return Switch(version.short, changed=changed)

    async def settle(
        self, target: Target, release: Release, switch: Switch, settle_s: float, progress: Progress
    ) -> None:
        """See `ports.Platform`. The version is live, and stays so."""
        wanted = plain_name(_site(release).name)
        await self._until_live(target, wanted)

        async def is_live() -> bool:
            live = await self._hosting.live(target.name)
            if live.version == wanted:
                return True
            raise NotHealthy(
                f"{target.app} in {target.environment} ({target.name}) did not stay on {wanted}: "
                f"{live.version or 'nothing'} is live now.",
                hint="Somebody else released there: see the site's release history.",
            )

        await holds(is_live, settle_s, progress, what="live")

    async def restore(
        self, target: Target, before: Known, progress: Progress, released: Release | None = None
    ) -> None:
        """See `ports.Platform`. A site that served nothing before is disabled."""
        if SITE in before.artifacts:
            version = _site(Release(target.app, "", before.artifacts))
            await self._make_live(target, version, f"liftlock: {target.app} back to {version.short}")
            await self._until_live(target, plain_name(version.name))
        elif (await self._hosting.live(target.name)).version:
            await self._hosting.disable(target.name, f"liftlock: {target.app} served nothing before")
            await self._until_live(target, "")

    async def build(self, app: App, checkout: Path, progress: Progress) -> Mapping[str, BuiltImage]:
        """See `ports.Platform`."""
        return {}

    async def publish(
        self,
        app: App,
        commit: str,
        checkout: Path,
        progress: Progress,
        publication: Publication = PUBLICATION,
    ) -> Release:
        """See `ports.Platform`. Nothing is uploaded twice; an interrupted version is abandoned."""
        from liftlock.platforms.firebase.publish import publish  # a deploy alone needs it

        first = next(name for name in self._context.project.environments if name in app.targets)
        version = await publish(self._hosting, app.targets[first], commit, checkout, progress)
        return Release(app.name, commit, {SITE: version})

    async def _make_live(self, target: Target, version: SiteVersion, message: str) -> bool:
        """Release `version` unless it is live; whether that took a release."""
        if (await self._hosting.live(target.name)).version == plain_name(version.name):
            return False
        for attempt in range(_REPEATS + 1):
            try:
                await self._hosting.release(target.name, version.name, message)
                return True
            except (AnswerLost, VendorFailure) as error:
                if await self._became_live(target, plain_name(version.name)):
                    return True
                if attempt == _REPEATS:
                    raise ReleaseFailed(
                        f"Firebase did not release {version.name} of {target.app} in {target.environment} "
                        f"in {attempt + 1} attempts: {error.message}",
                        hint="Nothing was switched there. Try again later.",
                    ) from error
        raise AssertionError("unreachable")

    async def _became_live(self, target: Target, version: str) -> bool:
        began = anyio.current_time()
        while True:
            if (await self._hosting.live(target.name)).version == version:
                return True
            elapsed = anyio.current_time() - began
            if elapsed >= _LOST_S:
                return False
            await anyio.sleep(gap_s(elapsed))

    async def _until_live(self, target: Target, version: str) -> None:
        async def live() -> bool | None:
            return True if (await self._hosting.live(target.name)).version == version else None

        def never() -> Exception:
            return NotHealthy(
                f"{target.app} in {target.environment} ({target.name}) does not serve "
                f"{version or 'nothing'} after {_LIVE_LIMIT_S:.0f} s.",
                hint="Somebody else may have released there: see the site's release history.",
            )

        await wait_for(live, limit_s=_LIVE_LIMIT_S, timed_out=never)


def _site(release: Release) -> SiteVersion:
    version = release.artifacts.get(SITE)
    if not isinstance(version, SiteVersion) or not version.name:
        raise ArtifactMissing(
            f"The release of {release.app} at {release.commit[:7]} has no site version.",
            hint=f"Deploy {release.app} again so that its record names one.",
        )
    return version


def _is_of(version: SiteVersion, target: Target) -> bool:
    """Whether it is a version of the target's own site (`sites/S/…` or `projects/P/sites/S/…`)."""
    return plain_name(version.name).startswith(f"sites/{target.name}/")
