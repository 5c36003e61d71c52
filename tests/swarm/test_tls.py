"""An engine behind TLS: who it is, and who we are, by certificates as docker itself keeps them."""

from __future__ import annotations

import http.server
import json
import os
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trustme

from liftlock.docker_hosts import docker_environ, docker_host
from liftlock.errors import LiftlockError, Unreachable
from liftlock.http import Http
from liftlock.platforms.swarm.api import Swarm
from liftlock.programs import run
from tests.registry.dockerd import NoEngine, own_engine
from tests.swarm.real import free_port, in_swarm

pytestmark = pytest.mark.anyio

Folder = Callable[..., Path]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def engine(authority: trustme.CA) -> Iterator[str]:
    """The address of what answers as an engine does, to those alone whose certificate the authority made."""
    with answering(authority) as port:
        yield f"tcp://127.0.0.1:{port}"


@contextmanager
def answering(authority: trustme.CA) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        told = {"ApiVersion": "1.51", "MinAPIVersion": "1.24", "Swarm": {"ControlAvailable": True}}
        content = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Folder:
    """Makes a folder of certificates: the authority that engines are checked by, and who we are."""

    def make(trusted: trustme.CA = authority, known_to: trustme.CA | None = authority) -> Path:
        trusted.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        if known_to is not None:
            own = known_to.issue_cert("liftlock.test")
            own.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
            for pem in own.cert_chain_pems:
                pem.write_to_path(str(tmp_path / "cert.pem"), append=True)
        return tmp_path

    return make


@asynccontextmanager
async def swarm_at(address: str, folder: Path) -> AsyncIterator[Swarm]:
    environ = {"DOCKER_CERT_PATH": str(folder)}
    host = docker_host(address, environ, Path("/nonexistent"))
    assert host.base.startswith("https://")
    client = Http("docker", host.base, transport=host.transport)
    try:
        yield Swarm(client)
    finally:
        await client.aclose()
        await host.transport.aclose()


async def test_an_engine_answers_whom_its_authority_knows(engine: str, folder: Folder) -> None:
    async with swarm_at(engine, folder()) as swarm:
        assert (await swarm.info())["Swarm"]["ControlAvailable"]


async def test_a_strangers_engine_is_not_talked_to(engine: str, folder: Folder) -> None:
    async with swarm_at(engine, folder(trusted=trustme.CA())) as swarm:
        with pytest.raises(Unreachable, match=r"(?i)certificate verify failed"):
            await swarm.info()


async def test_an_engine_that_asks_for_a_certificate_says_so(engine: str, folder: Folder) -> None:
    async with swarm_at(engine, folder(known_to=None)) as swarm:
        with pytest.raises(LiftlockError, match="may not accept us without a certificate in "):
            await swarm.info()


async def test_an_engine_that_does_not_know_us_says_so(engine: str, folder: Folder) -> None:
    async with swarm_at(engine, folder(known_to=trustme.CA())) as swarm:
        with pytest.raises(LiftlockError, match="may not accept the certificate in "):
            await swarm.info()


@pytest.fixture(scope="module")
def real(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real engine that talks to those alone whose certificate the authority made."""
    files = tmp_path_factory.mktemp("engine")
    own = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(files / "ca"))
    own.private_key_pem.write_to_path(str(files / "key"))
    own.cert_chain_pems[0].write_to_path(str(files / "cert"))
    port = free_port()
    options = ["--host", f"tcp://127.0.0.1:{port}", "--tlsverify", f"--tlscacert={files / 'ca'}"]
    options += [f"--tlscert={files / 'cert'}", f"--tlskey={files / 'key'}"]
    try:
        with own_engine(options=options) as engine, in_swarm(engine.host):
            yield f"tcp://127.0.0.1:{port}"
    except NoEngine as reason:
        pytest.skip(str(reason))


@pytest.mark.docker
async def test_a_real_engine_is_reached_with_certificates_by_us_and_by_docker_itself(
    real: str, folder: Folder, tmp_path: Path
) -> None:
    async with swarm_at(real, folder()) as swarm:
        assert (await swarm.info())["Swarm"]["ControlAvailable"]
        assert await swarm.services("observatory-dev") == {}
    # Nobody told docker to speak TLS but us.
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_CERT_PATH": str(tmp_path)}
    argv = ["docker", "node", "ls", "--format", "{{.ManagerStatus}}"]
    asked = await run(argv, tmp_path, docker_environ(real, environ), 60.0)
    assert (asked.exit_code, asked.lines) == (0, ("Leader",))


@pytest.mark.docker
async def test_a_real_engine_refuses_whom_it_does_not_know(real: str, folder: Folder) -> None:
    async with swarm_at(real, folder(known_to=trustme.CA())) as swarm:
        with pytest.raises(LiftlockError, match="may not accept the certificate in "):
            await swarm.info()
