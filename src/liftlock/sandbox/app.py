"""One ASGI application over all vendors: who is asked, by whom, and what goes wrong on purpose.

Each vendor is a module; see `Vendor` for what it exposes. The order of things for one request: host
to path, request log, faults before (`status`, `reset`, `hang`), credentials, rate limits, the
vendor's handler, faults after (`delay`, `lost`, `body`).
"""

from __future__ import annotations

import base64
import binascii
import importlib
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol, cast

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from liftlock.sandbox.answers import Refusal, Unreadable
from liftlock.sandbox.clock import http_date, micros_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.disturb import disturbed

MODULES = (
    "github",
    "codeload",
    "github_sign_in",
    "heroku",
    "heroku_data",
    "registry",
    "firebase",
    "google_projects",
    "slack",
    "swarm",
    "sites",
    "router",
    "admin",
)

_LOG = logging.getLogger("liftlock.sandbox")
_LOGIN = re.compile(r"owner|user-[A-Za-z0-9][A-Za-z0-9-]*")


class Vendor(Protocol):
    """What a vendor's module exposes. The three last are optional, hence asked for by `getattr`:

    `observe(cloud) -> Any` its part of `/_sandbox/state`, under its name;
    `async create(cloud, world) -> None` makes what is absent of its part of `/_sandbox/world`;
    `administration(cloud) -> list[BaseRoute]` its own routes under `/_sandbox/`.
    """

    NAME: str
    """As the request log, the faults and the state call it."""
    PATHS: tuple[str, ...]
    """The beginnings of the paths that it owns; the longest one wins."""
    OPEN: bool
    """Whether it asks for no credentials (served apps and sites, Slack's secret addresses)."""

    def routes(self, cloud: Cloud) -> list[BaseRoute]:
        """Its handlers; those asked most often first."""
        ...

    def refusal(self, status: int, message: str) -> Response:
        """An error of the frame (400, 401, 404, 405, 500) in the vendor's own format."""
        ...


class _Mounted:
    """A vendor with its router."""

    __slots__ = ("module", "name", "open", "router")

    def __init__(self, module: Vendor, routes: list[BaseRoute]) -> None:
        self.module = module
        self.name = module.NAME
        self.open = module.OPEN
        self.router = Router(routes, redirect_slashes=False, default=_no_route)


def vendors() -> list[Vendor]:
    """The vendors' modules."""
    return [cast("Vendor", importlib.import_module(f"liftlock.sandbox.{name}")) for name in MODULES]


def create_app(cloud: Cloud, modules: Sequence[Vendor] | None = None) -> ASGIApp:
    """The cloud as an ASGI application; its lifespan starts and stops the cloud."""
    return Application(cloud, vendors() if modules is None else modules)


class Application:
    """The frame around the vendors."""

    def __init__(self, cloud: Cloud, modules: Sequence[Vendor]) -> None:
        self._cloud = cloud
        cloud.vendors = {module.NAME: module for module in modules}
        mounted = [_Mounted(module, module.routes(cloud)) for module in modules]
        self._unowned = mounted[-1]
        self._by_path = sorted(
            ((path, one) for one in mounted for path in one.module.PATHS), key=lambda pair: -len(pair[0])
        )
        self._lifespan = Router(lifespan=self._running)
        self._date: tuple[datetime | None, bytes] = (None, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    @asynccontextmanager
    async def _running(self, _: Any) -> AsyncIterator[None]:
        async with self._cloud.running():
            yield

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        cloud = self._cloud
        headers = dict(scope["headers"])
        self._host_to_path(scope, headers.get(b"host", b""))
        path: str = scope["path"]
        mounted = self._owner(path)
        address = path
        if scope["query_string"]:
            address += "?" + scope["query_string"].decode("latin-1")
        now = cloud.clock.now()
        entry = cloud.log.begin(micros_iso(now), mounted.name, scope["method"], address)

        is_json = b"json" in headers.get(b"content-type", b"")

        async def hearing() -> Message:
            message = await receive()
            entry.hear(message, keep=is_json)
            return message

        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
                message = {
                    **message,
                    "headers": [*message.get("headers", ()), (b"date", self._date_header())],
                }
            entry.sent += len(message.get("body", b""))
            await send(message)

        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            await self._handle(mounted, headers, scope, receive, send)

        rule = None
        if cloud.faults.rules and mounted.name != "admin":
            rule = cloud.faults.take(mounted.name, scope["method"], address)
        if rule is None:
            await handle(scope, hearing, answering)
        else:
            entry.fault = rule.action
            await disturbed(rule, handle)(scope, hearing, answering)

    async def _handle(
        self, mounted: _Mounted, headers: dict[bytes, bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        login = login_from(headers.get(b"authorization", b""))
        scope["liftlock.login"] = login
        if login is None and not mounted.open:
            await mounted.module.refusal(401, "Bad credentials")(scope, receive, send)
            return
        if self._cloud.settings.limits:
            refused, extra = self._cloud.limits.count(
                mounted.name, scope["method"], scope["path"], login or ""
            )
            if refused is not None:
                await refused(scope, receive, send)
                return
            send = _with_headers(send, extra)
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await mounted.router(scope, receive, noting)
            return
        except Refusal as refusal:
            answer: Response = refusal.answer
        except Unreadable as error:
            answer = mounted.module.refusal(400, str(error))
        except HTTPException as error:
            answer = mounted.module.refusal(error.status_code, error.detail)
        except Exception:
            if started:
                raise
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
            answer = mounted.module.refusal(500, "The sandbox itself failed: see its standard error.")
        await answer(scope, receive, send)

    def _owner(self, path: str) -> _Mounted:
        for prefix, mounted in self._by_path:
            if path.startswith(prefix):
                return mounted
        return self._unowned

    def _host_to_path(self, scope: Scope, host: bytes) -> None:
        """`http://NAME.localhost:PORT/x` is `/_sites/NAME/x`, or `/_apps/NAME/x` when there is no such site.

        Source: names under `localhost` are loopback by RFC 6761; browsers resolve them without DNS.
        """
        name, dot, rest = host.decode("latin-1").partition(".")
        if not dot or rest.partition(":")[0] != "localhost" or name == "sandbox":
            return
        kind = "_sites" if name in self._cloud.store.table("firebase.sites") else "_apps"
        scope["liftlock.host"] = name
        scope["path"] = f"/{kind}/{name}{scope['path']}"
        if "raw_path" in scope:
            scope["raw_path"] = f"/{kind}/{name}".encode() + scope["raw_path"]

    def _date_header(self) -> bytes:
        second = self._cloud.clock.now().replace(microsecond=0)
        if second != self._date[0]:
            self._date = (second, http_date(second).encode())
        return self._date[1]


def login_from(authorization: bytes) -> str | None:
    """The account behind a Bearer token or a Basic password; None when it is nobody's.

    `owner` is "owner", `user-NAME` is NAME.
    """
    scheme, _, credential = authorization.decode("latin-1").partition(" ")
    token = credential.strip()
    if scheme.lower() == "basic":
        try:
            token = base64.b64decode(token, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    elif scheme.lower() not in ("bearer", "token"):
        return None
    return token.removeprefix("user-") if _LOGIN.fullmatch(token) else None


def plain_refusal(status: int, message: str) -> Response:
    """For vendors whose errors are plain text."""
    return PlainTextResponse(f"{message}\n", status)


def _with_headers(send: Send, extra: Sequence[tuple[bytes, bytes]]) -> Send:
    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await send(message)

    return adding


async def _no_route(scope: Scope, receive: Receive, send: Send) -> None:
    raise HTTPException(404, "Not Found")
