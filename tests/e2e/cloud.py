"""A sandbox with the reference project in it, the program to run against it, and eyes of our own.

What a test asserts about the world is read from the sandbox, never from what liftlock says. What
teams do beside liftlock (pushing images, writing records, releasing by hand) is done here with the
vendors' own requests.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

from liftlock.demo.sandbox_process import Sandbox, environment, path_of_this_python, start_sandbox
from liftlock.demo.workspace import Workspace

HEROKU = {
    "SSO": "lucuma-sso",
    "ITC": "itc",
    "ODB": "lucuma-postgres-odb",
    "RESOURCE": "lucuma-resource",
}
PROCESSES = {"ODB": ("release", "web", "calibration", "obscalc")}
SITES = {"Explore": "explore-gemini", "ResourceUI": "resource-ui", "AdminUI": "admin-ui"}
FIREBASE = {"dev": "dev", "staging": "stage", "production": "prod"}
GITHUB = {"dev": "development"}
ALL = (*HEROKU, *SITES, "preferences")
ELSEWHERE = "--config ../services/liftlock.toml"
LONG_S = 60.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything, with line breaks and padding as single spaces."""
        return " ".join((self.out + " " + self.err).split())

    @property
    def document(self) -> Any:
        """The one document of `--json`; anything else on standard output is a mistake."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Cloud:
    """One test's sandbox, workspace and command line."""

    def __init__(
        self, folder: Path, program: Path, *, modelled: bool = True, limit_s: float = LONG_S
    ) -> None:
        """Start the sandbox in `folder`, which holds a workspace and maybe a sandbox's state.

        `limit_s`: how long a command may take.
        """
        self.folder = folder
        self._limit_s = limit_s
        self.program = program
        self.workspace = Workspace.at(folder)
        self.sandbox: Sandbox = start_sandbox(folder / "sandbox", modelled=modelled)
        self.variables = {
            **environment(self.sandbox, folder / "preferences"),
            "PATH": path_of_this_python(),
            # Nothing of whoever runs the tests: no ~/.netrc, no tokens, no colours.
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **{name: os.environ[name] for name in ("TMPDIR", "COVERAGE_PROCESS_START") if name in os.environ},
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.stop()

    # The command line.

    def start(
        self, line: str, folder: str = "services", variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start `liftlock LINE` in one of the repositories, in a process group of its own."""
        return subprocess.Popen(
            [str(self.program), *shlex.split(line)],
            cwd=self.folder / folder,
            env={**self.variables, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        line: str,
        code: int = 0,
        folder: str = "services",
        variables: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run `liftlock LINE` to its end, which must have that exit code."""
        return self.end(self.start(line, folder, variables), code)

    def end(self, process: subprocess.Popen[str], code: int) -> Ran:
        """Wait for a command's end, which must have that exit code."""
        try:
            out, err = process.communicate(timeout=self._limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"it did not end within {self._limit_s:.0f} s:\n{out}\n{err}") from None
        # An app's own traceback, in the last lines of its log, is indented.
        assert not re.search("^Traceback", out + err, re.MULTILINE), out + err
        assert process.returncode == code, f"exit code {process.returncode}, not {code}:\n{out}\n{err}"
        return Ran(process.returncode, out, err)

    def configure(self, old: str, new: str) -> None:
        """Replace a text that stands once in liftlock.toml."""
        text = self.workspace.config.read_text()
        assert text.count(old) == 1, (old, text)
        self.workspace.config.write_text(text.replace(old, new))

    # The sandbox's administration.

    def fault(self, **rule: Any) -> int:
        """Add a rule and give its number."""
        return int(self.sandbox.request("POST", "/_sandbox/faults", rule)["id"])

    def fault_applied(self, number: int) -> int:
        """How often a rule has been applied."""
        rules = self.sandbox.request("GET", "/_sandbox/faults")
        return int(next(rule["applied"] for rule in rules if rule["id"] == number))

    def delete_faults(self) -> None:
        self.sandbox.request("DELETE", "/_sandbox/faults")

    def settings(self, **settings: Any) -> None:
        self.sandbox.request("PUT", "/_sandbox/settings", settings)

    def clear_log(self) -> None:
        self.sandbox.request("DELETE", "/_sandbox/requests")

    def requests(self, method: str = "", path: str = "", vendor: str = "") -> list[dict[str, Any]]:
        """The logged requests of vendors' clients; `path` is a regular expression, "" is any."""
        return [
            entry
            for entry in self.sandbox.request("GET", "/_sandbox/requests")
            if entry["vendor"] != "admin"
            and method in ("", entry["method"])
            and vendor in ("", entry["vendor"])
            and re.search(path, entry["path"])
        ]

    def wait_until(self, holds: Callable[[], object]) -> None:
        """Wait until the world is so, and no longer than a test can bear."""
        until = time.monotonic() + LONG_S
        while not holds():
            assert time.monotonic() < until, "it did not come to pass"
            time.sleep(0.03)

    # What is.

    def images(self, app: str, environment: str) -> dict[str, str]:
        """The image id of every process type, as Heroku has it."""
        formation = self.sandbox.observe()["heroku"]["apps"][heroku(app, environment)]["formation"]
        return {one["type"]: one["image_id"] for one in formation if one["image_id"]}

    def heroku_releases(self, app: str, environment: str) -> list[dict[str, Any]]:
        """Those of images, oldest first."""
        releases = self.sandbox.observe()["heroku"]["apps"][heroku(app, environment)]["releases"]
        return [one for one in releases if one["images"]]

    def up(self, app: str, environment: str) -> dict[str, str]:
        """The image of every dyno that is up, by its name."""
        dynos = self.sandbox.observe()["heroku"]["apps"][heroku(app, environment)]["dynos"]
        return {one["name"]: one["image"] for one in dynos if one["state"] == "up"}

    def live(self, app: str, environment: str) -> str | None:
        """The content of a site's live version."""
        content: str | None = self.sandbox.observe()["firebase"]["sites"][site(app, environment)][
            "content_hash"
        ]
        return content

    def runs(self, environment: str) -> dict[str, Any]:
        """What every app but the command runs, by content."""
        return {app: self.images(app, environment) for app in HEROKU} | {
            app: self.live(app, environment) for app in SITES
        }

    def backups(self, app: str, environment: str) -> list[dict[str, Any]]:
        """The complete backups of an app's database."""
        found = self.sandbox.observe()["heroku_data"]["backups"][heroku(app, environment)]
        return [one for one in found if one["succeeded"]]

    def deployments(self) -> list[dict[str, Any]]:
        """All of GitHub's deployments, oldest first."""
        repositories = self.sandbox.observe()["github"]["repositories"].values()
        return sorted((one for r in repositories for one in r["deployments"]), key=lambda one: one["id"])

    def records(self, environment: str, app: str = "") -> list[dict[str, Any]]:
        """The apps' own records in an environment, oldest first: all of them, or one app's."""
        names = {task_of(name, environment): name for name in ALL}
        return [
            one
            for one in self.deployments()
            if (name := names.get((one["task"], one["environment"]))) and app in ("", name)
        ]

    def intents(self, environment: str) -> list[dict[str, Any]]:
        """The records of promotions, rollbacks and deploys themselves, oldest first."""
        name = GITHUB.get(environment, environment)
        return [
            one
            for one in self.deployments()
            if one["task"].startswith("liftlock:") and one["environment"] == name
        ]

    def slack(self) -> list[str]:
        """The text of each message, oldest first."""
        return [row["payload"]["text"] for row in self.sandbox.observe()["slack"]]

    # What teams do by other means.

    def push(
        self, app: str, process: str = "web", *, seed: str, behaviour: str = "", tags: tuple[str, ...] = ()
    ) -> tuple[str, str]:
        """Push an image to all environments: its image id and its manifest's digest."""
        pushed = ("", "")
        for name in FIREBASE:
            body = {
                "repository": f"{heroku(app, name)}/{process}",
                "tags": ["latest", *tags],
                "labels": {"io.liftlock.sandbox": behaviour} if behaviour else {},
                "seed": f"{app} {process} {seed}",
            }
            answer = self.sandbox.request("POST", "/_sandbox/images", body)
            pushed = answer["image_id"], answer["digest"]
        return pushed

    def release(self, app: str, environment: str, images: Mapping[str, str]) -> None:
        """Release images as `heroku container:release` does."""
        self._update(
            app, environment, [{"type": kind, "docker_image": image} for kind, image in images.items()]
        )

    def scale(self, app: str, environment: str, process_type: str, quantity: int) -> None:
        """Scale a process type as `heroku ps:scale` does."""
        self._update(app, environment, [{"type": process_type, "quantity": quantity}])

    def _update(self, app: str, environment: str, updates: list[dict[str, Any]]) -> None:
        request = Request(
            f"{self.sandbox.base}/apps/{heroku(app, environment)}/formation",
            data=json.dumps({"updates": updates}).encode(),
            headers={
                "Accept": "application/vnd.heroku+json; version=3.docker-releases",
                "Authorization": "Bearer user-hand",
                "Content-Type": "application/json",
            },
            method="PATCH",
        )
        with urlopen(request, timeout=LONG_S) as answer:
            answer.read()

    def commit(self, repository: str = "services", subject: str = "Change something") -> str:
        """A new commit on main, known to GitHub alone."""
        root = f"/repos/example/{repository}"
        parent = self.sandbox.request("GET", f"{root}/commits/main")["sha"]
        sha = hashlib.sha1(f"{parent} {subject}".encode(), usedforsecurity=False).hexdigest()
        new = {"sha": sha, "parents": [parent], "message": subject, "author": "Observatory Team"}
        new |= {"email": "team@observatory.example", "date": "2026-11-20T10:00:00+00:00"}
        self.sandbox.request("PUT", f"/_sandbox/github/example/{repository}/commits", [new])
        return sha

    def record(
        self, app: str, environment: str, payload: Any, *, commit: str = "", state: str | None = "success"
    ) -> int:
        """A deployment as a team's own workflow writes it, with that state if any."""
        task, name = task_of(app, environment)
        root = f"/repos/example/{repository_of(app)}"
        body = {"ref": commit or "main", "task": task, "environment": name, "payload": payload}
        body |= {"auto_merge": False, "required_contexts": []}
        number = int(self.sandbox.request("POST", f"{root}/deployments", body, token="user-workflow")["id"])
        if state is not None:
            status = f"{root}/deployments/{number}/statuses"
            self.sandbox.request("POST", status, {"state": state}, token="user-workflow")
        return number

    def publish(
        self, app: str, *, seed: str = "new", behaviour: str = "", commit: str | None = None
    ) -> dict[str, str]:
        """A new version of an app, as a team's own workflow brings it to dev: pushed to every
        environment, released in dev, recorded. `behaviour` says what is wrong with it."""
        web = {"crash": "crash", "unhealthy": "unhealthy"}.get(behaviour, "")
        wrong = {"web": web, "release": "release-fails" if behaviour == "release-fails" else ""}
        images = {
            process: self.push(app, process, seed=seed, behaviour=wrong.get(process, ""))[0]
            for process in PROCESSES.get(app, ("web",))
        }
        self.release(app, "dev", images)
        commit = self.commit(repository_of(app), f"{app} {seed}") if commit is None else commit
        self.record(app, "dev", {"docker_image_shas": images}, commit=commit)
        return images

    def publish_site(self, app: str, *, seed: str = "new", environment: str = "dev") -> str:
        """A new version of a site, live in an environment: its name."""
        root = f"/v1beta1/sites/{site(app, environment)}"
        config = {"headers": [{"glob": "**", "headers": {"x-version": seed}}]}
        name: str = self.sandbox.request("POST", f"{root}/versions", {"config": config})["name"]
        self.sandbox.request("PATCH", f"/v1beta1/{name}?updateMask=status", {"status": "FINALIZED"})
        self.sandbox.request("POST", f"{root}/releases?versionName={name}", {})
        return name


def heroku(app: str, environment: str) -> str:
    """The Heroku app that an app of the project is in an environment."""
    return f"{HEROKU[app]}-{environment}"


def site(app: str, environment: str) -> str:
    return f"{SITES[app]}-{FIREBASE[environment]}"


def repository_of(app: str) -> str:
    if app in {"ResourceUI", "AdminUI"}:
        return "admin"
    return "explore" if app in {"Explore", "preferences"} else "services"


def task_of(app: str, environment: str) -> tuple[str, str]:
    """The task and the environment's name under which a record stands."""
    if app in {"ResourceUI", "AdminUI"}:
        return "deploy", f"{SITES[app]}-{environment}"
    return f"deploy:{app}", GITHUB.get(environment, environment)


def state_of(deployment: Mapping[str, Any]) -> str | None:
    """The state of a deployment's newest status."""
    statuses = sorted(deployment["statuses"], key=lambda one: one["id"])
    return str(statuses[-1]["state"]) if statuses else None
