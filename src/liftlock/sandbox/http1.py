"""The smallest HTTP/1.1 client: one request on one stream. For proxying to dynos and for Docker's socket.

The sandbox brings no HTTP client of its own, and needs none beyond this: h11 comes with its server.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import h11
from anyio.abc import ByteStream

Headers = Iterable[tuple[bytes, bytes]]
_CHUNK = 65536


class ProtocolError(Exception):
    """The other side does not speak HTTP, or closed the connection in the middle."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The head of an answer, and its body as it comes in."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: AsyncIterator[bytes]

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([part async for part in self.body])


@asynccontextmanager
async def exchange(
    stream: ByteStream, method: str, target: str, headers: Headers, body: AsyncIterable[bytes] | None = None
) -> AsyncIterator[Reply]:
    """Send one request and give the answer; the stream is closed afterwards.

    A `body` without a content-length among `headers` is sent in chunks. Raises `ProtocolError`.
    """
    connection = h11.Connection(h11.CLIENT)
    given = [(k, v) for k, v in headers if k.lower() not in (b"connection", b"transfer-encoding")]
    if body is not None and not any(k.lower() == b"content-length" for k, _ in given):
        given.append((b"transfer-encoding", b"chunked"))
    given.append((b"connection", b"close"))
    async with stream:
        try:
            await _send(stream, connection, h11.Request(method=method, target=target, headers=given))
            if body is not None:
                async for part in body:
                    await _send(stream, connection, h11.Data(data=part))
            await _send(stream, connection, h11.EndOfMessage())
            head = await _next(stream, connection)
            while isinstance(head, h11.InformationalResponse):
                head = await _next(stream, connection)
        except (h11.ProtocolError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ProtocolError(str(error) or type(error).__name__) from error
        if not isinstance(head, h11.Response):
            raise ProtocolError("the connection was closed before an answer")
        yield Reply(head.status_code, list(head.headers.raw_items()), _body(stream, connection))


async def _send(stream: ByteStream, connection: h11.Connection, event: h11.Event) -> None:
    data = connection.send(event)
    if data:
        await stream.send(data)


async def _next(stream: ByteStream, connection: h11.Connection) -> h11.Event | type[h11.PAUSED]:
    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event  # type: ignore[return-value]
        try:
            connection.receive_data(await stream.receive(_CHUNK))
        except anyio.EndOfStream:
            connection.receive_data(b"")


async def _body(stream: ByteStream, connection: h11.Connection) -> AsyncIterator[bytes]:
    while True:
        try:
            event = await _next(stream, connection)
        except (h11.ProtocolError, anyio.BrokenResourceError) as error:
            raise ProtocolError(str(error) or type(error).__name__) from error
        if not isinstance(event, h11.Data):
            return
        yield bytes(event.data)
