"""The server of a small world on a port of this machine, for clients that want a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket
from typing import Any

import anyio
import uvicorn

from liftlock.ports import Adapters
from liftlock.web.access.people import Right
from liftlock.web.app import create_app
from tests.commands.world import World


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = anyio.Event()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()


@asynccontextmanager
async def listening(world: World, account: str = "ada") -> AsyncIterator[tuple[str, str]]:
    """Its address, and a token of somebody's."""

    @asynccontextmanager
    async def opened(account: str) -> AsyncIterator[Adapters]:
        world.ledger._account = account or "server"
        yield world.adapters

    app: Any = create_app(world.project, opened)
    server = _Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="on"))
    async with anyio.create_task_group() as tasks:
        # Not `serve`: it would take the tests' own signals.
        tasks.start_soon(server._serve, None)
        await server.answers.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        everything = {environment: frozenset(Right) for environment in world.project.environments}
        text, _ = await app.state.access.tokens.create("test", everything, created_by=account, owner=account)
        yield f"http://127.0.0.1:{port}", text
        server.should_exit = True
