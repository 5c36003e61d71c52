"""Which requests change what runs, and what they ask for."""

from __future__ import annotations

import json
import re

import trio

from tests.simulation.actors import Actor
from tests.simulation.migrations import stack_change
from tests.simulation.seen import Change
from tests.simulation.world import SITE, World

_FORMATION = re.compile(r"^/apps/([a-z0-9-]+)/formation(?:/(\w+))?$")
_ROLL_BACK = re.compile(r"^/apps/([a-z0-9-]+)/releases$")
_SITE = re.compile(r"^/v1beta1/sites/([a-z0-9-]+)/(?:channels/live/)?releases$")


def change_of(world: World, actor: Actor, method: str, path: str, body: bytes) -> Change | None:
    """What a request would change; None for one that changes nothing that runs."""
    path, _, query = path.partition("?")
    formation = _FORMATION.match(path)
    now = trio.current_time()
    if formation and method == "PATCH":
        document = json.loads(body)
        app, environment = place(formation[1])
        updates = [{"type": formation[2], **document}] if formation[2] else document.get("updates", [])
        parts = dict(world.running(app, environment))
        images = [one for one in updates if "docker_image" in one]
        for one in images:
            if one["docker_image"] is None:
                parts.pop(one["type"], None)
            else:
                parts[one["type"]] = one["docker_image"]
        if not images and actor.name != "operator":
            return None
        return Change(actor.name, app, environment, parts, now)
    rolled = _ROLL_BACK.match(path)
    if rolled and method == "POST":
        return Change(actor.name, *place(rolled[1]), {}, now)
    site = _SITE.match(path)
    if site and method == "POST":
        environment = site[1].removeprefix("explore-")
        version = re.search(r"versionName=([^&]+)", query)
        name = version[1].replace("%2F", "/") if version else ""
        parts = {"site": world.content(name)} if name else {}
        return Change(actor.name, SITE, environment, parts, now)
    return stack_change(world, actor.name, method, path, query, body)


def place(heroku_app: str) -> tuple[str, str]:
    """The app and the environment that a Heroku app is."""
    name, _, environment = heroku_app.rpartition("-")
    return name.upper(), environment
