"""Worlds to promote in: the reference project, and projects of many systems, on a modelled sandbox.

Each was promoted once and has changed since, as a team's usually has: every app waits in dev in a
new version, and staging runs the one before.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from liftlock.demo import materials
from liftlock.demo.sandbox_process import Sandbox, environment
from liftlock.demo.workspace import Workspace, prepare, publish, world

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

    def liftlock(self, *arguments: str, folder: Path | None = None, ends: int = 0) -> str:
        """Run the program as a user does, and return what it prints on standard output."""
        done = subprocess.run(
            [self.program, *arguments, "--config", str(self.config)],
            env={**os.environ, **self.variables},
            cwd=folder or self.config.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != ends:
            raise SystemExit(f"liftlock {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def deploy(self, workspace: Workspace) -> None:
        """Deploy all of the observatory's repositories to dev."""
        for repository in workspace.repositories:
            self.liftlock("deploy", "dev", "--yes", folder=repository.folder)


def reference(sandbox: Sandbox, folder: Path, program: Path) -> World:
    """The observatory, without `after` and with settle 0: seven of its apps change, all independent."""
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
    made.deploy(workspace)
    made.liftlock("promote", "dev", "staging", "--yes")
    materials.add_priority(workspace)
    for app in ("SSO", "ITC", "RESOURCE"):
        materials.change_one_app(workspace, app, "9.0.0")
    for site in ("resource-ui", "admin-ui"):
        page = workspace.admin.folder / site / "public" / "index.html"
        page.write_text(page.read_text() + "<!-- a new version -->\n")
    workspace.admin.commit("Change both sites")
    publish(sandbox, workspace)
    made.deploy(workspace)
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
    (folder / ".gitignore").write_text("ledger.db*\n")
    made = World(
        f"{count} systems, {ledger.partition(':')[0]}", config, environment(sandbox), sandbox, program
    )
    from liftlock.config import load

    project = load(config, made.variables)
    document = world(project, sandbox.base)
    for app in document["heroku"]["apps"]:
        app["database"] = True
    sandbox.request("PUT", "/_sandbox/world", document)
    for version in ("one", "two"):
        _commit(folder, sandbox, version)
        sha = _git(folder, "rev-parse", "HEAD")
        for i in range(count):
            for level in ("dev", "staging"):
                image = {"repository": f"s{i:02}-{level}/web", "tags": [sha], "seed": f"s{i:02} {version}"}
                sandbox.request("POST", "/_sandbox/images", image)
        made.liftlock("deploy", "dev", "--yes")
        if version == "one":
            made.liftlock("promote", "dev", "staging", "--yes")
    return made


def _commit(folder: Path, sandbox: Sandbox, version: str) -> None:
    if not (folder / ".git").exists():
        _git(folder, "init", "-q", "-b", "main")
        _git(folder, "remote", "add", "origin", "https://github.com/example/many.git")
    (folder / "version.txt").write_text(version)
    _git(folder, "add", ".gitignore", "liftlock.toml", "version.txt")
    _git(folder, "-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "-qm", version)
    shas = _git(folder, "rev-list", "HEAD").split()
    commit = {
        "sha": shas[0],
        "parents": shas[1:2],
        "message": version,
        "author": "bench",
        "email": "bench@example.com",
        "date": "2026-11-20T12:00:00Z",
    }
    sandbox.request("PUT", "/_sandbox/github/example/many/commits", [commit])


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()
