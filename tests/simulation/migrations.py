"""Changes of services on a swarm, judged: what the engine is asked for, and after which migration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import trio

from liftlock.platforms.swarm.marks import JOB
from liftlock.sandbox.swarm_tasks import is_live, tasks_of
from liftlock.sandbox.swarm_updates import services
from tests.simulation.seen import Change, Promotion, Seen
from tests.simulation.stacks import (
    PHASE,
    STUCK,
    definitions,
    image_of,
    jobs_of,
    services_of,
    several,
    specified,
    teams_own,
)
from tests.simulation.world import World

_SERVICE = re.compile(r"^/_docker/main/v[\d.]+/services/([^/]+?)(/update)?$")


@dataclass
class StackChange(Change):
    """One service that is changed, or a migration that is started."""

    part: str = ""
    verb: str = ""
    """`update`, `migrate` or `tidy`: the removal of a migration that has ended."""
    image: str = ""
    again: bool = False
    """Whether the service has that image already, and nothing stands in its way."""
    rewritten: bool = False
    """Whether more of the team's definition would change than may."""
    leaves: bool = False
    """Whether a migration is taken away that still runs."""


def stack_change(world: World, actor: str, method: str, path: str, query: str, body: bytes) -> Change | None:
    """What a request to an engine would change; None for one that changes nothing that runs."""
    asked = _SERVICE.match(path)
    if not asked:
        return None
    cloud, now = world.cloud, trio.current_time()
    if asked[1] == "create":
        spec = json.loads(body)
        template = (spec.get("Labels") or {}).get(JOB, "")
        app, environment = _place(template)
        parts = specified(cloud, app, environment)
        return StackChange(
            actor, app, environment, parts, now, part=PHASE, verb="migrate", image=image_of(cloud, spec)
        )
    found = next((s for s in services(cloud).values() if asked[1] in {s["id"], s["spec"]["Name"]}), None)
    if found is None:
        return None
    labels = found["spec"].get("Labels") or {}
    app, environment = _place(labels.get(JOB) or found["spec"]["Name"])
    change = StackChange(actor, app, environment, specified(cloud, app, environment), now)
    if method == "DELETE":
        change.verb = "tidy" if JOB in labels else "remove"
        change.leaves = any(is_live(task) for task in tasks_of(cloud, found))
        return change
    rolls_back = "rollback" in parse_qs(query)
    spec = (found["previous"] if rolls_back else json.loads(body)) or found["spec"]
    change.verb, change.part = "update", found["spec"]["Name"].rpartition("_")[2]
    change.image = image_of(cloud, spec)
    change.parts = {**change.parts, change.part: change.image}
    stuck = (found["update"] or {}).get("State", "") in STUCK
    change.again = change.image == image_of(cloud, found["spec"]) and not stuck
    allowed = [teams_own(found["spec"]), *([teams_own(found["previous"])] if found["previous"] else [])]
    change.rewritten = teams_own(spec) not in allowed
    return change


def _place(service: str) -> tuple[str, str]:
    """The app and the environment of a service, by its name."""
    name, _, environment = service.rpartition("_")[0].rpartition("-")
    return name.upper(), environment


@dataclass
class Migrations:
    """The services of one story, and the migrations that were run before they changed."""

    _seen: Seen
    crashed: dict[tuple[str, str], float] = field(default_factory=dict)
    """By environment and app, when a task crashed last."""
    _done: set[tuple[str, str]] = field(default_factory=set)
    """By promotion and app: its migration succeeded, and none of its services has failed since."""

    def judge(self, promotion: Promotion, change: StackChange) -> bool:
        """Judge what a promotion changes; whether it goes forward."""
        where = f"{change.part} of {change.app} in {change.environment}"
        if change.verb == "tidy":
            if change.leaves:
                self._seen.break_("P5", f"a migration of {change.app} is taken away while it runs")
            return False
        before, new = promotion.before.get(change.app, {}), promotion.new.get(change.app, {})
        is_migration = change.verb == "migrate"
        # What ran may be one of several images, where an update stood still in the middle.
        allowed = {new.get(change.part), *(() if is_migration else several(before.get(change.part, "")))}
        if self._seen.by_hand(change.environment, change.app, promotion.began):
            return False
        if change.image not in allowed:
            self._seen.break_("P6", f"{where} is given {change.image}, neither what ran nor what is promoted")
        if change.rewritten:
            self._seen.break_("P4", f"{where} is given another definition than its team's")
        forward = is_migration or (change.image == new.get(change.part) != before.get(change.part))
        if change.again and change.verb == "update":
            self._seen.break_("P5", f"{where} is given the image that it has by {change.actor}")
        if is_migration:
            self._judge_again(promotion, change)
        elif forward and PHASE in new and not self._has_migrated(change, new[PHASE]):
            self._seen.break_("P4", f"{where} is changed, and its migration has not succeeded")
        return forward

    def _judge_again(self, promotion: Promotion, change: StackChange) -> None:
        """P5: a migration that succeeded is run again only where what it was for failed."""
        key = promotion.key, change.app
        for each in jobs_of(self._seen.world.cloud, change.app, change.environment):
            if any(t["state"] == "complete" for t in tasks_of(self._seen.world.cloud, each)):
                self._done.add(key)
        failed = self._any_failed(change.app, change.environment)
        if key in self._done and not failed:
            self._seen.break_(
                "P5", f"the migration of {change.app} in {change.environment} is run twice by {change.actor}"
            )

    def _any_failed(self, app: str, environment: str) -> bool:
        cloud = self._seen.world.cloud
        return any(
            (each["update"] or {}).get("State", "") in STUCK
            or any(task["state"] in {"failed", "rejected"} for task in tasks_of(cloud, each))
            for each in services_of(cloud, app, environment).values()
        )

    def _has_migrated(self, change: StackChange, image: str) -> bool:
        cloud = self._seen.world.cloud
        return any(
            image_of(cloud, job["spec"]) == image
            and any(task["state"] == "complete" for task in tasks_of(cloud, job))
            for job in jobs_of(cloud, change.app, change.environment)
        )

    def now(self, environment: str) -> Mapping[str, Any]:
        """By app, what its team says of its services."""
        world = self._seen.world
        return {app: definitions(world.cloud, app, environment) for app in world.shape.stacks.apps}

    def judge_definitions(self, environment: str, promotion: Promotion) -> None:
        """P4: whatever became of a promotion, variables, secrets and all else are the team's as before."""
        now = self.now(environment)
        for app, definition in promotion.definitions.items():
            if not self._seen.by_hand(environment, app, promotion.began) and now[app] != definition:
                self._seen.break_(
                    "P4", f"the services of {app} in {environment} are not as their team defined them"
                )
