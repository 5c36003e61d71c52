"""One blob on its way into a registry: in pieces, taken up again where the registry got to.

Source: OCI Distribution specification, "Pushing a blob in chunks" and "Resuming an upload".
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import anyio

from liftlock.errors import (
    AnswerLost,
    RateLimited,
    Unreachable,
    VendorError,
    VendorFailure,
    VendorRefusal,
)
from liftlock.registry.connection import Registry
from liftlock.registry.local_images import Damaged, OpenBlob
from liftlock.registry.manifests import Descriptor

PIECE = 64 * 1024 * 1024
"""Bytes of one request: small enough for the proxies that stand before registries."""
TRIES = 4
FIRST_PAUSE_S = 0.05

_PASSING = (AnswerLost, RateLimited, Unreachable, VendorFailure)


class Upload:
    """The upload of one blob. `tell` hears how many bytes went out."""

    def __init__(
        self,
        registry: Registry,
        repository: str,
        blob: Descriptor,
        source: OpenBlob,
        tell: Callable[[int], None],
    ) -> None:
        self._registry = registry
        self._repository = repository
        self._blob = blob
        self._source = source
        self._tell = tell
        self._hash = hashlib.sha256()
        self._hashed = 0

    async def run(self, location: str | None) -> None:
        """Send the blob; `location` is where, if the registry began an upload already.

        After a failure that may pass, the registry is asked what it has, and gets the rest of it.
        Raises what ended it after `TRIES` failures without any progress.
        """
        done = failures = 0
        was_resumed = False
        while True:
            began_at = done
            try:
                if location is None:
                    location, done, began_at = await self._registry.begin_upload(self._repository), 0, 0
                while (left := self._blob.size - done) > PIECE:
                    async with aclosing(self._pieces(done, PIECE)) as pieces:
                        location = await self._registry.append(
                            self._repository, location, pieces, done, PIECE
                        )
                    done += PIECE
                async with aclosing(self._pieces(done, left)) as pieces:
                    await self._registry.finish(self._repository, location, self._blob, pieces, left)
                return
            except VendorError as error:
                if was_resumed and error.code == "DIGEST_INVALID":
                    # It was still taking in what it had got when it said how much that was.
                    location, was_resumed = None, False
                    continue
                if not _may_pass(error):
                    raise
                failures = 1 if done > began_at else failures + 1
                if failures == TRIES:
                    raise
                await anyio.sleep(FIRST_PAUSE_S * 2**failures)
            if await self._registry.has_blob(self._repository, self._blob.digest):
                return
            location, done = await self._resumed(location)
            was_resumed = done > 0

    async def _resumed(self, location: str | None) -> tuple[str | None, int]:
        """Where to go on, and how much is there; (None, 0) to begin again."""
        found = await self._registry.progress(self._repository, location) if location else None
        if found is None:
            return None, 0
        if found[1] > min(self._hashed, self._blob.size):  # more than was sent: not ours
            await self._registry.cancel_upload(self._repository, found[0])
            return None, 0
        return found

    async def _pieces(self, start: int, size: int) -> AsyncGenerator[bytes]:
        """`size` bytes from `start` on; the blob's last ones only if its digest proved right."""
        async with self._source(self._blob, start) as chunks:
            place, end = start, start + size
            async for chunk in chunks:
                piece = chunk[: end - place]
                self._digest(piece, place)
                place += len(piece)
                if place == self._blob.size and f"sha256:{self._hash.hexdigest()}" != self._blob.digest:
                    break
                if piece:
                    self._tell(len(piece))
                    yield piece
                if place == end:
                    return
        if size:
            raise Damaged(self._blob.digest)

    def _digest(self, piece: bytes, place: int) -> None:
        """Hash what was not hashed before: a piece that is sent again counts once."""
        new = place + len(piece) - self._hashed
        if new > 0:
            self._hash.update(piece[-new:] if new < len(piece) else piece)
            self._hashed += new


def _may_pass(error: VendorError) -> bool:
    """Whether it may help to look where the upload got to, and to go on from there."""
    # A token that ran out is fetched anew by the next request; 404 and 416 are about the upload.
    stale = isinstance(error, VendorRefusal) and error.status in {401, 404, 416}
    return stale or isinstance(error, _PASSING)
