"""What `docker login`, `skopeo login` and their helpers stored for container registries.

Files are looked into in this order, and the first that knows the registry counts: `$REGISTRY_AUTH_FILE`;
Docker's `config.json` in `$DOCKER_CONFIG` or `~/.docker`; `containers/auth.json` in `$XDG_RUNTIME_DIR` and
in `~/.config`. In each, a helper of the registry's own (`credHelpers`) comes before the one for all
(`credsStore`), and that before what stands in the file (`auths`).
Sources: docker/cli, `docs/reference/commandline/login.md`, "Credential stores" and "Credential helper
protocol"; containers/image, `docs/containers-auth.json.5.md`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from liftlock.errors import UsageError
from liftlock.programs import ask

Account = tuple[str, str]
"""User and password. The user `IDENTITY_TOKEN` means that the other is a token for the token service."""
IDENTITY_TOKEN = "<token>"  # noqa: S105 - the name that helpers themselves give it
DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
HELPER_LIMIT_S = 60.0
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_FOUND = "credentials not found in native keychain"
"""What every helper says of a registry that it does not know. Source: docker-credential-helpers, `credentials/error.go`."""


class DockerLogins:
    """The logins of one user's machine, given its environment variables and the home folder."""

    def __init__(self, environ: Mapping[str, str], home: Path) -> None:
        self._environ = environ
        self._home = home

    async def account(self, host: str) -> Account | None:
        """What is stored for a registry; None when no file and no helper knows it.

        A helper may ask its user, so it is not called oftener than need be. Raises `UsageError` for one
        that cannot be run or fails.
        """
        for file in self._files():
            config = await anyio.to_thread.run_sync(_read, file)
            found = await self._of_helper(config, host, file) or _of_file(config, host)
            if found is not None:
                return found
        return None

    def _files(self) -> Iterator[Path]:
        if named := self._environ.get("REGISTRY_AUTH_FILE"):
            yield Path(named)
        yield Path(self._environ.get("DOCKER_CONFIG") or self._home / ".docker") / "config.json"
        if runtime := self._environ.get("XDG_RUNTIME_DIR"):
            yield Path(runtime) / "containers" / "auth.json"
        yield (
            Path(self._environ.get("XDG_CONFIG_HOME") or self._home / ".config") / "containers" / "auth.json"
        )

    async def _of_helper(self, config: Mapping[str, Any], host: str, file: Path) -> Account | None:
        own, store = config.get("credHelpers"), config.get("credsStore")
        named = (
            next((own[key] for key in _keys(host) if key in own), None) if isinstance(own, Mapping) else None
        )
        helper = named or store
        if not isinstance(helper, str) or not helper:
            return None
        program = f"docker-credential-{helper}"
        if not _HELPER.fullmatch(helper):
            raise UsageError(f"{file} names {helper!r} as a credential helper, which is no program's name.")
        reply = await ask((program, "get"), _keys(host)[0], self._environ, HELPER_LIMIT_S)
        if reply.exit_code == 0:
            return _answer(reply.text, program)
        if _NOT_FOUND in reply.text:
            return None
        how = {None: "did not answer in time", 127: "is not installed"}.get(reply.exit_code, "failed")
        raise UsageError(
            f"{program}, which {file} names for {host}, {how}.",
            hint=f"See what it says: echo {_keys(host)[0]} | {program} get. Or log in anew: docker login {host}",
        )


def _keys(host: str) -> list[str]:
    """What a registry may be called where logins are kept, the usual name first."""
    if host in DOCKER_HUB:
        return ["https://index.docker.io/v1/", "docker.io", host]
    return [host, f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/"]


def _answer(text: str, program: str) -> Account:
    """Source: docker-credential-helpers, `get`: {"ServerURL", "Username", "Secret"}."""
    try:
        payload = json.loads(text)
        user, secret = payload["Username"], payload["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        user, secret = None, None
    if not isinstance(user, str) or not isinstance(secret, str):
        # Without what it said: it may hold the password.
        raise UsageError(
            f"What {program} says is not understood.", hint="Check that it is a credential helper for Docker."
        )
    return user, secret


def _of_file(config: Mapping[str, Any], host: str) -> Account | None:
    stored = config.get("auths")
    if not isinstance(stored, Mapping):
        return None
    for key in _keys(host):
        entry = stored.get(key)
        if not isinstance(entry, Mapping):
            continue
        token = entry.get("identitytoken")
        if isinstance(token, str) and token:
            return IDENTITY_TOKEN, token
        try:
            user, colon, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (ValueError, KeyError, TypeError):
            continue
        if colon:
            return user, password.rstrip("\0")
    return None


def _read(file: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, Mapping) else {}
