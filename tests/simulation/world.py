"""The world of one seed: a small project, the modelled cloud that it lives in, and what ran there before.

Everything is put straight into the sandbox's state, as if it had been so for weeks; nothing here
asks liftlock.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from liftlock import sqlite_file
from liftlock.ledgers.payload import record_payload
from liftlock.model import (
    CommitId,
    ImageId,
    Kind,
    Project,
    Release,
    SiteVersion,
)
from liftlock.ports import NewDeployment
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.firebase_store import Hosting
from liftlock.sandbox.github_repository import Repository, find
from liftlock.sandbox.heroku_apps import apps as heroku_apps
from liftlock.sandbox.heroku_apps import begin_release, payer
from liftlock.sandbox.images import make_image
from liftlock.sandbox.store import Document
from tests.simulation import stacks
from tests.simulation.shape import Shape

ADDRESS = "http://sandbox.localhost"
REPOSITORY = "example/services"
WEBHOOK_SECRET = "hook-3xcrt9q"
DATABASE_PASSWORD = "d4ta-8qzkw1v"
SITE = "Explore"
SITE_REPOSITORY = "example/explore"
COMMAND = "Prefs"
BAD = ("crash", "release-fails", "unhealthy")


@dataclass
class World:
    """The project, its cloud, and which images and site contents each version of each app is made of."""

    cloud: Cloud
    project: Project
    shape: Shape
    images: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    """By app and version, the image ids by process type."""
    behaviours: dict[str, str] = field(default_factory=dict)
    """By image id, how it misbehaves."""
    levels: dict[str, int] = field(default_factory=dict)
    """By environment, up to which version the command app's migrations are applied."""
    levels_before: dict[tuple[str, int], int] = field(default_factory=dict)
    """By environment and version, what they were applied to before it."""
    apply_s: float = 0.0

    @property
    def repository(self) -> Repository:
        return find(self.cloud, *REPOSITORY.split("/"))

    def heroku_app(self, app: str, environment: str) -> Document:
        found = heroku_apps(self.cloud).get(f"{app.lower()}-{environment}")
        assert found is not None
        return found

    def database_of(self, app: str, environment: str) -> Document:
        """The Heroku app whose database an app has: its own, or the one that it shares."""
        found = self.heroku_app(app, environment)
        return payer(self.cloud, found)

    def running(self, app: str, environment: str) -> Mapping[str, str]:
        """What runs: image ids by process type, or the site's content."""
        if app == COMMAND:
            return {"commit": commit_of(self.levels[environment])}
        if app == SITE:
            live = Hosting(self.cloud).live(f"explore-{environment}")
            return {"site": self.content(live["name"])} if live else {}
        if self.on_swarm(app):
            return stacks.running(self.cloud, app, environment)
        entries = self.heroku_app(app, environment)["formation"].items()
        return {type_: entry["image"] for type_, entry in entries if entry["image"]}

    def on_swarm(self, app: str) -> bool:
        return app in self.shape.stacks.apps

    def dumps(self, app: str, environment: str) -> Path:
        """Where the backups of a plain PostgreSQL database are."""
        return Path(self.project.root) / self.project.apps[app].targets[environment].backup["folder"]

    def database_urls(self) -> dict[str, str]:
        """By environment variable, the addresses of the plain PostgreSQL databases."""
        return {
            target.backup["url"].removeprefix(
                "env:"
            ): f"postgresql://owner:{DATABASE_PASSWORD}@db.invalid/{target.name}"
            for app in self.project.apps.values()
            for target in app.targets.values()
            if target.backup
        }

    def content(self, version: str) -> str:
        """What a version of the site holds: its files' hashes, as a text."""
        return repr(sorted((Hosting(self.cloud).files.get(version) or {}).items()))


def commit_of(version: int) -> str:
    return f"{version}" * 40


def version_of(commit: str) -> int:
    return int(commit[0])


def put_site(folder: Path, version: int) -> Path:
    """A checkout of the site's repository at a version."""
    public = folder / f"explore-{version}" / "public"
    public.mkdir(parents=True, exist_ok=True)
    (public / "index.html").write_text(f"version {version}")
    (public.parent / "firebase.json").write_text('{"hosting": {"public": "public"}}')
    return public.parent


async def furnish(cloud: Cloud, project: Project, shape: Shape, dice: random.Random) -> World:
    """The state that every story begins with: version 1 above, version 2 in dev, version 3 pushed."""
    world = World(cloud, project, shape)
    await cloud.vendors["github"].create(cloud, {"repositories": [REPOSITORY, SITE_REPOSITORY]})
    person = {"name": "Ana", "email": "ana@example.invalid", "date": "2025-12-01T00:00:00Z"}
    for version in (1, 2, 3):
        commit = commit_of(version)
        parents = [commit_of(version - 1)] if version > 1 else []
        world.repository.put_commit(commit, f"Version {version}", "", parents, person, person)
        world.repository.refs.put("refs/heads/main", {"sha": commit})
    databases = [n for n, app in project.apps.items() if app.backup]
    wishes = [
        {
            "name": f"{app.lower()}-{e}",
            "database": f"odb-{e}" if app == "RES" and shape.shares else app in databases,
            "formation": _quantities(app, dice),
        }
        for app in sorted(set(shape.apps) - set(shape.stacks.apps))  # ODB's before those that share it
        for e in shape.environments
    ]
    await cloud.vendors["heroku"].create(cloud, {"apps": wishes})
    sites = [{"name": f"explore-{e}", "project": "observatory"} for e in shape.environments]
    await cloud.vendors["firebase"].create(cloud, {"sites": sites})
    for app in shape.apps:
        for version in (1, 2, 3):
            _build(world, app, version, dice)
    for environment in shape.environments:
        for app in project.apps:
            await _install(world, app, environment, 2 if environment == "dev" else 1, dice)
    return world


def _quantities(app: str, dice: random.Random) -> dict[str, int]:
    if app != "ODB":
        return {"web": dice.choice([1, 1, 2])}
    return {"web": 1, "worker": dice.choice([0, 1, 1, 2])}


def _build(world: World, app: str, version: int, dice: random.Random) -> None:
    """Push one version everywhere; sometimes not to an upper environment, sometimes overwritten there later."""
    types = world.project.apps[app].processes
    images = world.images[app, version] = {}
    for type_ in types:
        behaviour = dice.choice(BAD) if version > 1 and dice.random() < 0.06 else ""
        if behaviour == "release-fails" and type_ != "release":
            behaviour = ""
        if behaviour in {"crash", "unhealthy"} and type_ == "release":
            behaviour = ""
        same = version > 1 and type_ == "worker" and dice.random() < 0.3  # this process type did not change
        seed = f"{app}-{type_}-{1 if same else version}"
        labels = {"io.liftlock.sandbox": behaviour} if behaviour and not same else {}
        absent = version == 2 and dice.random() < 0.1
        for environment in world.shape.environments:
            place = _repository(world, app, environment, type_)
            tags = [commit_of(version)] + (["latest"] if environment == "dev" and version == 2 else [])
            if environment == "dev" or not absent:
                images[type_] = make_image(world.cloud, place, tags, labels=labels, seed=seed)[0]
                if world.on_swarm(app):
                    stacks.tag_by_id(world.cloud, place, images[type_], labels, seed)
        if labels:
            world.behaviours[images[type_]] = behaviour
        if version == 2 and dice.random() < 0.15:  # somebody built the same commit again, and pushed it there
            place = _repository(world, app, "staging", type_)
            make_image(world.cloud, place, [commit_of(version)], seed=f"{seed}-rebuilt")


def _repository(world: World, app: str, environment: str, process_type: str) -> str:
    """Where an environment runs a process type's image from."""
    if world.on_swarm(app):
        return f"{world.shape.stacks.registry(environment)}/{app.lower()}/{process_type}"
    return f"{app.lower()}-{environment}/{process_type}"


async def _install(world: World, app: str, environment: str, version: int, dice: random.Random) -> None:
    """Let a version run and be recorded, without a promotion of ours."""
    commit, cloud = commit_of(version), world.cloud
    artifacts: dict[str, SiteVersion | ImageId | CommitId]
    if app == COMMAND:
        world.levels[environment] = version
        by_tool = dice.random() < 0.5
        artifacts = {} if by_tool else {"commit": CommitId(commit)}
    elif app == SITE:
        name = serve(world, environment, version)
        by_tool = dice.random() < 0.5
        artifacts = {} if by_tool else {"site": SiteVersion(name)}
    else:
        images = world.images[app, version]
        if world.on_swarm(app):
            await stacks.deploy(cloud, world.shape.stacks, app, environment, images, dice)
        else:
            found = world.heroku_app(app, environment)
            described = ", ".join(f"{type_} ({image[7:19]})" for type_, image in images.items())
            begin_release(cloud, found, "owner", f"Deployed {described}", dict(images), found["config_vars"])
        artifacts = {t: ImageId(i) for t, i in images.items()}
        by_tool = True
    payload = record_payload(
        NewDeployment(app, environment, Release(app, commit, artifacts), promotion="", kind=Kind.DEPLOY)
    )
    if by_tool:
        payload.pop("liftlock")
    if world.shape.ledger == "sqlite":
        _put_row(world, app, environment, commit, payload)
    else:
        put_record(world, app, environment, commit, payload)


def serve(world: World, environment: str, version: int) -> str:
    """Let the site serve a version, and give its name."""
    hosting, site = Hosting(world.cloud), f"explore-{environment}"
    row = hosting.create_version(site, "owner@users.invalid", "CREATED")
    name: str = row["name"]
    digest = world.cloud.store.blobs.put(f"version {version}".encode())
    hosting.files.put(name, {"/index.html": digest})
    hosting.finalize(row, "owner@users.invalid")
    hosting.release(site, "live", name, {}, "owner@users.invalid")
    return name


def put_record(world: World, app: str, environment: str, commit: str, payload: Document) -> None:
    """A record of long ago, made by the workflow that deployed."""
    number = world.cloud.store.next("github.deployment")
    when = "2025-12-20T00:00:00Z"
    world.repository.deployments.put(
        str(number),
        {
            "id": number,
            "sha": commit,
            "ref": commit,
            "task": f"deploy:{app}",
            "environment": environment,
            "payload": payload,
            "description": "",
            "transient_environment": False,
            "production_environment": False,
            "creator": "owner",
            "created_at": when,
            "updated_at": when,
            "listed_at": "2025-12-20T00:00:00.000000Z",
        },
    )


def _put_row(world: World, app: str, environment: str, commit: str, payload: Document) -> None:
    db = sqlite_file._open(Path(world.project.root) / "liftlock.db")
    sql = (
        "INSERT INTO deployments (project, app, environment, sha, payload, promotion, creator, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    )
    history, when = f"history of {environment}", "2025-12-20T00:00:00+00:00"
    name = world.project.name
    db.execute(sql, (name, app, environment, commit, json.dumps(payload), history, "owner", when))
    db.close()
