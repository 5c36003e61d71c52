"""What an actor sets out to do, and how liftlock does it: the use cases as the command line calls them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio

from liftlock.commands import resume
from liftlock.commands.approve import approve_plan
from liftlock.commands.deploy import plan_deploy
from liftlock.commands.lease import break_lease
from liftlock.commands.promote import Conditions, plan_promotion, refuse_unless_runnable
from liftlock.commands.publish import Checkout
from liftlock.commands.restore import roll_back_and_restore
from liftlock.commands.rollback import plan_rollback
from liftlock.commands.run import Terms, held, run_under_lease
from liftlock.engine.events import Event
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Result
from liftlock.planning.gates import GATES
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters
from tests.simulation.shape import Shape
from tests.simulation.truth import Books
from tests.simulation.world import (
    COMMAND,
    REPOSITORY,
    SITE,
    SITE_REPOSITORY,
    World,
    commit_of,
    put_site,
)

VERBS = (
    *["promote"] * 12,
    *["deploy", "deploy-site"],
    *["rollback", "rollback", "rollback-to", "restore"],
    *["resume-finish", "resume-undo"],
)


@dataclass
class Errand:
    """What an actor sets out to do, and how."""

    verb: str
    source: str
    environment: str
    begins: float = 0.0
    wait_s: float = 0.0
    asks: bool = False
    undo_on_failure: bool = True
    apps: tuple[str, ...] = ()
    overrides: bool = False
    """Whether every gate is overridden, with a reason."""
    dice: random.Random = field(default_factory=lambda: random.Random(0))
    shown: Plan | None = None
    """The plan that was shown last."""

    def __str__(self) -> str:
        said = f"{self.verb} {self.source} {self.environment}".replace("  ", " ")
        more = [*self.apps, *(["--override"] if self.overrides else [])]
        return " ".join([said, *more])


def make_errand(shape: Shape, dice: random.Random) -> Errand:
    verb = dice.choice(VERBS)
    target = dice.randrange(1, len(shape.environments))
    source, environment = shape.environments[target - 1 : target + 1]
    if verb.startswith("deploy"):
        source, environment = "", "dev"
    if verb != "promote":
        source = ""
    if verb == "deploy-site" and not shape.site:
        verb = "deploy"
    apps: tuple[str, ...] = ()
    everything = [*shape.apps, *([SITE] if shape.site else []), *([COMMAND] if shape.command else [])]
    if verb in {"promote", "rollback", "rollback-to"} and dice.random() < 0.15:
        apps = tuple(dice.sample(everything, dice.randint(1, len(everything))))
    return Errand(
        verb,
        source,
        environment,
        begins=dice.choice([0.0, 0.0, dice.uniform(0, 5), dice.uniform(0, 120), dice.uniform(0, 1500)]),
        wait_s=dice.choice([0.0, 0.0, 30.0, 1200.0]),
        asks=dice.random() < 0.4,
        undo_on_failure=dice.random() < 0.9,
        apps=apps,
        overrides=dice.random() < 0.4 and verb == "promote",
        dice=random.Random(dice.random()),
    )


@dataclass
class Doing:
    """One command of an actor's, as its process does it."""

    world: World
    books: Books
    adapters: Adapters
    folder: Path
    hear: Callable[[str, str], None]
    stop: StopRequest = field(default_factory=StopRequest)

    def emit(self, event: Event) -> None:
        self.hear("an event", repr(event))

    async def do(self, errand: Errand) -> tuple[int, str, bool]:
        """Its exit code, what it told, and whether it took something back."""
        if errand.verb.startswith("resume"):
            return await self._resume(errand)
        if errand.verb == "approve":
            return await self._approve(errand)
        if errand.verb == "break":
            await break_lease(self.world.project, self.adapters, errand.environment, "it seems to hang")
            return 0, "broken", False

        def show(plan: Plan) -> None:
            errand.shown = plan

        async def agree(plan: Plan) -> None:
            await trio.sleep(20)

        overrides = self._overrides(errand)
        terms = Terms(
            errand.verb, errand.wait_s, errand.undo_on_failure, overrides | {"drift": "--accept-drift"}
        )
        given: dict[str, Any] = {
            "agree": agree if errand.asks else None,
            "emit": self.emit,
            "stop": self.stop,
        }
        where = self.world.project, self.adapters, errand.environment
        if errand.verb == "restore":
            _, result, _ = await roll_back_and_restore(
                *where,
                lambda: self._plan(errand),
                terms,
                show=lambda plan, chosen: show(plan),
                ended=lambda plan, result: None,
                tell=lambda app, text: self.hear("what is told", f"{app} {text}"),
                **given,
            )
        else:
            _, result = await run_under_lease(*where, lambda: self._plan(errand), terms, show=show, **given)
        return result.exit_code, self._told(result), False

    def _overrides(self, errand: Errand) -> dict[str, str]:
        if not errand.overrides:
            return {}
        return {gate: "it cannot wait" for gate in GATES if gate != "drift"}

    async def _plan(self, errand: Errand) -> Plan:
        project, environment = self.world.project, errand.environment
        conditions = Conditions(accept_drift=True, overrides=self._overrides(errand))
        match errand.verb:
            case "promote":
                return await plan_promotion(
                    project, self.adapters, errand.source, environment, errand.apps, conditions
                )
            case "rollback" | "restore":
                return await plan_rollback(
                    project, self.adapters, environment, apps=errand.apps, conditions=conditions
                )
            case "rollback-to":
                return await plan_rollback(
                    project,
                    self.adapters,
                    environment,
                    to=self._earlier(errand),
                    apps=errand.apps,
                    conditions=conditions,
                )
            case "deploy-site":
                checkout = Checkout(put_site(self.folder, 3), SITE_REPOSITORY, commit_of(3))
                return await plan_deploy(project, self.adapters, checkout, environment)
        checkout = Checkout(self.folder, REPOSITORY, commit_of(3))
        return await plan_deploy(project, self.adapters, checkout, environment)

    def _earlier(self, errand: Errand) -> str:
        """The id of a promotion that succeeded there, or a time."""
        ended = [w.id for w in self.books.intents(errand.environment) if w.state == "success"]
        dice = random.Random(errand.dice.random())
        return dice.choice([*ended, *ended, f"{dice.choice([30, 300, 3000])}s"])

    async def _approve(self, errand: Errand) -> tuple[int, str, bool]:
        assert errand.shown is not None
        lasts_s = errand.dice.choice([60.0, 3600.0, 86400.0])
        await approve_plan(
            self.world.project, self.adapters, errand.shown.digest, errand.environment, lasts_s
        )
        return 0, "approved", False

    async def _resume(self, errand: Errand) -> tuple[int, str, bool]:
        """As `liftlock resume` does it."""
        project, adapters = self.world.project, self.adapters
        intent = await resume.open_promotion(project, adapters, errand.environment)
        if intent is None:
            return 0, "nothing stands open", False
        terms = Terms(errand.verb, errand.wait_s)
        undo = errand.verb == "resume-undo"
        async with held(adapters.leases, errand.environment, terms, self.emit) as lease:
            given: dict[str, Any] = {"lease": await lease(), "emit": self.emit, "stop": self.stop}
            if undo:
                result = await resume.undo(project, adapters, intent, **given)
            else:
                plan = await resume.plan_finish(project, adapters, intent, given["lease"])
                refuse_unless_runnable(plan)
                result = await resume.finish(project, adapters, intent, plan, **given)
        code = 0 if undo and result.exit_code == 1 else result.exit_code
        return code, self._told(result), undo

    def _told(self, result: Result) -> str:
        cause = f"{result.cause.message}" if result.cause else result.interrupted
        text = f"{result.ending} {dict(result.apps)} {cause} {'; '.join(result.notes)}"
        self.hear("a result", text + (result.cause.hint if result.cause else ""))
        return text


def once_more(errand: Errand) -> Errand:
    """The same, at once."""
    return replace(errand, begins=0.0)
