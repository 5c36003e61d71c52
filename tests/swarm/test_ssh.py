"""A real engine behind a real sshd, as `docker = "ssh://…"` reaches it."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from liftlock.docker_hosts import docker_environ, docker_host
from liftlock.errors import Unreachable
from liftlock.http import Http
from liftlock.platforms.swarm.api import Swarm
from liftlock.programs import run
from liftlock.tasks import together
from tests.registry.dockerd import NoEngine, own_engine
from tests.swarm.real import free_port, in_swarm

pytestmark = [pytest.mark.anyio, pytest.mark.docker]

SERVER = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/known.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv PATH={path}
"""
CLIENT = """#!/bin/sh
exec {ssh} -F none -o UserKnownHostsFile={folder}/hosts -o IdentitiesOnly=yes -o IdentityFile={folder}/{key} "$@"
"""


@dataclass(frozen=True)
class Host:
    """A machine that is reached by ssh, with an engine on it."""

    folder: Path
    address: str

    def environ(self, key: str = "known") -> dict[str, str]:
        """The variables of somebody who has this key."""
        place = self.folder / f"with-{key}"
        place.mkdir(exist_ok=True)
        program = place / "ssh"
        program.write_text(CLIENT.format(ssh=shutil.which("ssh"), folder=self.folder, key=key))
        program.chmod(0o755)
        return {"PATH": f"{place}:{os.environ['PATH']}", "HOME": str(place)}

    @asynccontextmanager
    async def swarm(self, key: str = "known") -> AsyncIterator[Swarm]:
        host = docker_host(self.address, self.environ(key), self.folder)
        client = Http("docker", host.base, transport=host.transport)
        try:
            yield Swarm(client)
        finally:
            await client.aclose()
            await host.transport.aclose()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    try:
        with own_engine() as engine, in_swarm(engine.host), sshd() as (folder, port):
            socket = engine.host.removeprefix("unix://")
            yield Host(folder, f"ssh://{getpass.getuser()}@127.0.0.1:{port}{socket}")
    except NoEngine as reason:
        pytest.skip(str(reason))


@contextmanager
def sshd() -> Iterator[tuple[Path, int]]:
    """An sshd of our own that knows one key; a folder with that key, and another one that it does not know."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("sshd is not installed (apt-get install openssh-server)")
    Path("/run/sshd").mkdir(exist_ok=True)  # its own, which Debian makes when it starts the machine's
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="liftlock-sshd-") as name:
        folder = Path(name)
        for key in ("host", "known", "stranger"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
            subprocess.run(argv, check=True, capture_output=True)
        (folder / "hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
        config = folder / "sshd_config"
        config.write_text(SERVER.format(port=port, folder=folder, path=os.environ["PATH"]))
        log = folder / "log"
        process = subprocess.Popen([program, "-D", "-f", str(config), "-E", str(log)])
        try:
            deadline = time.monotonic() + 20
            while not (log.exists() and "Server listening" in log.read_text()):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.skip(f"sshd did not start: {log.read_text() if log.exists() else ''}")
                time.sleep(0.02)
            yield folder, port
        finally:
            process.terminate()
            process.wait(20)


async def test_an_engine_is_asked_through_ssh_many_things_at_once(host: Host) -> None:
    async with host.swarm() as swarm:
        answers = await together(*[swarm.info] * 9)
        assert all(answer["Swarm"]["ControlAvailable"] for answer in answers)
        assert await swarm.services("observatory-dev") == {}


async def test_docker_itself_is_sent_the_same_way(host: Host, tmp_path: Path) -> None:
    argv = ["docker", "node", "ls", "--format", "{{.ManagerStatus}}"]
    asked = await run(argv, tmp_path, docker_environ(host.address, host.environ()), 60.0)
    assert (asked.exit_code, asked.lines) == (0, ("Leader",))


async def test_whom_sshd_does_not_know_is_told_so(host: Host) -> None:
    async with host.swarm("stranger") as swarm:
        with pytest.raises(Unreachable, match="Permission denied"):
            await swarm.info()
