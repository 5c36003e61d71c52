"""A minimal image maker and pusher: files into one layer, a schema 2 manifest, all over the registry's HTTP."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx2

SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"

PROGRAM = b"""
import http.server, os, sys, time

kind = sys.argv[1] if len(sys.argv) > 1 else "well"
print(f"{os.environ['DYNO']} starts: {kind}")
if kind == "crash":
    sys.exit(1)
if os.environ["DYNO"].startswith("release."):
    print("release phase", "fails" if kind == "release-fails" else "succeeds")
    sys.exit(1 if kind == "release-fails" else 0)
if "PORT" not in os.environ:
    time.sleep(3600)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        told = {
            "line": f"{self.command} {self.path}",
            "body": self.rfile.read(length).decode(),
            "environ": dict(os.environ),
            "directory": os.getcwd(),
            "headers": dict(self.headers),
        }
        content = json.dumps(told).encode()
        self.send_response(500 if kind == "unhealthy" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Twice", "one")
        self.send_header("X-Twice", "two")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = answer


import json
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def digest(content: bytes) -> str:
    """`sha256:…` of bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Built:
    """An image: its blobs, and its manifest's bytes."""

    config: bytes
    layers: tuple[bytes, ...]
    manifest: bytes

    @property
    def id(self) -> str:
        return digest(self.config)

    @property
    def digest(self) -> str:
        return digest(self.manifest)


def tarred(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    """An uncompressed tar archive of (name, content) pairs; a TarInfo may stand for a pair."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size, info.mode = len(member[1]), 0o755
                archive.addfile(info, io.BytesIO(member[1]))
    return raw.getvalue()


def build(
    *,
    cmd: Sequence[str],
    files: Mapping[str, bytes] | None = None,
    labels: Mapping[str, str] | None = None,
    env: Sequence[str] = (),
    directory: str = "/",
    layers: Sequence[bytes] | None = None,
) -> Built:
    """An image of some files (name -> bytes), or of ready `layers` (tar archives)."""
    tars = [tarred(*sorted((files or {}).items()))] if layers is None else layers
    packed = tuple(gzip.compress(one, mtime=0) for one in tars)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": list(cmd), "Env": list(env), "Labels": labels or {}, "WorkingDir": directory},
            "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in tars]},
        }
    ).encode()
    layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    manifest = {
        "schemaVersion": 2,
        "mediaType": SCHEMA2,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": len(config),
            "digest": digest(config),
        },
        "layers": [{"mediaType": layer_type, "size": len(one), "digest": digest(one)} for one in packed],
    }
    return Built(config, packed, json.dumps(manifest).encode())


def behaving(kind: str = "well", seed: str = "") -> Built:
    """An image that behaves like `kind` in either backing: by its label, and by what its program does."""
    labels = {"seed": seed} if kind == "well" else {"io.liftlock.sandbox": kind, "seed": seed}
    return build(
        cmd=["python3", "program.py", kind],
        files={"srv/program.py": PROGRAM},
        labels=labels,
        env=["GREETING=from the image"],
        directory="/srv",
    )


async def push(client: httpx2.AsyncClient, repository: str, image: Built, tag: str = "latest") -> str:
    """Upload an image as docker does."""
    for blob in (*image.layers, image.config):
        begun = await client.post(f"/v2/{repository}/blobs/uploads/")
        assert begun.status_code == 202, begun.text
        where = begun.headers["location"] + f"&digest={digest(blob)}"
        assert (await client.put(where, content=blob)).status_code == 201
    put = await client.put(
        f"/v2/{repository}/manifests/{tag}", content=image.manifest, headers={"content-type": SCHEMA2}
    )
    assert put.status_code == 201, put.text
    return image.id
