"""A served cloud with real processes: in a thread of the test, or as a program of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from liftlock.sandbox import Cloud
from liftlock.sandbox.server import SandboxServer


@contextmanager
def serving(directory: Path) -> Iterator[str]:
    """The address of a cloud whose state is in `directory`."""
    ready = threading.Event()
    cloud = Cloud(directory)
    server = SandboxServer(cloud, on_ready=lambda _: ready.set())
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
        thread.join(30)
        cloud.close()
    assert not thread.is_alive()


@contextmanager
def program(directory: Path, runtime: str = "process") -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The sandbox as a process of its own: (its Popen, its address). It is killed at the end."""
    environ = {**os.environ, "LIFTLOCK_SANDBOX_RUNTIME": runtime}
    command = [sys.executable, "-m", "liftlock.sandbox", "--state", str(directory), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as process:
        try:
            assert process.stdout is not None
            line = json.loads(process.stdout.readline())
            yield process, f"http://127.0.0.1:{line['port']}"
        finally:
            process.kill()
