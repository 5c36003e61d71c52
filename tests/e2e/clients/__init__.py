"""The vendors' own clients, pointed at a sandbox as `liftlock sandbox` says, and nothing else told."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from liftlock.demo.sandbox_process import client_environment
from tests.e2e.cloud import LONG_S, Cloud, Ran

HERE = Path(__file__).parent


def folder() -> Path:
    """Where `make clients` installs them."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CLIENTS") or Path(cache) / "liftlock" / "clients")


def why_not() -> str:
    """Why they cannot be used; "" when they can."""
    if shutil.which("node") is None:
        return "there is no node"
    installed = folder() / "installed.json"
    if not installed.is_file() or installed.read_text() != (HERE / "package.json").read_text():
        return "the vendors' clients are not installed; `make clients` installs them"
    return ""


class Clients:
    """The Heroku CLI, firebase-tools and Octokit in front of one sandbox."""

    def __init__(self, cloud: Cloud) -> None:
        self._home = cloud.folder / "clients"
        self._home.mkdir()
        self._environ = {
            **client_environment(cloud.sandbox),
            "PATH": os.pathsep.join([str(folder() / "node_modules" / ".bin"), os.environ["PATH"]]),
            "HOME": str(self._home),
            "LANG": "C.UTF-8",
            "CI": "1",  # nobody is there to be asked
            "DISABLE_TELEMETRY": "true",
            "HEROKU_SKIP_NEW_VERSION_CHECK": "1",
        }
        self._github = {"GITHUB_API_URL": cloud.sandbox.base, "CLIENTS": str(folder())}

    def heroku(self, line: str, code: int = 0) -> Ran:
        return self._run(["heroku", *shlex.split(line)], code, self._environ)

    def firebase(self, line: str, code: int = 0) -> Ran:
        return self._run(["firebase", *shlex.split(line)], code, self._environ)

    def firebase_result(self, line: str) -> Any:
        """What `firebase LINE --json` gives."""
        answer = self.firebase(f"{line} --json").document
        assert answer["status"] == "success", answer
        return answer["result"]

    def site(self, name: str, **files: str) -> None:
        """A site's folder, as firebase-tools wants one: files by name without `.html`."""
        public = self._home / "public"
        public.mkdir(exist_ok=True)
        for file, content in files.items():
            (public / f"{file}.html").write_text(content)
        document = {"hosting": {"site": name, "public": "public"}}
        (self._home / "firebase.json").write_text(json.dumps(document))

    def github(self, method: str, /, **parameters: Any) -> Any:
        """Call a method of Octokit; gives the answer's data."""
        return self._octokit(method, parameters, 0).document

    def github_refuses(self, method: str, /, **parameters: Any) -> str:
        """Call a method of Octokit that must fail; gives what it said."""
        return self._octokit(method, parameters, 1).err

    def _octokit(self, method: str, parameters: dict[str, Any], code: int) -> Ran:
        command = ["node", str(HERE / "github.mjs"), method, json.dumps(parameters)]
        # Octokit is given the address: it asks for no proxy and trusts no certificate of ours.
        return self._run(command, code, {"PATH": os.environ["PATH"], **self._github})

    def _run(self, command: list[str], code: int, environ: dict[str, str]) -> Ran:
        ran = subprocess.run(
            command,
            cwd=self._home,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONG_S,
            check=False,
        )
        said = f"{shlex.join(command)} ended with {ran.returncode}, not {code}:\n{ran.stdout}\n{ran.stderr}"
        assert ran.returncode == code, said
        return Ran(ran.returncode, ran.stdout, ran.stderr)
