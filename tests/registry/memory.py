"""A registry in memory, by the OCI Distribution specification, that can be told to lie."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import httpx2

from liftlock.registry.manifests import sha256

Lie = Callable[[httpx2.Request, httpx2.Response], httpx2.Response | None]

_PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>manifests|blobs|blobs/uploads)/(?P<rest>[^/]*)")


@dataclass
class Memory:
    """One registry for all hosts: blobs by repository, manifests by repository and tag."""

    mounts: bool = True
    token: str = ""
    """Asks for this Bearer token when set, and gives it for the password `secret`."""
    says_digest: bool = True
    lie: Lie | None = None
    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens_given: list[str] = field(default_factory=list)
    sent_bytes: int = 0
    _uploads: dict[str, bytes] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self)

    def seen(self, method: str, part: str = "") -> list[str]:
        return [path for verb, path in self.requests if verb == method and part in path]

    def add_blob(self, repository: str, content: bytes) -> str:
        self.blobs.setdefault(repository, {})[sha256(content)] = content
        return sha256(content)

    def add_manifest(self, repository: str, tag: str, media_type: str, payload: object) -> str:
        content = json.dumps(payload).encode()
        for reference in (tag, sha256(content)):
            self.manifests[repository, reference] = (media_type, content)
        return sha256(content)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        path = request.url.path
        self.requests.append((request.method, f"{request.url.host}{request.url.raw_path.decode()}"))
        if path == "/token":
            return self._token(request)
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            challenge = f'Bearer realm="https://{request.url.host}/token?x=1",service="memory"'
            return _error(401, "UNAUTHORIZED", {"www-authenticate": challenge})
        answer = self._answer(request, body)
        return (self.lie(request, answer) if self.lie else None) or answer

    def _token(self, request: httpx2.Request) -> httpx2.Response:
        login = base64.b64decode(request.headers.get("authorization", "Basic ")[6:]).decode()
        if not login.endswith(":secret"):
            return _error(401, "DENIED")
        self.tokens_given.append(request.url.params.get_list("scope")[0])
        return httpx2.Response(200, json={"token": self.token, "expires_in": 300})

    def _answer(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        match = _PATH.fullmatch(request.url.path)
        assert match, request.url.path
        name, kind, rest = match["name"], match["kind"], match["rest"]
        blobs = self.blobs.setdefault(name, {})
        query = parse_qs(request.url.query.decode())
        if kind == "manifests":
            return self._manifest(request, name, rest, body)
        if kind == "blobs/uploads":
            return self._upload(request, name, blobs, query, body)
        if rest not in blobs:
            return _error(404, "BLOB_UNKNOWN")
        content = b"" if request.method == "HEAD" else blobs[rest]
        return httpx2.Response(200, content=content, headers={"docker-content-digest": rest})

    def _manifest(self, request: httpx2.Request, name: str, rest: str, body: bytes) -> httpx2.Response:
        if request.method == "PUT":
            payload = json.loads(body)
            parts = [payload.get("config"), *payload.get("layers", [])]
            if any(part["digest"] not in self.blobs.get(name, {}) for part in parts if part):
                return _error(400, "MANIFEST_BLOB_UNKNOWN")
            for reference in (rest, sha256(body)):
                self.manifests[name, reference] = (request.headers["content-type"], body)
            said = {"docker-content-digest": sha256(body)} if self.says_digest else {}
            return httpx2.Response(201, headers=said)
        if (name, rest) not in self.manifests:
            return _error(404, "MANIFEST_UNKNOWN")
        media_type, content = self.manifests[name, rest]
        return httpx2.Response(200, content=content, headers={"content-type": media_type})

    def _upload(
        self,
        request: httpx2.Request,
        name: str,
        blobs: dict[str, bytes],
        query: dict[str, list[str]],
        body: bytes,
    ) -> httpx2.Response:
        if request.method == "POST" and "mount" in query:
            digest, source = query["mount"][0], query["from"][0]
            if self.mounts and digest in self.blobs.get(source, {}):
                blobs[digest] = self.blobs[source][digest]
                return httpx2.Response(201, headers={"location": f"/v2/{name}/blobs/{digest}"})
        if request.method == "POST":
            upload = str(next(self._numbers))
            self._uploads[upload] = b""
            return self._accepted(name, upload)
        upload = request.url.path.rpartition("/")[2]
        if upload not in self._uploads:
            return _error(404, "BLOB_UPLOAD_UNKNOWN")
        if request.method == "GET":
            return self._accepted(name, upload, 204)
        if request.method == "DELETE":
            del self._uploads[upload]
            return httpx2.Response(204)
        there = self._uploads[upload]
        if "content-range" in request.headers:
            start, end = map(int, request.headers["content-range"].split("-"))
            if start != len(there) or end - start + 1 != len(body):
                return _error(416, "BLOB_UPLOAD_INVALID")
        self.sent_bytes += len(body)
        if request.method == "PATCH":
            self._uploads[upload] += body
            return self._accepted(name, upload)
        digest, body = query["digest"][0], there + body
        del self._uploads[upload]
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
            return _error(400, "DIGEST_INVALID")
        blobs[digest] = body
        return httpx2.Response(201, headers={"docker-content-digest": digest})

    def _accepted(self, name: str, upload: str, status: int = 202) -> httpx2.Response:
        there = max(len(self._uploads[upload]) - 1, 0)
        location = f"/v2/{name}/blobs/uploads/{upload}?_state=abc"
        return httpx2.Response(status, headers={"location": location, "range": f"0-{there}"})


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.Response(
        status, json={"errors": [{"code": code, "message": code.lower()}]}, headers=headers
    )
