"""Worlds to promote in: the reference project, and projects of many systems, on a modelled sandbox."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

from liftlock.demo import materials
from liftlock.demo.sandbox_process import Sandbox, environment
from liftlock.demo.workspace import prepare, world

BACKUP_S = 1.0
RELEASE_S = 0.5


@dataclass(frozen=True, slots=True)
class World:
    """A project whose every app waits in dev to be promoted to staging."""

    name: str
    config: Path
    variables: Mapping[str, str]
    sandbox: Sandbox
    program: Path

    def liftlock(self, *arguments: str, ends: int = 0) -> str:
        """Run the program as a user does, and return what it prints on standard output."""
        done = subprocess.run(
            [self.program, *arguments, "--config", str(self.config)],
            env={**os.environ, **self.variables},
            cwd=self.config.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != ends:
            raise SystemExit(f"liftlock {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout


def reference(sandbox: Sandbox, folder: Path, program: Path) -> World:
    """The observatory, without `after` and with settle 0: eight apps, all independent (d = 1)."""
    workspace = materials.create_workspace(folder)
    text = workspace.config.read_text()
    text = re.sub(r"^after = .*\n", "", text, flags=re.MULTILINE)
    text = text.replace('settle = "500ms"', 'settle = "0s"')
    text = text.replace(
        'apply = ["./migrate", "apply", "{env}"]',
        'apply = ["./migrate", "apply", "{env}"], undo = ["./migrate", "status", "{env}"]',
    )
    workspace.config.write_text(text)
    prepare(sandbox, workspace)
    made = World("reference", workspace.config, environment(sandbox), sandbox, program)
    for repository in workspace.repositories:
        subprocess.run(
            [program, "deploy", "dev", "--yes", "--config", str(workspace.config)],
            env={**os.environ, **made.variables},
            cwd=repository.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return made


def many(sandbox: Sandbox, folder: Path, program: Path, count: int, ledger: str) -> World:
    """`count` systems on Heroku, each with a database that is backed up, deployed in dev."""
    folder.mkdir(parents=True)
    config = folder / "liftlock.toml"
    head = f'[project]\nname = "many"\nrepository = "example/many"\nledger = "{ledger}"\nsettle = "0s"\n'
    levels = '[environments.dev]\n[environments.staging]\nfrom = ["dev"]\n'
    apps = "".join(
        f'[apps.S{i:02}]\nheroku = "s{i:02}-{{env}}"\nbackup = true\nprocesses.web = {{ image = "s{i:02}" }}\n'
        for i in range(count)
    )
    config.write_text(head + levels + apps)
    made = World(f"{count} systems, {ledger.partition(':')[0]}", config, environment(sandbox), sandbox, program)
    from liftlock.config import load

    project = load(config, made.variables)
    document = world(project, sandbox.base)
    for app in document["heroku"]["apps"]:
        app["database"] = True
    sandbox.request("PUT", "/_sandbox/world", document)
    _commit(folder, sandbox)
    sha = _git(folder, "rev-parse", "HEAD")
    for i in range(count):
        for level in ("dev", "staging"):
            sandbox.request(
                "POST",
                "/_sandbox/images",
                {"repository": f"s{i:02}-{level}/web", "tags": [sha], "seed": f"s{i:02}"},
            )
    made.liftlock("deploy", "dev", "--yes")
    return made


def _commit(folder: Path, sandbox: Sandbox) -> None:
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "remote", "add", "origin", "https://github.com/example/many.git")
    _git(folder, "add", "-A")
    _git(folder, "-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "-qm", "Begin")
    sha = _git(folder, "rev-parse", "HEAD")
    commit = {
        "sha": sha,
        "parents": [],
        "message": "Begin",
        "author": "bench",
        "email": "bench@example.com",
        "date": "2026-11-20T12:00:00Z",
    }
    sandbox.request("PUT", "/_sandbox/github/example/many/commits", [commit])


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def fingerprint(text: str) -> str:
    """A short name for a text."""
    return sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]
