"""Images in containers of a Docker engine, through its unix socket.

Containers share the machine's network, so that a web process listens where a plain one would and
PostgreSQL on 127.0.0.1 can be reached; that is Linux alone. They carry a label of their sandbox, and
what an earlier run of it left is removed at start.
Paths name no version of the API: what is asked for is the same from 20.10 to 29, which share none.
Source: Docker Engine API 1.41 (`/images/load`, `/containers/…`, "Attach": the stream's frames).
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import anyio
import anyio.to_thread

from liftlock.sandbox.backings import Job, LaunchError
from liftlock.sandbox.backings.processes import STEADY_S, STOP_LIMIT_S, accepts, free_port
from liftlock.sandbox.backings.scratch import folder_of
from liftlock.sandbox.backings.watchdog import Watchdog
from liftlock.sandbox.http1 import ProtocolError, Reply, exchange
from liftlock.sandbox.images import Image, hex_of

if TYPE_CHECKING:
    from liftlock.sandbox.cloud import Cloud

LABEL = "io.liftlock.sandbox.instance"
_CHUNK = 1 << 20


class DockerRuntime:
    """Runs images on the engine of `DOCKER_HOST` (a unix socket), by default the machine's own."""

    def __init__(self, cloud: Cloud, watchdog: Watchdog) -> None:
        host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        self._socket = host.removeprefix("unix://") if host.startswith("unix://") else ""
        self._cloud = cloud
        self._watchdog = watchdog
        self._instance = sha256(str(folder_of(cloud)).encode()).hexdigest()[:12]
        self._loading: dict[str, anyio.Lock] = {}
        self._loaded: set[str] = set()

    async def answers(self) -> bool:
        """Whether an engine is there and talks to us, on a machine whose network containers can share."""
        if not self._socket or sys.platform != "linux":
            return False
        try:
            with anyio.fail_after(3):
                status, _ = await self.call("GET", "/_ping")
        except (LaunchError, TimeoutError):
            return False
        return status == 200

    async def start(self) -> None:
        """Remove what an earlier run left. Raises `LaunchError` when no engine answers."""
        await self._remove_ours()

    async def stop(self) -> None:
        await self._remove_ours()

    async def launch(self, job: Job, log: Callable[[str], None]) -> ContainerRun:
        await self._load(job.image)
        port = free_port() if job.type == "web" else None
        environ = {**job.environ, "DYNO": job.dyno}
        if port is not None:
            environ["PORT"] = str(port)
        wish = {
            "Image": self._tag(job.image),
            "Env": [f"{name}={value}" for name, value in environ.items()],
            "Labels": {LABEL: self._instance},
            "HostConfig": {"NetworkMode": "host", "Init": False},
        }
        status, answer = await self.call("POST", "/containers/create", wish)
        if status != 201:
            raise LaunchError(
                f"Docker did not make a container of {job.type}: {answer.get('message', status)}"
            )
        id_: str = answer["Id"]
        await self._watchdog.watch_container(id_, self._socket)
        status, answer = await self.call("POST", f"/containers/{id_}/start")
        run = ContainerRun(self, id_, port, log, self._watchdog)
        if status not in (204, 304):
            await run.stop()
            raise LaunchError(f"Docker did not start {job.type}: {answer.get('message', status)}")
        self._cloud.start_soon(run.read_output)
        return run

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request to the engine and its JSON answer. Raises `LaunchError` when it does not answer."""
        try:
            async with await self.open(method, path, body) as reply:
                content = await reply.read()
        except (OSError, ProtocolError) as error:
            raise LaunchError(f"no Docker engine answers at {self._socket}: {error}") from error
        try:
            return reply.status, json.loads(content) if content else {}
        except ValueError:
            return reply.status, {"message": content.decode(errors="replace")}

    async def open(self, method: str, path: str, body: Any = None) -> AbstractAsyncContextManager[Reply]:
        """One request whose answer is read as it comes."""
        stream = await anyio.connect_unix(self._socket)
        headers = [(b"host", b"docker")]
        parts: AsyncIterator[bytes] | None = None
        if isinstance(body, io.IOBase):
            headers.append((b"content-type", b"application/x-tar"))
            parts = _chunks(body)  # type: ignore[arg-type]
        elif body is not None:
            content = json.dumps(body).encode()
            headers += [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
            ]
            parts = _once(content)
        return exchange(stream, method, path, headers, parts)

    def _tag(self, image: Image) -> str:
        return f"liftlock-sandbox:{hex_of(image.id)}"

    async def _load(self, image: Image) -> None:
        """Give the engine the image's bytes, once."""
        async with self._loading.setdefault(image.id, anyio.Lock()):
            if image.id in self._loaded:
                return
            status, _ = await self.call("GET", f"/images/{self._tag(image)}/json")
            if status != 200:
                with await anyio.to_thread.run_sync(self._archive, image) as archive:
                    status, answer = await self.call("POST", "/images/load?quiet=1", archive)
                if status != 200:
                    raise LaunchError(f"Docker did not take the image: {answer.get('message', status)}")
            self._loaded.add(image.id)

    def _archive(self, image: Image) -> IO[bytes]:
        """The image as `docker save` would write it."""
        blobs = self._cloud.store.blobs
        config = f"{hex_of(image.id)}.json"
        layers = [f"{n}-{hex_of(digest)}.tar" for n, digest in enumerate(image.layers)]
        manifest = [{"Config": config, "RepoTags": [self._tag(image)], "Layers": layers}]
        files = {"manifest.json": json.dumps(manifest).encode(), config: blobs.get(hex_of(image.id)) or b""}
        spool = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
        with tarfile.open(fileobj=spool, mode="w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            for name, digest in zip(layers, image.layers, strict=True):
                path = blobs.path(hex_of(digest))
                if path is not None:
                    archive.add(path, name)
                else:
                    content = blobs.get(hex_of(digest)) or b""
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        spool.seek(0)
        return spool

    async def _remove_ours(self) -> None:
        wanted = quote(json.dumps({"label": [f"{LABEL}={self._instance}"]}))
        _, containers = await self.call("GET", f"/containers/json?all=1&filters={wanted}")
        for container in containers if isinstance(containers, list) else []:
            await self.call("DELETE", f"/containers/{container['Id']}?force=1&v=1")


class ContainerRun:
    """A started container; it is removed when it is stopped."""

    def __init__(
        self,
        engine: DockerRuntime,
        id_: str,
        port: int | None,
        log: Callable[[str], None],
        watchdog: Watchdog,
    ) -> None:
        self.port = port
        self._engine = engine
        self._id = id_
        self._log = log
        self._watchdog = watchdog
        self._read = anyio.Event()
        self._stopped = False

    async def ready(self) -> bool:
        if self.port is None:
            with anyio.move_on_after(STEADY_S):
                await self.wait()
                return False
            return True
        return await accepts(self.port, self.wait)

    async def wait(self) -> int:
        try:
            _, answer = await self._engine.call("POST", f"/containers/{self._id}/wait")
        except LaunchError:
            return 137  # the engine itself went away
        with anyio.move_on_after(1.0):
            await self._read.wait()
        return int(answer.get("StatusCode", 137))

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        with suppress(LaunchError):
            await self._engine.call("POST", f"/containers/{self._id}/stop?t={int(STOP_LIMIT_S)}")
            await self._engine.call("DELETE", f"/containers/{self._id}?force=1&v=1")
        await self._watchdog.forget("container", self._id)

    async def read_output(self) -> None:
        """Follow the container's log: frames of 8 bytes of head (stream, size) and their text."""
        path = f"/containers/{self._id}/logs?follow=1&stdout=1&stderr=1"
        pending = rest = b""
        try:
            async with await self._engine.open("GET", path) as reply:
                async for part in reply.body:
                    pending += part
                    while len(pending) >= 8 and len(pending) >= 8 + int.from_bytes(pending[4:8], "big"):
                        end = 8 + int.from_bytes(pending[4:8], "big")
                        *lines, rest = (rest + pending[8:end]).split(b"\n")
                        pending = pending[end:]
                        for line in lines:
                            self._log(line.decode(errors="replace").rstrip("\r"))
        except (OSError, ProtocolError):
            self._log("the container's log cannot be read any more")
        finally:
            if rest:
                self._log(rest.decode(errors="replace"))
            self._read.set()


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while part := file.read(_CHUNK):
        yield part
