"""One story: a seed, who acts in it and what befalls them, and what became of the promises."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import re
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from trio.testing import MockClock

from liftlock.commands import resume
from liftlock.commands.deploy import plan_deploy
from liftlock.commands.lease import break_lease
from liftlock.commands.promote import Conditions, plan_promotion, refuse_unless_runnable
from liftlock.commands.publish import Checkout
from liftlock.commands.rollback import plan_rollback
from liftlock.commands.run import Terms, held, run_under_lease
from liftlock.engine.events import Event, StepStarted, UndoStarted
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Result
from liftlock.errors import LiftlockError
from liftlock.model import Check, Commit
from liftlock.planning.plan import Plan, StepKind
from liftlock.polling import _Load
from liftlock.ports import Adapters
from liftlock.sandbox.app import Application, create_app
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.disturb import disturbed
from liftlock.sandbox.inprocess import InProcess
from liftlock.sqlite_file import SqliteFile
from liftlock.wiring import open_project
from tests.simulation.actors import BEGUN, CURRENT, Actor, Awaits, Kill, Line, Marked, Suspension
from tests.simulation.promises import Promises
from tests.simulation.truth import GitHubBooks, SqliteBooks
from tests.simulation.weather import Weather, make_weather
from tests.simulation.world import (
    ADDRESS,
    WEBHOOK_SECRET,
    World,
    commit_of,
    furnish,
    make_project,
    make_shape,
)

LIMIT_S = 6 * 3600.0
NAMES = ("ana", "ben", "cleo", "dan")


@dataclass
class Errand:
    """What an actor sets out to do, and how."""

    verb: str
    source: str
    environment: str
    begins: float
    wait_s: float
    asks: bool
    undo_on_failure: bool

    def __str__(self) -> str:
        return f"{self.verb} {self.source} {self.environment}".replace("  ", " ")


@dataclass
class Story:
    """What happened in a seed."""

    seed: int
    broken: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)

    def told(self, most: int = 80) -> str:
        """The story, shortened to what leads to the first broken promise."""
        lines = self.lines
        first = next((n for n, line in enumerate(lines) if "BROKEN" in line), len(lines))
        lines = lines[: first + 6]
        if len(lines) > most:
            lines = [*lines[:8], f"… {len(lines) - most} lines …", *lines[8 - most :]]
        return "\n".join([f"seed {self.seed}: {self.broken[0] if self.broken else 'all well'}", *lines])


class Cloudside:
    """The cloud as every request reaches it: through the weather, and before the judge's eyes."""

    def __init__(
        self, app: ASGIApp, promises: Promises, weather: Weather, tell: Callable[[str], None]
    ) -> None:
        self._app = app
        self._promises = promises
        self._weather = weather
        self._tell = tell
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        actor: Actor = scope["simulation.actor"]
        self.requests += 1
        rule = None
        if actor.name != "operator":
            vendor = self.vendor_of(scope["path"])
            rule = self._weather.fault(vendor, trio.current_time())
        if rule is None:
            await self._applied(scope, receive, send)
            return
        if scope["method"] != "GET":
            self._tell(
                f"{actor.name}: {scope['method']} {scope['path']} meets {rule.action} {rule.status or ''}"
            )
        await disturbed(rule, self._applied)(scope, receive, send)

    async def _applied(self, scope: Scope, receive: Receive, send: Send) -> None:
        actor: Actor = scope["simulation.actor"]
        method, path = scope["method"], scope["path"]
        address = f"{path}?{scope['query_string'].decode()}" if scope["query_string"] else path
        message = await receive()
        body = message.get("body", b"")
        begun = float(next(v for k, v in scope["headers"] if k == BEGUN.encode()))
        change = self._promises.before(actor, method, address, body, begun)
        status = 0

        async def replay() -> Message:
            nonlocal message
            if message:
                first, message = message, {}
                return first
            return await receive()

        async def noting(out: Message) -> None:
            nonlocal status
            if out["type"] == "http.response.start":
                status = out["status"]
                self._promises.after(actor, method, path, status, body, change)
                if method != "GET" and re.search(
                    r"formation|/releases|backups$|deployments$|refs$|statuses$", path
                ):
                    self._tell(f"{actor.name}: {method} {path} -> {status}")
            await send(out)

        await self._app(scope, replay, noting)

    def vendor_of(self, path: str) -> str:
        application = self._app
        assert isinstance(application, Application)
        return application._owner(path).name


class Stage:
    """Everything of one seed, while it is played."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.folder = folder
        self.story = Story(seed)
        self.shape = make_shape(self.dice("shape"))
        self.weather = make_weather(self.dice("weather"))
        self.world: World
        self.promises: Promises
        self.cloudside: Cloudside
        self.actors: list[Actor] = []

    def dice(self, what: str) -> random.Random:
        return random.Random(f"{self.seed}/{what}")

    def tell(self, text: str) -> None:
        if len(self.story.lines) < 4000:
            self.story.lines.append(f"{trio.current_time():9.2f} {text}")

    async def play(self) -> None:
        """The chaos, then the calm, then the last judgement."""
        cloud = Cloud(modelled=True)
        application = create_app(cloud)
        async with cloud.running():
            dice = self.dice("world")
            self.world = await furnish(cloud, make_project(self.shape, self.folder), self.shape, dice)
            await trio.sleep(1)
            self._settings(cloud, dice)
            github = self.shape.ledger == "github"
            books = GitHubBooks(self.world) if github else SqliteBooks(self.world, self.folder)
            self.promises = Promises(self.world, books, tell=self.tell)
            self.cloudside = Cloudside(application, self.promises, self.weather, self.tell)
            await self._chaos()
            self.weather.calm = True
            await self._calm()
            self._last_judgement()
            self.story.counts.update(self.promises.counts)
            self.story.counts["requests"] += self.cloudside.requests
            if isinstance(books, SqliteBooks):
                books.close()

    def _settings(self, cloud: Cloud, dice: random.Random) -> None:
        cloud.settings.change(
            {
                "release_s": dice.choice([0.0, 0.0, 1.5, 20.0]),
                "boot_s": dice.choice([0.0, 0.0, 1.0, 12.0]),
                "backup_s": dice.choice([0.0, 1.0, 5.0, 60.0]),
                "clone_s": dice.choice([0.0, 0.0, 3.0]),
                "github_listing_delay_s": dice.choice([0.0, 0.0, 0.0, 0.4, 3.0]),
                "formation_images": dice.random() < 0.8,
            }
        )
        for name in cloud.store.table("heroku.apps").values():
            name["fail_backups"] = dice.random() < 0.02

    # The chaos.

    async def _chaos(self) -> None:
        dice = self.dice("actors")
        count = dice.choice([1, 1, 1, 2, 2, 3, 4])
        async with trio.open_nursery() as nursery:
            for name in NAMES[:count]:
                actor = self._actor(name, dice)
                errands = [self._errand(dice) for _ in range(dice.choice([1, 1, 2, 3]))]
                nursery.start_soon(self._lives, actor, errands)
            if dice.random() < 0.25:
                nursery.start_soon(self._operator, self.dice("operator"))

    def _actor(self, name: str, dice: random.Random) -> Actor:
        actor = Actor(name, tell=self.tell)
        if dice.random() < 0.4:
            what = dice.choice(["before", "after", "await", "await"])
            actor.kill = Kill(what, dice.randint(1, 1600) if what == "await" else dice.randint(1, 130))
        elif dice.random() < 0.25:
            lasts_s = dice.choice([20.0, 200.0, 800.0, 3000.0])
            actor.suspension = Suspension(dice.choice(["before", "after"]), dice.randint(5, 130), lasts_s)
        if self.shape.ledger == "github" and dice.random() < 0.3:
            actor.skew_s = dice.choice([-900.0, -20.0, -2.0, 2.0, 20.0, 900.0])
        self.actors.append(actor)
        self.promises.secrets.update(actor.secrets)
        return actor

    def _errand(self, dice: random.Random) -> Errand:
        verb = dice.choice(["promote"] * 7 + ["deploy", "rollback", "resume-finish", "resume-undo"])
        target = dice.randrange(1, len(self.shape.environments))
        source, environment = self.shape.environments[target - 1 : target + 1]
        if verb == "deploy":
            source, environment = "", "dev"
        if verb in {"rollback", "resume-finish", "resume-undo"}:
            source = ""
        return Errand(
            verb,
            source,
            environment,
            begins=dice.choice([0.0, 0.0, dice.uniform(0, 5), dice.uniform(0, 120), dice.uniform(0, 1500)]),
            wait_s=dice.choice([0.0, 0.0, 30.0, 1200.0]),
            asks=dice.random() < 0.4,
            undo_on_failure=dice.random() < 0.9,
        )

    async def _lives(self, actor: Actor, errands: list[Errand]) -> None:
        CURRENT.set(actor)
        try:
            with actor.scope:
                for errand in errands:
                    await trio.sleep(errand.begins)
                    await self.run(actor, errand)
        except* LiftlockError:
            if not actor.dead:  # what a dead one still raises is heard by nobody
                raise
        if actor.dead:
            self.story.counts["kills"] += 1
        if actor.asleep:
            self.story.counts["suspensions"] += 1

    async def run(self, actor: Actor, errand: Errand) -> int | None:
        """One command, from its start to its exit code; None when its actor died in it."""
        self.tell(
            f"{actor.name} begins: {errand}" + (f", waiting {errand.wait_s:.0f} s" if errand.wait_s else "")
        )
        started = trio.current_time()
        self.promises.commands[actor.name] = started
        self.promises.runs[actor.name] += 1
        actor.steps.clear()
        code, what, undo = 1, "", False
        try:
            async with self.opened(actor) as adapters:
                code, what, undo = await self._command(actor, adapters, errand)
        except LiftlockError as error:
            code, what = error.exit_code, f"{type(error).__name__}: {error.message}"
            self.promises.hear("an error", f"{error.message} {error.hint}")
        if actor.dead:
            return None
        self.story.counts[f"exit {code}"] += 1
        self.tell(f"{actor.name} ends: {errand} with {code}: {what[:300]}")
        self.promises.judge_end(actor.name, errand.environment, code, str(errand), started, undo=undo)
        return code

    async def _command(self, actor: Actor, adapters: Adapters, errand: Errand) -> tuple[int, str, bool]:
        project, environment = self.world.project, errand.environment
        conditions = Conditions(accept_drift=True)
        stop = StopRequest()

        async def make() -> Plan:
            if errand.verb == "promote":
                return await plan_promotion(project, adapters, errand.source, environment, (), conditions)
            if errand.verb == "rollback":
                return await plan_rollback(project, adapters, environment, conditions=conditions)
            version = commit_of(3)
            return await plan_deploy(
                project, adapters, Checkout(self.folder, "example/services", version), "dev"
            )

        async def agree(plan: Plan) -> None:
            await trio.sleep(20)

        if errand.verb.startswith("resume"):
            return await self._resume(actor, adapters, errand, stop)
        terms = Terms(errand.verb, errand.wait_s, errand.undo_on_failure)
        _, result = await run_under_lease(
            project,
            adapters,
            environment,
            make,
            terms,
            show=lambda plan: None,
            agree=agree if errand.asks else None,
            emit=self._emit(actor),
            stop=stop,
        )
        return result.exit_code, self._result(result), False

    async def _resume(
        self, actor: Actor, adapters: Adapters, errand: Errand, stop: StopRequest
    ) -> tuple[int, str, bool]:
        """As `liftlock resume` does it."""
        project, emit = self.world.project, self._emit(actor)
        intent = await resume.open_promotion(project, adapters, errand.environment)
        if intent is None:
            return 0, "nothing stands open", False
        terms = Terms(errand.verb, errand.wait_s)
        undo = errand.verb == "resume-undo"
        async with held(adapters.leases, errand.environment, terms, emit) as lease:
            if undo:
                result = await resume.undo(
                    project, adapters, intent, lease=await lease(), emit=emit, stop=stop
                )
            else:
                plan = await resume.plan_finish(project, adapters, intent, await lease())
                refuse_unless_runnable(plan)
                result = await resume.finish(
                    project, adapters, intent, plan, lease=await lease(), emit=emit, stop=stop
                )
        code = 0 if undo and result.exit_code == 1 else result.exit_code
        return code, self._result(result), undo

    def _result(self, result: Result) -> str:
        cause = f"{result.cause.message}" if result.cause else result.interrupted
        text = f"{result.ending} {dict(result.apps)} {cause} {'; '.join(result.notes)}"
        self.promises.hear("a result", text + (result.cause.hint if result.cause else ""))
        return text

    def _emit(self, actor: Actor) -> Callable[[Event], None]:
        def emit(event: Event) -> None:
            self.promises.hear("an event", repr(event))
            if isinstance(event, StepStarted) and event.kind == StepKind.RELEASE:
                actor.steps[event.app] = actor.boottime()
            elif isinstance(event, UndoStarted):
                actor.steps.update(dict.fromkeys(event.apps, actor.boottime()))

        return emit

    @asynccontextmanager
    async def opened(self, actor: Actor) -> AsyncIterator[Adapters]:
        """The project's adapters, as the actor's process has them."""
        environ = {
            "LIFTLOCK_SANDBOX_TOKEN": actor.token,
            "SLACK_WEBHOOK_URL": f"{ADDRESS}/services/T0/B0/{WEBHOOK_SECRET}",
        }
        async with open_project(
            self.world.project, clock=actor, environ=environ, transport=self.line(actor)
        ) as adapters:
            files: list[Any] = [adapters.ledger, getattr(adapters.leases, "_keeper", None)]
            if self.shape.ledger == "sqlite":
                for owner in files:
                    if owner is not None:
                        owner.file = MortalFile(owner.file.path, actor, self.promises)
                        if hasattr(owner, "_holder"):
                            owner._holder = actor.name
            # Without the work tree's own git: a process takes real time.
            yield dataclasses.replace(adapters, source_code=NoCommits())

    def line(self, actor: Actor) -> Line:
        cloud = InProcess(self.world.cloud, Marked(actor, self.cloudside))
        return Line(actor, cloud, self.weather, self.cloudside.vendor_of)

    # The operator.

    async def _operator(self, dice: random.Random) -> None:
        """Somebody who changes things by hand, and breaks a lease."""
        actor = Actor("operator", tell=self.tell)
        self.promises.secrets.update(actor.secrets)
        for _ in range(dice.choice([1, 1, 2])):
            await trio.sleep(dice.choice([dice.uniform(0, 30), dice.uniform(0, 200)]))
            environment = dice.choice(self.shape.environments[1:])
            app = dice.choice(self.shape.apps)
            name = f"{app.lower()}-{environment}"
            deed = dice.choice(["break", "break", "release", "scale", "restart"])
            self.tell(f"operator: {deed} {name}")
            headers = {
                "authorization": "Bearer owner",
                "accept": "application/vnd.heroku+json; version=3.docker-releases",
            }
            async with httpx2.AsyncClient(
                base_url=ADDRESS, transport=self.line(actor), headers=headers
            ) as client:
                if deed == "break":
                    await self._break(actor, environment)
                elif deed == "release":
                    image = self.world.images[app, dice.choice([1, 3])]["web"]
                    updates: list[dict[str, Any]] = [{"type": "web", "docker_image": image}]
                    await client.patch(f"/apps/{name}/formation", json={"updates": updates})
                elif deed == "scale":
                    updates = [{"type": "web", "quantity": dice.choice([0, 1, 3])}]
                    await client.patch(f"/apps/{name}/formation", json={"updates": updates})
                else:
                    self.promises.touched[environment, app] = trio.current_time()
                    await client.delete(f"/apps/{name}/dynos")

    async def _break(self, actor: Actor, environment: str) -> None:
        try:
            async with self.opened(actor) as adapters:
                await break_lease(self.world.project, adapters, environment, "it seems to hang")
                self.story.counts["leases broken"] += 1
        except LiftlockError as error:
            self.tell(f"operator: {error.message}")

    # The calm.

    async def _calm(self) -> None:
        """Faults off: whatever stands open is finished or undone, by somebody new, from anywhere."""
        dice = self.dice("calm")
        for environment in self.shape.environments:
            verb = dice.choice(["resume-finish", "resume-undo"])
            for attempt in range(5):
                await trio.sleep(60)
                standing = [w for w in self.promises.books.intents(environment) if w.is_open]
                if not standing:
                    break
                self.story.counts["resumed"] += 1
                actor = Actor(f"eve{attempt}", tell=self.tell)
                self.promises.secrets.update(actor.secrets)
                code = await self.run(
                    actor, Errand(verb, "", environment, 0, 2000, False, undo_on_failure=True)
                )
                if code == 0:
                    self._judge_resumed(verb, environment, standing[-1].key)
                elif verb == "resume-finish" and self._must_succeed(environment, standing[-1].key):
                    self.promises.break_(
                        "P5", f"{environment} could be finished, and was not: exit code {code}"
                    )
                elif verb == "resume-undo" and attempt >= 1:
                    verb = "resume-finish"
                elif attempt >= 2:
                    verb = "resume-undo"
            else:
                self.promises.break_(
                    "P5", f"{environment} does not converge: a promotion stands open after 5 resumes"
                )

    def _must_succeed(self, environment: str, key: str) -> bool:
        """Whether nothing but a defect can keep a promotion from being finished, now that all is calm."""
        world, promotion = self.world, self.promises.promotions[key]
        ill = any(image in world.behaviours for parts in promotion.new.values() for image in parts.values())
        by_hand = any(self.promises._by_hand(environment, app, 0.0) for app in world.project.apps)
        apps = world.cloud.store.table("heroku.apps").values()
        return not (ill or by_hand or any(app["fail_backups"] for app in apps))

    def _judge_resumed(self, verb: str, environment: str, key: str) -> None:
        promotion = self.promises.promotions[key]
        still = [w for w in self.promises.books.intents(environment) if w.key == key and w.is_open]
        if still:
            self.promises.break_(
                "P5", f"{verb} of {still[0].id} in {environment} says it is done, and it stands open"
            )
        records = Counter(
            r.app
            for r in self.promises.books.records(environment)
            if r.promotion in self._ids(environment, key)
        )
        standing = self.promises.standing(environment, promotion)
        if verb == "resume-undo":
            if standing not in {"old", "both"} or records:
                self.promises.break_(
                    "P5", f"{environment} was undone, and is {standing}, recorded {dict(records)}"
                )
        elif standing not in {"new", "both"}:
            self.promises.break_("P5", f"{environment} was finished, and is {standing}")
        elif set(records) != set(promotion.new):
            self.promises.break_("P5", f"{environment} was finished, and recorded are {dict(records)}")

    def _ids(self, environment: str, key: str) -> set[str]:
        return {key} | {w.id for w in self.promises.books.intents(environment) if w.key == key}

    def _last_judgement(self) -> None:
        """P1, P5: what the ledger says at the end is what runs, once for each promotion and app."""
        promises = self.promises
        for environment in self.shape.environments:
            made = Counter((r.promotion, r.app) for r in promises.books.records(environment) if r.promotion)
            for (promotion, app), number in made.items():
                if number > 1 and not promotion.startswith("history"):
                    promises.break_(
                        "P5", f"{app} in {environment} is recorded {number} times by promotion {promotion}"
                    )
            intents = promises.books.intents(environment)
            if any(w.state == "error" for w in intents):
                continue
            for app in self.world.project.apps:
                records = [r for r in promises.books.records(environment) if r.app == app and r.counts]
                if (
                    not records
                    or promises._by_hand(environment, app, 0.0)
                    or records[-1].id in promises.initial
                ):
                    continue
                recorded = dict(promises._in_content(records[-1].parts))
                if recorded != dict(self.world.running(app, environment)):
                    promises.break_("P1", f"in the end {app} in {environment} does not run what is recorded")
        text = json.dumps(self.world.cloud.vendors["slack"].observe(self.world.cloud))
        promises.hear("Slack", text)


class NoCommits:
    """Source code that nobody asks for."""

    async def commit(self, repository: str, sha: str) -> None:
        return None

    async def about(self, repository: str, sha: str) -> Commit:
        return Commit(sha)

    async def checks(self, repository: str, sha: str) -> tuple[Check, ...]:
        return ()

    async def between(self, repository: str, base: str, head: str) -> None:
        return None

    async def distance(self, repository: str, base: str, head: str) -> None:
        return None

    async def history(self, repository: str, base: str, head: str) -> None:
        return None

    def commit_url(self, repository: str, sha: str) -> str:
        return ""

    def pull_request_url(self, repository: str, number: int) -> str:
        return ""

    async def compare_url(self, repository: str, base: str, head: str) -> str:
        return ""

    def checkout(self, repository: str, sha: str) -> Any:
        raise AssertionError("no command app is in these worlds")


class MortalFile(SqliteFile):
    """A ledger's file that a dead actor cannot write to, and that the judge looks into after each change."""

    def __init__(self, path: Path, actor: Actor, promises: Promises) -> None:
        super().__init__(path)
        self._actor = actor
        self._promises = promises

    async def _when_free(self, work: Any) -> Any:
        actor = self._actor
        actor.requests += 1
        actor._befalls("before")
        await actor._awake()
        if actor.dead:
            raise LiftlockError("it is dead")
        done = await super()._when_free(work)
        self._promises.look_at_ledger(actor)
        actor._befalls("after")
        await actor._awake()
        await anyio.lowlevel.checkpoint()
        if actor.dead:
            raise LiftlockError("it is dead")
        return done


class _Ear(logging.Handler):
    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def emit(self, record: logging.LogRecord) -> None:
        self._stage.promises.hear("a log record", record.getMessage())


def simulate(seed: int) -> Story:
    """Play one seed to its end."""
    random.seed(seed)
    scheduler: Any = trio._core._run  # trio keeps what makes its order repeatable to itself
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    scheduler._r.seed(seed)
    _Load.waits = 0
    with tempfile.TemporaryDirectory(prefix="liftlock-simulation-") as folder:
        stage = Stage(seed, Path(folder))
        ear = _Ear(stage)
        logging.getLogger().addHandler(ear)
        try:
            trio.run(_limited, stage, clock=MockClock(autojump_threshold=0.0), instruments=[Awaits()])
        except BaseException as error:
            error.add_note(stage.story.told())
            raise
        finally:
            logging.getLogger().removeHandler(ear)
    stage.story.broken = stage.promises.broken
    stage.story.hits = stage.weather.hits
    return stage.story


async def _limited(stage: Stage) -> None:
    with trio.move_on_after(LIMIT_S) as scope:
        await stage.play()
    if scope.cancelled_caught:
        stage.promises.break_("P5", "it did not end within six hours")
