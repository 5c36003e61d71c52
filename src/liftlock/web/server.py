"""The dashboard as a server: listening, saying where, and stopping when it is told to."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
import webbrowser
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import anyio
import uvicorn

from liftlock.errors import UsageError
from liftlock.model import Project
from liftlock.web.access.sign_in import new_link
from liftlock.web.app import create_app
from liftlock.web.live import Changes
from liftlock.web.store import address_of
from liftlock.web.work.process import opening, serving
from liftlock.web.work.traces import begin_traces

STOP_S = 10
"""How long requests that go on may take when the server stops, in seconds."""


async def run(
    project: Project,
    say: Callable[[str], None],
    *,
    host: str,
    port: int,
    in_browser: bool = False,
    works_here: bool = True,
) -> int:
    """Serve `project` until SIGINT or SIGTERM. Raises `UsageError` when the address cannot be listened on.

    0 once it has stopped as it was told: for systemd and Kubernetes that is a service which ended well. A second
    signal leaves at once what was begun, with 128 and the signal's number.
    `works_here` says whether what is asked for is done in this process too, or by workers elsewhere alone.
    """
    changes = Changes()
    opened = opening(project, os.environ)
    database = address_of(project)
    open_work = partial(serving, project, opened, database, works_here=works_here)
    app = create_app(project, opened, database=database, changes=changes, open_work=open_work)
    listening = _listen(host, port)
    url = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"

    async def told() -> None:
        if project.serve.has_sign_in:
            address = project.serve.url or url
            say(f"{project.name} is at {address}")
        else:
            address = url.rstrip("/") + await new_link(app.state.access.store, time.time())
            say(f"{project.name} is at {url}\nSign in, once, within ten minutes, with: {address}")
        if in_browser:
            await anyio.to_thread.run_sync(partial(webbrowser.open, address))

    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=STOP_S
    )
    server = _Server(config, changes, told)
    end_traces = begin_traces(os.environ, project.name)
    try:
        await server.serve(sockets=[listening])
    finally:
        await anyio.to_thread.run_sync(end_traces)
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """Tells when it answers, and ends the live streams when it stops: they would never end by themselves.

    A signal that it heeded has done its work: uvicorn's own raises it once more when all is over, and the
    process would end as if it had been killed.
    """

    def __init__(self, config: uvicorn.Config, changes: Changes, told: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._changes = changes
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            await self._told()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        told = (signal.SIGINT, signal.SIGTERM)
        before = {each: signal.signal(each, self.handle_exit) for each in told}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if (
            self.should_exit
        ):  # what was begun would be waited for: a worker elsewhere, or the next one, resumes it
            os._exit(128 + sig)
        self._changes.close()
        super().handle_exit(sig, frame)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        taken = error.errno == errno.EADDRINUSE
        raise UsageError(
            f"{host}:{port} cannot be listened on: {error.strerror}.",
            hint="Something else listens there. Choose another port: --port 0 takes any free one."
            if taken
            else "Choose another address or port.",
        ) from error
    listening.setblocking(False)
    return listening
