"""One registry, spoken to in the words of the OCI Distribution specification.

Repositories here are without the registry's host. Nothing is cached, and nothing is believed:
what comes is hashed on the way, and what goes is hashed before its last byte leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import urljoin

from liftlock.errors import BadAnswer, Conflict, NotFound, VendorFailure, VendorRefusal
from liftlock.http import Answer, Http
from liftlock.http.addresses import is_loopback
from liftlock.http.answers import Download
from liftlock.http.failures import failure
from liftlock.registry.authentication import Authentication, Connect, Login
from liftlock.registry.manifests import ACCEPT, Descriptor, Index, Manifest, WrongManifest, parse, sha256

SLOWEST_BYTES_A_SECOND = 100_000
"""Slower uploads than this are given up."""


class Registry:
    """One registry host. `schema2_only`: it takes no OCI manifests (Heroku's)."""

    def __init__(
        self, host: str, http: Http, login: Login, connect: Connect, *, schema2_only: bool = False
    ) -> None:
        self.host = host
        self.schema2_only = schema2_only
        self._http = http
        self._authentication = Authentication(http.vendor, login, connect, is_local=is_loopback(http.base))

    async def manifest(self, repository: str, reference: str) -> Manifest | Index | None:
        """The manifest under a tag or a digest, checked against its digest; None when there is none."""
        answer = await self._request(
            "GET",
            f"/v2/{repository}/manifests/{reference}",
            _pull(repository),
            headers={"accept": ACCEPT},
            expect=(200, 404),
        )
        if answer.status == 404:
            return None
        found = sha256(answer.content)
        promised = {answer.headers.get("docker-content-digest", found)}
        if reference.startswith("sha256:"):
            promised.add(reference)
        if wrong := promised - {found}:
            raise answer.bad(f"has the digest {found}, not {wrong.pop()}")
        try:
            return parse(answer.content, answer.headers.get("content-type", ""))
        except WrongManifest as error:
            raise answer.bad(f"is not an image: {error}") from error

    async def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository holds a blob."""
        answer = await self._request(
            "HEAD", f"/v2/{repository}/blobs/{digest}", _pull(repository), expect=(200, 404)
        )
        return answer.status == 200

    @asynccontextmanager
    async def download(self, repository: str, blob: Descriptor) -> AsyncIterator[AsyncIterator[bytes]]:
        """A blob's pieces; reading them raises `BadAnswer` when they are not what the digest says."""
        path = f"/v2/{repository}/blobs/{blob.digest}"
        scopes = _pull(repository)
        sent = await self._authentication.header(scopes)
        async with self._http.stream(
            "GET", path, headers=self._authorized(sent), expect=(200, 401)
        ) as download:
            if download.status == 200:
                async with aclosing(self._checked(download, blob)) as chunks:
                    yield chunks
                return
            refusal = Answer(401, download.headers, b"", vendor=self._http.vendor, method="GET", url=path)
        renewed = await self._authentication.renewed(refusal, scopes, sent)
        async with (
            self._http.stream("GET", path, headers=self._authorized(renewed), expect=(200,)) as download,
            aclosing(self._checked(download, blob)) as chunks,
        ):
            yield chunks

    def _checked(self, download: Download, blob: Descriptor) -> AsyncGenerator[bytes]:
        return _checked(download.chunks(), blob, self._http.vendor, download.address)

    async def mount(self, repository: str, digest: str, source: str) -> str | None:
        """Take a blob over from another repository of this registry.

        Returns None when that was done, else where to upload it (the registry began an upload).
        """
        scopes = [*_push(repository), *_pull(source)]
        try:
            answer = await self._request(
                "POST",
                f"/v2/{repository}/blobs/uploads/",
                scopes,
                params={"mount": digest, "from": source},
                expect=(201, 202),
                repeat=True,
            )
        except (Conflict, NotFound, VendorFailure, VendorRefusal):
            # Some registries refuse what they do not know; an upload says what is really wrong.
            return await self.begin_upload(repository)
        return None if answer.status == 201 else self._location(answer)

    async def begin_upload(self, repository: str) -> str:
        """Begin an upload; returns where to send the blob."""
        # An upload that nobody goes on with is removed by the registry: repeating is safe.
        answer = await self._request(
            "POST", f"/v2/{repository}/blobs/uploads/", _push(repository), expect=(202,), repeat=True
        )
        return self._location(answer)

    async def cancel_upload(self, repository: str, location: str) -> None:
        """Give up an upload that is not needed; registries that cannot do so remove it in time."""
        expect = (200, 202, 204, 400, 404, 405)
        await self._request("DELETE", location, _push(repository), expect=expect)

    async def progress(self, repository: str, location: str) -> tuple[str, int] | None:
        """Where an upload goes on, and how many bytes of it are there; None when it is gone."""
        answer = await self._request(
            "GET", location, _push(repository), expect=(200, 202, 204, 400, 404, 405, 416)
        )
        if answer.status >= 400:
            return None
        end = answer.headers.get("range", "0-0").removeprefix("bytes=").partition("-")[2]
        if not end.isdecimal() or len(end) > 18:
            raise answer.bad("does not say how much of the upload is there")
        # Nothing and one byte both read "0-0": one byte more or less does not matter.
        there = int(end) + 1 if int(end) else 0
        return (self._location(answer) if "location" in answer.headers else location), there

    async def append(
        self, repository: str, location: str, chunks: AsyncIterable[bytes], start: int, size: int
    ) -> str:
        """Send a piece of a blob, `size` bytes from `start` on; returns where the next one goes."""
        answer = await self._request(
            "PATCH",
            location,
            _push(repository),
            content=chunks,
            headers={
                "content-type": "application/octet-stream",
                "content-length": str(size),
                "content-range": f"{start}-{start + size - 1}",
            },
            expect=(202, 204),
            timeout_s=60 + size / SLOWEST_BYTES_A_SECOND,
        )
        return self._location(answer)

    async def finish(
        self, repository: str, location: str, blob: Descriptor, chunks: AsyncIterable[bytes], size: int
    ) -> None:
        """Send the last `size` bytes of a blob, and have the registry compare its digest."""
        separator = "&" if "?" in location else "?"
        answer = await self._request(
            "PUT",
            f"{location}{separator}digest={blob.digest}",
            _push(repository),
            content=chunks,
            headers={
                "content-type": "application/octet-stream",
                "content-length": str(size),
                **({"content-range": f"{blob.size - size}-{blob.size - 1}"} if 0 < size < blob.size else {}),
            },
            expect=(201, 204),
            timeout_s=60 + size / SLOWEST_BYTES_A_SECOND,
        )
        stored = answer.headers.get("docker-content-digest", blob.digest)
        if stored != blob.digest:
            raise answer.bad(f"says that it stored {stored}, not {blob.digest}")

    async def manifest_digest(self, repository: str, reference: str) -> str | None:
        """The digest of what is under a tag or a digest; None when there is nothing, or it is not told."""
        answer = await self._request(
            "HEAD",
            f"/v2/{repository}/manifests/{reference}",
            _push(repository),
            headers={"accept": ACCEPT},
            expect=(200, 400, 404, 405),
        )
        if answer.status != 200:
            return None
        said = answer.headers.get("docker-content-digest")
        return said or (reference if reference.startswith("sha256:") else None)

    async def put_manifest(self, repository: str, tag: str, manifest: Manifest) -> bool:
        """Store a manifest under a tag; whether the registry confirmed its digest."""
        answer = await self._request(
            "PUT",
            f"/v2/{repository}/manifests/{tag}",
            _push(repository),
            content=manifest.content,
            headers={"content-type": manifest.media_type},
            expect=(200, 201, 202),
        )
        stored = answer.headers.get("docker-content-digest")
        if stored not in {None, manifest.digest.value}:
            raise answer.bad(f"says that it stored {stored}, not {manifest.digest}")
        return stored is not None

    async def _request(
        self,
        method: str,
        path: str,
        scopes: Collection[str],
        *,
        expect: Collection[int],
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """A request with a login, which is renewed once when the registry refuses it."""
        sent = await self._authentication.header(scopes)
        wanted = {**(headers or {}), **self._authorized(sent)}
        answer = await self._http.request(method, path, headers=wanted, expect=(*expect, 401), **options)
        if answer.status != 401 or 401 in expect:
            return answer
        renewed = await self._authentication.renewed(answer, scopes, sent)
        replayable = not isinstance(options.get("content"), AsyncIterable)
        if renewed is None or not replayable:
            raise failure(answer)
        wanted |= self._authorized(renewed)
        return await self._http.request(method, path, headers=wanted, expect=expect, **options)

    def _authorized(self, value: str | None) -> dict[str, str]:
        if value is None:
            return {}
        self._http.secrets.add(value.partition(" ")[2])
        return {"authorization": value}

    def _location(self, answer: Answer) -> str:
        location = answer.headers.get("location")
        if not location:
            raise answer.bad("does not say where to upload to")
        try:
            return urljoin(answer.url, location)
        except ValueError as error:
            raise answer.bad("says to upload to what is no address") from error


def _pull(repository: str) -> list[str]:
    return [f"repository:{repository}:pull"]


def _push(repository: str) -> list[str]:
    return [f"repository:{repository}:pull,push"]


async def _checked(
    chunks: AsyncIterator[bytes], blob: Descriptor, vendor: str, address: str
) -> AsyncGenerator[bytes]:
    """`chunks`, the last one held back until size and digest proved right."""
    digest = hashlib.sha256()
    size = 0
    held = b""
    async for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        if size > blob.size:
            break
        if held:
            yield held
        held = chunk
    found = f"sha256:{digest.hexdigest()}"
    if size != blob.size or found != blob.digest:
        what = f"has {size} bytes of {blob.size}" if size != blob.size else f"has the digest {found}"
        raise BadAnswer(
            f"The blob from {address} {what}, and not what the manifest says ({blob.digest}). "
            "It was not passed on.",
            vendor=vendor,
            method="GET",
            address=address,
            hint="The registry or something before it is broken: no tag was moved.",
        )
    if held:
        yield held
