"""The promises P1 to P7, judged from the cloud's own state after every request, never from what liftlock says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import trio

from liftlock.sandbox.clock import from_iso
from liftlock.sandbox.heroku_apps import release_of
from liftlock.sandbox.heroku_data import transfers_of
from tests.simulation.actors import Actor
from tests.simulation.conditions import lacking_gates
from tests.simulation.truth import Books, GitHubBooks, Holder, Record, Written, seconds
from tests.simulation.world import COMMAND, SITE, WEBHOOK_SECRET, World, commit_of, version_of

SEEN_S, UNSEEN_S = 3.5, 46.0
"""As docs/explanation/limits.md documents the window that is left: for how long a holder whose lease was broken
may go on, and for how long while whoever keeps the leases does not answer; and a moment for the way."""

_FORMATION = re.compile(r"^/apps/([a-z0-9-]+)/formation(?:/(\w+))?$")
_ROLL_BACK = re.compile(r"^/apps/([a-z0-9-]+)/releases$")
_SITE = re.compile(r"^/v1beta1/sites/([a-z0-9-]+)/(?:channels/live/)?releases$")
_CAPTURE = re.compile(r"^/client/v11/databases/([^/]+)/backups$")
_RESTORE = re.compile(r"^/client/v11/databases/([^/]+)/restores$")
_DEPLOYMENTS = re.compile(r"^/repos/[^/]+/[^/]+/deployments$")
_REFS = re.compile(r"^/repos/[^/]+/[^/]+/git/refs$")


@dataclass
class Change:
    """Something that was switched, as it was asked for."""

    actor: str
    app: str
    environment: str
    parts: Mapping[str, str]
    at: float
    promotion: str = ""
    command: int = 0


@dataclass
class Promotion:
    """What is known of one promotion, by the key of its intent."""

    key: str
    began: float
    """When it was begun on its actor's machine: the first thing that it asked."""
    opened: float
    before: Mapping[str, Mapping[str, str]]
    """What ran when its intent was written, by app."""
    new: Mapping[str, Mapping[str, str]]
    command: tuple[str, int]
    """Whose command it is, and which one of theirs."""
    first_change: float | None = None
    changes: list[Change] = field(default_factory=list)


@dataclass
class Promises:
    """The judge of one story."""

    world: World
    books: Books
    promotions: dict[str, Promotion] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    touched: dict[tuple[str, str], float] = field(default_factory=dict)
    """By environment and app, when an operator last changed something by hand."""
    commands: dict[str, float] = field(default_factory=dict)
    """By actor, when its command began."""
    runs: Counter[str] = field(default_factory=Counter)
    """By actor, how many commands it has begun."""
    secrets: set[str] = field(default_factory=lambda: {WEBHOOK_SECRET})
    lost: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    """By environment and actor, when and how its lease ended."""
    _held: dict[str, Holder] = field(default_factory=dict)
    _records: dict[int, Record] = field(default_factory=dict)
    _capturing: dict[tuple[str, int], tuple[tuple[str, int], float]] = field(default_factory=dict)
    """By Heroku app and number, who asked for a backup, and when."""
    late: set[tuple[str, str]] = field(default_factory=set)
    """What was made late: deployments by environment and task, backups by database."""
    _changed: trio.Event = field(default_factory=trio.Event)
    _newest: Change | None = None
    _applying: dict[str, str] = field(default_factory=dict)
    """By environment, who runs the command app's programs, or how they ended."""
    tell: Any = None

    def __post_init__(self) -> None:
        self._records = {record.id: record for record in self.books.records()}
        self.initial = set(self._records)

    def break_(self, promise: str, what: str) -> None:
        """Note what is broken; the first one is what counts."""
        self.broken.append(f"{promise}: {what}")
        if self.tell:
            self.tell(f"BROKEN {promise}: {what}")

    # Around each request that reaches the cloud.

    def before(
        self, actor: Actor, method: str, path: str, body: bytes, begun: float, *, late: bool = False
    ) -> Change | None:
        """Judge a request that is about to be applied; one that is `late` nobody can answer for any more."""
        self._leak("a request", path.encode() + body, actor)
        if method == "GET":
            return None
        change = self._change(actor, method, path, body)
        if late:
            self._note_late(method, path, body, change)
            return None
        if change is not None and actor.name != "operator":
            self._judge_change(actor, change, begun)
        capture, restore = _CAPTURE.match(path), _RESTORE.match(path)
        if capture and method == "POST":
            self._judge_capture(actor, capture[1])
        if restore and method == "POST":
            self._judge_restore(actor, restore[1], begun)
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
                self._note_lease(actor, json.loads(body)["ref"])
            elif _DEPLOYMENTS.match(path):
                self.look_at_ledger(actor)
        elif "/git/refs/" in path:
            self._note_leases()

    def look_at_ledger(self, actor: Actor) -> None:
        """Judge what is new in the ledger."""
        self._note_leases()
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

    # P3: one at a time.

    def _note_lease(self, actor: Actor, ref: str) -> None:
        parts = ref.split("/")
        if parts[1] == "liftlock" and isinstance(self.books, GitHubBooks):
            self.books.taken_by[parts[-2], int(parts[-1])] = actor.name
            self._note_leases()

    def _note_leases(self) -> None:
        """Remember how each lease ended that somebody held."""
        now = trio.current_time()
        for environment in self.world.shape.environments:
            holder = self.books.holder(environment)
            had = self._held.get(environment)
            if (
                had is not None
                and (holder is None or had.number != holder.number or holder.standing != "held")
                and had.standing == "held"
            ):
                how = "taken over" if holder and holder.number != had.number else "given back"
                if how == "taken over" and now < had.until:
                    how = "broken"
                    if (
                        holder
                        and holder.standing == "held"
                        and now < had.until - 2
                        and holder.actor != had.actor
                    ):
                        self.break_(
                            "P3", f"{holder.actor} takes the lease on {environment} that {had.actor} holds"
                        )
                ended = min(now, had.until)
                self.lost[environment, had.actor] = (ended, how)
            if holder is not None:
                self._held[environment] = holder

    def _judge_change(self, actor: Actor, change: Change, begun: float) -> None:
        self._note_leases()
        environment, now = change.environment, trio.current_time()
        holder = self.books.holder(environment)
        live = holder is not None and holder.standing == "held" and holder.until >= now
        if holder is not None and live and holder.actor == actor.name:
            self.counts["changes under a lease"] += 1
            return
        if holder is not None and holder.actor == actor.name and holder.standing == "held":
            ended, how = holder.until, "ran out"
        else:
            ended, how = self.lost.get((environment, actor.name), (-1e9, "never held"))
        late = begun - ended - actor.slept_between(ended, begun)
        unseen = SEEN_S if ended > actor.blind_at + UNSEEN_S else UNSEEN_S
        if late <= 0:
            self.counts["in flight when the lease ended"] += 1
        elif how == "broken" and late <= unseen:
            self.counts["begun before the break could be seen"] += 1
        else:
            self.break_(
                "P3",
                f"{actor.name} changes {change.app} in {environment} without the lease on it: its own {how}"
                f" {now - ended:.0f} s ago, now held by {holder.actor if holder and live else 'nobody'}",
            )

    # P2, P5, P6: what is switched, and after which backups.

    def _change(self, actor: Actor, method: str, path: str, body: bytes) -> Change | None:
        path, _, query = path.partition("?")
        formation = _FORMATION.match(path)
        now = trio.current_time()
        if formation and method == "PATCH":
            document = json.loads(body)
            app, environment = self._place(formation[1])
            updates = [{"type": formation[2], **document}] if formation[2] else document.get("updates", [])
            parts = dict(self.world.running(app, environment))
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
            return Change(actor.name, *self._place(rolled[1]), {}, now)
        site = _SITE.match(path)
        if site and method == "POST":
            environment = site[1].removeprefix("explore-")
            version = re.search(r"versionName=([^&]+)", query)
            name = version[1].replace("%2F", "/") if version else ""
            parts = {"site": self.world.content(name)} if name else {}
            return Change(actor.name, SITE, environment, parts, now)
        return None

    def _place(self, heroku_app: str) -> tuple[str, str]:
        name, _, environment = heroku_app.rpartition("-")
        return name.upper(), environment

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
        promotion = self._open_promotion(environment)
        if promotion is None:
            self.break_("P3", f"{actor.name} changes {change.app} in {environment}, and no intent is written")
            return
        change.promotion, change.command = promotion.key, self.runs[actor.name]
        if promotion.first_change is None:
            promotion.first_change = change.at
        self._judge_bytes(promotion, change)
        forward = change.parts == promotion.new.get(change.app)
        if forward:
            self._judge_backup(promotion, change)
        if forward and not self._by_hand(environment, change.app, promotion.opened):
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
        self._judge_change(actor, change, now)
        if self._applying.get(environment) == actor.name:
            self.break_("P5", f"{app} in {environment} is changed twice at once by {actor.name}")
        self._note_change(actor, change)
        self._applying[environment] = actor.name

        def ended(well: bool) -> None:
            self._applying[environment] = "done" if well else "failed"

        return ended

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
            and not self._by_hand(change.environment, change.app, promotion.began)
        ):
            self.break_(
                "P6",
                f"{change.app} in {change.environment} is given {_short(change.parts)}, neither what ran"
                f" ({_short(allowed[0])}) nor what is promoted ({_short(allowed[1])})",
            )

    def _judge_backup(self, promotion: Promotion, change: Change) -> None:
        first = promotion.first_change if promotion.first_change is not None else change.at
        owed = [n for n, app in self.world.project.apps.items() if app.backup and n in promotion.new]
        for name in owed:
            differs = promotion.before.get(name) != promotion.new.get(name)
            if name != change.app and not differs:
                continue
            app = self.world.database_of(name, change.environment)
            good = [
                one
                for one in transfers_of(self.world.cloud, app)
                if one["succeeded"]
                and seconds(from_iso(one["started_at"])) >= int(promotion.began)
                and seconds(from_iso(one["finished_at"])) <= first + 1
            ]
            if not good:
                self.break_(
                    "P2",
                    f"{change.app} in {change.environment} is released at {change.at:.1f} s, and {name} has no complete"
                    f" backup from after {promotion.began:.1f} s",
                )

    def _judge_capture(self, actor: Actor, addon: str) -> None:
        """P5: no second backup of a database for one promotion."""
        if ("", addon) in self.late:
            return
        for app in self.world.cloud.store.table("heroku.apps").values():
            if app["database"] and addon in (app["database"]["id"], app["database"]["name"]):
                break
        else:
            return
        name, environment = self._place(app["name"])
        promotion = self._open_promotion(environment)
        own = actor.name, self.runs[actor.name]
        if promotion is None and any(one.command == own for one in self.promotions.values()):
            return  # the code is back: what stands is backed up before it is restored
        # GitHub's times are whole seconds as Heroku's are; a file's are not, and within a second nobody can tell.
        opened = promotion.opened if promotion else 0.0
        since = int(opened) if isinstance(self.books, GitHubBooks) else opened
        for one in transfers_of(self.world.cloud, app):
            if one["to_type"] != "gof3r":
                continue  # a restore
            started = seconds(from_iso(one["started_at"]))
            waste = one["succeeded"] or one["finished_at"] is None
            by, at = self._capturing.get((app["name"], one["num"]), (("", 0), -1.0))
            ours = by == own or (promotion is not None and by == promotion.command and int(at) >= since)
            if waste and ours and started + 3 < trio.current_time():
                self.break_(
                    "P5",
                    f"{actor.name} takes a second backup of {name} in {environment}: b{one['num']:03} of"
                    f" {started:.0f} s is of the same promotion",
                )
                break
        number = self.world.cloud.store._counters.get(f"transfers/{app['name']}", 0) + 1
        self._capturing[app["name"], number] = own, trio.current_time()

    def _judge_restore(self, actor: Actor, addon: str, begun: float) -> None:
        """P2, P3, P5: a restore has the lease, a fresh backup, nobody at work on it, and is asked for once."""
        app = next(
            app
            for app in self.world.cloud.store.table("heroku.apps").values()
            if app["database"] and addon in (app["database"]["id"], app["database"]["name"])
        )
        name, environment = self._place(app["name"])
        self._judge_change(actor, Change(actor.name, name, environment, {}, trio.current_time()), begun)
        self.counts["restores"] += 1
        own = actor.name, self.runs[actor.name]
        changes = [c.at for p in self.promotions.values() for c in p.changes if (c.actor, c.command) == own]
        since = int(max(changes, default=self.commands[actor.name]))
        late = [t for t in transfers_of(self.world.cloud, app) if seconds(from_iso(t["started_at"])) >= since]
        if not any(t["to_type"] == "gof3r" and t["succeeded"] for t in late):
            self.break_("P2", f"{name} in {environment} is restored, and what stood is not backed up")
        if any(t["to_type"] != "gof3r" and t["finished_at"] is None for t in late):
            self.break_("P5", f"{name} in {environment} is restored while it is being restored")
        if not app["maintenance"]:
            self.break_("P2", f"{name} in {environment} is restored while its users are at work")

    # P1: a record tells the truth.

    def _judge_record(self, actor: Actor, record: Record) -> None:
        app, environment = record.app, record.environment
        promotion = self._by_id(environment, record.promotion)
        if record.promotion and promotion is None:
            self.break_("P1", f"the record {record.id} of {app} belongs to no promotion")
            return
        if self._by_hand(environment, app, promotion.began if promotion else 0.0):
            return
        parts = self._in_content(record.parts)
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
        return bool(self.world.heroku_app(app, environment)["formation"]["web"]["quantity"])

    def _judge_dynos(self, app: str, environment: str, record: Record) -> None:
        if app in {SITE, COMMAND}:
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

    def _in_content(self, parts: Mapping[str, str]) -> Mapping[str, str]:
        """Site versions by what they hold: a clone has another name."""
        return {p: self.world.content(v) if v.startswith("sites/") else v for p, v in parts.items()}

    # P4, P5: how things end.

    def _note_intent(self, actor: Actor, written: Written) -> None:
        environment = written.environment
        others = [w for w in self.books.intents(environment) if w.is_open and w.key != written.key]
        if others and actor.name != "operator":
            # Its lease was broken while it planned: it learns so before its first change, which is what counts.
            self.counts["intents written beside another"] += 1
        before = {app: dict(self.world.running(app, environment)) for app in self.world.project.apps}
        new = {app: self._in_content(parts) for app, parts in written.releases.items()}
        began = self.commands.get(actor.name, 0.0)
        promotion = Promotion(
            written.key, began, trio.current_time(), before, new, (actor.name, self.runs[actor.name])
        )
        self.promotions[written.key] = promotion
        self.counts["promotions"] += 1
        if self.tell:
            self.tell(
                f"{actor.name} writes intent {written.id}: {written.kind} {written.source} to {environment}"
            )
        self._judge_pins(written, promotion)
        if written.kind == "promotion" and actor.name != "operator":
            changed = [app for app in new if dict(new[app]) != before[app]]
            for lacking in lacking_gates(self.world, self.books, written, actor, began, changed):
                self.break_("gate", f"{actor.name} promotes to {environment}, and {lacking}")

    def _judge_pins(self, written: Written, promotion: Promotion) -> None:
        """P6: what is promoted is what the source's records said at some time since the command began."""
        if written.kind == "deploy":
            return
        places = [written.source] if written.kind == "promotion" else [written.environment]
        for app, parts in promotion.new.items():
            records = [r for r in self._records.values() if r.app == app and r.environment in places]
            recorded = [self._in_content(r.parts) for r in records if r.parts]
            if app == SITE and self._by_hand(places[0], SITE, promotion.began):
                continue  # the plan was made before that, or after it
            if app == SITE and not all(r.parts for r in records):
                # Another tool's record names no version: what was live in the source is pinned.
                recorded.append(self.world.running(app, places[0]))
            if dict(parts) not in [dict(r) for r in recorded]:
                self.break_(
                    "P6", f"{written.kind} {written.id} pins {_short(parts)} of {app}, which nobody recorded"
                )

    def _open_promotion(self, environment: str) -> Promotion | None:
        opened = [w for w in self.books.intents(environment) if w.is_open]
        if not opened:
            return None
        return self.promotions.get(opened[-1].key)

    def _by_id(self, environment: str, number: str) -> Promotion | None:
        for written in self.books.intents(environment):
            if number in {written.id, written.key}:
                return self.promotions.get(written.key)
        return next((p for p in self.promotions.values() if p.key == number), None)

    def _by_hand(self, environment: str, app: str, since: float) -> bool:
        """Whether an operator has changed the app by hand since then."""
        return self.touched.get((environment, app), -1.0) >= since

    def same(
        self, app: str, running: Mapping[str, str], wanted: Mapping[str, str], *, up: bool = True
    ) -> bool:
        """Whether an app runs that. Migrations that are applied beyond it have applied it too."""
        if app != COMMAND or not wanted:
            return dict(running) == dict(wanted)
        has, needs = version_of(running["commit"]), version_of(wanted["commit"])
        return has >= needs if up else has <= needs

    def standing(self, environment: str, promotion: Promotion) -> str:
        """What an environment runs of a promotion: new, old, both when they are the same, or mixed."""
        apps = [a for a in promotion.new if not self._by_hand(environment, a, promotion.began)]
        running = {app: dict(self.world.running(app, environment)) for app in apps}
        new = all(self.same(a, running[a], promotion.new[a]) for a in apps)
        old = all(self.same(a, running[a], promotion.before[a], up=False) for a in apps)
        return "both" if new and old else "new" if new else "old" if old else "mixed"

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
