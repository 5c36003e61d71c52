"""How requests leave this machine: pools, TLS, HTTP/2 and proxies."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2


@dataclass(frozen=True, slots=True)
class Connections:
    """A way to send requests, and to close what sends them."""

    send: Callable[[httpx2.Request], Awaitable[httpx2.Response]]
    close: Callable[[], Awaitable[None]]


_tls: list[ssl.SSLContext] = []


def _tls_context() -> ssl.SSLContext:
    """One context for all clients: loading the authorities takes 20 ms."""
    if not _tls:
        _tls.append(httpx2.create_ssl_context())
    return _tls[0]


def open_connections(base: str, concurrency: int, transport: httpx2.AsyncBaseTransport | None) -> Connections:
    """The connections of one client.

    To loopback, or over a given transport, the transport itself does: no proxy, no TLS and no
    HTTP/2 are needed there, and a request costs a fifth less. A given transport is its owner's to
    close.
    """
    limits = httpx2.Limits(
        max_connections=concurrency, max_keepalive_connections=concurrency, keepalive_expiry=30.0
    )
    if transport is not None:
        return Connections(transport.handle_async_request, _nothing)
    if base.startswith("http://"):
        # An empty TLS context: a plain connection needs none, and loading one takes 20 ms.
        plain = httpx2.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), limits=limits)
        return Connections(plain.handle_async_request, plain.aclose)
    client = httpx2.AsyncClient(verify=_tls_context(), http2=True, limits=limits)

    async def send(request: httpx2.Request) -> httpx2.Response:
        return await client.send(request, stream=True, auth=None, follow_redirects=False)

    return Connections(send, client.aclose)


async def _nothing() -> None:
    return None
