"""`--server URL`: commands that ask a liftlock server, so that nobody needs production's tokens.

The server sends the model's own values, so what is shown and printed is what it is without one.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import httpx2

from liftlock import __version__
from liftlock.config.values import Mistake, endpoint
from liftlock.documents.wire import MEDIA_TYPE, NotOurs, from_wire
from liftlock.errors import (
    Busy,
    Drifted,
    LiftlockError,
    NeedsPerson,
    NotFound,
    Refused,
    Unauthorized,
    Unreachable,
    UsageError,
)

TIMEOUT_S = 120.0
"""The server may have to look at every vendor first."""
SILENT_S = 60.0
"""How long a stream may say nothing: the server says every 15 s that it lives."""
LOST_S = 120.0
"""How long a server that cannot be reached any more is asked again."""
_BY_CODE: Mapping[int, type[LiftlockError]] = {
    error.exit_code: error for error in (UsageError, Refused, Busy, Drifted, NeedsPerson)
}


class Server:
    """One server, asked with one token."""

    def __init__(self, url: str, token: str, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.url = url
        self._client = httpx2.AsyncClient(
            base_url=f"{url}/api/v1/",
            headers={"authorization": f"Bearer {token}", "user-agent": f"liftlock/{__version__}"},
            timeout=TIMEOUT_S,
            transport=transport,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def value(self, *path: str, **query: str | int | bool | Sequence[str]) -> Any:
        """What can be looked at, as the model's own value."""
        asked = {key: each for key, each in query.items() if each not in ("", (), False)}
        # As it is now, and not as somebody saw it a moment ago: what is seen here is acted upon.
        headers = {"accept": MEDIA_TYPE, "cache-control": "no-cache"}
        answer = await self._asked("GET", path, params=asked, headers=headers)
        try:
            return from_wire(answer.json())
        except ValueError as error:
            raise NotOurs("no JSON") from error

    async def change(self, method: str, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Have something changed; what the server says of it."""
        accept = f"{MEDIA_TYPE}, application/json;q=0.5"
        answer = await self._asked(method, path, json=body, headers={"accept": accept})
        told = answer.json()
        return from_wire(told) if answer.headers["content-type"].startswith(MEDIA_TYPE) else told

    async def run(self, id_: str) -> Mapping[str, Any]:
        """How work stands."""
        told: Mapping[str, Any] = (await self._asked("GET", ("runs", id_))).json()
        return told

    async def events(self, id_: str) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
        """What happens in a run, as pairs of `step` or `end` and the document: each once, however often the
        connection breaks. Ends with `end`. Raises `Unreachable` when the server stays away.
        """
        last, lost_since = "0", 0.0
        while True:
            try:
                async with self._client.stream(
                    "GET",
                    f"runs/{quote(id_, safe='')}/events",
                    headers={"accept": "text/event-stream", "last-event-id": last},
                    timeout=httpx2.Timeout(TIMEOUT_S, read=SILENT_S),
                ) as answer:
                    if answer.status_code != 200:
                        await answer.aread()
                        raise _error(answer)
                    async for number, kind, document in _heard(answer):
                        last, lost_since = number or last, 0.0
                        yield kind, document
                        if kind == "end":
                            return
            except httpx2.HTTPError as error:
                now = anyio.current_time()
                lost_since = lost_since or now
                if now - lost_since > LOST_S:
                    raise self._lost(error) from error
            await anyio.sleep(1.0)

    async def _asked(self, method: str, path: Sequence[str], **more: Any) -> httpx2.Response:
        try:
            answer = await self._client.request(
                method, "/".join(quote(part, safe="") for part in path), **more
            )
        except httpx2.HTTPError as error:
            raise self._lost(error) from error
        if answer.status_code >= 300:
            raise _error(answer)
        return answer

    def _lost(self, error: httpx2.HTTPError) -> Unreachable:
        return Unreachable(
            f"The server at {self.url} cannot be reached: {str(error) or type(error).__name__}.",
            vendor="liftlock",
            hint="Check --server or LIFTLOCK_SERVER, and that it runs. What it was asked to do goes on there.",
        )


async def _heard(answer: httpx2.Response) -> AsyncIterator[tuple[str, str, Mapping[str, Any]]]:
    """The events of a stream: id, name, document."""
    number = kind = data = ""
    async for line in answer.aiter_lines():
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            number = value
        elif name == "event":
            kind = value
        elif name == "data":
            data += value
        elif not line and data:
            yield number, kind, json.loads(data)
            number = kind = data = ""


def _error(answer: httpx2.Response) -> LiftlockError:
    """A problem document as the error that it was there, with the same exit code."""
    try:
        told = answer.json()
        message, hint, code = str(told["detail"]), str(told.get("hint") or ""), int(told["exit_code"])
    except (ValueError, KeyError, TypeError):
        return LiftlockError(
            f"{answer.url.host} answered {answer.status_code}, and not as a liftlock server does.",
            hint="Check --server or LIFTLOCK_SERVER.",
        )
    if answer.status_code == 401:
        return Unauthorized(message, vendor="liftlock", hint=hint)
    if answer.status_code == 404 and code == 1:
        return NotFound(message, vendor="liftlock", hint=hint)
    return _BY_CODE.get(code, LiftlockError)(message, hint=hint)


def error_of(document: Mapping[str, Any], code: int) -> LiftlockError:
    """The error that ended a run at the server, with the exit code that it had there."""
    kind = _BY_CODE.get(code, LiftlockError)
    return kind(str(document.get("message") or ""), hint=str(document.get("hint") or ""))


@asynccontextmanager
async def asked(url: str, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Server]:
    """The server at `url`, with the token of `LIFTLOCK_TOKEN` or the keyring. Raises `UsageError`."""
    try:
        url = endpoint(url)
    except Mistake as mistake:
        raise UsageError(
            f"--server {url[:200]} {mistake}",
            hint=mistake.hint or "For example: https://liftlock.example.com",
        ) from mistake
    server = Server(url, _token(url, environ))
    try:
        yield server
    finally:
        with anyio.CancelScope(shield=True):
            await server.aclose()


def _token(url: str, environ: Mapping[str, str]) -> str:
    host = urlsplit(url).netloc
    token = environ.get("LIFTLOCK_TOKEN", "").strip() or _from_keyring(host)
    if not token:
        raise UsageError(
            f"There is no token for the server at {host}.",
            hint=f"Make one at {url}/account, and set LIFTLOCK_TOKEN, or keep it with: keyring set liftlock {host}",
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise UsageError("LIFTLOCK_TOKEN holds white space or characters that no token has.")
    return token


def _from_keyring(host: str) -> str:
    try:
        keyring: Any = import_module("keyring")
    except ImportError:
        return ""
    try:
        return keyring.get_password("liftlock", host) or ""
    except keyring.errors.KeyringError:
        return ""
