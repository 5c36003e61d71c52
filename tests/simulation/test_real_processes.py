"""kill -9 at many instants of real promotions, and many at once: real processes against a real sandbox.

Every kill has a small world of its own: a project with two apps, its database, its repository. What is
asserted is read from the sandbox, never from what liftlock says.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from liftlock import sqlite_file
from liftlock.demo.sandbox_process import Sandbox, addresses, path_of_this_python, start_sandbox

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("LIFTLOCK_KILLS", "50"))
AT_ONCE = 8
PER_CORE = 5
"""How many worlds are played at once for each core: they mostly wait."""
LONG_S = 120.0
TOKEN = "user-k1lled-t0ken"
COMMITS = ("1" * 40, "2" * 40)
PROCESSES = {"SSO": ("web",), "ODB": ("web", "worker")}
CONFIGURATION = """
[project]
name = "{name}"
repository = "example/{name}"
ledger = "{ledger}"
single_machine = {single}
settle = "50ms"
[environments.dev]
[environments.staging]
from = ["dev"]
[apps.SSO]
heroku = "{name}-sso-{{env}}"
backup = true
processes.web = {{ image = "example/sso" }}
[apps.ODB]
heroku = "{name}-odb-{{env}}"
backup = true
after = ["SSO"]
undo = "safe"
processes.web = {{ image = "example/odb" }}
processes.worker = {{ image = "example/odb" }}
"""


@dataclass
class World:
    """One project's world: version 1 runs and is recorded everywhere, version 2 in dev."""

    sandbox: Sandbox
    program: Path
    folder: Path
    name: str
    ledger: str
    images: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    said: str = ""
    """All that liftlock printed."""

    def furnish(self) -> None:
        self.folder.mkdir()
        single = "true" if self.ledger.startswith("sqlite") else "false"
        text = CONFIGURATION.format(name=self.name, ledger=self.ledger, single=single)
        (self.folder / "liftlock.toml").write_text(text)
        apps = [
            {"name": self.heroku(app, e), "database": True, "formation": dict.fromkeys(types, 1)}
            for app, types in PROCESSES.items()
            for e in ("dev", "staging")
        ]
        made = {"github": {"repositories": [f"example/{self.name}"]}, "heroku": {"apps": apps}}
        self.sandbox.request("PUT", "/_sandbox/world", made)
        commits = [{"sha": sha, "parents": [], "message": "A version", "author": "Ana"} for sha in COMMITS]
        self.sandbox.request("PUT", f"/_sandbox/github/example/{self.name}/commits", commits)
        for version in (1, 2):
            for app, types in PROCESSES.items():
                self.images[app, version] = {kind: self._push(app, kind, version) for kind in types}
                for environment in ("dev", "staging")[: 3 - version]:
                    self._install(app, environment, version)

    def heroku(self, app: str, environment: str) -> str:
        return f"{self.name}-{app.lower()}-{environment}"

    def _push(self, app: str, kind: str, version: int) -> str:
        """The same image in both environments: its id."""
        for environment in ("dev", "staging"):
            image = {
                "repository": f"{self.heroku(app, environment)}/{kind}",
                "tags": [COMMITS[version - 1]],
                "seed": f"{app} {kind} {version}",
            }
            pushed = self.sandbox.request("POST", "/_sandbox/images", image)
        return str(pushed["image_id"])

    def _install(self, app: str, environment: str, version: int) -> None:
        """Released and recorded as a team's own workflow does it."""
        images = self.images[app, version]
        updates = [{"type": kind, "docker_image": image} for kind, image in images.items()]
        request = Request(
            f"{self.sandbox.base}/apps/{self.heroku(app, environment)}/formation",
            data=json.dumps({"updates": updates}).encode(),
            headers={
                "Accept": "application/vnd.heroku+json; version=3.docker-releases",
                "Authorization": "Bearer owner",
                "Content-Type": "application/json",
            },
            method="PATCH",
        )
        with urlopen(request, timeout=LONG_S) as answer:
            answer.read()
        if self.ledger != "github":
            self._put_row(app, environment, version)
            return
        body = {
            "ref": COMMITS[version - 1],
            "task": f"deploy:{app}",
            "environment": environment,
            "payload": {"docker_image_shas": images},
            "auto_merge": False,
            "required_contexts": [],
        }
        self.sandbox.request("POST", f"/repos/example/{self.name}/deployments", body)

    def _put_row(self, app: str, environment: str, version: int) -> None:
        of = (self.name, app, environment, COMMITS[version - 1])
        payload = json.dumps({"docker_image_shas": self.images[app, version]})
        sql = (
            "INSERT INTO deployments (project, app, environment, sha, payload, promotion, creator, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, 'ana', '2025-12-20T00:00:00+00:00')"
        )
        with closing(sqlite_file._open(self.database)) as db:
            db.execute(sql, (*of, payload, f"history {version} of {environment}"))

    @property
    def database(self) -> Path:
        return self.folder / "liftlock.db"

    # liftlock's processes.

    def start(self, line: str) -> subprocess.Popen[str]:
        home = str(self.folder)
        variables = {"LIFTLOCK_SANDBOX_TOKEN": TOKEN, "HOME": home, "PATH": path_of_this_python()}
        return subprocess.Popen(
            [str(self.program), *line.split()],
            cwd=self.folder,
            env={**addresses(self.sandbox), **variables, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, line: str) -> int:
        process = self.start(line)
        out, _ = process.communicate(timeout=LONG_S)
        self.said += out
        return process.returncode

    def told(self) -> str:
        """The end of what was said, for whoever looks into a failure."""
        return "\n".join(line[:600] for line in self.said.splitlines()[-60:])

    def promote_killed(self, after_lines: int, late_s: float) -> bool:
        """Begin a promotion and kill it once it has told so many events, and a little later; whether it still ran."""
        process = self.start("promote dev staging --yes --events")
        assert process.stdout is not None
        for _ in range(after_lines):
            self.said += process.stdout.readline()
        time.sleep(late_s)
        process.kill()
        self.said += process.communicate(timeout=LONG_S)[0]
        return process.returncode == -9

    # What is.

    def look(self) -> Look:
        seen = self.sandbox.observe()
        github = seen["github"]["repositories"][f"example/{self.name}"]
        self.said += json.dumps(github)  # whatever liftlock keeps is for everybody to read
        return Look(
            self,
            {app: seen["heroku"]["apps"][self.heroku(app, "staging")] for app in PROCESSES},
            {app: seen["heroku_data"]["backups"][self.heroku(app, "staging")] for app in PROCESSES},
            github["deployments"] if self.ledger == "github" else self._rows(),
        )

    def _rows(self) -> list[dict[str, Any]]:
        """The SQLite ledger's entries as GitHub shows its own."""
        with closing(sqlite3.connect(self.database)) as db:
            intents = db.execute("SELECT 'liftlock:promotion', environment, payload, state FROM intents")
            found = intents.fetchall()
            records = "SELECT 'deploy:' || app, environment, payload, state FROM deployments"
            found += db.execute(records).fetchall()
        keys = ("task", "environment", "payload")
        return [
            dict(zip(keys, (task, where, json.loads(payload)), strict=True))
            | {"statuses": [{"id": 1, "state": state}] if state else []}
            for task, where, payload, state in found
        ]


@dataclass
class Look:
    """What one look at staging found."""

    world: World
    apps: Mapping[str, Mapping[str, Any]]
    backups: Mapping[str, list[Mapping[str, Any]]]
    deployments: list[dict[str, Any]]

    @property
    def version(self) -> int | None:
        """The version that every app runs; None when they run several. P4."""
        found = {v for v in (1, 2) if all(self._runs(app) == self.world.images[app, v] for app in PROCESSES)}
        return found.pop() if found else None

    @property
    def open_intents(self) -> int:
        intents = [one for one in self.deployments if one["task"].startswith("liftlock:")]
        return sum(_state(one) in {None, "in_progress"} for one in intents if self._is_here(one))

    def times_recorded(self, app: str) -> int:
        """How many records say that version 2 runs."""
        return sum(
            one["task"] == f"deploy:{app}"
            and one["payload"]["docker_image_shas"] == self.world.images[app, 2]
            and _state(one) == "success"
            for one in self.deployments
            if self._is_here(one)
        )

    def _is_here(self, entry: Mapping[str, Any]) -> bool:
        return bool(entry["environment"] == "staging")

    def _runs(self, app: str) -> dict[str, str]:
        return {one["type"]: one["image_id"] for one in self.apps[app]["formation"] if one["image_id"]}

    def releases(self, app: str) -> list[Mapping[str, Any]]:
        """Heroku's releases that brought version 2."""
        return [one for one in self.apps[app]["releases"] if one["images"] == self.world.images[app, 2]]

    def judge(self, *, lifted: bool) -> None:
        """What P1, P2, P4, P5 and P6 say of a promotion that is over: it was lifted, or it never was."""
        assert self.open_intents == 0
        assert self.version == (2 if lifted else 1)
        for app in PROCESSES:
            assert self.times_recorded(app) == lifted, f"{app} is recorded {self.times_recorded(app)} times"
            releases = self.releases(app)
            assert len(releases) <= 1, f"{app} was released {len(releases)} times"
            if lifted:
                up = {one["image"] for one in self.apps[app]["dynos"] if one["state"] == "up"}
                assert up == set(self.world.images[app, 2].values())
            for release in releases:
                complete = [one for each in self.backups.values() for one in each if one["succeeded"]]
                assert len(complete) >= len(PROCESSES)
                assert max(one["finished_at"] for one in complete)[:19] <= release["created_at"][:19]


def _state(entry: Mapping[str, Any]) -> str | None:
    statuses = sorted(entry["statuses"], key=lambda one: one["id"])
    return str(statuses[-1]["state"]) if statuses else None


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with start_sandbox(tmp_path_factory.mktemp("sandbox"), modelled=True) as started:
        yield started


@pytest.fixture
def worlds(sandbox: Sandbox, program: Path, tmp_path: Path) -> Callable[[str, str], World]:
    """Makes a world of that name, with that ledger."""

    def make(name: str, ledger: str) -> World:
        world = World(sandbox, program, tmp_path / name, name, ledger)
        world.furnish()
        return world

    return make


def killed_and_resumed(world: World, after_lines: int, late_s: float, choice: str) -> bool:
    """One promotion, killed there and finished or undone by another process; whether it was killed in time."""
    killed = world.promote_killed(after_lines, late_s)
    if world.ledger == "github":  # SQLite's lease names the process: that one which ended is free
        world.run("lease break staging --reason killed")
    code = world.run(f"resume staging --{choice} --yes")
    found = world.look()
    if choice == "undo" and code == 1 and found.version == 2:  # records exist, so only finishing is the truth
        assert "was verified" in world.said
        code = world.run("resume staging --finish --yes")
        found = world.look()
    assert code == 0
    if choice == "finish" and "Nothing stands open" not in world.said:
        assert found.version == 2
    found.judge(lifted=found.version == 2)
    assert TOKEN not in world.said
    assert "Traceback" not in world.said
    return killed


@pytest.mark.promise("P5")
@pytest.mark.timeout(900)
def test_promotions_killed_at_any_instant_are_finished_or_undone_once(
    sandbox: Sandbox, worlds: Callable[[str, str], World]
) -> None:
    sandbox.request("PUT", "/_sandbox/settings", {"release_s": 0.3, "backup_s": 0.3})
    whole = worlds("whole", "github")
    assert whole.run("promote dev staging --yes --events") == 0
    whole.look().judge(lifted=True)
    lines = sum(line.startswith('{"event"') for line in whole.said.splitlines())
    dice = random.Random(7)
    kills = [
        (
            f"w{number}",
            "sqlite:///liftlock.db" if number % 3 == 2 else "github",
            number * lines // KILLS,  # every instant that an event tells of, and a moment after it
            dice.choice([0.0, dice.uniform(0.0, 0.05), dice.uniform(0.0, 0.4)]),
            dice.choice(["finish", "undo"]),
        )
        for number in range(KILLS)
    ]

    def play(kill: tuple[str, str, int, float, str]) -> bool:
        name, ledger, after_lines, late_s, choice = kill
        world = worlds(name, ledger)
        try:
            return killed_and_resumed(world, after_lines, late_s, choice)
        except Exception as error:
            error.add_note(f"{kill}\n{world.told()}")
            raise

    with ThreadPoolExecutor(PER_CORE * (os.cpu_count() or 2)) as pool:
        killed = sum(pool.map(play, kills))
    assert killed >= 0.8 * KILLS


@pytest.mark.promise("P3")
@pytest.mark.parametrize("ledger", ["github", "sqlite:///liftlock.db"])
def test_of_eight_that_begin_at_once_exactly_one_runs(
    sandbox: Sandbox, worlds: Callable[[str, str], World], ledger: str
) -> None:
    sandbox.request("PUT", "/_sandbox/settings", {"release_s": 1.0, "backup_s": 0.3})
    world = worlds(f"eight-{ledger[:6]}", ledger)
    processes = [world.start("promote dev staging --yes") for _ in range(AT_ONCE)]
    told = [process.communicate(timeout=LONG_S)[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert codes.count(0) >= 1, told
    assert set(codes) <= {0, 4}, told
    world.look().judge(lifted=True)
