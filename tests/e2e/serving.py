"""`liftlock serve` and `liftlock worker` as processes beside a sandbox, and those who use them: people and programs."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import httpx2

from tests.e2e.cloud import LONG_S, Cloud, Ran

SERVE = """
[environments.dev.roles]
see = ["*"]

[environments.staging.roles]
see = ["*"]
promote = ["ada"]

[environments.production.roles]
see = ["*"]
promote = ["ada"]
approve = ["ada", "grace"]

[serve]
database = "sqlite:///serve.db"
sign_in.github = {{ url = "{github}", client_id = "observatory", client_secret = "env:CLIENT_SECRET" }}
"""


class Server:
    """The observatory's server: it has the vendors' credentials, and nobody who asks it has any."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.url = ""
        self._web: subprocess.Popen[str] | None = None
        self._workers: list[subprocess.Popen[str]] = []
        self._browsers: list[httpx2.Client] = []
        self._variables = {"CLIENT_SECRET": "secret-of-the-oauth-app"}
        self.home = cloud.folder / "elsewhere"
        self.home.mkdir()
        config = cloud.workspace.config
        config.write_text(config.read_text() + SERVE.format(github=cloud.sandbox.base))

    def start(self) -> None:
        """Serve on a free port, or on the one that it had, and let a worker do what is asked for."""
        port = self.url.rpartition(":")[2] or "0"
        with (self.cloud.folder / "serve.log").open("a") as log:
            self._web = self._process(f"serve --port {port} --work elsewhere", log.fileno())
            said = self._first_line(self._web)
            found = re.search(r"is at (http://127\.0\.0\.1:\d+)/", said)
            assert found, said
            self.url = found[1]
            self._workers.append(worker := self._process("worker", log.fileno()))
        assert "works for observatory" in self._first_line(worker)

    def kill_web(self) -> None:
        """kill -9 what serves pages and answers; the worker goes on."""
        assert self._web is not None
        self._web.kill()
        self._web.communicate()

    def stop(self) -> None:
        """SIGTERM to all that still runs."""
        for browser in self._browsers:
            browser.close()
        processes = [each for each in (self._web, *self._workers) if each is not None]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        try:
            for process in processes:
                process.communicate(timeout=LONG_S)
        finally:
            for process in processes:
                process.kill()
                process.communicate()

    def token(self, name: str, allow: str) -> str:
        """A program's token, made on the server's machine."""
        ran = self.cloud.run(f"serve token create {name} {allow}", variables=self._variables)
        return ran.out.strip()

    def sign_in(self, login: str) -> Person:
        """A browser where somebody has signed in at GitHub."""
        browser = httpx2.Client(base_url=self.url, timeout=LONG_S, trust_env=False)
        self._browsers.append(browser)
        begun = browser.get("/sign-in/start?next=/account")
        assert begun.headers["location"].startswith(f"{self.cloud.sandbox.base}/login/oauth/authorize?")
        agreed = httpx2.get(begun.headers["location"] + f"&login={login}", trust_env=False)
        back = browser.get(agreed.headers["location"])
        assert (back.status_code, back.headers["location"]) == (303, "/account"), back.text
        return Person(browser)

    # Somebody else's machine.

    def start_elsewhere(self, line: str, token: str = "", url: str = "") -> subprocess.Popen[str]:
        """Start `liftlock --server URL LINE` where there is no project, no checkout and no vendor's token."""
        return subprocess.Popen(
            [str(self.cloud.program), *shlex.split(line), "--server", url or self.url],
            cwd=self.home,
            env=self.nothing() | ({"LIFTLOCK_TOKEN": token} if token else {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ask(self, line: str, token: str = "", code: int = 0, url: str = "") -> Ran:
        """Run it to its end, which must have that exit code."""
        return self.cloud.end(self.start_elsewhere(line, token, url), code)

    def nothing(self) -> dict[str, str]:
        """The variables of a machine that knows of no vendor."""
        kept = {name: os.environ[name] for name in ("TMPDIR", "COVERAGE_PROCESS_START") if name in os.environ}
        return {"PATH": os.defpath, "HOME": str(self.home), "LANG": "C.UTF-8", **kept}

    def _process(self, line: str, errors: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.cloud.program), *shlex.split(line)],
            cwd=Path(self.cloud.workspace.config).parent,
            env={**self.cloud.variables, **self._variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )

    def _first_line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline() or (self.cloud.folder / "serve.log").read_text()


class Person:
    """Somebody in front of a browser, without scripts."""

    def __init__(self, browser: httpx2.Client) -> None:
        self._browser = browser

    def read(self, path: str) -> str:
        """A page, once it has something to show."""
        for _ in range(200):
            answer = self._browser.get(path)
            assert answer.status_code == 200, answer.text
            if 'class="note quiet loading"' not in answer.text:
                return answer.text
        raise AssertionError(f"{path} still looks")

    def send(self, page: str, action: str, **fields: str | list[str]) -> httpx2.Response:
        """Send the form of a page that leads to `action`, with its hidden fields and these."""
        text = self.read(page)
        form = next(
            (
                each
                for each in re.findall(r"<form[^>]*>.*?</form>", text, re.DOTALL)
                if f'action="{action}"' in each
            ),
            None,
        )
        assert form is not None, f"{page} has no form for {action}"
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
        sent = {name: unescape(value) for name, value in hidden} | fields
        origin = str(self._browser.base_url).rstrip("/")
        return self._browser.post(action, data=sent, headers={"origin": origin})

    def follow(self, answer: httpx2.Response) -> str:
        """The page that an answer leads to."""
        assert answer.status_code == 303, answer.text
        return self.read(urljoin(str(answer.request.url), answer.headers["location"]))

    def token(self, *rights: str) -> str:
        """A token of their own, made on the page."""
        answer = self.send("/account", "/account/tokens", name="laptop", right=list(rights), expires_in="1d")
        assert answer.status_code == 200, answer.text
        found = re.search(r"liftlock_\w{12}_[\w-]{43}", answer.text)
        assert found, answer.text
        return found[0]
