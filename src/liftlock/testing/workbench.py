"""Plans from end to end, on real platforms and with a ledger in memory: the commands without a terminal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio

from liftlock.commands.observe import Observer
from liftlock.commands.promote import plan_promotion
from liftlock.commands.resume import finish, open_promotion, plan_finish, undo
from liftlock.commands.rollback import plan_rollback
from liftlock.commands.run import Terms, held, run_under_lease
from liftlock.engine.events import Event, StepFinished
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Result
from liftlock.errors import LiftlockError
from liftlock.leases.memory import MemoryLeases
from liftlock.ledgers.memory import Memory
from liftlock.model import Kind, Project, Release
from liftlock.planning.make import make_plan
from liftlock.planning.observation import Wanted
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters, Clock, DatabaseService, Notifier, Platform
from liftlock.testing.source_code import NoSourceCode


class Killed(Exception):
    """A run was ended in the middle, as by `kill -9`: nothing was put back, and its lease stands."""


def adapters_in_memory(
    clock: Clock,
    *platforms: Platform,
    databases: Sequence[DatabaseService] = (),
    notifiers: Sequence[Notifier] = (),
) -> Adapters:
    """Adapters of a project whose ledger and leases are in memory, so that a platform is tried alone."""
    return Adapters(
        platforms={platform.name: platform for platform in platforms},
        ledger=Memory(clock),
        databases={service.name: service for service in databases},
        notifiers=notifiers,
        source_code=NoSourceCode(),
        clock=clock,
        leases=MemoryLeases(clock),
    )


@dataclass
class Workbench:
    """Runs a project's plans as `--yes` does; whatever they tell is in `events`."""

    project: Project
    adapters: Adapters
    events: list[Event] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    """Every plan that was shown, oldest first."""

    async def deploy(self, environment: str, *releases: Release, kill_after: str = "") -> Result:
        """Release what was published already, as `liftlock deploy` does after it has published."""

        async def make() -> Plan:
            wanted = {release.app: Wanted(release) for release in releases}
            observation = await Observer(self.project, self.adapters, environment).for_releases(wanted)
            return make_plan(self.project, observation, kind=Kind.DEPLOY, environment=environment)

        return await self._run(environment, make, "deploy", kill_after)

    async def promote(
        self, source: str, target: str, *, undo_on_failure: bool = True, kill_after: str = ""
    ) -> Result:
        """`liftlock promote SOURCE TARGET`. With `kill_after`, a step's kind such as "release", the run
        is ended when the first step of that kind is done, and `Killed` is raised.
        """

        async def make() -> Plan:
            return await plan_promotion(self.project, self.adapters, source, target)

        return await self._run(target, make, f"promotion from {source}", kill_after, undo_on_failure)

    async def rollback(self, environment: str, *, to: str = "") -> Result:
        """`liftlock rollback ENV [--to ID]`."""

        async def make() -> Plan:
            return await plan_rollback(self.project, self.adapters, environment, to=to)

        return await self._run(environment, make, "rollback")

    async def resume(self, environment: str, *, finishing: bool = True) -> Result:
        """`liftlock resume ENV --finish` or `--undo`, after the killed run's lease was broken."""
        if await self.adapters.leases.holding(environment) is not None:
            await self.adapters.leases.break_(environment, "its holder was killed")
        intent = await open_promotion(self.project, self.adapters, environment)
        if intent is None:
            raise LiftlockError(f"Nothing stands open in {environment}.")
        stop = StopRequest()
        async with held(self.adapters.leases, environment, Terms("resume"), self.events.append) as lease:
            if not finishing:
                return await undo(
                    self.project,
                    self.adapters,
                    intent,
                    lease=await lease(),
                    emit=self.events.append,
                    stop=stop,
                )
            plan = await plan_finish(self.project, self.adapters, intent, await lease())
            self.plans.append(plan)
            return await finish(
                self.project,
                self.adapters,
                intent,
                plan,
                lease=await lease(),
                emit=self.events.append,
                stop=stop,
            )

    async def _run(
        self,
        environment: str,
        make: Callable[[], Awaitable[Plan]],
        purpose: str,
        kill_after: str = "",
        undo_on_failure: bool = True,
    ) -> Result:
        with anyio.CancelScope() as scope:

            def hear(event: Event) -> None:
                self.events.append(event)
                if isinstance(event, StepFinished) and event.kind == kill_after and event.outcome == "done":
                    scope.cancel()

            _, result = await run_under_lease(
                self.project,
                self.adapters,
                environment,
                make,
                Terms(purpose, undo_on_failure=undo_on_failure),
                show=self.plans.append,
                agree=None,
                emit=hear,
                stop=StopRequest(),
            )
        if scope.cancelled_caught:
            raise Killed(f"killed after {kill_after}")
        return result
