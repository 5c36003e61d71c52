"""Images in registries: looked up, copied from repository to repository, and pushed.

Bytes move as little as they can: a blob that is there stays, one that another repository of the
same registry holds is mounted, and only what is left is sent, in pieces. The tag comes last, so
that whatever goes wrong before leaves every tag where it was.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from liftlock.errors import ArtifactMissing, BadAnswer, UsageError
from liftlock.model import Digest, ImageId, ProcessSource
from liftlock.ports import BuiltImage, Progress, RegistryImage, at_once
from liftlock.registry.connection import Registry
from liftlock.registry.layers import LayerCache, Packed, Part
from liftlock.registry.local_images import Damaged, LocalImage, diff_ids, packed_image
from liftlock.registry.manifests import LARGEST, Descriptor, Index, Manifest, as_schema2, has_zstd
from liftlock.registry.senders import UPLOADS, Sender
from liftlock.registry.sources import Sources
from liftlock.tasks import all_at_once
from liftlock.wording import size

TELL_S = 0.5
REMEMBERED = 512


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A repository: its registry, and its name there."""

    sender: Sender
    name: str

    @property
    def registry(self) -> Registry:
        return self.sender.registry


@dataclass(slots=True)
class Distribution:
    """Every registry that a project reaches (`ports.Images`). `connect` makes one by its host."""

    connect: Callable[[str], Registry]
    sources: Sources
    _senders: dict[str, Sender] = field(default_factory=dict)
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
        original = found[1]
        if original.image_id != image.image_id:
            raise BadAnswer(
                f"{image.repository} has the image {original.image_id} under {image.digest}, "
                f"where {image.image_id} was found before.",
                vendor=source.registry.host,
            )
        if target.registry.schema2_only and has_zstd(original):
            async with _downloaded(source, original, self.sources.cache) as local:
                await self.push(local, {repository: [tag]}, progress)
            return _image(repository, local.schema2.digest, local.schema2)
        manifest = as_schema2(original) if target.registry.schema2_only else original
        mount = source.name if source.registry is target.registry else ""
        count = _Count(len(manifest.blobs), f"{target.registry.host}/{target.name}", progress)
        blobs = manifest.blobs if mount else await target.sender.lacking(target.name, manifest)
        count.done = len(manifest.blobs) - len(blobs)
        await target.sender.send(target.name, blobs, partial(_from, source), count.sent, count.one, mount)
        await target.sender.put(target.name, tag, manifest)
        return _image(repository, manifest.digest, manifest)

    async def push(
        self,
        image: LocalImage,
        tags: Mapping[str, Sequence[str]],
        progress: Progress,
        before_tags: Callable[[], Awaitable[None]] = at_once,
    ) -> RegistryImage:
        """Push an image to every repository in `tags`, under those tags.

        What one repository of a registry was given, by this call or another one, is mounted in its
        others. The tags come last, when every repository has the image and `before_tags` returned.
        Safe to repeat: what is there already is not sent again.
        """
        if not tags:
            raise UsageError("There is no repository to push to.")
        repositories = {self._place(repository): repository for repository in tags}
        try:
            await self._send(image, list(repositories), progress)
        except Damaged as damaged:
            image.damaged(damaged.digest)
            raise
        await before_tags()
        async with all_at_once() as tasks:
            for place, repository in repositories.items():
                manifest = image.manifest(schema2_only=place.registry.schema2_only)
                for tag in tags[repository]:
                    tasks.start_soon(place.sender.put, place.name, tag, manifest)
        first = next(iter(repositories))
        manifest = image.manifest(schema2_only=first.registry.schema2_only)
        return _image(repositories[first], manifest.digest, manifest)

    async def _send(self, image: LocalImage, places: Sequence[Place], progress: Progress) -> None:
        """Make the image present in every place, without a tag."""

        def manifest_for(place: Place) -> Manifest:
            return image.manifest(schema2_only=place.registry.schema2_only)

        absent: dict[Place, tuple[Descriptor, ...]] = {}

        async def look(place: Place) -> None:
            manifest = manifest_for(place)
            if not await place.sender.has_image(place.name, manifest):
                absent[place] = await place.sender.lacking(place.name, manifest)

        # Everything is asked for before anything is sent: what the last repository has is not sent to the first.
        async with all_at_once() as tasks:
            for place in places:
                tasks.start_soon(look, place)
        count = _Count(sum(map(len, absent.values())), _named(places), progress)

        async def fill(place: Place, blobs: Sequence[Descriptor]) -> None:
            await place.sender.send(place.name, blobs, image.open, count.sent, count.one)
            if not place.registry.schema2_only:  # whether Heroku takes a manifest by digest is not documented
                manifest = manifest_for(place)
                await place.sender.put(place.name, manifest.digest.value, manifest)

        async with all_at_once() as tasks:
            for place, blobs in absent.items():
                tasks.start_soon(fill, place, blobs)

    async def build(self, source: ProcessSource, checkout: Path, progress: Progress) -> BuiltImage:
        """Build or find a process type's image on this machine. See `ports.Images`."""
        image = await self.sources.image(source, checkout, progress)
        return BuiltImage(image.image_id, image.schema2.size_bytes)

    async def publish(
        self,
        source: ProcessSource,
        checkout: Path,
        tags: Mapping[str, Sequence[str]],
        progress: Progress,
        before_tags: Callable[[], Awaitable[None]] = at_once,
    ) -> RegistryImage:
        """Build or find a process type's image, and push it. See `ports.Images`."""
        return await self.push(
            await self.sources.image(source, checkout, progress), tags, progress, before_tags
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
        sender = self._senders.get(host)
        if sender is None:
            sender = self._senders[host] = Sender(self.connect(host), self._uploads)
        return Place(sender, name)


@dataclass(slots=True)
class _Count:
    """Tells how far a push or a copy is, in blobs and bytes, twice a second at most."""

    total: int
    where: str
    progress: Progress
    done: int = 0
    bytes: int = 0
    _told: float = -1.0

    def one(self) -> None:
        self.done += 1
        self._tell(always=self.done == self.total)

    def sent(self, count: int) -> None:
        self.bytes += count
        self._tell(always=False)

    def _tell(self, *, always: bool) -> None:
        now = anyio.current_time()
        if always or now - self._told >= TELL_S:
            self._told = now
            sent = f", {size(self.bytes)} sent" if self.bytes else ""
            self.progress(f"{self.done} of {self.total} blobs at {self.where}{sent}")


def _named(places: Sequence[Place]) -> str:
    first = f"{places[0].registry.host}/{places[0].name}"
    return f"{first} and {len(places) - 1} more" if len(places) > 1 else first


@asynccontextmanager
async def _from(source: Place, blob: Descriptor, start: int) -> AsyncIterator[AsyncIterator[bytes]]:
    """A blob of a repository from `start` on; what is before it is read and left out."""
    async with (
        source.registry.download(source.name, blob) as chunks,
        aclosing(_after(chunks, start)) as rest,
    ):
        yield rest


async def _after(chunks: AsyncIterator[bytes], start: int) -> AsyncGenerator[bytes]:
    async for chunk in chunks:
        if start < len(chunk):
            yield chunk[start:]
        start = max(0, start - len(chunk))


@asynccontextmanager
async def _downloaded(source: Place, manifest: Manifest, cache: LayerCache) -> AsyncIterator[LocalImage]:
    """An image of a registry, its layers packed as gzip on this machine: same config, same diff ids."""
    what = f"{source.registry.host}/{source.name}@{manifest.digest}"
    if manifest.config.size > LARGEST:
        raise ArtifactMissing(f"{what} has a config of {size(manifest.config.size)}: it is no image.")
    config = b""
    async with source.registry.download(source.name, manifest.config) as chunks:
        async for chunk in chunks:
            config += chunk
    names = diff_ids(config, what)
    if len(names) != len(manifest.layers):
        raise ArtifactMissing(f"{what} has {len(manifest.layers)} layers, and its config names {len(names)}.")
    packed: dict[str, Packed] = {}

    async def fetch(diff_id: str, layer: Descriptor) -> None:
        known = await anyio.to_thread.run_sync(cache.find, diff_id)
        if known is None:
            path = Path(folder) / layer.digest.removeprefix("sha256:")
            async with (
                source.registry.download(source.name, layer) as chunks,
                await anyio.open_file(path, "wb") as file,
            ):
                async for chunk in chunks:
                    await file.write(chunk)
            known = await anyio.to_thread.run_sync(cache.pack, diff_id, Part(path, 0, layer.size), what)
            path.unlink()
        packed[diff_id] = known

    async with anyio.TemporaryDirectory(prefix="liftlock-layers-") as folder:
        async with all_at_once() as tasks:
            for diff_id, layer in zip(names, manifest.layers, strict=True):
                tasks.start_soon(fetch, diff_id, layer)
        yield packed_image(config, [packed[name] for name in names], cache.drop)


def _image(repository: str, digest: Digest, manifest: Manifest) -> RegistryImage:
    blobs = {blob.digest: blob.size for blob in manifest.blobs}
    return RegistryImage(
        repository, digest, manifest.image_id, manifest.media_type, manifest.size_bytes, blobs
    )
