"""The cloud without a socket: a transport for httpx2 that behaves as a network would.

Beside what `httpx2.ASGITransport` does it keeps the client's read timeout, goes on with a request
whose client has left, and turns a dropped connection into `httpx2.ReadError`. With a modelled cloud
on trio's `MockClock`, an hour of the vendors' time costs nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
from starlette.types import ASGIApp, Message

from liftlock.sandbox.app import create_app
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.faults import ConnectionDropped


class InProcess(httpx2.AsyncBaseTransport):
    """Carries requests to `cloud`, which must be running; many clients may share one."""

    def __init__(self, cloud: Cloud, app: ASGIApp | None = None) -> None:
        self._cloud = cloud
        self._app = app or create_app(cloud)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Ask the cloud. Raises `httpx2.ReadError` for a dropped connection, `httpx2.ReadTimeout`."""
        exchange = _Exchange(request)
        body = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        exchange.body = body
        self._cloud.start_soon(exchange.run, self._app)
        timeout = request.extensions.get("timeout", {}).get("read")
        try:
            with anyio.fail_after(timeout):
                await exchange.answered.wait()
        except TimeoutError as error:
            raise httpx2.ReadTimeout("the sandbox did not answer in time", request=request) from error
        finally:
            exchange.left.set()
        if isinstance(exchange.failure, ConnectionDropped):
            raise httpx2.ReadError(str(exchange.failure), request=request) from exchange.failure
        if exchange.failure is not None:
            raise exchange.failure
        return httpx2.Response(exchange.status, headers=exchange.headers, stream=_Body(exchange.parts))


class _Exchange:
    """One request and its answer; it runs in the cloud's own tasks, so a client that leaves does not stop it."""

    def __init__(self, request: httpx2.Request) -> None:
        self.body: bytes | None = b""
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self.failure: Exception | None = None
        self.answered = anyio.Event()
        self.left = anyio.Event()
        self.head = request.method == "HEAD"
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.split(b"?")[0],
            "query_string": request.url.query,
            "server": (request.url.host, request.url.port),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self.scope, self._receive, self._send)
        except Exception as error:  # noqa: BLE001  it is raised where the request was made
            self.failure = error
        finally:
            if not self.answered.is_set() and self.failure is None:
                self.failure = ConnectionDropped("the sandbox stopped before it answered")
            self.answered.set()

    async def _receive(self) -> Message:
        if self.body is None:
            await self.left.wait()
            return {"type": "http.disconnect"}
        body, self.body = self.body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            if message.get("body") and not self.head:
                self.parts.append(message["body"])
            if not message.get("more_body", False):
                self.answered.set()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
