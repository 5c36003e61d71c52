"""The promises P1 to P7, judged from the cloud's own state after every request, never from what liftlock says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from liftlock.sandbox.heroku_apps import release_of
from liftlock.sandbox.swarm_updates import replicas
from tests.simulation.actors import Actor
from tests.simulation.backups import Backups
from tests.simulation.changes import change_of
from tests.simulation.conditions import lacking_gates
from tests.simulation.dumps import Dumps
from tests.simulation.leases import Leases
from tests.simulation.migrations import Migrations, StackChange
from tests.simulation.seen import Change, Promotion, Seen
from tests.simulation.stacks import services_of, shortfall
from tests.simulation.truth import GitHubBooks, Record, Written
from tests.simulation.world import COMMAND, DATABASE_PASSWORD, SITE, WEBHOOK_SECRET, commit_of

_CAPTURE = re.compile(r"^/client/v11/databases/([^/]+)/backups$")
_RESTORE = re.compile(r"^/client/v11/databases/([^/]+)/restores$")
_DEPLOYMENTS = re.compile(r"^/repos/[^/]+/[^/]+/deployments$")
_REFS = re.compile(r"^/repos/[^/]+/[^/]+/git/refs$")


@dataclass
class Promises(Seen):
    """The judge of one story. P3's part is in `leases`, and P2's in `backups`."""

    secrets: set[str] = field(default_factory=lambda: {WEBHOOK_SECRET, DATABASE_PASSWORD})
    _records: dict[int, Record] = field(default_factory=dict)
    _changed: trio.Event = field(default_factory=trio.Event)
    _newest: Change | None = None
    _applying: dict[str, str] = field(default_factory=dict)
    """By environment, who runs the command app's programs, or how they ended."""
    _was_live: list[tuple[str, float, Mapping[str, str]]] = field(default_factory=list)
    """What was live of a site, where, and until when."""

    def __post_init__(self) -> None:
        self._records = {record.id: record for record in self.books.records()}
        self.initial = set(self._records)
        self._leases = Leases(self)
        self.dumps = Dumps(self)
        self._backups = Backups(self, self.dumps)
        self.migrations = Migrations(self)

    # Around each request that reaches the cloud.

    def before(
        self, actor: Actor, method: str, path: str, body: bytes, begun: float, *, late: bool = False
    ) -> Change | None:
        """Judge a request that is about to be applied; one that is `late` nobody can answer for any more."""
        self._leak("a request", path.encode() + body, actor)
        if method == "GET":
            return None
        change = change_of(self.world, actor, method, path, body)
        if change is not None and change.app == SITE:
            was = change.environment, trio.current_time(), self.world.running(SITE, change.environment)
            self._was_live.append(was)
        if late:
            self._note_late(method, path, body, change)
            return None
        if change is not None and actor.name != "operator":
            self._leases.judge(actor, change, begun)
        capture, restore = _CAPTURE.match(path), _RESTORE.match(path)
        if capture and method == "POST":
            self._backups.judge_capture(actor, capture[1])
        if restore and method == "POST":
            restored = self._backups.restored(actor, restore[1])
            self._leases.judge(actor, restored, begun)
            self._backups.judge_restore(actor, restored)
        return change

    def _note_late(self, method: str, path: str, body: bytes, change: Change | None) -> None:
        """docs/explanation/limits.md: vendors obey it all the same. It is as if somebody had done it by hand."""
        self.counts["applied after its sender had given up"] += 1
        now = trio.current_time()
        if change is not None:
            self.touched[change.environment, change.app] = now
        elif method == "POST" and _DEPLOYMENTS.match(path):
            document = json.loads(body)
            self.late.add((document["environment"], document["task"]))
        elif capture := _CAPTURE.match(path) or _RESTORE.match(path):
            self.late.add(("", capture[1]))

    def after(
        self, actor: Actor, method: str, path: str, status: int, body: bytes, change: Change | None
    ) -> None:
        """Note what a request that was applied has done."""
        if method == "GET" or not 200 <= status < 300:
            return
        if change is not None:
            self._note_change(actor, change)
        if method == "POST":
            if _REFS.match(path) and isinstance(self.books, GitHubBooks):
                self._leases.note_taken(actor, json.loads(body)["ref"])
            elif _DEPLOYMENTS.match(path):
                self.look_at_ledger(actor)
        elif "/git/refs/" in path:
            self._leases.note()

    def look_at_ledger(self, actor: Actor) -> None:
        """Judge what is new in the ledger."""
        self._leases.note()
        for environment in self.world.shape.environments:
            for written in self.books.intents(environment):
                if written.key not in self.promotions:
                    self._note_intent(actor, written)
                    actor.has_made()
        for record in self.books.records():
            if record.id not in self._records:
                self._records[record.id] = record
                actor.has_made()
                if actor.name != "operator":
                    self._judge_record(actor, record)

    # P2, P5, P6: what is switched.

    async def next_change(self) -> Change:
        """The next one that anybody makes."""
        await self._changed.wait()
        assert self._newest is not None
        return self._newest

    def _note_change(self, actor: Actor, change: Change) -> None:
        environment = change.environment
        self._newest = change
        self._changed.set()
        self._changed = trio.Event()
        if actor.name == "operator":
            self.touched[environment, change.app] = change.at
            return
        if isinstance(change, StackChange) and change.verb == "tidy" and not change.leaves:
            return
        promotion = self.open_promotion(environment)
        if promotion is None:
            self.break_("P3", f"{actor.name} changes {change.app} in {environment}, and no intent is written")
            return
        change.promotion, change.command = promotion.key, self.runs[actor.name]
        if promotion.first_change is None:
            promotion.first_change = change.at
        if isinstance(change, StackChange):
            if self.migrations.judge(promotion, change):
                self._backups.judge_switch(promotion, change)
            promotion.changes.append(change)
            return
        self._judge_bytes(promotion, change)
        # Where Heroku names no images, an undo puts back what it cannot see to stand: the same, perhaps.
        is_undo = actor.name in self.undoing and change.parts == promotion.before.get(change.app)
        forward = change.parts == promotion.new.get(change.app) and not is_undo
        if forward:
            self._backups.judge_switch(promotion, change)
        if forward and not self.by_hand(environment, change.app, promotion.opened):
            last = [c for c in promotion.changes if c.app == change.app][-1:]
            again = bool(last) and last[0].parts == change.parts and not self._last_failed(change)
            if again and not self.world.cloud.settings.formation_images and change.app != SITE:
                # Heroku named no image, and its release spoke only of those that changed: nobody could tell.
                self.counts["updates sent again, since Heroku named no images"] += 1
            elif again:
                self.break_(
                    "P5",
                    f"{change.app} in {environment} is released twice with the same images by {actor.name}",
                )
        promotion.changes.append(change)

    def hear_command(self, actor: Actor, app: str, environment: str, level: int) -> Callable[[bool], None]:
        """Judge a command that begins to change an environment; gives what hears how it ended."""
        now = trio.current_time()
        change = Change(actor.name, app, environment, {"commit": commit_of(level)}, now)
        if self.tell:
            self.tell(f"{actor.name} takes {app} in {environment} to {level}")
        self._leases.judge(actor, change, now)
        if self._applying.get(environment) == actor.name:
            self.break_("P5", f"{app} in {environment} is changed twice at once by {actor.name}")
        self._note_change(actor, change)
        self._applying[environment] = actor.name

        def ended(well: bool) -> None:
            self._applying[environment] = "done" if well else "failed"

        return ended

    def hear_restore(self, actor: Actor, app: str, environment: str) -> None:
        """Judge a database that is about to be restored from a dump."""
        restored = self.dumps.judge_restore(actor, app, environment)
        self._leases.judge(actor, restored, restored.at)

    def _last_failed(self, change: Change) -> bool:
        """Whether the release before this one failed: then it has to be made again."""
        if change.app == SITE:
            return False
        if change.app == COMMAND:
            return self._applying.get(change.environment, "") != "done"
        app = self.world.heroku_app(change.app, change.environment)
        return any(
            release_of(self.world.cloud, app, version)["status"] == "failed"
            for version in range(max(1, app["last"] - 1), app["last"] + 1)
        )

    def _judge_bytes(self, promotion: Promotion, change: Change) -> None:
        if not change.parts:
            return  # taken away
        allowed = [promotion.before.get(change.app, {}), promotion.new.get(change.app, {})]
        partial = change.parts.items() <= {**allowed[0], **allowed[1]}.items()
        if (
            change.parts not in allowed
            and not partial
            and not self.by_hand(change.environment, change.app, promotion.began)
        ):
            self.break_(
                "P6",
                f"{change.app} in {change.environment} is given {_short(change.parts)}, neither what ran"
                f" ({_short(allowed[0])}) nor what is promoted ({_short(allowed[1])})",
            )

    # P1: a record tells the truth.

    def _judge_record(self, actor: Actor, record: Record) -> None:
        app, environment = record.app, record.environment
        promotion = self.by_id(environment, record.promotion)
        if record.promotion and promotion is None:
            self.break_("P1", f"the record {record.id} of {app} belongs to no promotion")
            return
        if self.by_hand(environment, app, promotion.began if promotion else 0.0):
            return
        parts = self.in_content(record.parts)
        running = self.world.running(app, environment)
        if not self.same(app, running, parts):
            self.break_(
                "P1",
                f"{app} in {environment} is recorded with {_short(parts)} (record {record.id}), and"
                f" {_short(running)} runs",
            )
        ill = self.world.behaviours.get(parts.get("web", "")) == "unhealthy"
        if ill and not self._is_served(app, environment):
            self.counts["unhealthy, and scaled to nothing"] += 1
        elif ill and self.world.project.apps[app].targets[environment].health:
            self.break_("P1", f"{app} in {environment} is recorded with a web that answers 500")
        self._judge_dynos(app, environment, record)

    def _is_served(self, app: str, environment: str) -> bool:
        """Whether its web is scaled to any dyno: else nobody can ask how it is."""
        if self.world.on_swarm(app):
            return bool(replicas(services_of(self.world.cloud, app, environment)["web"]))
        return bool(self.world.heroku_app(app, environment)["formation"]["web"]["quantity"])

    def _judge_dynos(self, app: str, environment: str, record: Record) -> None:
        if app in {SITE, COMMAND}:
            return
        if self.world.on_swarm(app):
            self._judge_tasks(app, environment, record)
            return
        found = self.world.heroku_app(app, environment)
        dynos = [d for d in self.world.cloud.backing.dynos(found["name"]) if d.job.type != "release"]
        due = sum(e["quantity"] for t, e in found["formation"].items() if t != "release")
        up = [d for d in dynos if d.state == "up"]
        if len(up) < due:
            self.break_(
                "P1",
                f"{app} in {environment} is recorded (record {record.id}) with {len(up)} of {due} dynos up",
            )

    def _judge_tasks(self, app: str, environment: str, record: Record) -> None:
        promotion = self.by_id(environment, record.promotion)
        crashed = self.migrations.crashed.get((environment, app), -1.0)
        lacking = shortfall(self.world.cloud, app, environment)
        if lacking and promotion is not None and crashed < promotion.began:
            self.break_("P1", f"{app} in {environment} is recorded (record {record.id}), and {lacking}")

    # P4, P5: how things end.

    def _note_intent(self, actor: Actor, written: Written) -> None:
        environment = written.environment
        others = [w for w in self.books.intents(environment) if w.is_open and w.key != written.key]
        if others and actor.name != "operator":
            # Its lease was broken while it planned: it learns so before its first change, which is what counts.
            self.counts["intents written beside another"] += 1
        before = {app: dict(self.world.running(app, environment)) for app in self.world.project.apps}
        new = {app: self.in_content(parts) for app, parts in written.releases.items()}
        began = self.commands.get(actor.name, 0.0)
        promotion = Promotion(
            written.key, began, trio.current_time(), before, new, (actor.name, self.runs[actor.name])
        )
        promotion.definitions = self.migrations.now(environment)
        self.promotions[written.key] = promotion
        self.counts["promotions"] += 1
        if self.tell:
            self.tell(
                f"{actor.name} writes intent {written.id}: {written.kind} {written.source} to {environment}"
            )
        self._judge_pins(written, promotion)
        if written.kind == "promotion" and actor.name != "operator":
            changed = [app for app in new if dict(new[app]) != before[app]]
            for lacking in lacking_gates(self.world, self.books, self.dumps, written, actor, began, changed):
                self.break_("gate", f"{actor.name} promotes to {environment}, and {lacking}")

    def _judge_pins(self, written: Written, promotion: Promotion) -> None:
        """P6: what is promoted is what the source's records said at some time since the command began."""
        if written.kind == "deploy":
            return
        places = [written.source] if written.kind == "promotion" else [written.environment]
        for app, parts in promotion.new.items():
            records = [r for r in self._records.values() if r.app == app and r.environment in places]
            recorded = [self.in_content(r.parts) for r in records if r.parts]
            if app == SITE and self.by_hand(places[0], SITE, promotion.began):
                continue  # the plan was made before that, or after it
            if app == SITE and not all(r.parts for r in records):
                # Another tool's record names no version: what was live in the source is pinned, and it
                # may have gone on since the plan was made.
                recorded += [
                    self.world.running(app, places[0]),
                    *(
                        was
                        for place, until, was in self._was_live
                        if place == places[0] and until >= promotion.began
                    ),
                ]
            if dict(parts) not in [dict(r) for r in recorded]:
                self.break_(
                    "P6", f"{written.kind} {written.id} pins {_short(parts)} of {app}, which nobody recorded"
                )

    def judge_end(
        self, actor: str, environment: str, code: int, what: str, started: float, *, undo: bool = False
    ) -> None:
        """P4: at the end of a run all is new, or all is old, or its exit code is 6."""
        own = actor, self.runs[actor]
        mine = [p for p in self.promotions.values() if any((c.actor, c.command) == own for c in p.changes)]
        mine = [p for p in mine if p.changes[-1].environment == environment]
        if len(mine) != 1 or any(c.actor != actor and c.at >= started for c in mine[0].changes):
            return
        since = mine[0].changes[-1].at
        others = [p for p in self.promotions.values() if p is not mine[0]]
        if any(c.environment == environment and c.at >= since for p in others for c in p.changes):
            return  # it had given the environment back, and was still telling of it
        self.migrations.judge_definitions(environment, mine[0])
        standing = self.standing(environment, mine[0])
        good = {0: {"old", "both"} if undo else {"new", "both"}, 6: {"new", "old", "both", "mixed"}}
        if standing not in good.get(code, {"old", "both"}):
            self.break_(
                "P4", f"{actor}'s {what} ended with exit code {code}, and {environment} is {standing}"
            )

    # P7: no secrets.

    def _leak(self, where: str, text: bytes, actor: Actor | None) -> None:
        for secret in self.secrets:
            if secret.encode() in text and not text.startswith(
                b"/services/"
            ):  # Slack's address is the secret
                self.break_("P7", f"{where} holds a secret" + (f" (of {actor.name})" if actor else ""))

    def hear(self, where: str, text: str) -> None:
        """Judge a text that liftlock gave to anybody."""
        if any(secret in text for secret in self.secrets):
            self.break_("P7", f"{where} holds a secret: {text[:200]!r}")


def _short(parts: Mapping[str, str]) -> str:
    return ", ".join(
        f"{p} {v[7:15] if v.startswith('sha256:') else hash(v) % 10**6}" for p, v in sorted(parts.items())
    )
