"""The observatory in a folder of one's own, and how a sandbox learns of it.

The sandbox is told what a team's accounts would hold already: Heroku apps with their databases
and settings, Firebase sites, and the repositories' commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from liftlock.config import load
from liftlock.demo.repositories import Repository
from liftlock.demo.sandbox_process import Sandbox
from liftlock.errors import LiftlockError
from liftlock.model import Project

WITH_DATABASE = frozenset({"SSO", "ODB", "RESOURCE"})
NEIGHBOURS = {"ODB": {"SSO_ROOT": "SSO", "ITC_ROOT": "ITC"}}
"""The settings by which an app finds the addresses of others. calibration and obscalc are ODB's."""

FIRST_ONLY = {"ITC": {"ITC_DETECTOR_SET": "2026B"}, "RESOURCE": {"WEATHER_STATION": "cp-west"}}
"""Settings that the team made in its first environment and forgot to make in the others; the
changes `need_detector_set` and `need_weather_station` need them."""


def observatory_folder() -> Path:
    """The reference project's files: package data of an installed liftlock, else of a checkout."""
    installed = Path(str(files("liftlock") / "observatory"))
    if installed.is_dir():
        return installed
    checkout = Path(__file__).resolve().parents[3] / "examples" / "observatory"
    if checkout.is_dir():
        return checkout
    raise LiftlockError(
        "The reference project is not part of this installation.", hint="Install liftlock again."
    )


@dataclass(frozen=True, slots=True)
class Workspace:
    """Three git work trees side by side, as one team has them."""

    folder: Path
    services: Repository
    explore: Repository
    admin: Repository

    @classmethod
    def at(cls, folder: Path) -> Workspace:
        """The workspace in `folder`, whether it is made already or not (`create_workspace` makes it)."""
        names = ("services", "explore", "admin")
        return cls(folder, *(Repository(folder / name, f"example/{name}") for name in names))

    @property
    def repositories(self) -> tuple[Repository, Repository, Repository]:
        return (self.services, self.explore, self.admin)

    @property
    def config(self) -> Path:
        return self.services.folder / "liftlock.toml"

    def project(self) -> Project:
        """The project, as its file and these work trees say it."""
        return load(self.config, environ={})


def prepare(
    sandbox: Sandbox, workspace: Workspace, settings: Mapping[str, Mapping[str, str]] | None = None
) -> None:
    """Give the sandbox the world that the observatory's project supposes, and its commits.

    `settings`: more config vars, by Heroku app. Safe to repeat, also after more commits.
    """
    sandbox.request("PUT", "/_sandbox/world", world(workspace.project(), sandbox.base, settings))
    publish(sandbox, workspace)


def publish(sandbox: Sandbox, workspace: Workspace) -> None:
    """Make every commit of the workspace known to the sandbox's GitHub. Safe to repeat."""
    for repository in workspace.repositories:
        commits = repository.commits()
        root = f"/_sandbox/github/{repository.name}"
        sandbox.request("PUT", f"{root}/commits", commits)
        for commit in commits:
            sha = commit["sha"]
            sandbox.request("PUT", f"{root}/tarballs/{sha}", content=repository.tarball(sha))


def world(
    project: Project, base: str, settings: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, Any]:
    """What `PUT /_sandbox/world` takes, for every target of a project.

    An app that is backed up has a database; the observatory's have the settings that they need.
    """
    repositories = {project.repository, *(app.repository for app in project.apps.values())} - {""}
    apps, sites = [], []
    for app in project.apps.values():
        for environment, target in app.targets.items():
            if target.platform == "heroku":
                config_vars = config_vars_of(project, app.name, environment, base)
                apps.append(
                    {
                        "name": target.name,
                        "database": app.backup or app.name in WITH_DATABASE,
                        "config_vars": {**config_vars, **(settings or {}).get(target.name, {})},
                        "formation": {kind: 1 for kind in target.processes if kind != "release"},
                    }
                )
            elif target.platform == "firebase":
                sites.append({"name": target.name, "project": project.name})
    return {
        "github": {"repositories": sorted(repositories)},
        "heroku": {"apps": apps},
        "firebase": {"sites": sites},
    }


def config_vars_of(project: Project, app: str, environment: str, base: str) -> dict[str, str]:
    """The settings that an app of the observatory has in an environment."""
    found = {"ENVIRONMENT": environment}
    for setting, neighbour in NEIGHBOURS.get(app, {}).items():
        if neighbour in project.apps:
            found[setting] = f"{base}/_apps/{project.apps[neighbour].targets[environment].name}"
    if environment == next(iter(project.environments)):
        found |= FIRST_ONLY.get(app, {})
    return found


def repeat_an_observation(sandbox: Sandbox, environment: str) -> None:
    """Add an observation whose title its program has already: `require_distinct_titles` fails on it."""
    odb = f"/_apps/lucuma-postgres-odb-{environment}/programs/G-2026B-0101-Q/observations"
    sessions = f"{sandbox.base}/_apps/lucuma-sso-{environment}/api/v1/sessions"
    token = sandbox.request("POST", sessions, {"user": "observer"})["token"]
    first = sandbox.request("GET", odb)[0]
    body = {name: first[name] for name in ("title", "instrument", "magnitude")}
    sandbox.request("POST", odb, body, token=token)
