"""Credentials: found in the vendors' usual places, at the first request that needs one.

Nothing here is stored or printed; every value that is found goes into `secrets`, so that errors
can be cleaned of it. Credentials from the usual places are never sent to a loopback address: a
sandbox is given `owner` there, or what `LIFTLOCK_SANDBOX_TOKEN` says.
"""

from __future__ import annotations

import base64
import json
import netrc
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2

from liftlock.docker_logins import Account, DockerLogins
from liftlock.errors import Unauthorized, Unreachable, UsageError
from liftlock.http.addresses import is_loopback

if TYPE_CHECKING:
    from google.auth.credentials import Credentials as GoogleCredentials

SANDBOX_TOKEN = "owner"  # noqa: S105 - what the vendors' emulators take; opens nothing
GOOGLE_SCOPES = ("https://www.googleapis.com/auth/firebase",)
GOOGLE_TIMEOUT_S = 30.0

Authorization = Callable[[], Awaitable[str | None]]


class Credentials:
    """Where a process finds its credentials, given its environment variables."""

    def __init__(self, environ: Mapping[str, str], secrets: set[str] | None = None) -> None:
        """Reads nothing yet. `secrets` is kept, and grows by every value that is found."""
        self.environ = environ
        self.secrets = secrets if secrets is not None else set()

    def authorization(self, key: str, base: str) -> Authorization | None:
        """How requests to the endpoint `key` at `base` say who we are; None for unknown endpoints.

        The returned function raises `UsageError`, with the places that were looked in, when there
        is no credential.
        """
        if is_loopback(base):
            return _always(f"Bearer {self.sandbox_token()}")
        if key == "github":
            return self._bearer(lambda: self.github_token(base))
        if key in {"heroku", "heroku_data"}:
            return self._bearer(self.heroku_token)
        if key == "heroku_registry":
            return _once(self._registry_basic)
        if key == "firebase":
            return _Google(self._google_file, self.secrets).authorization
        return None

    async def registry_login(self, key: str, base: str) -> Account | None:
        """User and password for a registry; None where anonymous access has to do.

        Heroku's token serves for Heroku's registry; for others, what `docker login` or `skopeo login` stored
        for that host and port. A registry on loopback that nobody logged in to gets the sandbox's token.
        """
        if key == "heroku_registry":
            return "_", self.sandbox_token() if is_loopback(base) else self.heroku_token()
        host = urlsplit(base).netloc
        found = await DockerLogins(self.environ, self._home()).account(host)
        if found is None and is_loopback(base):
            return "_", self.sandbox_token()
        if found is None and host == "ghcr.io" and (token := self._variable("GITHUB_TOKEN")):
            found = "token", token
        if found is not None:
            self.secrets.add(found[1])
        return found

    def sandbox_token(self) -> str:
        """What a sandbox on loopback is given; never one of the real credentials."""
        return self.environ.get("LIFTLOCK_SANDBOX_TOKEN", "").strip() or SANDBOX_TOKEN

    def heroku_token(self) -> str:
        """The token of `HEROKU_API_KEY`, or of api.heroku.com in `~/.netrc`."""
        return self._known(
            self._variable("HEROKU_API_KEY") or self._netrc("api.heroku.com"),
            "Heroku",
            "Set HEROKU_API_KEY, or log in with `heroku login`, which writes ~/.netrc.",
        )

    def github_token(self, base: str = "https://api.github.com") -> str:
        """The token of `GITHUB_TOKEN`, `GH_TOKEN`, or of the API's host in `~/.netrc`."""
        return self._known(
            self._variable("GITHUB_TOKEN")
            or self._variable("GH_TOKEN")
            or self._netrc(urlsplit(base).hostname or ""),
            "GitHub",
            "Set GITHUB_TOKEN, for instance with `export GITHUB_TOKEN=$(gh auth token)`.",
        )

    def secret(self, reference: str) -> str:
        """The value of `env:NAME` or `keyring:NAME`. Raises `UsageError`, naming it, when there is none."""
        place, colon, name = reference.partition(":")
        if colon and name and place == "env":
            return self._known(
                self._variable(name), f"the configuration (it asks for {reference})", f"Set {name}."
            )
        if colon and name and place == "keyring":
            return self._known(
                _from_keyring(name),
                f"the configuration (it asks for {reference})",
                f"Store it with `keyring set liftlock {name}`.",
            )
        raise UsageError(
            "A secret must not stand in the configuration itself.",
            hint="Write env:NAME or keyring:NAME, and keep the value there.",
        )

    def _known(self, value: str, whose: str, hint: str) -> str:
        if not value:
            raise UsageError(f"There is no credential for {whose}.", hint=hint)
        self.secrets.add(value)
        return value

    def _variable(self, name: str) -> str:
        return self.environ.get(name, "").strip()

    def _home(self) -> Path:
        home = self.environ.get("HOME") or self.environ.get("USERPROFILE")
        return Path(home) if home else Path.home()

    def _netrc(self, host: str) -> str:
        path = Path(self.environ.get("NETRC") or self._home() / ".netrc")
        try:
            # `hosts`, not `authenticators`: a `default` entry would send any password anywhere.
            found = netrc.netrc(str(path)).hosts.get(host)
        except FileNotFoundError:
            return ""
        except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
            # A parse error's text may quote the line, and with it a password.
            where = f", line {error.lineno}" if isinstance(error, netrc.NetrcParseError) else ""
            raise UsageError(
                f"{path}{where} cannot be read, so there is no credential for {host}.",
                hint="Mend the file and let only its owner read it (chmod 600).",
            ) from None
        return (found[2] or "").strip() if found else ""

    def _bearer(self, token: Callable[[], str]) -> Authorization:
        async def authorization() -> str:
            value = token()
            if not (value.isascii() and value.isprintable()) or " " in value:
                # Refused here: the HTTP library would quote it in its error.
                raise UsageError(
                    "A token holds white space or characters that no token has.",
                    hint="Look at HEROKU_API_KEY, GITHUB_TOKEN and ~/.netrc: a line break may have got in.",
                )
            return f"Bearer {value}"

        return _once(authorization)

    async def _registry_basic(self) -> str:
        """Heroku's registry takes the token as the password of `_`."""
        value = base64.b64encode(f"_:{self.heroku_token()}".encode()).decode()
        self.secrets.add(value)
        return f"Basic {value}"

    def _google_file(self) -> Path:
        named = self._variable("GOOGLE_APPLICATION_CREDENTIALS")
        if named:
            return Path(named)
        usual = self._home() / ".config" / "gcloud" / "application_default_credentials.json"
        if usual.exists():
            return usual
        raise UsageError(
            "There is no credential for Firebase.",
            hint="Set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file, "
            "or run `gcloud auth application-default login`.",
        )


def _always(value: str) -> Authorization:
    async def authorization() -> str:
        return value

    return authorization


def _once(find: Callable[[], Awaitable[str]]) -> Authorization:
    """`find`, looked for at the first request only."""
    found: list[str] = []

    async def authorization() -> str:
        if not found:
            found.append(await find())
        return found[0]

    return authorization


def _from_keyring(name: str) -> str:
    try:
        keyring: Any = import_module("keyring")
    except ImportError:
        raise UsageError(
            f"keyring:{name} needs the package keyring, which is not installed.",
            hint="Install it with: pip install keyring",
        ) from None
    try:
        return keyring.get_password("liftlock", name) or ""
    except keyring.errors.KeyringError as error:
        raise UsageError(
            f"The keyring cannot be opened for keyring:{name}: {error}.",
            hint="Unlock it, or use env:NAME instead.",
        ) from error


class _Google:
    """Google's access tokens, refreshed shortly before they expire."""

    def __init__(self, file: Callable[[], Path], secrets: set[str]) -> None:
        self._file = file
        self._secrets = secrets
        self._credentials: GoogleCredentials | None = None
        self._lock = anyio.Lock()

    async def authorization(self) -> str:
        async with self._lock:
            if self._credentials is None:
                self._credentials = _google_credentials(self._file())
            if not self._credentials.valid:
                await anyio.to_thread.run_sync(_refresh, self._credentials)
            token = str(self._credentials.token)
            self._secrets.add(token)
            return f"Bearer {token}"


def _google_credentials(path: Path) -> GoogleCredentials:
    """The credentials of a Google key file: a service account, a user, or a workload identity."""
    try:
        exceptions: Any = import_module("google.auth.exceptions")
        kinds = {kind: _google_kind(place) for kind, place in _GOOGLE_KINDS.items()}
    except ImportError:
        raise UsageError(
            "Firebase needs Google's credentials library, which is not installed.",
            hint="Install it with: pip install 'liftlock[firebase]'",
        ) from None
    try:
        info = json.loads(path.read_text())
        made: GoogleCredentials = kinds[info["type"]](info)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", hint="Check GOOGLE_APPLICATION_CREDENTIALS."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, exceptions.GoogleAuthError):
        # Without the cause: a parser's text may quote the key.
        raise UsageError(
            f"{path} is not a key file of a kind that is known ({', '.join(kinds)}).",
            hint="Check GOOGLE_APPLICATION_CREDENTIALS.",
        ) from None
    return made


_GOOGLE_KINDS = {
    "service_account": ("google.oauth2.service_account", "from_service_account_info"),
    "authorized_user": ("google.oauth2.credentials", "from_authorized_user_info"),
    "external_account": ("google.auth.identity_pool", "from_info"),
}
"""By the `type` of a key file: the module whose `Credentials` read it, and by which constructor."""


def _google_kind(place: tuple[str, str]) -> Callable[[Any], Any]:
    module, constructor = place

    def make(info: Any) -> Any:
        return getattr(import_module(module).Credentials, constructor)(info, scopes=GOOGLE_SCOPES)

    return make


def _refresh(credentials: Any) -> None:
    """Fetch a new access token. Blocks: run it in a thread."""
    exceptions: Any = import_module("google.auth.exceptions")

    try:
        with httpx2.Client(timeout=GOOGLE_TIMEOUT_S) as client:
            credentials.refresh(_google_transport(client))
    except exceptions.TransportError as error:
        raise Unreachable(
            f"Google's token service cannot be reached: {error}.",
            vendor="firebase",
            hint="Check the network, and try again.",
        ) from error
    except exceptions.GoogleAuthError as error:
        raise Unauthorized(
            f"Google refused the credential for Firebase: {error.args[0] if error.args else error}.",
            vendor="firebase",
            hint="Make a new key, or log in again; check this machine's clock.",
        ) from error


class _GoogleResponse:
    """An answer as google-auth reads it."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.data = response.content


def _google_transport(client: httpx2.Client) -> Callable[..., _GoogleResponse]:
    """google-auth's transport on our own HTTP library, so that it needs no second one."""
    exceptions: Any = import_module("google.auth.exceptions")

    def request(
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _GoogleResponse:
        try:
            return _GoogleResponse(
                client.request(
                    method, url, content=body, headers=headers, timeout=timeout or GOOGLE_TIMEOUT_S
                )
            )
        except httpx2.HTTPError as error:
            raise exceptions.TransportError(str(error) or type(error).__name__) from error

    return request
