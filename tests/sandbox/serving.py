"""A served cloud for tests: uvicorn in a thread, on a free loopback port."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from liftlock.sandbox import Cloud
from liftlock.sandbox.server import SandboxServer

OWNER = {"authorization": "Bearer owner"}


@contextmanager
def served(directory: Path | None = None, *, port: int = 0) -> Iterator[httpx2.Client]:
    """A client of a modelled cloud; its state is in `directory`."""
    ready = threading.Event()
    cloud = Cloud(directory, modelled=True)
    server = SandboxServer(cloud, port=port, on_ready=lambda _: ready.set())
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        assert ready.wait(20)
        with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", headers=OWNER, timeout=10) as client:
            yield client
    finally:
        server.stop()
        thread.join(20)
        cloud.close()
