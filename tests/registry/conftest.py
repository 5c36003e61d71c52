"""Two registries to test against: a small one in memory that can be told to lie, and a real one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from liftlock.http import Http
from liftlock.registry.connection import Registry
from liftlock.registry.distribution import Distribution
from liftlock.registry.layers import LayerCache
from liftlock.registry.sources import Sources
from tests.registry.dockerd import NoEngine, dockerd
from tests.sandbox.serving import served

Login = Callable[[], tuple[str, str] | None]


@pytest.fixture(autouse=True)
def _without_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liftlock.http.client.FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr("liftlock.registry.uploads.FIRST_PAUSE_S", 0.001)


@contextmanager
def cncf(folder: Path, more: str = "", tls: Path | None = None) -> Iterator[str]:
    """CNCF Distribution (Debian's `docker-registry`) on a free port; its host.

    `more` is added to its configuration; `tls` is a file with a certificate and its key.
    """
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed (apt-get install docker-registry)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    secured = f", tls: {{certificate: {tls}, key: {tls}}}" if tls else ""
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\n"
        "log: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '{host}'{secured}}}\n{more}"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait_for(f"{'https' if tls else 'http'}://{host}/v2/", process)
        yield host
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(address, trust_env=False, verify=False).status_code in {200, 401}:
                return
        except httpx2.TransportError:
            time.sleep(0.02)
    pytest.fail("docker-registry did not start")


@pytest.fixture(scope="session")
def cncf_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One registry for all tests, open to everybody."""
    with cncf(tmp_path_factory.mktemp("cncf")) as host:
        yield host


@pytest.fixture
async def distribution(tmp_path: Path) -> AsyncIterator[Callable[..., Distribution]]:
    """Makes a client: `distribution(transport=…, login=…, schema2_only=("host",))`."""
    opened: list[Http] = []

    def make(
        transport: httpx2.AsyncBaseTransport | None = None,
        login: Login = lambda: None,
        schema2_only: tuple[str, ...] = (),
        scheme: str = "http",
    ) -> Distribution:
        def client(vendor: str, base: str) -> Http:
            opened.append(Http(vendor, base, transport=transport))
            return opened[-1]

        def connect(host: str) -> Registry:
            http = client(host, f"{scheme}://{host}")
            return Registry(host, http, login, client, schema2_only=host in schema2_only)

        return Distribution(connect, Sources(LayerCache(tmp_path / "cache"), {}))

    yield make
    for http in opened:
        await http.aclose()


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The directory of a small service."""
    folder = tmp_path / "service"
    (folder / "data").mkdir(parents=True)
    (folder / "app.py").write_text("print('up')\n")
    (folder / "start").write_text("#!/bin/sh\nexec python3 app.py\n")
    (folder / "start").chmod(0o700)
    (folder / "data" / "stars.csv").write_text("name,magnitude\nVega,0.03\n" * 2000)
    return folder


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Http]:
    """A served sandbox with the Heroku apps sso-dev, sso-staging and sso-production; its administration."""
    with served(tmp_path / "sandbox") as client:
        http = Http("sandbox", str(client.base_url).rstrip("/"))
        apps = [{"name": f"sso-{env}"} for env in ("dev", "staging", "production")]
        await http.request("PUT", "/_sandbox/world", json={"heroku": {"apps": apps}})
        yield http
        await http.aclose()


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """The DOCKER_HOST of an engine that this session runs for itself."""
    try:
        with dockerd() as host:
            yield host
    except NoEngine as reason:
        pytest.skip(str(reason))
