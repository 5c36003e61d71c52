"""The cloud on a loopback port: uvicorn behind a front door, with a way to break a TCP connection on purpose.

asyncio only, as uvicorn is; everything under it is anyio.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from liftlock.sandbox.app import create_app
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.disturb import RESET
from liftlock.sandbox.front_door import FrontDoor

CERTIFICATE = "certificate.pem"
"""The file in the cloud's folder that a client has to trust to speak TLS with it."""

# Closing at once throws away what is unsent and resets the peer, where a plain close would end politely.
_LINGER_NONE = struct.pack("ii", 1, 0)


def _protocol() -> type[asyncio.Protocol]:
    """HTTP/1.1 whose requests carry the `liftlock.reset` extension; twice as fast where httptools is."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Base
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as Base  # type: ignore[assignment]

    class Protocol(Base):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.app = self._resettable(self.app)

        def _resettable(self, app: Any) -> Any:
            async def offering(scope: Any, receive: Any, send: Any) -> None:
                scope["extensions"] = {RESET: {"abort": self._abort}}
                await app(scope, receive, send)

            return offering

        def _abort(self) -> None:
            connection = self.transport.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
            self.transport.abort()

    return Protocol


class _Server(uvicorn.Server):
    """uvicorn's server, which is handed its connections by the front door."""

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        cloud: Cloud,
        on_ready: Callable[[int], None] | None,
    ) -> None:
        super().__init__(config)
        self._cloud = cloud
        self._on_ready = on_ready
        self._door = FrontDoor(listener, self._protocol, _tls(cloud.directory))

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        self._door.open()
        if self._on_ready and self._cloud.port:
            self._on_ready(self._cloud.port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._door.close()
        # Requests that hang on purpose would hold the server back.
        self._cloud.faults.delete()
        await super().shutdown(sockets)


def _tls(directory: Path | None) -> ssl.SSLContext | None:
    """The cloud's certificate; none for a cloud without a folder, where no client could find what to trust."""
    if directory is None:
        return None
    from liftlock.sandbox.certificate import make_certificate  # brings cryptography

    return make_certificate(directory / CERTIFICATE)


class SandboxServer:
    """Serves `cloud` on 127.0.0.1 until `stop` is called; `port` 0 takes a free one."""

    def __init__(self, cloud: Cloud, *, port: int = 0, on_ready: Callable[[int], None] | None = None) -> None:
        # With the protocol named: asyncio sets TCP_NODELAY on no other, and each answer would wait 40 ms.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        cloud.port = self.port
        config = uvicorn.Config(
            create_app(cloud),
            http=_protocol(),
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            # Longer than clients keep theirs, so that it is they who close an idle connection.
            timeout_keep_alive=120,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config, self._socket, cloud, on_ready)

    async def serve(self, *, signals: bool = False) -> None:
        """Serve until stopped. With `signals`, SIGTERM and SIGINT stop it (main thread only)."""
        if signals:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._server.handle_exit, number, None)
        try:
            # uvicorn's own `serve` raises the signal again at the end: the program would seem to be killed.
            await self._server._serve(sockets=[])  # noqa: SLF001
        finally:
            self._socket.close()

    def stop(self) -> None:
        """Ask it to stop; may be called from any thread."""
        self._server.should_exit = True


def serve(cloud: Cloud, *, port: int = 0, on_ready: Callable[[int], None] | None = None) -> None:
    """Serve `cloud` in this thread until a signal comes. Raises `OSError` when the port is taken."""
    asyncio.run(SandboxServer(cloud, port=port, on_ready=on_ready).serve(signals=True))
