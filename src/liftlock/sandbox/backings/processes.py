"""Images as plain processes: unpacked into the state's folder, and started there.

No isolation at all: a process may do what the sandbox's own user may. Its working directory is the
image's, inside the unpacked root; programs are looked for beside the sandbox's own Python (so that
`python3` is it), then in the image, then on this machine.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, STDOUT
from typing import TYPE_CHECKING, BinaryIO, cast

import anyio
import anyio.to_thread
from anyio.abc import ByteReceiveStream, Process

from liftlock.sandbox.backings import BOOT_LIMIT_S, Job, LaunchError
from liftlock.sandbox.backings.unpack import UnpackError, inside, unpack
from liftlock.sandbox.backings.watchdog import Watchdog
from liftlock.sandbox.images import Image, hex_of

if TYPE_CHECKING:
    from liftlock.sandbox.cloud import Cloud

STEADY_S = 0.2
"""How long a process that is not web has to live to count as up."""
STOP_LIMIT_S = 5.0
"""From SIGTERM to SIGKILL; Heroku gives 30 seconds."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LINE_LIMIT = 10_000
"""Source: Heroku's Logplex splits longer lines."""


class ProcessRuntime:
    """Starts images as plain processes under `directory`."""

    def __init__(self, cloud: Cloud, watchdog: Watchdog, directory: Path) -> None:
        self._cloud = cloud
        self._watchdog = watchdog
        self._directory = directory
        self._unpacking: dict[str, anyio.Lock] = {}

    async def start(self) -> None:
        await anyio.to_thread.run_sync(partial(self._directory.mkdir, parents=True, exist_ok=True))

    async def stop(self) -> None:
        """Every run was stopped by its supervisor; the unpacked images stay for the next start."""

    async def launch(self, job: Job, log: Callable[[str], None]) -> ProcessRun:
        argv = job.image.argv
        if not argv:
            raise LaunchError(f"the image of {job.type} has no command (neither Entrypoint nor Cmd)")
        try:
            root = await self.root_of(job.image)
        except (UnpackError, OSError) as error:
            raise LaunchError(f"the image of {job.type} cannot be unpacked: {error}") from error
        port = free_port() if job.type == "web" else None
        folder = inside(root, job.image.directory, follow_last=True)
        environ = self._environ(job, root, folder, port)
        program = find_program(root, folder, argv[0], environ["PATH"])
        if program is None:
            raise LaunchError(f"{argv[0]}: not found in the image of {job.type} nor on this machine")
        try:
            # Its own session, and with it its own process group: what it starts is ended with it.
            process = await anyio.open_process(
                [str(program), *argv[1:]],
                cwd=folder,
                env=environ,
                start_new_session=True,
                stderr=STDOUT,
                stdin=DEVNULL,
            )
        except OSError as error:
            raise LaunchError(f"{argv[0]} cannot be started: {error.strerror}") from error
        await self._watchdog.watch_group(process.pid, signal.SIGKILL)
        return ProcessRun(process, port, self._watchdog, log, self._cloud)

    async def root_of(self, image: Image) -> Path:
        """The folder with the image's files, unpacked at the first use. Raises `UnpackError`."""
        root = self._directory / hex_of(image.id)
        async with self._unpacking.setdefault(image.id, anyio.Lock()):
            if not root.exists():
                await anyio.to_thread.run_sync(self._unpack, image, root)
        return root

    def _unpack(self, image: Image, root: Path) -> None:
        blobs = self._cloud.store.blobs
        with ExitStack() as files:
            layers: list[BinaryIO] = []
            for digest in image.layers:
                path = blobs.path(hex_of(digest))
                if path is not None:
                    layers.append(cast("BinaryIO", files.enter_context(path.open("rb"))))
                else:
                    layers.append(io.BytesIO(blobs.get(hex_of(digest)) or b""))
            unpack(layers, root)

    def _environ(self, job: Job, root: Path, folder: Path, port: int | None) -> dict[str, str]:
        image = dict(job.image.environ)
        own = image.pop("PATH", DEFAULT_PATH)
        within = [str(inside(root, part)) for part in own.split(":") if part]
        path = [str(Path(sys.executable).parent), *within, os.environ.get("PATH", DEFAULT_PATH)]
        environ = {
            # The log is read from a pipe, where Python would keep lines back; the unpacked files stay as they are.
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **image,
            **job.environ,
            "PATH": ":".join(path),
            "DYNO": job.dyno,
        }
        if port is not None:
            environ["PORT"] = str(port)
        return environ


class ProcessRun:
    """A started process with its group."""

    def __init__(
        self, process: Process, port: int | None, watchdog: Watchdog, log: Callable[[str], None], cloud: Cloud
    ) -> None:
        self.port = port
        self._process = process
        self._watchdog = watchdog
        self._log = log
        self._read = anyio.Event()
        self._stopped = False
        cloud.start_soon(self._read_output)

    async def ready(self) -> bool:
        if self.port is None:
            with anyio.move_on_after(STEADY_S):
                await self._process.wait()
                return False
            return True
        return await accepts(self.port, self._process.wait)

    async def wait(self) -> int:
        status = await self._process.wait()
        # What it wrote last belongs to its log; what its children go on writing does not hold us up.
        with anyio.move_on_after(1.0):
            await self._read.wait()
        return status if status >= 0 else 128 - status

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        group = self._process.pid
        if self._process.returncode is None:
            signal_group(group, signal.SIGTERM)
            with anyio.move_on_after(STOP_LIMIT_S):
                await self._process.wait()
        # The group may outlive its leader.
        signal_group(group, signal.SIGKILL)
        await self._process.wait()
        await self._watchdog.forget("group", group)
        with anyio.move_on_after(1.0):
            await self._read.wait()
        await self._process.aclose()

    async def _read_output(self) -> None:
        stream = self._process.stdout
        try:
            if stream is not None:
                await read_lines(stream, self._log)
        finally:
            self._read.set()


def signal_group(group: int, number: int) -> None:
    """Signal a process group that may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def accepts(port: int, ended: Callable[[], object], limit_s: float = BOOT_LIMIT_S) -> bool:
    """Wait until the port accepts a connection; False when `ended()` returns first, or after `limit_s`."""
    up = False

    async def watch(scope: anyio.CancelScope) -> None:
        await ended()  # type: ignore[misc]
        scope.cancel()

    with anyio.move_on_after(limit_s):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, tasks.cancel_scope)
            pause = 0.01
            while True:
                try:
                    await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                except OSError:
                    await anyio.sleep(pause)
                    pause = min(pause * 1.3, 0.2)
                else:
                    up = True
                    tasks.cancel_scope.cancel()
                    break
    return up


async def read_lines(stream: ByteReceiveStream, log: Callable[[str], None]) -> None:
    """Call `log` with each line of the stream until it ends."""
    rest = b""
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        while True:
            *lines, rest = (rest + await stream.receive()).split(b"\n")
            for line in lines:
                log(line.decode(errors="replace").rstrip("\r"))
            if len(rest) > _LINE_LIMIT:
                log(rest.decode(errors="replace"))
                rest = b""
    if rest:
        log(rest.decode(errors="replace"))


def find_program(root: Path, folder: Path, name: str, path: str) -> Path | None:
    """The file that a command's first word means to a plain process."""
    if "/" in name:
        places = [inside(root, name, follow_last=True)] if name.startswith("/") else [folder / name]
        if name.startswith("/"):
            places.append(Path(name))
    else:
        places = [Path(part) / name for part in path.split(":") if part]
    return next((place for place in places if place.is_file() and os.access(place, os.X_OK)), None)
