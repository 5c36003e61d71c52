"""Two registries to test against: a small one in memory that can be told to lie, and a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from liftlock.http import Http
from liftlock.registry.connection import Registry
from liftlock.registry.distribution import Distribution
from liftlock.registry.layers import LayerCache
from liftlock.registry.sources import Sources
from tests.registry.cncf import NoRegistry, cncf
from tests.registry.dockerd import NoEngine, dockerd
from tests.sandbox.serving import served

Login = Callable[[], tuple[str, str] | None]


@pytest.fixture(autouse=True)
def _without_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liftlock.http.client.FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr("liftlock.registry.uploads.FIRST_PAUSE_S", 0.001)


@pytest.fixture(scope="session")
def cncf_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One registry for all tests, open to everybody."""
    try:
        with cncf(tmp_path_factory.mktemp("cncf")) as host:
            yield host
    except NoRegistry as reason:
        pytest.skip(str(reason))


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
            async def logged_in() -> tuple[str, str] | None:
                return login()

            http = client(host, f"{scheme}://{host}")
            return Registry(host, http, logged_in, client, schema2_only=host in schema2_only)

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
