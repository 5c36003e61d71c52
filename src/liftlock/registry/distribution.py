"""Images in registries: looked up, copied from repository to repository, and pushed.

Bytes move as little as they can: a blob that is there stays, one that another repository of the
same registry holds is mounted, and only what is left is sent, in pieces. The tag comes last, so
that whatever goes wrong before leaves every tag where it was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from liftlock.errors import (
    AnswerLost,
    ArtifactMissing,
    BadAnswer,
    RateLimited,
    Unreachable,
    UsageError,
    VendorFailure,
    ungrouped,
)
from liftlock.model import Digest, ImageId
from liftlock.ports import Progress, RegistryImage
from liftlock.registry.connection import Registry
from liftlock.registry.image_builder import BuiltImage, build_image
from liftlock.registry.manifests import Descriptor, Index, Manifest, as_schema2

UPLOADS = 6
"""Blobs that are sent at once."""
TRIES = 3
REMEMBERED = 512

OpenBlob = Callable[[Descriptor], AbstractAsyncContextManager[AsyncIterator[bytes]]]


@dataclass(frozen=True, slots=True)
class Place:
    """A repository: its registry, and its name there."""

    registry: Registry
    name: str


@dataclass(slots=True)
class Distribution:
    """Every registry that a project reaches (`ports.Images`). `connect` makes one by its host."""

    connect: Callable[[str], Registry]
    _registries: dict[str, Registry] = field(default_factory=dict)
    _manifests: dict[tuple[str, str, str], Manifest] = field(default_factory=dict)
    """By host, repository and digest: content does not change, so it is fetched once."""
    _uploads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(UPLOADS))

    async def look_up(self, repository: str, reference: str) -> RegistryImage | None:
        """The image under a tag or a digest, or None when there is none.

        Of an index, the image for linux/amd64; `digest` is then the index's, as it was asked for.
        """
        found = await self._resolve(self._place(repository), reference)
        if found is None:
            return None
        digest, manifest = found
        return _image(repository, digest, manifest)

    async def has_config(self, repository: str, image_id: ImageId) -> bool:
        """Whether the repository holds the config blob of this image id."""
        place = self._place(repository)
        return await place.registry.has_blob(place.name, image_id.value)

    async def copy(
        self, image: RegistryImage, repository: str, tag: str, progress: Progress
    ) -> RegistryImage:
        """Copy an image, its config blob byte for byte, its tag last.

        A registry that takes schema 2 alone gets the same image as schema 2. Safe to repeat: what
        is there already is not sent again.
        """
        source, target = self._place(image.repository), self._place(repository)
        found = await self._resolve(source, image.digest.value)
        if found is None:
            raise ArtifactMissing(
                f"{image.repository} no longer has the image {image.digest}.",
                hint="Somebody may have removed it: plan again.",
            )
        manifest = as_schema2(found[1]) if target.registry.schema2_only else found[1]
        if manifest.image_id != image.image_id:
            raise BadAnswer(
                f"{image.repository} has the image {manifest.image_id} under {image.digest}, "
                f"where {image.image_id} was found before.",
                vendor=source.registry.host,
            )

        mount = source.name if source.registry is target.registry else ""
        await self._send(manifest, target, mount, partial(source.registry.download, source.name), progress)
        await self._tag(target, tag, manifest)
        return _image(repository, manifest.digest, manifest)

    async def push_directory(
        self,
        directory: Path,
        command: Sequence[str],
        repositories: Sequence[str],
        tags: Mapping[str, Sequence[str]],
        progress: Progress,
    ) -> RegistryImage:
        """Build an image from a plain directory and push it to every repository, tags last of all.

        What one repository of a registry was given is mounted in its others.
        """
        if not repositories:
            raise UsageError(f"There is no repository to push {directory} to.")
        async with _built(directory, command) as built:
            by_registry: dict[str, list[Place]] = {}
            for repository in repositories:
                place = self._place(repository)
                by_registry.setdefault(place.registry.host, []).append(place)
            with ungrouped():
                async with anyio.create_task_group() as tasks:
                    for places in by_registry.values():
                        tasks.start_soon(self._push, built, places, progress)
            with ungrouped():
                async with anyio.create_task_group() as tasks:
                    for repository in repositories:
                        for tag in tags.get(repository, ()):
                            tasks.start_soon(self._tag, self._place(repository), tag, built.manifest)
            return _image(repositories[0], built.manifest.digest, built.manifest)

    async def _push(self, built: BuiltImage, places: Sequence[Place], progress: Progress) -> None:
        first, *others = places
        await self._send(built.manifest, first, "", built.open, progress)
        with ungrouped():
            async with anyio.create_task_group() as tasks:
                for place in others:
                    tasks.start_soon(self._send, built.manifest, place, first.name, built.open, progress)

    async def _send(
        self, manifest: Manifest, target: Place, mount: str, source: OpenBlob, progress: Progress
    ) -> None:
        """Make every blob of `manifest` present at `target`, several at once."""
        done = 0
        blobs = manifest.blobs

        async def send(blob: Descriptor) -> None:
            nonlocal done
            await self._send_blob(blob, target, mount, source)
            done += 1
            progress(f"{done} of {len(blobs)} blobs at {target.registry.host}/{target.name}")

        with ungrouped():
            async with anyio.create_task_group() as tasks:
                for blob in blobs:
                    tasks.start_soon(send, blob)

    async def _send_blob(self, blob: Descriptor, target: Place, mount: str, source: OpenBlob) -> None:
        registry, name = target.registry, target.name
        location: str | None = None
        if mount:
            location = await registry.mount(name, blob.digest, mount)
            if location is None:
                return
        if await registry.has_blob(name, blob.digest):
            if location is not None:
                await registry.cancel_upload(name, location)
            return
        async with self._uploads:
            for attempt in range(1, TRIES + 1):
                try:
                    if location is None:
                        location = await registry.begin_upload(name)
                    async with source(blob) as chunks:
                        await registry.upload(name, blob, chunks, location)
                    return
                except (AnswerLost, RateLimited, Unreachable, VendorFailure):
                    if attempt == TRIES:
                        raise
                if await registry.has_blob(name, blob.digest):
                    return
                location = None

    async def _tag(self, target: Place, tag: str, manifest: Manifest) -> None:
        """Put the manifest under a tag, and see that the registry holds those very bytes."""
        if await target.registry.put_manifest(target.name, tag, manifest):
            return
        stored = await target.registry.manifest(target.name, tag)
        if not isinstance(stored, Manifest) or stored.digest != manifest.digest:
            raise BadAnswer(
                f"{target.registry.host}/{target.name}:{tag} does not hold the image that was pushed to it.",
                vendor=target.registry.host,
                hint="Somebody may have pushed under the same tag: try again.",
            )

    async def _resolve(self, place: Place, reference: str) -> tuple[Digest, Manifest] | None:
        """The digest that a reference stands for, and the manifest of one image."""
        known = self._manifests.get((place.registry.host, place.name, reference))
        if known is not None:
            return known.digest, known
        found = await place.registry.manifest(place.name, reference)
        if found is None:
            return None
        if isinstance(found, Manifest):
            self._remember(place, found)
            return found.digest, found
        return await self._of_index(place, found, reference)

    async def _of_index(self, place: Place, index: Index, reference: str) -> tuple[Digest, Manifest]:
        found = await self._resolve(place, index.image) if index.image != reference else None
        if found is None:
            raise ArtifactMissing(
                f"{place.registry.host}/{place.name} has an index under {reference}, "
                f"and not the image that it names for linux/amd64 ({index.image}).",
                hint="Push the image again.",
            )
        return index.digest, found[1]

    def _remember(self, place: Place, manifest: Manifest) -> None:
        while len(self._manifests) >= REMEMBERED:
            del self._manifests[next(iter(self._manifests))]
        self._manifests[place.registry.host, place.name, manifest.digest.value] = manifest

    def _place(self, repository: str) -> Place:
        host, slash, name = repository.partition("/")
        if not slash or not name:
            raise UsageError(f"{repository!r} is not a repository: it has to be host/name.")
        registry = self._registries.get(host)
        if registry is None:
            registry = self._registries[host] = self.connect(host)
        return Place(registry, name)


def _image(repository: str, digest: Digest, manifest: Manifest) -> RegistryImage:
    return RegistryImage(repository, digest, manifest.image_id, manifest.media_type, manifest.size_bytes)


@asynccontextmanager
async def _built(directory: Path, command: Sequence[str]) -> AsyncIterator[BuiltImage]:
    """The directory's image, its layer in a temporary file."""
    async with anyio.TemporaryDirectory(prefix="liftlock-image-") as folder:
        yield await anyio.to_thread.run_sync(build_image, directory, tuple(command), Path(folder))
