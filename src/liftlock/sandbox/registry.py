"""Heroku's container registry: OCI distribution for `{app}/{process}`, with Heroku's habits.

It takes Docker manifests of schema 2 alone (`settings.registry_any_manifest` makes it an ordinary
registry), answers 401 with a Basic challenge, and keeps each blob once whatever repositories hold it.
Source: `opencontainers/distribution-spec` `spec.md`; docker-registry 2.8 on the wire.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, Refusal, body_object
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.images import (
    SCHEMA2,
    digest_of,
    hex_of,
    holds_blob,
    link_blob,
    make_image,
    put_manifest,
)
from liftlock.sandbox.uploads import Upload, Uploads

NAME = "registry"
PATHS = ("/v2/", "/v2")
OPEN = False
VERSION = {"docker-distribution-api-version": "registry/2.0"}
MANIFEST_LIMIT = 4 * 1024 * 1024

_REPOSITORY = r"(?P<name>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_CODES = {401: "UNAUTHORIZED", 404: "NAME_UNKNOWN", 405: "UNSUPPORTED"}


def error(
    status: int, code: str, message: str, detail: Any = None, headers: dict[str, str] | None = None
) -> Refusal:
    """An error as the specification writes it."""
    content = {"errors": [{"code": code, "message": message, "detail": detail}]}
    return Refusal(status, content, {**VERSION, **(headers or {})})


def refusal(status: int, message: str) -> Response:
    """The frame's refusals; a 401 challenges for Basic credentials."""
    challenge = {"www-authenticate": 'Basic realm="registry"'} if status == 401 else {}
    return error(status, _CODES.get(status, "UNKNOWN"), message, None, challenge).answer


def routes(cloud: Cloud) -> list[BaseRoute]:
    """One route, as a repository's name may hold slashes: the paths are told apart here."""
    registry = Registry(cloud)
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    return [Route("/v2{path:path}", registry.answer, methods=methods)]


def administration(cloud: Cloud) -> list[BaseRoute]:
    """`POST /_sandbox/images`: an image without an upload."""

    async def image(request: Request) -> Response:
        wish = await body_object(request)
        unknown = set(wish) - {"repository", "tags", "labels", "seed", "cmd"}
        if unknown or not isinstance(wish.get("repository"), str):
            raise Refusal(
                422, {"message": f"an image has repository, tags, labels, seed, cmd; not {sorted(unknown)}"}
            )
        image_id, digest = make_image(
            cloud,
            wish["repository"],
            wish.get("tags") or ["latest"],
            labels=wish.get("labels"),
            seed=str(wish.get("seed", "")),
            cmd=wish.get("cmd") or (),
        )
        return Json({"image_id": image_id, "digest": digest}, 201)

    return [Route("/_sandbox/images", image, methods=["POST"])]


class Registry:
    """The distribution API over the cloud's blobs."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._uploads = Uploads(cloud)
        handlers: list[tuple[str, Callable[..., Awaitable[Response]]]] = [
            (rf"/{_REPOSITORY}/blobs/uploads/(?P<upload>[0-9a-f-]{{36}})", self._upload),
            (rf"/{_REPOSITORY}/blobs/uploads/?", self._start_upload),
            (rf"/{_REPOSITORY}/blobs/(?P<digest>[^/]+)", self._blob),
            (rf"/{_REPOSITORY}/manifests/(?P<reference>[^/]+)", self._manifest),
            (rf"/{_REPOSITORY}/tags/list", self._tags),
            (r"/?", self._ping),
        ]
        self._handlers = [(re.compile(pattern), handler) for pattern, handler in handlers]

    async def answer(self, request: Request) -> Response:
        for pattern, handler in self._handlers:
            match = pattern.fullmatch(request.path_params["path"])
            if match:
                answer = await handler(request, **match.groupdict())
                answer.headers["docker-distribution-api-version"] = "registry/2.0"
                return answer
        raise error(404, "NAME_INVALID", "invalid repository name or path")

    async def _ping(self, request: Request) -> Response:
        return Json({})

    async def _tags(self, request: Request, name: str) -> Response:
        begin = name + ":"
        tags = sorted(
            key[len(begin) :] for key in self._cloud.store.table("registry.tags") if key.startswith(begin)
        )
        if not tags:
            raise error(404, "NAME_UNKNOWN", "repository name not known to registry", {"name": name})
        last = request.query_params.get("last", "")
        rest = [tag for tag in tags if tag > last]
        most = int(request.query_params.get("n", len(rest) or 1))
        answer = Json({"name": name, "tags": rest[:most]})
        if len(rest) > most:
            answer.headers["link"] = f'</v2/{name}/tags/list?n={most}&last={rest[most - 1]}>; rel="next"'
        return answer

    async def _blob(self, request: Request, name: str, digest: str) -> Response:
        _check_digest(digest)
        blobs = self._cloud.store.blobs
        if not holds_blob(self._cloud, name, digest) or hex_of(digest) not in blobs:
            raise error(404, "BLOB_UNKNOWN", "blob unknown to registry", digest)
        if request.method == "DELETE":
            self._cloud.store.table("registry.blobs").delete(f"{name}@{digest}")
            return Response(status_code=202)
        headers = {"docker-content-digest": digest, "content-type": "application/octet-stream"}
        if request.method == "HEAD":
            return _head(self._uploads.size(digest), headers)
        return self._uploads.served(digest, headers)

    async def _start_upload(self, request: Request, name: str) -> Response:
        if request.method != "POST":
            raise error(405, "UNSUPPORTED", "The operation is unsupported.")
        mount, source = request.query_params.get("mount"), request.query_params.get("from")
        if mount and source and holds_blob(self._cloud, source, mount):
            link_blob(self._cloud, name, mount)
            return _created(f"/v2/{name}/blobs/{mount}", mount)
        upload = self._uploads.begin(name)
        digest = request.query_params.get("digest")
        if digest and not mount:
            return await self._finish(request, upload, digest)
        return _accepted(upload)

    async def _upload(self, request: Request, name: str, upload: str) -> Response:
        begun = self._uploads.find(name, upload)
        if begun is None:
            raise error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", upload)
        if request.method == "PATCH":
            start = re.match(r"(?:bytes[ =])?(\d+)-", request.headers.get("content-range", ""))
            if start and int(start[1]) != begun.size:
                raise error(
                    416,
                    "BLOB_UPLOAD_INVALID",
                    "the chunk does not begin where the last one ended",
                    begun.size,
                )
            await begun.write(request.stream())
            return _accepted(begun)
        if request.method == "PUT":
            return await self._finish(request, begun, request.query_params.get("digest", ""))
        if request.method == "DELETE":
            self._uploads.drop(begun)
            return Response(status_code=204)
        answer = _accepted(begun)
        answer.status_code = 204
        return answer

    async def _finish(self, request: Request, upload: Upload, digest: str) -> Response:
        _check_digest(digest)
        await upload.write(request.stream())
        if upload.digest != digest:
            self._uploads.drop(upload)
            detail = {"given": digest, "computed": upload.digest}
            raise error(400, "DIGEST_INVALID", "provided digest did not match uploaded content", detail)
        self._uploads.keep(upload)
        link_blob(self._cloud, upload.repository, digest)
        return _created(f"/v2/{upload.repository}/blobs/{digest}", digest)

    async def _manifest(self, request: Request, name: str, reference: str) -> Response:
        if not _DIGEST.fullmatch(reference) and not _TAG.fullmatch(reference):
            raise error(400, "TAG_INVALID", "manifest tag did not match", reference)
        if request.method == "PUT":
            return await self._put_manifest(request, name, reference)
        store = self._cloud.store
        digest = reference
        if not reference.startswith("sha256:"):
            digest = (store.table("registry.tags").get(f"{name}:{reference}") or {"digest": ""})["digest"]
        kept = store.table("registry.manifests").get(f"{name}@{digest}")
        if kept is None:
            raise error(404, "MANIFEST_UNKNOWN", "manifest unknown", {"Tag": reference})
        if request.method == "DELETE":
            return self._delete_manifest(name, reference)
        accept = request.headers.get("accept", "")
        if "*/*" not in accept and kept["media_type"] not in accept:
            message = f"the manifest is {kept['media_type']}, and Accept does not have it"
            raise error(404, "MANIFEST_UNKNOWN", message, {"Tag": reference})
        headers = {"docker-content-digest": digest, "content-type": kept["media_type"], "etag": f'"{digest}"'}
        if request.method == "HEAD":
            return _head(kept["size"], headers)
        return Response(store.blobs.get(hex_of(digest)), headers=headers)

    def _delete_manifest(self, name: str, reference: str) -> Response:
        store = self._cloud.store
        if not reference.startswith("sha256:"):
            store.table("registry.tags").delete(f"{name}:{reference}")
            return Response(status_code=202)
        store.table("registry.manifests").delete(f"{name}@{reference}")
        for table in ("registry.tags", "registry.held"):
            for key, row in store.table(table).items():
                if key.startswith((f"{name}:", f"{name}@")) and reference in row.values():
                    store.table(table).delete(key)
        return Response(status_code=202)

    async def _put_manifest(self, request: Request, name: str, reference: str) -> Response:
        content = await request.body()
        media_type = request.headers.get("content-type", "").partition(";")[0].strip()
        if len(content) > MANIFEST_LIMIT:
            raise error(413, "MANIFEST_INVALID", f"a manifest has at most {MANIFEST_LIMIT} bytes")
        manifest = _parsed(content)
        media_type = media_type or str(manifest.get("mediaType", ""))
        if not self._cloud.settings.registry_any_manifest and media_type != SCHEMA2:
            raise error(415, "UNSUPPORTED", "The operation is unsupported.", media_type)
        if manifest.get("mediaType", media_type) != media_type:
            raise error(400, "MANIFEST_INVALID", "mediaType differs from the content type", media_type)
        if reference.startswith("sha256:") and digest_of(content) != reference:
            raise error(400, "DIGEST_INVALID", "provided digest did not match uploaded content", reference)
        self._check_parts(name, manifest)
        digest = put_manifest(self._cloud, name, content, media_type, reference)
        tags = request.query_params.getlist("tag")
        for tag in tags:
            put_manifest(self._cloud, name, content, media_type, tag)
        answer = _created(f"/v2/{name}/manifests/{digest}", digest)
        for tag in tags:
            answer.headers.append("oci-tag", tag)
        return answer

    def _check_parts(self, name: str, manifest: dict[str, Any]) -> None:
        """Raises one MANIFEST_BLOB_UNKNOWN for each blob or child manifest that is not there."""
        if isinstance(manifest.get("manifests"), list):
            wanted, table = manifest["manifests"], "registry.manifests"
        else:
            wanted, table = [manifest.get("config"), *manifest.get("layers", [])], "registry.blobs"
        try:
            digests = [str(part["digest"]) for part in wanted]
        except (KeyError, TypeError) as cause:
            raise error(400, "MANIFEST_INVALID", "a part of the manifest has no digest") from cause
        held = self._cloud.store.table(table)
        missing = [digest for digest in digests if f"{name}@{digest}" not in held]
        if missing:
            code = "MANIFEST_BLOB_UNKNOWN"
            errors = [{"code": code, "message": "blob unknown to registry", "detail": d} for d in missing]
            raise Refusal(400, {"errors": errors}, VERSION)


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
    except ValueError as cause:
        raise error(400, "MANIFEST_INVALID", "the manifest is not JSON") from cause
    if not isinstance(manifest, dict):
        raise error(400, "MANIFEST_INVALID", "the manifest is not a JSON object")
    return manifest


def _check_digest(digest: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise error(400, "DIGEST_INVALID", "a digest is sha256: and 64 hexadecimal digits", digest)


def _head(size: int, headers: dict[str, str]) -> Response:
    answer = Response(headers=headers)
    answer.headers["content-length"] = str(size)
    return answer


def _created(location: str, digest: str) -> Response:
    return Response(status_code=201, headers={"location": location, "docker-content-digest": digest})


def _accepted(upload: Upload) -> Response:
    headers = {
        "location": f"/v2/{upload.repository}/blobs/uploads/{upload.id}?_state={upload.size}",
        "docker-upload-uuid": upload.id,
        "range": f"0-{max(upload.size - 1, 0)}",
    }
    return Response(status_code=202, headers=headers)
