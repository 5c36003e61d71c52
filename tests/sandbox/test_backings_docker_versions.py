"""Which engines the containers' backing can talk to."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream

from liftlock.sandbox import Cloud
from liftlock.sandbox.backings.docker import DockerRuntime
from liftlock.sandbox.backings.watchdog import Watchdog

TOO_OLD = b'{"message":"client version 1.41 is too old. Minimum supported API version is 1.44"}'


async def engine(stream: ByteStream) -> None:
    """As engine 29.0 answers `/_ping`, which speaks the API from 1.44 to 1.52."""
    async with stream:
        asked = await stream.receive()
        is_old = asked.split()[1].startswith(b"/v1.41/")
        status, content = (b"400 Bad Request", TOO_OLD) if is_old else (b"200 OK", b"OK")
        await stream.send(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(content), content))


@pytest.mark.anyio
async def test_an_engine_that_no_longer_speaks_the_oldest_version_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A short path: a unix socket's name has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="liftlock-engine-") as folder:
        socket = f"{folder}/socket"
        monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
        runtime = DockerRuntime(Cloud(tmp_path, modelled=True), Watchdog())
        async with await anyio.create_unix_listener(socket) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(partial(listener.serve, engine))
            assert await runtime.answers()
            tasks.cancel_scope.cancel()
