"""Logins as docker and skopeo keep them, and a real registry that wants tokens for them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from liftlock.docker_logins import IDENTITY_TOKEN, DockerLogins
from liftlock.errors import Unauthorized, UsageError
from liftlock.registry.distribution import Distribution
from liftlock.registry.layers import LayerCache
from tests.registry.cncf import NoRegistry, cncf
from tests.registry.test_distribution import found
from tests.registry.test_push import ENVIRONMENTS, push_all, two_images
from tests.registry.tokens import IDENTITY, PASSWORD, USER, Tokens, token_service
from tests.test_http_tls import certificate, trusted

pytestmark = pytest.mark.anyio

Make = Callable[..., Distribution]
HOST = "registry.example.com"
__all__ = ["certificate", "trusted"]  # fixtures

HELPER = """#!/bin/sh
echo "$# $@" >> "$HOME/arguments"
read server
case "$1 $server" in
"get registry.example.com") echo '{"ServerURL": "x", "Username": "robot", "Secret": "from the keychain"}' ;;
"get https://index.docker.io/v1/") echo '{"ServerURL": "x", "Username": "<token>", "Secret": "of the hub"}' ;;
"get broken.example.com") echo 'the secret is hunter2' ;;
"get locked.example.com") echo 'the keychain is locked: hunter2'; exit 1 ;;
*) echo 'credentials not found in native keychain'; exit 1 ;;
esac
"""


def encoded(login: str) -> dict[str, str]:
    return {"auth": base64.b64encode(login.encode()).decode()}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A home with a credential helper `desk` on its path."""
    helper = tmp_path / "bin" / "docker-credential-desk"
    helper.parent.mkdir()
    helper.write_text(HELPER)
    helper.chmod(0o755)
    return {"HOME": str(tmp_path), "PATH": f"{helper.parent}:{os.environ['PATH']}"}


def logins(environ: dict[str, str], **config: object) -> DockerLogins:
    home = Path(environ["HOME"])
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker" / "config.json").write_text(json.dumps(config))
    return DockerLogins(environ, home)


async def test_a_store_for_all_registries_is_asked_by_their_usual_names(environ: dict[str, str]) -> None:
    desk = logins(environ, credsStore="desk", auths={HOST: {}})
    assert await desk.account(HOST) == ("robot", "from the keychain")
    assert await desk.account("registry-1.docker.io") == (IDENTITY_TOKEN, "of the hub")
    assert await desk.account("unknown.example.com") is None


@pytest.mark.promise("P7")
async def test_a_helper_gets_and_gives_secrets_outside_of_its_arguments(environ: dict[str, str]) -> None:
    await logins(environ, credHelpers={HOST: "desk"}).account(HOST)
    assert (Path(environ["HOME"]) / "arguments").read_text() == "1 get\n"


async def test_a_registrys_own_helper_comes_before_the_store_and_that_before_the_file(
    environ: dict[str, str],
) -> None:
    stored = {HOST: encoded("ada:in the file"), "other.example.com": encoded("ada:in the file")}
    both = logins(environ, credsStore="absent", credHelpers={HOST: "desk"}, auths=stored)
    assert await both.account(HOST) == ("robot", "from the keychain")
    none_of_its_own = logins(environ, credsStore="desk", auths=stored)
    assert await none_of_its_own.account("other.example.com") == ("ada", "in the file")


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v1/"])
async def test_a_login_in_the_file_is_found_under_each_of_its_names(
    environ: dict[str, str], key: str
) -> None:
    assert await logins(environ, auths={key: encoded("ada:pass:word")}).account(HOST) == ("ada", "pass:word")
    token = {**encoded("00000000:"), "identitytoken": "refresh me"}
    assert await logins(environ, auths={key: token}).account(HOST) == (IDENTITY_TOKEN, "refresh me")
    broken: object
    for broken in ({"auth": "?"}, {"auth": 1}, {}, [], None):
        assert await logins(environ, auths={key: broken}).account(HOST) is None


async def test_skopeos_files_are_read_after_dockers(environ: dict[str, str], tmp_path: Path) -> None:
    both = {**environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    logins(environ, auths={})
    for folder, login in ((".config", "ada:at home"), ("run", "ada:this session")):
        (tmp_path / folder / "containers").mkdir(parents=True)
        stored = json.dumps({"auths": {HOST: encoded(login)}})
        (tmp_path / folder / "containers" / "auth.json").write_text(stored)
    assert await DockerLogins(environ, tmp_path).account(HOST) == ("ada", "at home")
    assert await DockerLogins(both, tmp_path).account(HOST) == ("ada", "this session")
    logins(environ, auths={HOST: encoded("ada:docker")})
    assert await DockerLogins(both, tmp_path).account(HOST) == ("ada", "docker")
    named = tmp_path / "named.json"
    named.write_text(json.dumps({"auths": {HOST: encoded("ada:named")}}))
    both["REGISTRY_AUTH_FILE"] = str(named)
    assert await DockerLogins(both, tmp_path).account(HOST) == ("ada", "named")


@pytest.mark.parametrize(
    ("helper", "host", "why"),
    [
        (
            "absent",
            HOST,
            "docker-credential-absent, which .* names for registry.example.com, is not installed",
        ),
        ("desk", "locked.example.com", "names for locked.example.com, failed"),
        ("desk", "broken.example.com", "What docker-credential-desk says is not understood"),
        ("../../bin/sh", HOST, "which is no program's name"),
    ],
)
async def test_a_helper_that_cannot_help_is_named_and_not_quoted(
    environ: dict[str, str], helper: str, host: str, why: str
) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        await logins(environ, credsStore=helper).account(host)
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("login", [(USER, PASSWORD), (IDENTITY_TOKEN, IDENTITY)])
async def test_a_real_registry_with_tls_and_tokens_takes_a_push(
    distribution: Make, tmp_path: Path, certificate: Path, login: tuple[str, str]
) -> None:
    (tmp_path / "registry").mkdir()
    images = two_images(tmp_path, LayerCache(tmp_path / "layers"))
    try:
        with (
            token_service(certificate) as tokens,
            cncf(tmp_path / "registry", tokens.configuration(certificate), certificate) as host,
        ):
            client = distribution(login=lambda: login, scheme="https")
            await push_all(client, host, images)
            image = await found(client, f"{host}/sso-staging/web", "abc")
            assert image.image_id == images["sso"].image_id
            how = "identity" if login[0] == IDENTITY_TOKEN else "password"
            assert {each for each, _ in tokens.asked} == {how}
            assert {f"repository:sso-{env}/web:pull,push" for env in ENVIRONMENTS} <= scopes(tokens)
            stranger = distribution(login=lambda: (login[0], "a guess"), scheme="https")
            with pytest.raises(Unauthorized) as caught:
                await stranger.push(images["sso"], {f"{host}/sso-dev/web": ["stolen"]}, lambda _: None)
            assert "a guess" not in caught.value.message
            assert await client.look_up(f"{host}/sso-dev/web", "stolen") is None
    except NoRegistry as reason:
        pytest.skip(str(reason))


def scopes(tokens: Tokens) -> set[str]:
    return {each for _, scopes in tokens.asked for each in scopes.split(" ")}
