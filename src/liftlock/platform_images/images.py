"""Where a release's images are, and how they come to a target's repositories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from liftlock.errors import ArtifactMissing, UsageError, VendorError
from liftlock.model import (
    App,
    Artifact,
    ImageId,
    Located,
    Missing,
    ProcessSource,
    RecordedId,
    Release,
    Target,
)
from liftlock.plugins import Context
from liftlock.ports import Images, Progress, RegistryImage
from liftlock.tasks import together

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Find:
    """What looking for one image came to. Only an image with a manifest can be copied."""

    image_id: ImageId | None = None
    where: str = ""
    image: RegistryImage | None = None
    trouble: tuple[str, ...] = ()


@dataclass(slots=True)
class PlatformImages:
    """A platform's images, and those in the project's archive."""

    connect: Callable[[], Images]
    name: Callable[[Target, str], str]
    """The full name of the repository that a target runs a process type's image from."""
    archived: str = ""
    """The place of the project's archive; "" when it has none."""
    by_id: bool = False
    """Whether every image is also tagged by its id. Platforms that pull by a manifest's digest need that:
    of an image id alone a registry tells no manifest, and the commit's tag may have moved on."""
    _copyable: dict[tuple[str, str, str], RegistryImage] = field(default_factory=dict)
    """By target's name, process type and image id, what `locate` found to copy."""

    @property
    def images(self) -> Images:
        return self.connect()

    def repository(self, target: Target, process_type: str) -> str:
        """The full name of the repository that a target runs a process type's image from."""
        return self.name(target, process_type)

    def archive(self, target: Target, process_type: str) -> str:
        """The process type's repository in the project's archive; "" when it has none."""
        return f"{self.archived}/{target.app.lower()}/{process_type}" if self.archived else ""

    def tags(self, repository: str, image_id: ImageId, commit: str) -> list[str]:
        """The tags that an image of a commit has in a repository, the surest first.

        The archive has every image by its id: it is there to keep them.
        """
        is_kept = self.by_id or (self.archived and repository.startswith(f"{self.archived}/"))
        return [id_tag(image_id), commit] if is_kept else [commit]

    async def locate(self, target: Target, release: Release, source: Target | None) -> Located | Missing:
        """Look for every image at once: one round trip where the target has the commit's tag, else two."""
        types = sorted(release.artifacts)
        finds = await together(*(partial(self._find, target, release, each, source) for each in types))
        where: dict[str, str] = {}
        resolved: dict[str, Artifact] = {}
        notes: list[str] = []
        for process_type, find in zip(types, finds, strict=True):
            artifact = release.artifacts[process_type]
            if find.image_id is None and not find.trouble:
                return self._missing(target, release, source, process_type)
            if find.image_id is None:
                notes.append(f"{process_type}: its image could not be looked at ({find.trouble[0]})")
            elif find.image is not None:
                self._copyable[target.name, process_type, find.image_id.value] = find.image
            where[process_type] = find.where or "unproved"
            resolved[process_type] = find.image_id or ImageId(str(artifact))
        return Located(Release(release.app, release.commit, resolved), where, "; ".join(notes))

    async def blobs(self, target: Target, release: Release) -> dict[str, Mapping[str, int]]:
        """See `ports.Measures`: all of the release's images are looked for at once."""
        types = sorted(release.artifacts)
        finds = await together(*(partial(self._find, target, release, each, None) for each in types))
        return {t: find.image.blobs for t, find in zip(types, finds, strict=True) if find.image is not None}

    async def _find(self, target: Target, release: Release, process_type: str, source: Target | None) -> Find:
        """The best place that has the image: its own repository, under the commit's tag, settles it at once.

        A process type's image is run from that type's repository alone (Heroku knows no other way); the
        repositories of other types that share the image are places to copy it from.
        """
        artifact = release.artifacts[process_type]
        own = self.repository(target, process_type)
        references = self._references(own, release, artifact)
        first = await self._look_up(own, references[0], artifact, "target")
        if first.image_id is not None:
            return first
        twins = [t for t, a in sorted(release.artifacts.items()) if a == artifact and t != process_type]
        places = {self.repository(target, twin): "source" for twin in twins}
        if source is not None:
            places |= {self.repository(source, each): "source" for each in (process_type, *twins)}
        if self.archived:
            places |= {self.archive(target, each): "archive" for each in (process_type, *twins)}
        places.pop(own, None)  # one repository may serve every environment
        looks = [partial(self._look_up, own, reference, artifact, "target") for reference in references[1:]]
        looks += [
            partial(self._look_up, repository, reference, artifact, where)
            for repository, where in places.items()
            for reference in self._references(repository, release, artifact)
        ]
        if not self.by_id:
            # Last: a copy that was cut short leaves the config there, and no manifest to release it by.
            looks.append(partial(self._has_config, own, artifact))
        finds = await together(*looks)
        best = next((find for find in finds if find.image_id is not None), None)
        return best or Find(trouble=first.trouble + tuple(t for find in finds for t in find.trouble))

    def _references(self, repository: str, release: Release, artifact: Artifact) -> list[str]:
        """What the image may be called in a repository, the surest name first."""
        names = [*self.tags(repository, ImageId(str(artifact)), release.commit), LATEST]
        if isinstance(artifact, RecordedId):
            names.append(str(artifact))  # it may be a manifest's digest
        return names

    async def _look_up(self, repository: str, reference: str, artifact: Artifact, where: str) -> Find:
        try:
            image = await self.images.look_up(repository, reference)
        except VendorError as error:
            return Find(trouble=(error.message,))
        if image is None or not _is(image, artifact):
            return Find()
        return Find(image.image_id, where, image)

    async def _has_config(self, repository: str, artifact: Artifact) -> Find:
        image_id = ImageId(str(artifact))
        try:
            found = await self.images.has_config(repository, image_id)
        except VendorError as error:
            return Find(trouble=(error.message,))
        return Find(image_id, "target") if found else Find()

    def _missing(self, target: Target, release: Release, source: Target | None, process_type: str) -> Missing:
        own = self.repository(target, process_type)
        places = [f"{target.name}'s repository"]
        if source and self.repository(source, process_type) != own:
            places.append(f"{source.name}'s")
        places += ["the archive"] if self.archived else []
        return Missing(
            f"{release.app}'s image of {process_type} ({release.artifacts[process_type]}) is not in "
            f"{', '.join(places)}, under the tag {release.commit[:12]}…, as latest or by its id.",
            hint=f"Push it again: docker push {own}:{release.commit}",
        )

    async def stage(
        self, target: Target, located: Located, source: Target | None, progress: Progress
    ) -> Release:
        """Copy what is not at the target yet, and prove that it arrived as it was."""
        release = located.release
        absent = [t for t, where in sorted(located.where.items()) if where in {"source", "archive"}]
        await together(*(partial(self._bring, target, release, each, source, progress) for each in absent))
        return release

    async def _bring(
        self,
        target: Target,
        release: Release,
        process_type: str,
        source: Target | None,
        progress: Progress,
    ) -> None:
        artifact = release.artifacts[process_type]
        repository = self.repository(target, process_type)
        image = self._copyable.get((target.name, process_type, str(artifact)))
        if image is None:  # located by another process, before a crash
            find = await self._find(target, release, process_type, source)
            if find.where == "target":
                return
            if find.image is None:
                raise ArtifactMissing(
                    f"{release.app}'s image of {process_type} ({artifact}) is no longer where it was, "
                    f"and cannot be copied to {target.name}. {' '.join(find.trouble)}".strip(),
                    hint="Plan again.",
                )
            image = find.image
        surest, *others = self.tags(repository, image.image_id, release.commit)
        await self.images.copy(image, repository, surest, progress)
        arrived = await self.images.look_up(repository, surest)
        if arrived is None or arrived.image_id != artifact:
            found = arrived.image_id if arrived else "nothing"
            raise ArtifactMissing(
                f"{repository}:{surest} should hold {artifact} after copying, and holds {found}.",
                hint="Somebody may have pushed under the same tag: nothing was released; try again.",
            )
        for tag in others:
            await self.images.copy(arrived, repository, tag, progress)

    async def pulled(self, target: Target, release: Release) -> Mapping[str, RegistryImage]:
        """By process type, the image in the target's own repository, for platforms that pull by digest.

        Raises `ArtifactMissing` for one that is not there: it was not staged.
        """
        types = sorted(release.artifacts)
        finds = await together(*(partial(self._own, target, release, each) for each in types))
        return dict(zip(types, finds, strict=True))

    async def _own(self, target: Target, release: Release, process_type: str) -> RegistryImage:
        artifact = release.artifacts[process_type]
        repository = self.repository(target, process_type)
        trouble: list[str] = []
        for reference in self._references(repository, release, artifact):
            find = await self._look_up(repository, reference, artifact, "target")
            if find.image is not None:
                return find.image
            trouble += find.trouble
        raise ArtifactMissing(
            f"{repository} does not have {release.app}'s image of {process_type} ({artifact}). "
            f"{' '.join(dict.fromkeys(trouble))}".strip(),
            hint="Nothing was released. Plan again.",
        )


def of_registry(context: Context) -> PlatformImages:
    """The images of platforms that pull from any registry: where the file's `registry` says."""
    return PlatformImages(context.images, _in_registry, context.project.archive, by_id=True)


def _in_registry(target: Target, process_type: str) -> str:
    if not target.registry:
        raise UsageError(
            f"{target.app} in {target.environment} is pulled from a registry, and the file names none.",
            hint=f'Write registry = "HOST/PATH" in [project], or in [apps.{target.app}].',
        )
    return f"{target.registry}/{target.app.lower()}/{process_type}"


def id_tag(image_id: ImageId) -> str:
    """The tag that holds an image by its id. It never moves, so no clean-up takes the image for unused.

    Not "sha256-…", which the OCI Distribution specification keeps for an image's referrers.
    """
    return f"id-{image_id.value.removeprefix('sha256:')}"


def complete(release: Release, app: App) -> Release:
    """`release` with the process types that its record lacks, where they share another's image.

    Scripts record an image under one process type, though `release` runs it too. Raises
    `ArtifactMissing` for a configured process type without any image.
    """
    artifacts = dict(release.artifacts)
    for process_type, source in app.processes.items():
        if process_type in artifacts or source == ProcessSource():
            continue
        twin = next((t for t, s in app.processes.items() if s == source and t in release.artifacts), None)
        if twin is not None:
            artifacts[process_type] = release.artifacts[twin]
    lacking = sorted(set(app.processes) - set(artifacts))
    if lacking:
        raise ArtifactMissing(
            f"The record of {app.name} at {release.commit[:7]} names no image for {', '.join(lacking)}, "
            "and no process type that it names is built from the same source.",
            hint=f"Deploy {app.name} again so that its record names every process type, "
            f"or take {', '.join(lacking)} out of [apps.{app.name}.processes].",
        )
    return Release(release.app, release.commit, artifacts)


def _is(image: RegistryImage, artifact: Artifact) -> bool:
    """Whether the registry's image is the sought one: by its config, or as other tools recorded it."""
    if isinstance(artifact, RecordedId):
        return artifact.value in {image.image_id.value, image.digest.value}
    return image.image_id == artifact
