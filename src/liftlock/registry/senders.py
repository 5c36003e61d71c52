"""What one registry is sent: every blob once, and mounted wherever else it is wanted.

Many images go to many repositories at once, so a blob that several of them want is looked for in
all of them, sent to the first, and mounted in the others as soon as it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial

import anyio

from liftlock.errors import BadAnswer, NotFound, VendorRefusal
from liftlock.registry.connection import Registry
from liftlock.registry.local_images import OpenBlob
from liftlock.registry.manifests import Descriptor, Manifest
from liftlock.registry.uploads import Upload
from liftlock.tasks import all_at_once

UPLOADS = 6
"""Blobs that are sent at once; each holds a few chunks of a file in memory."""
REMEMBERED = 10_000


@dataclass(slots=True)
class Sender:
    """One registry, and which repository is known to hold which blob there."""

    registry: Registry
    uploads: anyio.CapacityLimiter
    _holders: dict[str, str] = field(default_factory=dict)
    """By blob: a repository that has it."""
    _sending: dict[str, anyio.Lock] = field(default_factory=dict)

    async def lacking(self, repository: str, manifest: Manifest) -> tuple[Descriptor, ...]:
        """The blobs of an image that a repository does not have. All questions are asked at once."""
        absent: list[Descriptor] = []

        async def look(blob: Descriptor) -> None:
            if await self.registry.has_blob(repository, blob.digest):
                self.hold(repository, blob.digest)
            else:
                absent.append(blob)

        async with all_at_once() as tasks:
            for blob in manifest.blobs:
                tasks.start_soon(look, blob)
        return tuple(blob for blob in manifest.blobs if blob in absent)

    async def has_image(self, repository: str, manifest: Manifest) -> bool:
        """Whether a repository has the image whole: registries take no manifest before its blobs."""
        try:
            found = await self.registry.manifest_digest(repository, manifest.digest.value)
        except (NotFound, VendorRefusal):  # a registry that tells nobody but its own client
            return False
        if found != manifest.digest.value:
            return False
        for blob in manifest.blobs:
            self.hold(repository, blob.digest)
        return True

    async def send(
        self,
        repository: str,
        blobs: Collection[Descriptor],
        source: OpenBlob,
        tell: Callable[[int], None],
        done: Callable[[], None] = lambda: None,
        mount: str = "",
    ) -> None:
        """Make blobs present that a repository is not known to have; `mount` names one that has them."""

        async def one(blob: Descriptor) -> None:
            await self._send(repository, blob, source, tell, mount)
            done()

        async with all_at_once() as tasks:
            for blob in blobs:
                tasks.start_soon(one, blob)

    async def _send(
        self,
        repository: str,
        blob: Descriptor,
        source: OpenBlob,
        tell: Callable[[int], None],
        mount: str,
    ) -> None:
        upload = partial(self._upload, repository, blob, source, tell)
        holder = mount or self._holders.get(blob.digest)
        if holder is None:
            async with self._sending.setdefault(blob.digest, anyio.Lock()):
                holder = self._holders.get(blob.digest)
                if holder is None:
                    await upload(None)
                    self.hold(repository, blob.digest)
                    return
        if holder == repository:
            return
        location = await self.registry.mount(repository, blob.digest, holder)
        if location is None:
            return
        if await self.registry.has_blob(repository, blob.digest):
            await self.registry.cancel_upload(repository, location)
            return
        await upload(location)  # this registry mounts nothing: it is sent once more

    async def _upload(
        self,
        repository: str,
        blob: Descriptor,
        source: OpenBlob,
        tell: Callable[[int], None],
        location: str | None,
    ) -> None:
        async with self.uploads:
            await Upload(self.registry, repository, blob, source, tell).run(location)

    def hold(self, repository: str, digest: str) -> None:
        """Remember that a repository has a blob."""
        while len(self._holders) >= REMEMBERED:
            del self._holders[next(iter(self._holders))]
        self._holders.setdefault(digest, repository)

    async def put(self, repository: str, reference: str, manifest: Manifest) -> None:
        """Put the manifest under a tag or its digest, and see that the registry holds those very bytes."""
        if await self.registry.put_manifest(repository, reference, manifest):
            return
        stored = await self.registry.manifest(repository, reference)
        if not isinstance(stored, Manifest) or stored.digest != manifest.digest:
            raise BadAnswer(
                f"{self.registry.host}/{repository}:{reference} does not hold the image that was pushed to it.",
                vendor=self.registry.host,
                hint="Somebody may have pushed under the same tag: try again.",
            )
