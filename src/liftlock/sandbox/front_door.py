"""One port for plain HTTP, for TLS, and for tunnels to the vendors' own host names.

Real clients of vendors insist on one or another: the Heroku CLI reaches its data API and its registry by
name and over TLS alone, and can be sent elsewhere only by a proxy. What a connection wants is told by its
first byte, which is looked at and left where it is: 0x16 begins a TLS handshake (RFC 8446, section 5.1),
C a `CONNECT` (RFC 9110, section 9.3.6; no other method that a vendor takes begins so), and everything
else is a request. In a tunnel the first byte is looked at again. A tunnel ends in this cloud, whatever
host it names, and a host whose part the cloud does not play is refused: nothing is ever passed on.

asyncio only, as the server is.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from liftlock.sandbox.hosts import is_ours

_HANDSHAKE = b"\x16"
_CONNECT = b"C"
_END = b"\r\n\r\n"
_HEAD_LIMIT = 16 * 1024
_HEAD_S = 10.0
"""How long a client may take to send the head of a `CONNECT`, in seconds."""


class FrontDoor:
    """Accepts what comes in on `listener` and hands it to a protocol of `factory`, within TLS or without.

    Without `tls`, who begins a handshake is hung up on.
    """

    def __init__(
        self, listener: socket.socket, factory: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None
    ) -> None:
        self._listener = listener
        self._factory = factory
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Begin to accept."""
        self._listener.listen(2048)
        self._listener.setblocking(False)
        self._begin(self._accept())

    async def close(self) -> None:
        """Accept no more, and forget the connections that have not said yet what they want."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError:  # the peer has gone already, or there are too many open files: others may do
                await asyncio.sleep(0.01)
                continue
            self._begin(self._admit(connection))

    async def _admit(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            first = await _peek(connection)
            if first[:1] == _CONNECT:
                if not await _tunnel(connection):
                    connection.close()
                    return
                first = await _peek(connection)
            secret = first[:1] == _HANDSHAKE
            if not first or (secret and self._tls is None):
                connection.close()
                return
            tls = self._tls if secret else None
            await loop.connect_accepted_socket(self._factory, connection, ssl=tls)
        except OSError:  # among them `SSLError`: a client that does not trust the certificate hangs up
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise


async def _tunnel(connection: socket.socket) -> bool:
    """Answer a `CONNECT`; says whether the connection is now one to the host that it named."""
    try:
        async with asyncio.timeout(_HEAD_S):
            head = await _head(connection)
    except TimeoutError:
        return False
    method, _, rest = head.decode("latin-1").partition(" ")
    host = rest.partition(" ")[0].rpartition(":")[0]
    if method != "CONNECT":
        answer, taken = "405 Method Not Allowed", False
    elif not is_ours(host):
        answer, taken = "403 Forbidden", False
    else:
        answer, taken = "200 Connection established", True
    why = "" if taken else "The sandbox is a proxy to the vendors whose part it plays, and to nobody else.\n"
    length = "" if taken else f"Content-Length: {len(why)}\r\nConnection: close\r\n"
    reply = f"HTTP/1.1 {answer}\r\n{length}\r\n{why}"
    await asyncio.get_running_loop().sock_sendall(connection, reply.encode())
    return taken


async def _head(connection: socket.socket) -> bytes:
    """The head of a request, and not a byte more: what follows it belongs to the tunnel."""
    head = b""
    while len(head) < _HEAD_LIMIT:
        begun = len(head)
        head += await _peek(connection)
        end = head.find(_END)
        wanted = len(head) if end < 0 else end + len(_END)
        if wanted == begun:  # the other side has gone
            break
        connection.recv(wanted - begun)
        if end >= 0:
            return head[:end]
    return b""


async def _peek(connection: socket.socket) -> bytes:
    """What has come in, left in the socket; waits until there is something, and gives b"" at the end."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return connection.recv(_HEAD_LIMIT, socket.MSG_PEEK)
        except BlockingIOError:
            readable = loop.create_future()
            loop.add_reader(connection, readable.set_result, None)
            try:
                await readable
            finally:
                loop.remove_reader(connection)
