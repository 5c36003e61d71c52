"""Credentials: found where the vendors put them, never sent to a sandbox, never shown."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest

from liftlock.credentials import Credentials
from liftlock.errors import LiftlockError, Unauthorized, Unreachable, UsageError

pytestmark = pytest.mark.anyio

GITHUB = "https://api.github.com"
HEROKU = "https://api.heroku.com"
FIREBASE = "https://firebasehosting.googleapis.com"


def credentials(home: Path, **environ: str) -> Credentials:
    return Credentials({"HOME": str(home), **environ})


async def says(authorization: Callable[[], Awaitable[str | None]] | None) -> str | None:
    assert authorization is not None
    return await authorization()


async def test_each_vendor_gets_the_credential_of_its_usual_place(tmp_path: Path) -> None:
    found = credentials(tmp_path, HEROKU_API_KEY="h-token", GITHUB_TOKEN="g-token")
    assert await says(found.authorization("github", GITHUB)) == "Bearer g-token"
    assert await says(found.authorization("heroku", HEROKU)) == "Bearer h-token"
    assert await says(found.authorization("heroku_data", "https://api.data.heroku.com")) == "Bearer h-token"
    assert await found.registry_login("heroku_registry", "https://registry.heroku.com") == ("_", "h-token")
    registry = found.authorization("heroku_registry", "https://registry.heroku.com")
    assert await says(registry) == f"Basic {base64.b64encode(b'_:h-token').decode()}"
    assert found.authorization("elsewhere", "https://example.com") is None
    assert {"h-token", "g-token"} <= found.secrets


async def test_gh_token_serves_where_github_token_is_absent(tmp_path: Path) -> None:
    assert credentials(tmp_path, GH_TOKEN=" second\n").github_token() == "second"
    assert credentials(tmp_path, GH_TOKEN="second", GITHUB_TOKEN="first").github_token() == "first"


async def test_netrc_is_read_for_the_vendors_own_host_only(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(
        "machine api.heroku.com login me@example.com password h-netrc\n"
        "machine ghe.example.com login me password g-netrc\n"
        "default login any password everybody\n"
    )
    found = credentials(tmp_path)
    assert found.heroku_token() == "h-netrc"
    assert found.github_token("https://ghe.example.com/api/v3") == "g-netrc"
    with pytest.raises(UsageError, match="no credential for GitHub"):
        found.github_token(GITHUB)
    elsewhere = tmp_path / "other-netrc"
    elsewhere.write_text("machine api.heroku.com login me password other\n")
    assert credentials(tmp_path, NETRC=str(elsewhere)).heroku_token() == "other"


@pytest.mark.promise("P7")
def test_a_broken_netrc_is_named_without_its_content(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine api.heroku.com login me passwort hunter22\n")
    with pytest.raises(UsageError) as caught:
        credentials(tmp_path).heroku_token()
    assert ".netrc, line 1 cannot be read" in caught.value.message
    assert "hunter22" not in caught.value.message + caught.value.hint


@pytest.mark.promise("P7")
@pytest.mark.parametrize("token", ["hunter\n22", "hunter 22", "hunter\u00e922", "hunter\x0022"])
async def test_a_token_with_a_line_break_is_refused_unseen(tmp_path: Path, token: str) -> None:
    with pytest.raises(UsageError) as caught:
        await says(credentials(tmp_path, GITHUB_TOKEN=token).authorization("github", GITHUB))
    assert "hunter" not in caught.value.message + caught.value.hint


def test_no_credential_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        credentials(tmp_path).heroku_token()
    assert caught.value.message == "There is no credential for Heroku."
    assert caught.value.hint == "Set HEROKU_API_KEY, or log in with `heroku login`, which writes ~/.netrc."


@pytest.mark.promise("P7")
@pytest.mark.parametrize("key", ["github", "heroku", "heroku_data", "heroku_registry", "firebase"])
@pytest.mark.parametrize("base", ["http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]:5000"])
async def test_a_sandbox_never_sees_a_real_credential(tmp_path: Path, key: str, base: str) -> None:
    environ = {"HEROKU_API_KEY": "real-h", "GITHUB_TOKEN": "real-g", "GOOGLE_APPLICATION_CREDENTIALS": "/x"}
    found = credentials(tmp_path, **environ)
    assert await says(found.authorization(key, base)) == "Bearer owner"
    assert await found.registry_login(key, base) == ("_", "owner")
    as_user = credentials(tmp_path, LIFTLOCK_SANDBOX_TOKEN="user-ada", **environ)
    assert await says(as_user.authorization(key, base)) == "Bearer user-ada"
    assert await as_user.registry_login(key, base) == ("_", "user-ada")


def test_secrets_of_the_configuration_come_from_the_environment(tmp_path: Path) -> None:
    found = credentials(tmp_path, HOOK="https://hooks.example.com/x")
    assert found.secret("env:HOOK") == "https://hooks.example.com/x"
    assert "https://hooks.example.com/x" in found.secrets
    with pytest.raises(UsageError) as caught:
        found.secret("env:ABSENT")
    assert "env:ABSENT" in caught.value.message
    assert caught.value.hint == "Set ABSENT."


@pytest.mark.promise("P7")
@pytest.mark.parametrize("value", ["https://hooks.slack.com/services/T/B/hunter22", "env:", "hunter22", ""])
def test_a_secret_that_stands_in_the_configuration_is_refused_unseen(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        credentials(tmp_path).secret(value)
    assert "hunter22" not in caught.value.message + caught.value.hint


def test_the_keyring_is_asked_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class KeyringError(Exception):
        pass

    def get_password(service: str, name: str) -> str | None:
        if name == "locked":
            raise KeyringError("locked")
        return {("liftlock", "slack"): "from-keyring"}.get((service, name))

    keyring: Any = ModuleType("keyring")
    keyring.errors = ModuleType("keyring.errors")
    keyring.errors.KeyringError = KeyringError
    keyring.get_password = get_password
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    found = credentials(tmp_path)
    assert found.secret("keyring:slack") == "from-keyring"
    with pytest.raises(UsageError, match="keyring:absent"):
        found.secret("keyring:absent")
    with pytest.raises(UsageError, match="cannot be opened for keyring:locked"):
        found.secret("keyring:locked")
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UsageError) as caught:
        found.secret("keyring:slack")
    assert caught.value.hint == "Install it with: pip install keyring"


async def test_other_registries_take_what_docker_login_stored(tmp_path: Path) -> None:
    folder = tmp_path / ".docker"
    folder.mkdir()
    stored = base64.b64encode(b"robot:pass:word").decode()
    (folder / "config.json").write_text(json.dumps({"auths": {"registry.example.com": {"auth": stored}}}))
    found = credentials(tmp_path, GITHUB_TOKEN="g-token")
    assert await found.registry_login("registry.example.com", "https://registry.example.com") == (
        "robot",
        "pass:word",
    )
    assert await found.registry_login("ghcr.io", "https://ghcr.io") == ("token", "g-token")
    assert await found.registry_login("other.example.com", "https://other.example.com") is None
    (folder / "config.json").write_text("[]")
    assert await found.registry_login("registry.example.com", "https://registry.example.com") is None


@pytest.mark.promise("P7")
async def test_a_registry_on_this_machine_gets_its_own_login_and_no_others(tmp_path: Path) -> None:
    """P7. What somebody stored for a registry by host and port is for that one alone."""
    folder = tmp_path / ".docker"
    folder.mkdir()
    stored = base64.b64encode(b"robot:local").decode()
    (folder / "config.json").write_text(json.dumps({"auths": {"127.0.0.1:5000": {"auth": stored}}}))
    found = credentials(tmp_path, HEROKU_API_KEY="real-h")
    assert await found.registry_login("127.0.0.1:5000", "http://127.0.0.1:5000") == ("robot", "local")
    assert await found.registry_login("127.0.0.1:5001", "http://127.0.0.1:5001") == ("_", "owner")
    assert await found.registry_login("heroku_registry", "http://127.0.0.1:5000") == ("_", "owner")


async def token_service(
    serve: Callable[[bytes], bytes], use: Callable[[str], Awaitable[None]]
) -> list[bytes]:
    """A Google token endpoint on loopback; returns the requests' bodies."""
    seen: list[bytes] = []

    async def handle(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(body) < length:
                body += await stream.receive()
            seen.append(body)
            await stream.send(serve(body))

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        await use(f"http://127.0.0.1:{port}/token")
        tasks.cancel_scope.cancel()
    return seen


def http_answer(status: int, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
    return head.encode() + b"connection: close\r\n\r\n" + content


def service_account(token_uri: str) -> dict[str, str]:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "client_email": "robot@example.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": pem,
        "token_uri": token_uri,
    }


def a_user(token_uri: str) -> dict[str, str]:
    return {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}


async def test_a_service_account_is_refreshed_once_for_many_requests(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    found = credentials(tmp_path, GOOGLE_APPLICATION_CREDENTIALS=str(file))

    async def use(address: str) -> None:
        file.write_text(json.dumps(service_account(address)))
        authorization = found.authorization("firebase", FIREBASE)
        said: list[str | None] = []

        async def ask() -> None:
            said.append(await says(authorization))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask)
        assert said == ["Bearer ya29.token"] * 5

    answer = http_answer(200, {"access_token": "ya29.token", "expires_in": 3600, "token_type": "Bearer"})
    seen = await token_service(lambda _: answer, use)
    assert len(seen) == 1
    assert b"assertion=" in seen[0]
    assert "ya29.token" in found.secrets


async def test_a_refused_google_credential_is_unauthorized(tmp_path: Path) -> None:
    file = tmp_path / "key.json"

    async def use(address: str) -> None:
        file.write_text(json.dumps(service_account(address)))
        found = credentials(tmp_path, GOOGLE_APPLICATION_CREDENTIALS=str(file))
        with pytest.raises(Unauthorized, match="Google refused the credential for Firebase: invalid_grant"):
            await says(found.authorization("firebase", FIREBASE))

    await token_service(
        lambda _: http_answer(400, {"error": "invalid_grant", "error_description": "no"}), use
    )


async def test_no_token_service_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("google.auth._exponential_backoff.ExponentialBackoff.__iter__", lambda _: iter([1]))
    file = tmp_path / "key.json"
    file.write_text(json.dumps(service_account("http://127.0.0.1:9/token")))
    found = credentials(tmp_path, GOOGLE_APPLICATION_CREDENTIALS=str(file))
    with pytest.raises(Unreachable):
        await says(found.authorization("firebase", FIREBASE))


def test_gclouds_own_file_is_used_where_the_variable_is_absent(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_text(json.dumps(a_user("")))
    from liftlock.credentials import _google_credentials

    found = credentials(tmp_path)
    assert type(_google_credentials(found._google_file())).__module__ == "google.oauth2.credentials"


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    "content", ["{", "[]", '{"type":"x","k":"hunter22"}', '{"type":"service_account"}', None]
)
async def test_a_wrong_key_file_is_named_without_its_content(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    found = credentials(tmp_path, GOOGLE_APPLICATION_CREDENTIALS=str(file))
    with pytest.raises(UsageError) as caught:
        await says(found.authorization("firebase", FIREBASE))
    assert str(file) in caught.value.message
    assert "hunter22" not in caught.value.message


async def test_without_googles_library_the_line_that_installs_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.auth.exceptions", None)
    found = credentials(tmp_path, GOOGLE_APPLICATION_CREDENTIALS="/x")
    with pytest.raises(LiftlockError) as caught:
        await says(found.authorization("firebase", FIREBASE))
    assert caught.value.hint == "Install it with: pip install 'liftlock[firebase]'"
