"""The embedded cloud as a process beside this one, and a client of its administration.

For the demo, end-to-end tests and benchmarks. Blocking on purpose: its users are scripts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

from liftlock.errors import LiftlockError
from liftlock.model import Project

OWNER = "owner"
"""The credential that the sandbox's vendors take for their owner's."""

CERTIFICATE = "certificate.pem"
"""The file in a sandbox's state that says who to trust: the sandbox makes it anew at each start."""

_GOOGLE = (
    "API",
    "AUTH_MANAGEMENT",
    "CONSOLE",
    "HOSTING",
    "HOSTING_API",
    "IDENTITY",
    "RESOURCEMANAGER",
    "SERVICE_USAGE",
    "TOKEN",
)

READY_S = 60.0
"""How long a sandbox may take to be ready: the first one makes a PostgreSQL cluster."""

MIGRATE_KEY = "preferences-key-of-the-sandbox"
"""The key of the preferences' servers: they take the first one that they are shown."""


class SandboxFailed(LiftlockError):
    """The sandbox does not start, or its administration refuses what it is asked."""


class Sandbox:
    """A sandbox that runs: where it listens, and what can be asked of it from outside.

    `process` is None for one that somebody else started; then `stop` leaves it alone.
    """

    def __init__(self, port: int, state: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self.port = port
        self.base = f"http://127.0.0.1:{port}"
        self.state = state
        self.process = process
        # A proxy of the machine has no business between this process and loopback.
        self._opener: OpenerDirector = build_opener(ProxyHandler({}))

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def request(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        content: bytes | None = None,
        token: str = OWNER,
    ) -> Any:
        """Ask for a path and give what it answers: JSON as data, anything else as bytes.

        Sends `document` as JSON, or `content` as it is. Raises `SandboxFailed` for a status that
        is not a success.
        """
        status, answer = self.ask(method, path, document, content=content, token=token)
        if status >= 300:
            raise SandboxFailed(f"The sandbox answered {status} to {method} {path}: {answer!r}")
        return answer

    def ask(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        content: bytes | None = None,
        token: str = OWNER,
    ) -> tuple[int, Any]:
        """Like `request`, for callers that want to see the status, whatever it is."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
        if document is not None:
            content = json.dumps(document).encode()
            headers["Content-Type"] = "application/json"
        address = path if path.startswith("http://127.0.0.1:") else self.base + path
        request = Request(address, data=content, headers=headers, method=method)  # noqa: S310 (loopback)
        try:
            with self._opener.open(request, timeout=60) as answer:
                return answer.status, _decoded(answer.read(), answer.headers.get_content_type())
        except HTTPError as error:
            with error:
                return error.code, _decoded(error.read(), error.headers.get_content_type())

    def observe(self) -> dict[str, Any]:
        """The whole observable truth of the sandbox."""
        state: dict[str, Any] = self.request("GET", "/_sandbox/state")
        return state

    def stop(self, timeout_s: float = 20.0) -> None:
        """Stop it and wait for its end, its processes and its PostgreSQL included."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_sandbox(state_dir: Path, port: int = 0, modelled: bool = False) -> Sandbox:
    """Start a sandbox that keeps its state in `state_dir`, and wait until it is ready.

    `modelled`: without processes and PostgreSQL. Raises `SandboxFailed` with its last words.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    ready_file, log = state_dir / "ready.json", state_dir / "sandbox.log"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "liftlock.sandbox", "--state", str(state_dir), "--port", str(port)]
    command += ["--ready-file", str(ready_file), *(["--modelled"] if modelled else [])]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PATH": path_of_this_python()},
            # Ctrl-C in a terminal goes to every process of its group; the sandbox must outlive
            # the command that is being interrupted.
            start_new_session=True,
        )
    until = time.monotonic() + READY_S
    while not ready_file.exists():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            process.wait()
            words = log.read_text(errors="replace").strip().splitlines()[-15:]
            raise SandboxFailed("The sandbox did not start:\n" + "\n".join(words), hint=f"Its log is {log}.")
        time.sleep(0.02)
    return Sandbox(json.loads(ready_file.read_text())["port"], state_dir, process)


def environment(sandbox: Sandbox, preferences: Path | None = None) -> dict[str, str]:
    """The variables that point liftlock at this sandbox, and those of the reference project's own command.

    `preferences`: the folder of the preferences' servers, by default beside the sandbox's state.
    """
    home = preferences or sandbox.state / "preferences"
    home.mkdir(parents=True, exist_ok=True)
    return {**addresses(sandbox), "MIGRATE_KEY": MIGRATE_KEY, "PREFERENCES_HOME": str(home)}


def environment_of(sandbox: Sandbox, project: Project | None) -> dict[str, str]:
    """The variables that a project needs here: those of `environment` that its commands name, if any."""
    apps = project.apps.values() if project is not None else ()
    named = {name for app in apps for t in app.targets.values() for name in t.options.get("env", ())}
    own = environment(sandbox) if named & {"MIGRATE_KEY", "PREFERENCES_HOME"} else {}
    return addresses(sandbox) | {name: value for name, value in own.items() if name in named}


def addresses(sandbox: Sandbox) -> dict[str, str]:
    """The variables that point a client of any vendor at this sandbox."""
    keys = ("GITHUB_API_URL", "HEROKU_API_URL", "HEROKU_DATA_URL", "HEROKU_REGISTRY_URL")
    return {
        **dict.fromkeys((*keys, "FIREBASE_HOSTING_API_URL"), sandbox.base),
        "SLACK_WEBHOOK_URL": f"{sandbox.base}/services/T/B/X",
    }


def client_environment(sandbox: Sandbox) -> dict[str, str]:
    """The variables that point the vendors' own clients at this sandbox: the Heroku CLI and firebase-tools.

    The first goes to every vendor by name and through the sandbox as a proxy, so that its container and
    data commands work too; the other takes addresses. Source: `heroku` 11.10, `firebase-tools` 15.34.
    """
    certificate = str(sandbox.state / CERTIFICATE)
    return {
        "HTTPS_PROXY": sandbox.base,
        "SSL_CERT_FILE": certificate,
        "NODE_EXTRA_CA_CERTS": certificate,
        "HEROKU_API_KEY": OWNER,
        "FIREBASE_TOKEN": OWNER,
        **{f"FIREBASE_{service}_URL": sandbox.base for service in _GOOGLE},
    }


def shell_exports(variables: Mapping[str, str]) -> str:
    """The variables as lines for a shell to read."""
    return "".join(f"export {name}='{value}'\n" for name, value in variables.items())


def path_of_this_python() -> str:
    """PATH with this interpreter's folder first: the examples' images say `python3` and need psycopg."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _decoded(content: bytes, kind: str) -> Any:
    if kind.endswith("json") and content:
        return json.loads(content)
    return content
