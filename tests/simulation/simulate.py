"""One story: a seed, who acts in it and what befalls them, and what became of the promises."""

from __future__ import annotations

import dataclasses
import logging
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

from liftlock.databases.postgres import PlainPostgres
from liftlock.errors import LiftlockError
from liftlock.platforms.command import Command
from liftlock.polling import _Load
from liftlock.ports import Adapters
from liftlock.sandbox.app import create_app
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.inprocess import InProcess
from liftlock.wiring import open_project
from tests.simulation.actors import CURRENT, Actor, Awaits, Kill, Line, Marked, Suspension
from tests.simulation.calm import Calm
from tests.simulation.cloudside import Cloudside
from tests.simulation.errands import Doing, Errand, make_errand, once_more
from tests.simulation.hands import Operator, crashes
from tests.simulation.machine import MortalFile, VersionedCode, without_programs, without_threads
from tests.simulation.pg_programs import PlayedPostgres, PlayedPrograms
from tests.simulation.programs import Played
from tests.simulation.project import make_project
from tests.simulation.promises import Promises
from tests.simulation.shape import make_shape
from tests.simulation.truth import GitHubBooks, SqliteBooks
from tests.simulation.weather import Weather, make_weather
from tests.simulation.world import (
    ADDRESS,
    WEBHOOK_SECRET,
    World,
    furnish,
)

LIMIT_S = 6 * 3600.0
NAMES = ("ana", "ben", "cleo", "dan")


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


class Stage:
    """Everything of one seed, while it is played."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.folder = folder
        self.story = Story(seed)
        self.shape = make_shape(self.dice("shape"), self.dice("platforms"))
        engines = ("swarm",) * 4 if self.shape.stacks.apps else ()
        self.weather: Weather = make_weather(self.dice("weather"), *engines)
        self.world: World
        self.promises: Promises
        self.cloudside: Cloudside
        self.nursery: trio.Nursery

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
            calm = Calm(self.world, self.promises, self.dice("calm"), self.calmly)
            self.story.counts["resumed"] += await calm.resume_all()
            calm.last_judgement()
            self.story.counts.update(self.promises.counts)
            self.story.counts["requests"] += self.cloudside.requests
            if isinstance(books, SqliteBooks):
                books.close()

    def _settings(self, cloud: Cloud, dice: random.Random) -> None:
        cloud.settings.change(
            {
                "release_s": dice.choice([0.0, 0.0, 0.0, 0.3, 1.5, 20.0]) if dice.random() > 0.01 else 700.0,
                "boot_s": dice.choice([0.0, 0.0, 0.0, 0.3, 1.0, 12.0]),
                "backup_s": dice.choice([0.0, 0.3, 0.3, 1.0, 5.0, 60.0]),
                "clone_s": dice.choice([0.0, 0.0, 3.0]),
                "github_listing_delay_s": dice.choice([0.0, 0.0, 0.0, 0.4, 3.0]),
                "formation_images": dice.random() < 0.8,
            }
        )
        self.world.apply_s = dice.choice([0.0, 0.5, 5.0, 60.0])
        for name in cloud.store.table("heroku.apps").values():
            name["fail_backups"] = dice.random() < 0.02

    # The chaos.

    async def _chaos(self) -> None:
        dice = self.dice("actors")
        count = dice.choice([1, 1, 1, 2, 2, 3, 4])
        async with trio.open_nursery() as self.nursery:
            for name in NAMES[:count]:
                actor = self._actor(name, dice)
                errands = [make_errand(self.shape, dice) for _ in range(dice.choice([1, 1, 2, 3]))]
                if dice.random() < 0.08:  # what takes something back needs something that was done
                    back = dice.choice(["restore", "rollback-to", "rollback"])
                    errands.append(
                        Errand(back, "", errands[0].environment, 10.0, 1200.0, dice=errands[0].dice)
                    )
                self.nursery.start_soon(self._lives, actor, errands)
            if dice.random() < 0.35:
                self.nursery.start_soon(self._operates, self.dice("operator"))
            if self.shape.stacks.apps and self.dice("crashes").random() < 0.4:
                self.nursery.start_soon(crashes, self.world, self.promises, self.dice("crashes"), self.tell)

    def _actor(self, name: str, dice: random.Random) -> Actor:
        actor = self._newcomer(name)
        if dice.random() < 0.4:
            what = dice.choice(["before", "after", "await", "await", "made"])
            latest = {"await": 1600, "made": 4}.get(what, 130)
            actor.kill = Kill(what, dice.randint(1, latest))
        elif dice.random() < 0.25:
            lasts_s = dice.choice([20.0, 200.0, 800.0, 3000.0])
            actor.suspension = Suspension(dice.choice(["before", "after"]), dice.randint(5, 130), lasts_s)
        if self.shape.ledger == "github" and dice.random() < 0.3:
            actor.skew_s = dice.choice([-900.0, -20.0, -2.0, 2.0, 20.0, 900.0])
        return actor

    def _newcomer(self, name: str) -> Actor:
        actor = Actor(name, tell=self.tell)
        self.promises.secrets.update(actor.secrets)
        return actor

    async def _lives(self, actor: Actor, errands: list[Errand]) -> None:
        CURRENT.set(actor)
        last = errands[0]
        try:
            with actor.scope:
                for last in errands:
                    await trio.sleep(last.begins)
                    code = await self.run(actor, last)
                    if code == 3 and last.shown is not None:
                        await self._asks_a_friend(actor, last)
        except* LiftlockError:
            if not actor.dead:  # what a dead one still raises is heard by nobody
                raise
        if actor.dead:
            self.story.counts["kills"] += 1
            dice = self.dice(f"heir of {actor.name}")
            if dice.random() < 0.3:
                self.nursery.start_soon(self._inherits, f"heir-{actor.name}", last.environment, dice)
        if actor.asleep:
            self.story.counts["suspensions"] += 1

    async def _asks_a_friend(self, actor: Actor, errand: Errand) -> None:
        """A gate refused: whoever may approves the plan that was shown, and it is tried again."""
        assert errand.shown is not None
        if not any(v.gate == "approvals" for v in errand.shown.refusals) or errand.dice.random() < 0.2:
            return
        own = errand.dice.random() < 0.4
        friend = actor if own else self._newcomer(f"fay-{actor.name}")
        yes = Errand("approve", "", errand.environment, shown=errand.shown, dice=errand.dice)
        await trio.sleep(errand.dice.choice([1, 20, 100]))
        if await self.run(friend, yes) == 0:
            self.story.counts["approved"] += 1
        await self.run(actor, once_more(errand))

    async def _inherits(self, name: str, environment: str, dice: random.Random) -> None:
        """Somebody who saw it die breaks its lease, and finishes or undoes what it began."""
        actor = self._newcomer(name)
        await trio.sleep(dice.choice([0.05, 0.5, 3.0, 20.0]))
        with actor.scope:
            await self.run(actor, Errand("break", "", environment))
            await trio.sleep(dice.choice([0.0, 0.05, 1.0, 10.0]))
            verb = dice.choice(["resume-finish", "resume-finish", "resume-undo"])
            await self.run(actor, Errand(verb, "", environment, wait_s=dice.choice([0.0, 1200.0])))
        self.story.counts["heirs"] += 1

    async def _operates(self, dice: random.Random) -> None:
        """Somebody who changes things by hand, and breaks a lease."""
        actor = self._newcomer("operator")

        async def breaks(environment: str) -> None:
            if await self.run(actor, Errand("break", "", environment)) == 0:
                self.story.counts["leases broken"] += 1

        await Operator(self.world, self.promises, dice, self.line(actor), breaks, self.tell).play()

    async def calmly(self, name: str, errand: Errand) -> int | None:
        """Somebody new, whom nothing befalls."""
        return await self.run(self._newcomer(name), errand)

    async def run(self, actor: Actor, errand: Errand) -> int | None:
        """One command, from its start to its exit code; None when its actor died in it."""
        self.tell(
            f"{actor.name} begins: {errand}" + (f", waiting {errand.wait_s:.0f} s" if errand.wait_s else "")
        )
        started = trio.current_time()
        self.promises.commands[actor.name] = started
        self.promises.runs[actor.name] += 1
        code, what, undo = 1, "", False
        hear = self.promises.hear
        try:
            async with self.opened(actor) as adapters:
                doing = Doing(self.world, self.promises.books, adapters, self.folder, hear)
                if errand.verb == "resume-undo":
                    self.promises.undoing.add(actor.name)
                code, what, undo = await doing.do(errand)
        except LiftlockError as error:
            code, what = error.exit_code, f"{type(error).__name__}: {error.message}"
            hear("an error", f"{error.message} {error.hint}")
        finally:
            self.promises.undoing.discard(actor.name)
        if actor.dead:
            return None
        self.story.counts[f"exit {code}"] += 1
        self.tell(f"{actor.name} ends: {errand} with {code}: {what[:300]}")
        self.promises.judge_end(actor.name, errand.environment, code, str(errand), started, undo=undo)
        return code

    @asynccontextmanager
    async def opened(self, actor: Actor) -> AsyncIterator[Adapters]:
        """The project's adapters, as the actor's process has them."""
        environ = {
            "LIFTLOCK_SANDBOX_TOKEN": actor.token,
            "SLACK_WEBHOOK_URL": f"{ADDRESS}/services/T0/B0/{WEBHOOK_SECRET}",
            **self.world.database_urls(),
        }
        async with open_project(
            self.world.project, clock=actor, environ=environ, transport=self.line(actor)
        ) as adapters:
            if self.shape.ledger == "sqlite":
                self._share_file(actor, adapters)
            platforms = dict(adapters.platforms)
            if isinstance(real := platforms.get("command"), Command):
                judge = self.promises.hear_command
                platforms["command"] = Played(real, self.world, actor, self.weather, judge)
            databases = dict(adapters.databases)
            if isinstance(plain := databases.get("postgres"), PlainPostgres):
                databases["postgres"] = PlayedPostgres(plain, self._programs(actor))
            yield dataclasses.replace(
                adapters, source_code=VersionedCode(), platforms=platforms, databases=databases
            )

    def _programs(self, actor: Actor) -> PlayedPrograms:
        dump_s = self.world.cloud.settings.backup_s
        return PlayedPrograms(
            actor, self.weather, dump_s, self.promises.dumps.hear, self.promises.hear_restore
        )

    def _share_file(self, actor: Actor, adapters: Adapters) -> None:
        """Let the ledger and the leases write as the actor's process does, who dies in one with it."""
        keeper: Any = getattr(adapters.leases, "_keeper", None)
        ledger: Any = adapters.ledger
        for owner, name in ((ledger, "store"), (keeper, "_store")):
            owner.file = MortalFile(owner.file.path, actor, self.promises.look_at_ledger)
            setattr(owner, name, owner.file)
        keeper._holder = actor.name

    def line(self, actor: Actor) -> Line:
        cloud = InProcess(self.world.cloud, Marked(actor, self.cloudside))
        return Line(actor, cloud, self.weather, self.cloudside.vendor_of)


class _Ear(logging.Handler):
    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def emit(self, record: logging.LogRecord) -> None:
        self._stage.promises.hear("a log record", record.getMessage())


def simulate(seed: int, stage_of: Callable[[int, Path], Stage] = Stage) -> Story:
    """Play one seed to its end, on a stage that is set as it says."""
    random.seed(seed)
    scheduler: Any = trio._core._run  # trio keeps what makes its order repeatable to itself
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    scheduler._r.seed(seed)
    _Load.waits = 0
    with (
        tempfile.TemporaryDirectory(prefix="liftlock-simulation-") as folder,
        without_threads(),
        without_programs(),
    ):
        stage = stage_of(seed, Path(folder))
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
