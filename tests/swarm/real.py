"""The stories on a real engine of this test run's own: one node, and a registry beside it."""

from __future__ import annotations

import io
import json
import random
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import anyio

from liftlock.model import ImageId, ProcessSource
from liftlock.platform_images import id_tag
from liftlock.platforms.swarm.api import Task
from liftlock.registry.manifests import sha256
from liftlock.wiring import open_project
from tests.registry.cncf import cncf
from tests.registry.dockerd import NoEngine, own_engine
from tests.swarm.world import World, project_of

BUSYBOX = Path("/bin/busybox")
_names = count(1)
_SCRIPTS = {
    "": {"start": "trap 'exit 0' TERM\nwhile :; do /bin/busybox sleep 1 & wait $!; done"},
    "crash": {"start": "echo this image crashes at start\nexit 1"},
    "unhealthy": {"check": "exit 1"},
    "release-fails": {"migrate": "echo the migration fails\nexit 1"},
}


@dataclass(frozen=True)
class Engine:
    """A one-node swarm and a registry."""

    docker: str
    registry: str


@contextmanager
def one_node(folder: Path) -> Iterator[Engine]:
    """A swarm of one node and a registry. Raises `NoEngine` or `NoRegistry` where there can be none."""
    if not BUSYBOX.exists():
        raise NoEngine("the tests' images are made of /bin/busybox (apt-get install busybox-static)")
    with cncf(folder) as registry, own_engine() as engine, in_swarm(engine.host):
        yield Engine(engine.host, registry)


@contextmanager
def in_swarm(host: str) -> Iterator[None]:
    """Make an engine a swarm of one node. Raises `NoEngine`."""
    argv = ["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", f"127.0.0.1:{free_port()}"]
    # Another swarm on this machine may have networks of the same numbers. Docker takes no port above 49151.
    argv += ["--data-path-port", str(free_port())]
    begun = docker(host, *argv)
    if begun.returncode != 0:
        raise NoEngine(f"the engine makes no swarm: {begun.stderr.strip()}")
    try:
        yield
    finally:
        docker(host, "swarm", "leave", "--force")


def docker(
    host: str, *argv: str, given: str = "", folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the docker command."""
    return subprocess.run(
        ["docker", "--host", host, *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        input=given,
        cwd=folder,
    )


def free_port() -> int:
    """A port that is still free when it is used, minutes later: below those that connections are given."""
    for port in random.sample(range(20_000, 32_000), 200):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise NoEngine("no port of loopback is free")


def make_image(file: Path, seed: str, behaviour: str = "") -> None:
    """An image of this behaviour, in the format of `docker image save`."""
    scripts = {"check": "exit 0", "migrate": "echo the migration succeeds", **_SCRIPTS[""]}
    scripts |= _SCRIPTS[behaviour] if behaviour else {}
    files = {"www/index.html": f"{seed}\n"}
    files |= {name: f"#!/bin/busybox sh\n{text}\n" for name, text in scripts.items()}
    layer = _tar({"bin/busybox": BUSYBOX.read_bytes(), **{k: v.encode() for k, v in files.items()}})
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
        "config": {"Cmd": ["/start"], "Labels": {"seed": seed}},
    }
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": ["layer.tar"]}]
    content = {"manifest.json": json.dumps(manifest).encode(), "config.json": json.dumps(config).encode()}
    file.write_bytes(_tar({**content, "layer.tar": layer}))


def _tar(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@dataclass
class Real(World):
    async def push(self, process_type: str, seed: str, behaviour: str, commit: str) -> ImageId:
        repository = f"{self.target().registry}/{self.app.name.lower()}/{process_type}"
        images = self.platform._platform_images.images
        with tempfile.TemporaryDirectory(prefix="liftlock-image-") as name:
            make_image(Path(name) / "image.tar", seed, behaviour)
            source = ProcessSource(archive="image.tar")
            image = await images.publish(source, Path(name), {repository: [commit]}, self.progress)
        await images.copy(image, repository, id_tag(image.image_id), self.progress)
        return image.image_id  # type: ignore[no-any-return]

    async def crash(self, task: Task) -> None:
        own = ["--quiet", "--filter", f"label=com.docker.swarm.task.id={task.id}"]
        host = str(self.target().options["docker"])
        container = docker(host, "ps", *own).stdout.strip()
        killed = docker(host, "kill", container)
        assert killed.returncode == 0, killed.stderr


@asynccontextmanager
async def real(engine: Engine, cache: Path, **project: Any) -> AsyncIterator[Real]:
    """A world of its own on the engine: no two have the same stack."""
    name = project.pop("name", f"ODB{next(_names)}")
    made = project_of(engine.registry, engine.docker, name=name, **project)
    environ = {"HOME": str(cache), "XDG_CACHE_HOME": str(cache), "PATH": "/usr/bin:/bin"}
    async with open_project(made, environ=environ) as adapters:
        platform: Any = adapters.platforms["swarm"]
        world = Real(made, adapters, platform._swarm(next(iter(made.apps.values())).targets["dev"]))
        try:
            yield world
        finally:
            for environment in world.app.targets:
                for service in (await world.swarm.services(world.target(environment).name)).values():
                    await world.swarm.remove(service.id)


def play(engine: Engine, cache: Path, story: Any, **project: Any) -> None:
    """Run a story; it takes the time that it takes."""

    async def main() -> None:
        async with real(engine, cache, **project) as world:
            await story(world)

    anyio.run(main)
