"""Images on this machine that are ready to be pushed: a manifest, and where its blobs' bytes lie."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from liftlock.errors import LiftlockError
from liftlock.model import ImageId
from liftlock.registry.layers import Packed, Part
from liftlock.registry.manifests import DOCKER_CONFIG, Descriptor, Manifest, is_sha256, schema2, sha256

CHUNK = 128 * 1024
"""Bytes that are read and sent at a time; every upload under way holds a few of them in memory."""

OpenBlob = Callable[[Descriptor, int], AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""The bytes of a blob, from a place in it on."""


class Damaged(LiftlockError):
    """Bytes on this machine are not the blob that a manifest names."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(
            f"What was to be sent is not the blob {digest} that the manifest names; its end was not sent.",
            hint="The file that it was read from was damaged or has changed: run the same command again.",
        )


class OtherPlatform(LiftlockError):
    """An image is none for linux/amd64."""


@dataclass(frozen=True, slots=True)
class LocalImage:
    """One image on this machine, for linux/amd64.

    `schema2` is its manifest as Docker's schema 2; `original` is the one that it came with, byte for
    byte, where it came with one.
    """

    schema2: Manifest
    blobs: Mapping[str, bytes | Part]
    original: Manifest | None = None
    drop: Callable[[Path], None] = lambda path: None
    """Removes a file that does not hold what it should, if it is a cache's."""

    @property
    def image_id(self) -> ImageId:
        return self.schema2.image_id

    def manifest(self, *, schema2_only: bool) -> Manifest:
        """What a registry is given: the original where it takes that."""
        return self.schema2 if schema2_only or self.original is None else self.original

    @asynccontextmanager
    async def open(self, blob: Descriptor, start: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of a blob from `start` on."""
        content = self.blobs[blob.digest]
        if isinstance(content, bytes):
            async with aclosing(_of_bytes(content[start:])) as pieces:
                yield pieces
            return
        try:
            with await anyio.to_thread.run_sync(_opened, content, start) as file:
                async with aclosing(_of_file(file, content.size - start)) as pieces:
                    yield pieces
        except OSError as error:
            raise LiftlockError(
                f"{content.path} cannot be read: {error.strerror}.",
                hint="Something removed it during the push: run the same command again.",
            ) from error

    def damaged(self, digest: str) -> None:
        """Forget the file of a blob that proved to be something else, so that it is made anew."""
        content = self.blobs[digest]
        if isinstance(content, Part):
            self.drop(content.path)


def packed_image(
    config: bytes, layers: Sequence[Packed], drop: Callable[[Path], None] = lambda path: None
) -> LocalImage:
    """The image of a config and its packed layers: the same ones give the same manifest."""
    manifest = schema2(
        Descriptor(DOCKER_CONFIG, sha256(config), len(config)),
        tuple(layer.descriptor for layer in layers),
    )
    blobs: dict[str, bytes | Part] = {layer.digest: layer.part for layer in layers}
    return LocalImage(manifest, blobs | {manifest.config.digest: config}, drop=drop)


def diff_ids(config: bytes, what: str) -> list[str]:
    """The digests of an image's unpacked layers. Raises `LiftlockError` for what is no image's config, `OtherPlatform`."""
    try:
        payload = json.loads(config)
        found = payload["rootfs"]["diff_ids"]
        platform = f"{payload['os']}/{payload['architecture']}"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LiftlockError(f"{what} has a config that is none of an image.") from error
    # They name files of the cache: nothing but a digest may.
    if not isinstance(found, list) or not all(isinstance(e, str) and is_sha256(e) for e in found):
        raise LiftlockError(f"{what} has a config that does not name its layers.")
    if platform != "linux/amd64":
        raise OtherPlatform(
            f"{what} is an image for {platform}, and the platforms run linux/amd64.",
            hint='Build it for linux/amd64: platform = "linux/amd64" beside dockerfile.',
        )
    return found


async def _of_bytes(content: bytes) -> AsyncGenerator[bytes]:
    if content:
        yield content


def _opened(part: Part, start: int) -> io.FileIO:
    file = part.path.open("rb", buffering=0)
    file.seek(part.start + start)
    return file


async def _of_file(file: io.FileIO, left: int) -> AsyncGenerator[bytes]:
    # One buffer for all pieces, and copies made here: what threads allocate, they keep.
    buffer = memoryview(bytearray(min(CHUNK, left)))
    while left and (size := await anyio.to_thread.run_sync(file.readinto, buffer[:left])):
        left -= size
        yield bytes(buffer[:size])
