"""Directories as a platform: the verbs of `ports.Platform` on this machine's file system."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from anyio import to_thread

from liftlock.changes import may_begin
from liftlock.errors import ArtifactMissing, LiftlockError, NotHealthy, ReleaseFailed, UsageError, VendorError
from liftlock.model import App, Known, Located, Missing, Release, Running, SiteVersion, Target, Unknown
from liftlock.platforms.directory.content import site_files
from liftlock.platforms.directory.site import VERSIONS, NotALink, Served, Site
from liftlock.plugins import Context
from liftlock.polling import holds, wait_for
from liftlock.ports import PUBLICATION, BuiltImage, Progress, Publication, Switch
from liftlock.probes import Finding, Probe, of_targets

SITE = "site"
KEEP, PUBLIC = 10, "public"
HEALTH_LIMIT_S = 60.0
"""How long the health path may answer wrongly after the switch: what is before it may cache."""
CHANGE_S = 10.0
"""A change of links takes at most so long, waiting for another process' included."""
_HEALTH_TIME_S = 5.0
_SETBACKS = 2
_ANSWERS = frozenset({*range(200, 300), *range(400, 600)})
T = TypeVar("T")


class Directory:
    """Sites in directories of this machine, each version under its content's name.

    Content decides what is the same: a version has the same name in every environment.
    """

    name = "directory"
    concurrency = 4

    def __init__(self, context: Context) -> None:
        self._context = context

    def probes(self) -> Sequence[Probe]:
        """See `probes.Probed`. Nothing is written."""
        return of_targets("Directories", self._context.project.targets_on(self.name), self._probe)

    async def _probe(self, target: Target) -> Finding:
        site = self._site(target)
        if not os.access(site.root, os.W_OK | os.X_OK):
            raise UsageError(
                f"{site.root} cannot be written by this user.",
                hint=f"Give it to the user that promotes: chown -R USER {site.root}",
            )
        served = await self._served(target)
        if isinstance(served, Unknown):
            raise LiftlockError(served.reason, hint=f"Look at {site.root} by hand.")
        count = await to_thread.run_sync(site.count)
        what = f"serves {served.found.digest[:12]}" if served else "serves nothing yet"
        said = f"there, {what}, {count} version{'' if count == 1 else 's'} kept"
        return Finding(said, note=served is not None and not served.is_intact)

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        """See `ports.Platform`. Every file that is served is read: names prove nothing."""
        served = await self._served(target)
        if isinstance(served, Unknown):
            return served
        if served is None:
            return Known({})
        version = _version(served.found.digest)
        note = (
            "" if served.is_intact else f"{served.folder} is no version of its own, or was changed in place"
        )
        return Known({SITE: version}, marker=version.short, note=note)

    async def blobs(self, target: Target, release: Release) -> Mapping[str, Mapping[str, int]]:
        """See `ports.Measures`: the files, each distinct one once."""
        version = release.artifacts.get(SITE)
        if not isinstance(version, SiteVersion) or not version.content:
            return {}
        try:
            found = await to_thread.run_sync(self._site(target).find, version.content)
        except (OSError, UsageError):
            return {}
        return {SITE: found.sizes} if found is not None else {}

    def page(self, target: Target) -> str:
        """See `ports.HasPages`. Where it is served, as the file says, else its directory."""
        return str(target.options.get("url") or self._root(target).as_uri())

    async def locate(self, target: Target, release: Release, source: Target | None) -> Located | Missing:
        """See `ports.Platform`. The target's own versions, the source's, then those of its other environments."""
        version = release.artifacts.get(SITE)
        if not isinstance(version, SiteVersion) or not version.content or not _is_ours(version):
            told = f" ({version.name})" if isinstance(version, SiteVersion) and version.name else ""
            return Missing(
                f"The record of {release.app} at {release.short_commit} names no version of a directory{told}.",
                hint=f"It was made on another platform, or by another tool: deploy {release.app} anew.",
            )
        found = await self._find(target, version, source)
        if found is None:
            return Missing(
                f"{release.app}'s version {version.short} is in none of its directories any more, "
                "or its files were changed there.",
                hint=f"Deploy {release.app} at {release.short_commit} again. `keep` says how many stay.",
            )
        is_here = found == self._root(target) / VERSIONS / version.content
        return Located(release, {SITE: "target" if is_here else "clone"})

    async def _find(self, target: Target, version: SiteVersion, source: Target | None) -> Path | None:
        """A folder with this version's files, the target's own before others."""
        near = dict.fromkeys(map(self._root, [target, *([source] if source else [])]))
        others = dict.fromkeys(map(self._root, self._context.project.apps[target.app].targets.values()))
        for root in near | others:
            try:
                with _told(root, "read", LiftlockError):
                    folder = await to_thread.run_sync(Site(root).folder, version.content)
            except LiftlockError:
                if root in near:
                    raise
                continue  # another environment's may be closed to this user
            if folder is not None:
                return folder
        return None

    async def pin(self, source: Target, release: Release) -> Release:
        """See `ports.Platform`. A record that names no version means what is served there now."""
        if isinstance(release.artifacts.get(SITE), SiteVersion):
            return release
        served = await self._served(source)
        if not isinstance(served, Served):
            why = served.reason if isinstance(served, Unknown) else "and nothing is served there"
            raise ArtifactMissing(
                f"The record of {release.app} in {source.environment} names no version, {why}.",
                hint=f"Deploy {release.app} in {source.environment} first.",
            )
        return Release(release.app, release.commit, {SITE: _version(served.found.digest)})

    async def stage(
        self, target: Target, located: Located, source: Target | None, progress: Progress
    ) -> Release:
        """See `ports.Platform`. What is served now becomes a version too, if it is none: it may be gone back to."""
        release, site = located.release, self._site(target)
        version = _site_version(release)
        await may_begin(CHANGE_S)
        with _told(site.root, "written", LiftlockError):
            await to_thread.run_sync(site.keep_served)
            await to_thread.run_sync(site.prune, _keep(target), version.content)
            if await to_thread.run_sync(site.hold, version.content):
                return release
        folder = await self._find(target, version, source)
        if folder is None:
            raise ArtifactMissing(
                f"{release.app}'s version {version.short} is no longer where it was.",
                hint="Nothing was released. Plan again.",
            )
        progress(f"copying {version.short} to {site.root}")
        with _told(site.root, "written", LiftlockError):
            try:
                await to_thread.run_sync(site.add_tree, folder, version.content)
            except ValueError as error:
                raise ArtifactMissing(
                    f"The copy of {folder} is not the same: its content is {str(error)[:12]} instead of "
                    f"{version.short}.",
                    hint="Nothing was released. Somebody may be changing files there: plan again.",
                ) from error
        return release

    async def release(
        self, target: Target, release: Release, progress: Progress, promotion: str = ""
    ) -> Switch:
        """See `ports.Platform`. One rename."""
        version = _site_version(release)
        return Switch(
            version.short, changed=await self._serve(target, version, "Nothing was switched there.")
        )

    async def settle(
        self, target: Target, release: Release, switch: Switch, settle_s: float, progress: Progress
    ) -> None:
        """See `ports.Platform`. Every file is read once more, and the health path has to answer, and to go on."""
        version = _site_version(release)
        served = await self._served(target)
        if not isinstance(served, Served) or served.found.digest != version.content:
            found = served.found.digest[:12] if isinstance(served, Served) else "nothing"
            raise self._unhealthy(target, f"{found} is served, and not {version.short}")

        async def is_good() -> bool:
            return not await self._ailment(target, version)

        await self._until_good(target, version)
        setbacks = 0
        while not await holds(is_good, settle_s, progress, what="served"):
            setbacks += 1
            if setbacks == _SETBACKS:
                raise self._unhealthy(target, f"it did not stay healthy for {settle_s:g} s")
            await self._until_good(target, version)

    async def _until_good(self, target: Target, version: SiteVersion) -> None:
        ailment = ""

        async def good() -> bool | None:
            nonlocal ailment
            ailment = await self._ailment(target, version)
            return None if ailment else True

        limit_s = float(target.options.get("health_s", HEALTH_LIMIT_S))
        await wait_for(
            good, limit_s=limit_s, timed_out=lambda: self._unhealthy(target, ailment or "no answer")
        )

    async def _ailment(self, target: Target, version: SiteVersion) -> str:
        """What is wrong with it; "" when the version is served and the health path answers 2xx."""
        site = self._site(target)
        if not await to_thread.run_sync(site.points_at, version.content):
            # Waiting mends nothing: somebody else has switched it.
            raise self._unhealthy(target, f"it was switched away from {version.short} by somebody else")
        if not target.health:
            return ""
        url = f"{str(target.options.get('url', '')).rstrip('/')}{target.health}"
        http = self._context.http_at(target.app, url)
        try:
            answer = await http.request("GET", url, expect=_ANSWERS, repeat=False, timeout_s=_HEALTH_TIME_S)
        except VendorError:
            return f"{url} does not answer"
        return "" if answer.status < 300 else f"{url} answers {answer.status}"

    def _unhealthy(self, target: Target, why: str) -> NotHealthy:
        return NotHealthy(
            f"{target.app} in {target.environment} ({target.name}) is not healthy: {why}.",
            hint=f"Look at {self._root(target)}, and at its web server's log.",
        )

    async def restore(
        self, target: Target, before: Known, progress: Progress, released: Release | None = None
    ) -> None:
        """See `ports.Platform`. A site that served nothing before has no `current` again."""
        if SITE in before.artifacts:
            version = _site_version(Release(target.app, "", before.artifacts))
            await self._serve(target, version, "It was not taken back.")
            return
        site = self._site(target)
        await may_begin(CHANGE_S)
        with _told(site.root, "written", ReleaseFailed):
            await to_thread.run_sync(site.clear)

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
        """See `ports.Platform`. The files become a version of the first environment's directory."""
        first = next(name for name in self._context.project.environments if name in app.targets)
        target = app.targets[first]
        site = self._site(target)
        public = checkout / str(target.options.get("folder", ".")) / str(target.options.get("public", PUBLIC))
        if not public.is_dir():
            raise UsageError(
                f"{app.name} has no folder {public.relative_to(checkout)} with its files.",
                hint=f'Build the site first, or name its folder: [apps.{app.name}] public = "dist".',
            )
        with _told(public, "read", LiftlockError):
            files = await to_thread.run_sync(site_files, public, checkout)
        if not files:
            raise UsageError(
                f"{public} of {app.name} holds no file to publish.", hint="Build the site first."
            )
        progress(f"copying {len(files)} files to {site.root}")
        with _told(site.root, "written", LiftlockError):
            digest = await to_thread.run_sync(site.add, files)
        return Release(app.name, commit, {SITE: _version(digest)})

    async def _serve(self, target: Target, version: SiteVersion, then: str) -> bool:
        site = self._site(target)
        await may_begin(CHANGE_S)
        with _told(site.root, "written", ReleaseFailed):
            try:
                return await to_thread.run_sync(site.switch, version.content, _keep(target))
            except FileNotFoundError as error:
                raise ReleaseFailed(
                    f"{target.app}'s version {version.short} is not in {site.root}.",
                    hint=f"{then} Plan again.",
                ) from error

    async def _served(self, target: Target) -> Served | Unknown | None:
        try:
            return await to_thread.run_sync(self._site(target).served)
        except UsageError as error:
            return Unknown(error.message)
        except NotALink as error:
            return Unknown(f"{error} is no link to a version")
        except OSError as error:
            return Unknown(f"{error.filename or self._root(target)} cannot be read: {error.strerror}")

    def _site(self, target: Target) -> Site:
        """Raises `UsageError` when the directory is not there: on another machine nobody would serve it."""
        root = self._root(target)
        if not root.is_dir():
            raise UsageError(
                f"{root}, where {target.app} is served in {target.environment}, is not on this machine.",
                hint="Run this where the web server reads it, or make it there for the user that promotes: "
                f"install -d -o USER {root}",
            )
        return Site(root)

    def _root(self, target: Target) -> Path:
        """The target's directory; a relative path begins where the project's file is."""
        return Path(os.path.normpath(Path(self._context.project.root).absolute() / target.name))


@contextmanager
def _told(place: Path, how: str, kind: Callable[..., LiftlockError]) -> Iterator[None]:
    """Turn the operating system's refusals into errors that say where."""
    try:
        yield
    except NotALink as error:
        raise kind(
            f"{error} is no link, so liftlock did not make it and does not replace it.",
            hint="Nothing was switched there. Move it away, or name another directory.",
        ) from error
    except OSError as error:
        where = error.filename or place
        raise kind(
            f"{place} cannot be {how}: {error.strerror or error} ({where}).",
            hint="See who owns it (ls -ld), and whether its disk is full (df).",
        ) from error


def _keep(target: Target) -> int:
    return int(target.options.get("keep", KEEP))


def _version(digest: str) -> SiteVersion:
    return SiteVersion(f"{VERSIONS}/{digest}", digest)


def _is_ours(version: SiteVersion) -> bool:
    return version.name == f"{VERSIONS}/{version.content}"


def _site_version(release: Release) -> SiteVersion:
    version = release.artifacts.get(SITE)
    if not isinstance(version, SiteVersion) or not _is_ours(version):
        raise ArtifactMissing(
            f"The release of {release.app} at {release.short_commit} has no version of a directory.",
            hint=f"Deploy {release.app} again so that its record names one.",
        )
    return version
