"""P2 and P5, judged: which backups there are before a switch and before a restore, and that none is taken twice."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from liftlock.sandbox.clock import from_iso
from liftlock.sandbox.heroku_data import transfers_of
from tests.simulation.actors import Actor
from tests.simulation.changes import place
from tests.simulation.dumps import Dumps
from tests.simulation.seen import Change, Promotion, Seen
from tests.simulation.truth import GitHubBooks, seconds


@dataclass
class Backups:
    """The backups of one story."""

    _seen: Seen
    dumps: Dumps
    """Of the apps on a swarm; the others' databases are Heroku's."""
    _capturing: dict[tuple[str, int], tuple[tuple[str, int], float]] = field(default_factory=dict)
    """By Heroku app and number, who asked for a backup, and when."""

    def judge_switch(self, promotion: Promotion, change: Change) -> None:
        first = promotion.first_change if promotion.first_change is not None else change.at
        owed = [n for n, app in self._seen.world.project.apps.items() if app.backup and n in promotion.new]
        for name in owed:
            differs = promotion.before.get(name) != promotion.new.get(name)
            if name != change.app and not differs:
                continue
            if not self._is_backed_up(name, change.environment, promotion.began, first):
                self._seen.break_(
                    "P2",
                    f"{change.app} in {change.environment} is released at {change.at:.1f} s, and {name} has no complete"
                    f" backup from after {promotion.began:.1f} s",
                )

    def _is_backed_up(self, name: str, environment: str, since: float, until: float) -> bool:
        """Whether there is a backup that began and was complete between the two."""
        world = self._seen.world
        if world.on_swarm(name):
            kept = self.dumps.kept(name, environment)
            return any(dump.began >= since and dump.ended <= until for dump, _ in kept)
        return any(
            one["succeeded"]
            and seconds(from_iso(one["started_at"])) >= int(since)
            and seconds(from_iso(one["finished_at"])) <= until + 1
            for one in transfers_of(world.cloud, world.database_of(name, environment))
        )

    def judge_capture(self, actor: Actor, addon: str) -> None:
        """P5: no second backup of a database for one promotion."""
        if ("", addon) in self._seen.late:
            return
        for app in self._seen.world.cloud.store.table("heroku.apps").values():
            if app["database"] and addon in (app["database"]["id"], app["database"]["name"]):
                break
        else:
            return
        name, environment = place(app["name"])
        promotion = self._seen.open_promotion(environment)
        own = actor.name, self._seen.runs[actor.name]
        if promotion is None and any(one.command == own for one in self._seen.promotions.values()):
            return  # the code is back: what stands is backed up before it is restored
        # GitHub's times are whole seconds as Heroku's are; a file's are not, and within a second nobody can tell.
        opened = promotion.opened if promotion else 0.0
        since = int(opened) if isinstance(self._seen.books, GitHubBooks) else opened
        for one in transfers_of(self._seen.world.cloud, app):
            if one["to_type"] != "gof3r":
                continue  # a restore
            started = seconds(from_iso(one["started_at"]))
            waste = one["succeeded"] or one["finished_at"] is None
            by, at = self._capturing.get((app["name"], one["num"]), (("", 0), -1.0))
            ours = by == own or (promotion is not None and by == promotion.command and int(at) >= since)
            if waste and ours and started + 3 < trio.current_time():
                self._seen.break_(
                    "P5",
                    f"{actor.name} takes a second backup of {name} in {environment}: b{one['num']:03} of"
                    f" {started:.0f} s is of the same promotion",
                )
                break
        number = self._seen.world.cloud.store._counters.get(f"transfers/{app['name']}", 0) + 1
        self._capturing[app["name"], number] = own, trio.current_time()

    def restored(self, actor: Actor, addon: str) -> Change:
        """What a restore changes, as it is asked for."""
        app = next(
            app
            for app in self._seen.world.cloud.store.table("heroku.apps").values()
            if app["database"] and addon in (app["database"]["id"], app["database"]["name"])
        )
        return Change(actor.name, *place(app["name"]), {}, trio.current_time())

    def judge_restore(self, actor: Actor, change: Change) -> None:
        """P2, P5: a restore has a fresh backup, nobody at work on it, and is asked for once."""
        name, environment = change.app, change.environment
        app = self._seen.world.heroku_app(name, environment)
        self._seen.counts["restores"] += 1
        since = int(self._seen.changed_at(actor.name))
        late = [
            t
            for t in transfers_of(self._seen.world.cloud, app)
            if seconds(from_iso(t["started_at"])) >= since
        ]
        if not any(t["to_type"] == "gof3r" and t["succeeded"] for t in late):
            self._seen.break_("P2", f"{name} in {environment} is restored, and what stood is not backed up")
        if any(t["to_type"] != "gof3r" and t["finished_at"] is None for t in late):
            self._seen.break_("P5", f"{name} in {environment} is restored while it is being restored")
        if not app["maintenance"]:
            self._seen.break_("P2", f"{name} in {environment} is restored while its users are at work")
