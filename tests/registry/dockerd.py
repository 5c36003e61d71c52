"""A Docker engine of our own, on a socket of our own: nothing on the machine's engine is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class NoEngine(Exception):
    """Why there is none."""


@contextmanager
def dockerd(variables: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run an engine, `variables` among its own; its DOCKER_HOST. Raises `NoEngine` where it cannot run."""
    if shutil.which("docker") is None or shutil.which("dockerd") is None:
        raise NoEngine("docker and dockerd are not installed (apt-get install docker.io)")
    if os.geteuid() != 0:
        raise NoEngine("an engine of its own needs root")
    # A short path: a unix socket's name has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="liftlock-dockerd-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        host = f"unix://{folder / 'socket'}"
        argv = [
            "dockerd", "--host", host, "--data-root", str(folder / "data"), "--exec-root", str(folder / "run"),
            "--pidfile", str(folder / "pid"), "--bridge=none", "--iptables=false", "--storage-driver=vfs",
        ]  # fmt: skip
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, **(variables or {})})
        try:
            _wait_for(process, host, folder / "log")
            yield host
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(process: subprocess.Popen[bytes], host: str, log: Path) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and process.poll() is None:
        asked = subprocess.run(
            ["docker", "--host", host, "version"], capture_output=True, check=False, timeout=20
        )
        if asked.returncode == 0:
            return
        time.sleep(0.1)
    raise NoEngine(f"dockerd did not start: {log.read_text(errors='replace').strip()[-300:]}")
