"""Blobs on their way into the registry and out of it, without holding a layer in memory where there is a disk."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.responses import FileResponse, Response

from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.images import hex_of


class Upload:
    """One blob that comes in, digested as it comes."""

    def __init__(self, repository: str, path: Path | None) -> None:
        self.id = str(uuid.uuid4())
        self.repository = repository
        self.size = 0
        self.path = path / self.id if path else None
        self.memory = bytearray()
        self._hash = hashlib.sha256()
        if self.path:
            self.path.touch()

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()

    async def write(self, parts: AsyncIterator[bytes]) -> None:
        """Append what comes. A client that leaves in the middle leaves what was written so far."""
        # Written on the event loop: parts are small, and a thread for each would take longer.
        file = self.path.open("ab") if self.path else None
        try:
            async for part in parts:
                self._hash.update(part)
                self.size += len(part)
                if file:
                    file.write(part)
                else:
                    self.memory += part
        finally:
            if file:
                file.close()


class Uploads:
    """The uploads under way (forgotten on restart), and the blobs that they became."""

    def __init__(self, cloud: Cloud) -> None:
        self._blobs = cloud.store.blobs
        self._directory = cloud.directory / "uploads" if cloud.directory else None
        self._begun: dict[str, Upload] = {}
        if self._directory:
            self._directory.mkdir(exist_ok=True)
            for left in self._directory.iterdir():
                left.unlink()

    def begin(self, repository: str) -> Upload:
        upload = Upload(repository, self._directory)
        self._begun[upload.id] = upload
        return upload

    def find(self, repository: str, id_: str) -> Upload | None:
        upload = self._begun.get(id_)
        return upload if upload is not None and upload.repository == repository else None

    def keep(self, upload: Upload) -> None:
        """The blob is whole and its digest is right: into the store with it."""
        del self._begun[upload.id]
        if upload.path:
            self._blobs.adopt(upload.path, hex_of(upload.digest))
        else:
            self._blobs.put(bytes(upload.memory))

    def drop(self, upload: Upload) -> None:
        """Forget an upload."""
        del self._begun[upload.id]
        if upload.path:
            upload.path.unlink(missing_ok=True)

    def size(self, digest: str) -> int:
        """Bytes of a blob in the store."""
        path = self._blobs.path(hex_of(digest))
        return path.stat().st_size if path else len(self._blobs.get(hex_of(digest)) or b"")

    def served(self, digest: str, headers: dict[str, str]) -> Response:
        """A blob as an answer; from disk it is streamed, and ranges of it can be asked for."""
        path = self._blobs.path(hex_of(digest))
        if path:
            return FileResponse(path, headers=headers)
        return Response(self._blobs.get(hex_of(digest)), headers=headers)
