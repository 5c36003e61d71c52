"""What stands between a client and a registry: counts bytes, and breaks connections when told."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.abc

PIECE = 65536


@dataclass
class Wire:
    """A TCP proxy on loopback."""

    host: str
    sent_bytes: int = 0
    """Bytes from clients to the registry, request heads among them."""
    breaks_after: float = math.inf
    """Once so many bytes were sent, the next connection that sends more is broken, once."""

    async def carry(self, client: anyio.abc.SocketStream, server: anyio.abc.SocketStream) -> None:
        async with client, server, anyio.create_task_group() as tasks:

            async def back() -> None:
                try:
                    async for piece in server:
                        await client.send(piece)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(back)
            try:
                async for piece in client:
                    self.sent_bytes += len(piece)
                    await server.send(piece)
                    if self.sent_bytes >= self.breaks_after:
                        self.breaks_after = math.inf
                        break
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def wired(registry: str) -> AsyncIterator[Wire]:
    """A wire to the registry at `registry` (HOST:PORT)."""
    host, _, port = registry.partition(":")
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        wire = Wire(f"127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}")

        async def serve(client: anyio.abc.SocketStream) -> None:
            await wire.carry(client, await anyio.connect_tcp(host, int(port)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            yield wire
            tasks.cancel_scope.cancel()
