"""Images built once, and pushed to every environment's repositories and the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from liftlock.errors import ArtifactMissing, LiftlockError
from liftlock.model import App, ImageId, ProcessSource, Project, Release
from liftlock.platform_images.images import LATEST, PlatformImages
from liftlock.ports import PUBLICATION, BuiltImage, Images, Progress, Publication, RegistryImage
from liftlock.tasks import Rendezvous, together


@dataclass(frozen=True, slots=True)
class Publisher:
    """Builds and pushes the images of one app at a time; several apps at once share what they push."""

    platform_images: PlatformImages
    project: Project

    @property
    def _images(self) -> Images:
        return self.platform_images.images

    async def build(self, app: App, checkout: Path, progress: Progress) -> Mapping[str, BuiltImage]:
        """The app's images on this machine, by process type."""
        by_source = _by_source(app)
        built = await together(
            *(partial(self._images.build, source, checkout, progress) for source in by_source)
        )
        types = zip(by_source.values(), built, strict=True)
        return {process_type: image for sharing, image in types for process_type in sharing}

    async def publish(
        self,
        app: App,
        commit: str,
        checkout: Path,
        progress: Progress,
        publication: Publication = PUBLICATION,
    ) -> Release:
        """Each distinct image goes everywhere; no tag moves before all of them are there."""
        by_source = _by_source(app)
        uploaded = Rendezvous(map(str, range(len(by_source))))

        async def one(number: int, source: ProcessSource, types: Sequence[str]) -> Mapping[str, ImageId]:
            async def before_tags() -> None:
                await uploaded.meet(str(number))
                await publication.before_tags()

            how = Publication(before_tags, publication.rebuild)
            return await _OneImage(self, app, commit, source, types, checkout, progress, how).publish()

        published = await together(
            *(partial(one, number, *item) for number, item in enumerate(by_source.items()))
        )
        return Release(app.name, commit, {k: v for images in published for k, v in images.items()})


def _by_source(app: App) -> dict[ProcessSource, list[str]]:
    """The process types by what their image is made from: one source is built once."""
    found: dict[ProcessSource, list[str]] = {}
    for process_type, source in sorted(app.processes.items()):
        found.setdefault(source, []).append(process_type)
    return found


@dataclass(frozen=True, slots=True)
class _OneImage:
    """The publication of one image, under the names of every process type that runs it."""

    publisher: Publisher
    app: App
    commit: str
    source: ProcessSource
    types: Sequence[str]
    checkout: Path
    progress: Progress
    publication: Publication

    @property
    def _images(self) -> Images:
        return self.publisher.platform_images.images

    async def publish(self) -> Mapping[str, ImageId]:
        """The commit's images that are there already count, whoever pushed them: built once is built once.

        A plain directory gives the same image each time, so it is made and compared instead.
        """
        tags = self._tags()
        if not self.source.directory and not self.publication.rebuild:
            there = await self._there(tags)
            if there is not None:
                return there
        try:
            built = await self._images.build(self.source, self.checkout, self.progress)
        except LiftlockError as error:
            if not self.source.image or self.source.build:
                raise
            repository = next(iter(tags))
            name = f"{repository}:{self.commit}"
            raise ArtifactMissing(
                f"{self.app.name}'s image of {self.types[0]} is not in {repository} under the commit's tag, "
                f"and cannot be had from a Docker engine: {error.headline}",
                hint=f"Push it: docker tag {self.source.image} {name} && docker push {name}",
            ) from error
        platform_images = self.publisher.platform_images
        tags = {
            repository: list(
                dict.fromkeys([*platform_images.tags(repository, built.image_id, self.commit), *names])
            )
            for repository, names in tags.items()
        }
        image = await self._images.publish(
            self.source, self.checkout, tags, self.progress, self.publication.before_tags
        )
        return dict.fromkeys(self.types, image.image_id)

    def _tags(self) -> dict[str, list[str]]:
        """By repository, the first environment's first: the tags to put there."""
        platform_images, project = self.publisher.platform_images, self.publisher.project
        names = [name for name in project.environments if name in self.app.targets]
        tags: dict[str, list[str]] = {}
        for position, name in enumerate(names):
            for process_type in self.types:
                repository = platform_images.repository(self.app.targets[name], process_type)
                # One repository may serve several environments: the first one's tags hold.
                tags.setdefault(repository, [self.commit, LATEST] if position == 0 else [self.commit])
        if project.archive:
            first = self.app.targets[names[0]]
            for process_type in self.types:
                tags.setdefault(platform_images.archive(first, process_type), [self.commit])
        return tags

    async def _there(self, tags: Mapping[str, Sequence[str]]) -> Mapping[str, ImageId] | None:
        """The images that the first environment has under the commit's tag, copied to wherever they are not."""
        repositories = list(tags)
        found = await together(
            *(partial(self._images.look_up, repository, self.commit) for repository in repositories)
        )
        by_repository = dict(zip(repositories, found, strict=True))
        own = {t: by_repository[r] for t, r in zip(self.types, repositories, strict=False)}
        first = {t: image for t, image in own.items() if image is not None}
        if len(first) < len(self.types):
            return None
        await self.publication.before_tags()
        await together(
            *(
                partial(self._copy, first[self.types[place % len(self.types)]], repository, image)
                for place, (repository, image) in enumerate(by_repository.items())
            )
        )
        return {process_type: image.image_id for process_type, image in first.items()}

    async def _copy(self, image: RegistryImage, repository: str, there: RegistryImage | None) -> None:
        tags = self.publisher.platform_images.tags(repository, image.image_id, self.commit)
        if there is not None and there.image_id == image.image_id:
            # The commit's tag is there; its own may not be, if somebody else pushed it.
            image, tags = there, [tag for tag in tags if tag != self.commit]
            tags = [tag for tag in tags if await self._images.look_up(repository, tag) is None]
        for tag in tags:
            await self._images.copy(image, repository, tag, self.progress)
