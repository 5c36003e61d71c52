"""The logins of Amazon, GitHub and Google, tried on CNCF Distribution with the flows that theirs have.

Each is a `config.json` and a helper as the vendor's own tools leave them, a registry that asks as theirs
does, and a project wired as the command line wires it.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
import trio.testing

from liftlock.errors import Unauthorized
from liftlock.http import Http
from liftlock.model import App, Environment, ProcessSource, Project, RecordName, Release, Target
from liftlock.platform_images import Publisher, of_registry
from liftlock.registry.authentication import ASK_AGAIN_S
from liftlock.registry.connection import Registry
from liftlock.registry.manifests import SCHEMA2
from liftlock.testing import open_context
from tests.registry.cncf import NoRegistry, cncf
from tests.registry.memory import Memory
from tests.registry.test_distribution import an_image
from tests.registry.tokens import PASSWORD, USER, token_service
from tests.test_http_tls import certificate

__all__ = ["certificate"]  # a fixture
COMMIT = "5" * 40
LEVELS = ("dev", "staging")
HASHED = "$2b$04$liftlockliftlockliftlehryFMzhB0SszDzyaYET8rKUqpcxC7Dq"
"""`PASSWORD` as `htpasswd -B` writes it."""


def helper(home: Path, name: str, user: str, secret: str) -> None:
    """A credential helper on the path of this home."""
    program = home / "bin" / f"docker-credential-{name}"
    program.parent.mkdir(exist_ok=True)
    said = json.dumps({"ServerURL": "x", "Username": user, "Secret": secret})
    program.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{said}'\n")
    program.chmod(0o755)


def project_in(registry: str, root: Path) -> Project:
    source = ProcessSource(directory="api", command=("python3", "app.py"))
    targets = {
        level: Target("API", level, "swarm", f"api-{level}", processes=("web",), registry=registry)
        for level in LEVELS
    }
    records = {level: RecordName("example/services", "deploy:API", level) for level in LEVELS}
    app = App("API", "swarm", "example/services", targets, records, processes={"web": source})
    return Project(
        name="observatory",
        repository="example/services",
        ledger="sqlite:///ledger.db",
        settle_s=0.0,
        environments={level: Environment(level) for level in LEVELS},
        apps={"API": app},
        endpoints={},
        root=str(root),
    )


async def published_and_pulled(host: str, place: str, home: Path) -> None:
    """Push as a deploy does, and look it up as a promotion does, in a process of its own each."""
    (home / "api").mkdir()
    (home / "api" / "app.py").write_text("print('up')\n")
    project = project_in(f"{host}/{place}", home)
    environ = {"HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
    async with open_context(project, environ=environ) as context:
        publisher = Publisher(of_registry(context), project)
        release = await publisher.publish(project.apps["API"], COMMIT, home, quiet)
    assert isinstance(release, Release)
    async with open_context(project, environ=environ) as context:
        pulled = await of_registry(context).pulled(project.apps["API"].targets["staging"], release)
        assert pulled["web"].image_id == release.artifacts["web"]
    async with open_context(project, environ={"HOME": str(home / "nobody")}) as context:
        stranger = Publisher(of_registry(context), project)
        with pytest.raises(Unauthorized) as caught:
            await stranger.publish(project.apps["API"], "6" * 40, home, quiet)
        assert "secret" not in caught.value.message


def quiet(_: str) -> None: ...


@contextmanager
def registry(folder: Path, more: str) -> Iterator[str]:
    folder.mkdir()
    try:
        with cncf(folder, more) as host:
            yield host
    except NoRegistry as reason:
        pytest.skip(str(reason))


@pytest.mark.anyio
async def test_amazons_helper_and_a_registry_that_takes_basic_alone(tmp_path: Path) -> None:
    """`docker-credential-ecr-login` gives the user AWS and a password, and there are no tokens."""
    (tmp_path / "htpasswd").write_text(f"AWS:{HASHED}\n")
    basic = f"auth: {{htpasswd: {{realm: 'https://ecr.example', path: {tmp_path / 'htpasswd'}}}}}\n"
    with registry(tmp_path / "registry", basic) as host:
        helper(tmp_path, "ecr-login", "AWS", PASSWORD)
        configure(tmp_path, {"credHelpers": {host: "ecr-login"}})
        await published_and_pulled(host, "observatory", tmp_path)


@pytest.mark.anyio
@pytest.mark.parametrize("vendor", ["github", "google"])
async def test_githubs_and_googles_registries_give_tokens_for_a_password(
    tmp_path: Path, certificate: Path, vendor: str
) -> None:
    """GitHub: a personal access token, stored by `docker login ghcr.io`. Google: `docker-credential-gcloud`
    gives an access token as the password of a user of its own making."""
    user = USER if vendor == "github" else "_dcgcloud_token"
    with (
        token_service(certificate, user=user) as tokens,
        registry(tmp_path / "registry", tokens.configuration(certificate)) as host,
    ):
        if vendor == "github":
            stored = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
            configure(tmp_path, {"auths": {host: {"auth": stored}}})
        else:
            helper(tmp_path, "gcloud", user, PASSWORD)
            configure(tmp_path, {"credHelpers": {host: "gcloud"}})
        await published_and_pulled(host, "project/observatory", tmp_path)
        wanted = "repository:project/observatory/api/web:pull"
        assert ("password", wanted) in tokens.asked


def configure(home: Path, config: dict[str, Any]) -> None:
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(json.dumps(config))


@dataclass
class Vendor:
    """A registry that takes one password at a time, as Basic or for tokens, and has one image."""

    flow: str
    password: str
    manifest: bytes = b""
    tokens: int = 0

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        sent = request.headers.get("authorization", "")
        basic = f"Basic {base64.b64encode(f'u:{self.password}'.encode()).decode()}"
        if request.url.path == "/token":
            if sent != basic:
                return httpx2.Response(401, json={"errors": [{"code": "DENIED"}]})
            self.tokens += 1
            return httpx2.Response(200, json={"token": self._token, "expires_in": 3600})
        if sent == (basic if self.flow == "basic" else f"Bearer {self._token}"):
            return httpx2.Response(200, content=self.manifest, headers={"content-type": SCHEMA2})
        asks = {
            "basic": 'Basic realm="https://r.example.com/"',
            "token": 'Bearer realm="https://r.example.com/token",service="r"',
        }
        return httpx2.Response(401, headers={"www-authenticate": asks[self.flow]})

    @property
    def _token(self) -> str:
        return f"token-{self.tokens}-{self.password}"


@pytest.mark.parametrize("flow", ["token", "basic"])
def test_a_password_that_has_run_out_is_asked_for_anew_and_a_wrong_one_is_not(flow: str) -> None:
    """Helpers give passwords for some hours; a server or a long promotion outlives them."""
    memory = Memory()
    digest = an_image(memory, "x/web", "abc")
    vendor = Vendor(flow, "first", memory.manifests["x/web", digest][1])
    passwords = ["first", "second", "never"]
    given: list[str] = []

    async def login() -> tuple[str, str]:
        given.append(passwords.pop(0))
        return "u", given[-1]

    async def main() -> None:
        def client(name: str, base: str) -> Http:
            return Http(name, base, transport=httpx2.MockTransport(vendor))

        registry = Registry("r.example.com", client("r", "https://r.example.com"), login, client)
        for _ in range(3):
            assert await registry.manifest("x/web", "abc") is not None
        assert given == ["first"], "a helper is not run oftener than need be"
        vendor.password = "second"
        await trio.sleep(ASK_AGAIN_S)
        for _ in range(3):
            assert await registry.manifest("x/web", "abc") is not None
        assert given == ["first", "second"]
        vendor.password = "another"
        with pytest.raises(Unauthorized):
            await registry.manifest("x/web", "abc")
        assert given == ["first", "second"], "refused so soon, it is wrong"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.0))
