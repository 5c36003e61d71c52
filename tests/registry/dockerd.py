"""A Docker engine of our own, on a socket of our own: nothing on the machine's engine is touched.

It is the engine of the `PATH`, with the image store that its version has of old. Another one is tried with
`LIFTLOCK_TEST_ENGINE`, a folder with its dockerd, containerd, containerd-shim-runc-v2, runc, docker-init and
docker-proxy, and containerd's image store with `LIFTLOCK_TEST_STORE=containerd`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class NoEngine(Exception):
    """Why there is none."""


class OwnEngine:
    """A running engine, which may be killed and started again where it was."""

    def __init__(
        self, folder: Path, variables: Mapping[str, str], options: Sequence[str], *, containerds_store: bool
    ) -> None:
        self.host = f"unix://{folder / 'socket'}"
        self._folder = folder
        self._environ = {**os.environ, "PATH": _path(), **variables}
        settings = folder / "daemon.json"
        settings.write_text(json.dumps({"features": {"containerd-snapshotter": containerds_store}}))
        # The drivers that need nothing of the file system below.
        driver = "native" if containerds_store else "vfs"
        self._argv = [
            "dockerd", "--host", self.host, "--data-root", str(folder / "data"), "--exec-root", str(folder / "run"),
            "--pidfile", str(folder / "pid"), "--config-file", str(settings),
            "--bridge=none", "--iptables=false", f"--storage-driver={driver}", *options,
        ]  # fmt: skip
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        log = self._folder / "log"
        with log.open("ab") as written:
            process = subprocess.Popen(self._argv, stdout=written, stderr=written, env=self._environ)
        _wait_for(process, self.host, log)
        return process

    def restart(self) -> None:
        """As after a crash: it is killed, and started again; it then ends the containers that outlived it.

        Its containerd dies with it. Where nobody reaps orphans that leaves a process of that number, which the
        new engine would wait for as if it still ran: so its file goes, as it does when a machine is booted.
        """
        self._process.kill()
        self._process.wait(10)
        for file in ("pid", "run/containerd/containerd.pid"):
            (self._folder / file).unlink(missing_ok=True)
        self._process = self._started()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)


def _path() -> str:
    """Where an engine's programs are looked for."""
    return os.pathsep.join(filter(None, [os.environ.get("LIFTLOCK_TEST_ENGINE"), os.environ["PATH"]]))


@contextmanager
def own_engine(
    variables: Mapping[str, str] | None = None, options: Sequence[str] = (), store: str | None = None
) -> Iterator[OwnEngine]:
    """Run an engine, `variables` and `options` among its own. Raises `NoEngine` where it cannot run.

    `store` is "containerd" or "" for Docker's own; as `LIFTLOCK_TEST_STORE` says where it is not given.
    """
    store = os.environ.get("LIFTLOCK_TEST_STORE", "") if store is None else store
    if shutil.which("docker") is None or shutil.which("dockerd", path=_path()) is None:
        raise NoEngine("docker and dockerd are not installed (apt-get install docker.io)")
    if os.geteuid() != 0:
        raise NoEngine("an engine of its own needs root")
    # A short path: a unix socket's name has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="liftlock-dockerd-", ignore_cleanup_errors=True) as name:
        engine = OwnEngine(Path(name), variables or {}, options, containerds_store=store == "containerd")
        try:
            yield engine
        finally:
            engine.stop()
            # Its network stays mounted, and a folder with a mount in it cannot be removed.
            for mounted in Path(name, "run", "netns").glob("*"):
                subprocess.run(["umount", str(mounted)], capture_output=True, check=False)


@contextmanager
def dockerd(variables: Mapping[str, str] | None = None) -> Iterator[str]:
    """As `own_engine`, for whom its DOCKER_HOST is enough."""
    with own_engine(variables) as engine:
        yield engine.host


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
