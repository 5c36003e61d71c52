"""The project of one seed, as its configuration would read."""

from __future__ import annotations

from pathlib import Path

from liftlock.model import (
    App,
    Environment,
    Gates,
    ProcessSource,
    Project,
    RecordName,
    Target,
    Undo,
)
from tests.simulation import stacks
from tests.simulation.shape import Shape
from tests.simulation.world import ADDRESS, COMMAND, REPOSITORY, SITE, SITE_REPOSITORY

ENDPOINTS = ("github", "heroku", "heroku_data", "heroku_registry", "firebase")


def make_project(shape: Shape, folder: Path) -> Project:
    apps = {name: _container_app(name, shape) for name in shape.apps}
    if shape.site:
        apps[SITE] = _site(shape)
    if shape.command:
        apps[COMMAND] = _command(shape)
    environments = {}
    for number, name in enumerate(shape.environments):
        before = shape.environments[number - 1 : number] if number else ()
        gates = shape.gates if name == shape.environments[-1] else Gates()
        environments[name] = Environment(name, tuple(before), gates=gates)
    return Project(
        name="observatory",
        repository=REPOSITORY,
        ledger="github" if shape.ledger == "github" else "sqlite:///liftlock.db",
        settle_s=shape.settle_s,
        environments=environments,
        apps=apps,
        endpoints=dict.fromkeys(ENDPOINTS, ADDRESS),
        notify={"slack": {"webhook": "env:SLACK_WEBHOOK_URL"}},
        single_machine=True,
        root=str(folder),
    )


def _container_app(name: str, shape: Shape) -> App:
    types = ["web", "worker", "release"] if name == "ODB" else ["web"]
    health = "/health" if name in {"ODB", "SSO"} else ""
    processes = {each: ProcessSource(image="example/service") for each in types}
    platform = "swarm" if name in shape.stacks.apps else "heroku"
    on_swarm = platform == "swarm"
    backup = name in {"ODB", "SSO"} or (name == "RES" and shape.shares)
    databases = "postgres" if on_swarm and backup else ""
    targets = {
        e: Target(
            name,
            e,
            platform,
            stacks.stack(name, e),
            REPOSITORY,
            tuple(types),
            "" if on_swarm else health,
            options={"docker": stacks.DOCKER, "compose": "", "services": {}} if on_swarm else {},
            backup={"url": f"env:{name}_{e.upper()}_URL", "folder": f"backups/{stacks.stack(name, e)}"}
            if databases
            else {},
            registry=f"{stacks.HOST}/{shape.stacks.registry(e)}" if on_swarm else "",
        )
        for e in shape.environments
    }
    after = tuple(other for other in shape.apps if other in {"SSO", "RES"} and name == "ODB")
    undo = Undo.NEVER if name == "ODB" and shape.undo_never else Undo.SAFE
    return App(
        name,
        platform,
        REPOSITORY,
        targets,
        _records(name, shape),
        after=after,
        backup=backup,
        undo=undo,
        databases=databases,
        processes=processes,
    )


def _site(shape: Shape) -> App:
    targets = {e: Target(SITE, e, "firebase", f"explore-{e}") for e in shape.environments}
    return App(SITE, "firebase", SITE_REPOSITORY, targets, _records(SITE, shape), after=("ODB",))


def _command(shape: Shape) -> App:
    undo = {} if shape.undo_never else {"undo": ("prefs", "undo")}
    options = {"status": ("prefs", "status"), "apply": ("prefs", "apply"), **undo}
    targets = {
        e: Target(COMMAND, e, "command", COMMAND, REPOSITORY, options=options) for e in shape.environments
    }
    return App(
        COMMAND,
        "command",
        REPOSITORY,
        targets,
        _records(COMMAND, shape),
        after=("ODB",) if shape.site else (),
        undo=Undo.SAFE if undo else Undo.NEVER,
    )


def _records(name: str, shape: Shape) -> dict[str, RecordName]:
    return {e: RecordName(REPOSITORY, f"deploy:{name}", e) for e in shape.environments}
