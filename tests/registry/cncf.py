"""CNCF Distribution, Debian's `docker-registry`, on a free loopback port."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2


class NoRegistry(Exception):
    """Why there is none."""


@contextmanager
def cncf(folder: Path, more: str = "", tls: Path | None = None, port: int = 0) -> Iterator[str]:
    """CNCF Distribution (Debian's `docker-registry`) on a free port, or on that one; its host.

    `more` is added to its configuration; `tls` is a file with a certificate and its key.
    """
    program = shutil.which("docker-registry")
    if program is None:
        raise NoRegistry("docker-registry is not installed (apt-get install docker-registry)")
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    secured = f", tls: {{certificate: {tls}, key: {tls}}}" if tls else ""
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\n"
        "log: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '{host}'{secured}}}\n{more}"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait_for(f"{'https' if tls else 'http'}://{host}/v2/", process)
        yield host
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(address, trust_env=False, verify=False).status_code in {200, 401}:
                return
        except httpx2.TransportError:
            time.sleep(0.02)
    raise NoRegistry("docker-registry did not start")
