"""A promotion that was killed is finished or undone, wherever it was killed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio
import pytest
import trio.testing

from liftlock.commands import resume
from liftlock.commands.promote import plan_promotion
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Ending, Result
from liftlock.engine.run import Run
from liftlock.engine.way_back import Standing
from liftlock.errors import LiftlockError
from liftlock.leases.memory import MemoryLeases
from liftlock.ledgers.memory import Memory
from liftlock.model import Intent, Known, Release, Running, State, Target, Unknown
from liftlock.planning.plan import Step
from liftlock.ports import Adapters, Progress
from tests.doubles import (
    FakeClock,
    FakeDatabases,
    FakeLease,
    FakeNotifier,
    FakePlatform,
    NoSourceCode,
    app_of,
    crash,
    deployment,
    project_of,
    release,
)


class Killed(BaseException):
    """kill -9: nothing of ours runs after it."""


class KilledRun(Run):
    """A run that is killed when it is about to begin, or has just done, one of its steps."""

    kill_at: str = ""
    after: bool = False
    late_s: float = 0.0
    """How long the steps beside it go on before it is killed."""

    async def _act(self, step: Step, progress: Progress) -> str:
        if step.id == self.kill_at and not self.after:
            await anyio.sleep(self.late_s)
            raise Killed
        done = await super()._act(step, progress)
        if step.id == self.kill_at:
            raise Killed
        return done


class Comparing(FakePlatform):
    """Of SSO, tells as a command's `status` does: whether anything is left to do at one release.

    After `b`, nothing is left to do at `a`.
    """

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        now = await super().running(target, expected)
        if isinstance(now, Unknown) or target.app != "SSO":
            return now
        if not expected:
            return Known({}, compared_with={})
        asked = expected[0].artifacts
        is_done = asked in (now.artifacts, release(target.app, "a").artifacts)
        return Known(asked if is_done else {}, compared_with=asked)


@dataclass
class World:
    """dev runs and records version b; staging runs and records a."""

    def __post_init__(self) -> None:
        apps = [app_of("SSO", backup=True), app_of("ODB", ["SSO"], backup=True), app_of("Explore", ["ODB"])]
        self.project = project_of(*apps)
        self.platform = FakePlatform(takes_s={"stage": 1.0})  # the intent is written meanwhile
        self.ledger = Memory(FakeClock())
        self.lease = FakeLease()
        for number, app in enumerate(apps):
            for environment, version in (("dev", "b"), ("staging", "a")):
                of = release(app.name, version)
                self.ledger.put(deployment(app.name, environment, of, number - 100))
                self.platform.runs[app.name, environment] = Known(of.artifacts, marker="v1")
        self.adapters = Adapters(
            platforms={"fake": self.platform},
            ledger=self.ledger,
            databases={"fake": FakeDatabases(self.platform)},
            notifiers=[FakeNotifier()],
            source_code=NoSourceCode(),
            clock=FakeClock(),
            leases=MemoryLeases(FakeClock()),
        )

    async def promote_killed(self, step: str, *, after: bool, late_s: float = 0.0) -> None:
        plan = await plan_promotion(self.project, self.adapters, "dev", "staging")
        run = KilledRun(
            self.project,
            plan,
            self.adapters,
            key="killed",
            lease=self.lease,
            emit=lambda _: None,
            stop=StopRequest(),
        )
        run.kill_at, run.after, run.late_s = step, after, late_s
        try:
            await run.run()
        except BaseExceptionGroup as group:
            if group.split(Killed)[1] is not None:
                raise

    async def intent(self) -> Intent | None:
        return await resume.open_promotion(self.project, self.adapters, "staging")

    async def finish(self, intent: Intent) -> Result:
        plan = await resume.plan_finish(self.project, self.adapters, intent, self.lease)
        return await resume.finish(
            self.project,
            self.adapters,
            intent,
            plan,
            lease=self.lease,
            emit=lambda _: None,
            stop=StopRequest(),
        )

    async def undo(self, intent: Intent) -> Result:
        return await resume.undo(
            self.project, self.adapters, intent, lease=self.lease, emit=lambda _: None, stop=StopRequest()
        )

    def versions(self) -> set[str]:
        found = set()
        for app in self.project.apps:
            running = self.platform.runs[app, "staging"].artifacts
            found |= {v for v in "ab" if release(app, v).artifacts == running} or {"?"}
        return found

    async def recorded(self) -> Sequence[str]:
        """By app, how many records of version b there are in staging."""
        counts = []
        for app in self.project.apps:
            records = await self.ledger.deployments("staging", app, 10)
            counts += [app for d in records if d.release.artifacts == release(app, "b").artifacts]
        return counts


STEPS = [
    "stage:SSO",
    "backup:db-ODB",
    "journal",
    "release:SSO",
    "verify:SSO",
    "release:ODB",
    "release:Explore",
    "verify:Explore",
    "record:SSO",
    "record:ODB",
    "mark:SSO",
    "close",
]


def on_virtual_time(main: object, *args: object) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0)
    anyio.run(main, *args, backend="trio", backend_options={"clock": clock})  # type: ignore[arg-type]


@pytest.mark.promise("P5")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_finishing_ends_as_if_it_had_never_been_killed(step: str, after: bool) -> None:
    async def main() -> None:
        world = World()
        await world.promote_killed(step, after=after)
        intent = await world.intent()
        if intent is None:
            # Killed before the intent was written, or after it was closed: nothing stands open.
            assert world.versions() in ({"a"}, {"b"})
            return
        result = await world.finish(intent)
        assert result.ending is Ending.SUCCEEDED
        assert world.versions() == {"b"}
        assert sorted(await world.recorded()) == sorted(world.project.apps)
        assert all(world.platform.log.count(("release done", app)) == 1 for app in world.project.apps)
        if (step, after) == ("journal", True) or step.startswith(("release", "verify", "record", "mark")):
            assert world.platform.log.count(("backup", "ODB")) == 1
        assert await world.intent() is None

    on_virtual_time(main)


@pytest.mark.promise("P5")
@pytest.mark.parametrize("step", ["stage:SSO", "journal", "release:SSO", "verify:SSO", "release:Explore"])
def test_undoing_ends_as_if_it_had_never_begun(step: str) -> None:
    async def main() -> None:
        world = World()
        await world.promote_killed(step, after=True)
        intent = await world.intent()
        assert intent is not None
        result = await world.undo(intent)
        assert (result.ending, world.versions(), await world.recorded()) == (Ending.FAILED, {"a"}, [])
        closed = (await world.ledger.intents("staging", 1))[0]
        assert closed.state is State.FAILURE

    on_virtual_time(main)


@pytest.mark.promise("P1")
def test_what_is_recorded_already_is_finished_and_not_undone() -> None:
    async def main() -> None:
        world = World()
        await world.promote_killed("record:SSO", after=True)
        intent = await world.intent()
        assert intent is not None
        with pytest.raises(LiftlockError, match="was verified, and SSO"):
            await world.undo(intent)

    on_virtual_time(main)


@pytest.mark.promise("P4")
def test_a_failure_while_finishing_takes_back_what_the_killed_run_had_switched() -> None:
    async def main() -> None:
        world = World()
        await world.promote_killed("release:ODB", after=False)
        intent = await world.intent()
        assert intent is not None
        world.platform.fails["settle", "Explore"] = crash("Explore")
        result = await world.finish(intent)
        assert (result.ending, world.versions()) == (Ending.FAILED, {"a"})

    on_virtual_time(main)


@pytest.mark.promise("P4")
def test_a_switched_app_of_which_nothing_was_known_before_is_never_called_untouched() -> None:
    async def main(way: str) -> None:
        world = World()
        world.platform.unknown.add("SSO")
        world.ledger._records["staging", "SSO"].clear()
        await world.promote_killed("release:ODB", after=True)
        world.platform.unknown.clear()
        intent = await world.intent()
        assert intent is not None
        if way == "undo":
            result = await world.undo(intent)
        else:
            world.platform.fails["settle", "Explore"] = crash("Explore")
            result = await world.finish(intent)
        assert (result.ending, result.exit_code) == (Ending.MIXED, 6)
        assert Standing.NEW is result.apps["SSO"]
        assert Standing.OLD is result.apps["ODB"]

    for way in ("undo", "finish"):
        on_virtual_time(main, way)


@pytest.mark.promise("P4")
def test_an_app_that_can_only_be_compared_is_taken_back_though_its_old_release_wants_nothing() -> None:
    """What ran before could not be told when it was planned; it is what was recorded."""

    async def main() -> None:
        world = World()
        world.platform.__class__ = Comparing
        world.platform.unknown.add("SSO")
        await world.promote_killed("release:ODB", after=True)
        world.platform.unknown.clear()
        intent = await world.intent()
        assert intent is not None
        assert intent.before["SSO"] == release("SSO", "a").artifacts
        result = await world.undo(intent)
        assert (result.ending, world.versions()) == (Ending.FAILED, {"a"})

    on_virtual_time(main)


@pytest.mark.promise("P4")
def test_undoing_does_not_answer_for_an_app_that_left_the_project() -> None:
    async def main() -> None:
        world = World()
        await world.promote_killed("release:ODB", after=True)
        intent = await world.intent()
        assert intent is not None
        del world.project.apps["ODB"]  # type: ignore[attr-defined]
        result = await world.undo(intent)
        assert (result.ending, result.apps["ODB"]) == (Ending.MIXED, Standing.UNSURE)
        assert any("ODB has left the project" in note for note in result.notes)

    on_virtual_time(main)


@pytest.mark.promise("P1")
@pytest.mark.parametrize("way", ["finish", "undo"])
def test_a_promotion_that_cannot_be_read_is_neither_finished_nor_undone(way: str) -> None:
    async def main() -> None:
        world = World()
        await world.promote_killed("release:ODB", after=True)
        intent = await world.intent()
        assert intent is not None
        unread = replace(intent, releases={}, before={}, replaced={})
        world.ledger._intents[intent.id] = unread
        with pytest.raises(LiftlockError, match="cannot be read"):
            await (world.finish(unread) if way == "finish" else world.undo(unread))
        assert await world.intent() is not None

    on_virtual_time(main)


@pytest.mark.promise("P5")
def test_finishing_marks_what_was_recorded_and_not_marked() -> None:
    async def main() -> None:
        world = World()
        await world.promote_killed("record:SSO", after=True)
        intent = await world.intent()
        assert intent is not None
        await world.finish(intent)
        for app in world.project.apps:
            newest = (await world.ledger.deployments("staging", app, 1))[0]
            assert newest.reached_success

    on_virtual_time(main)


@pytest.mark.promise("P4")
@pytest.mark.promise("P1")
def test_records_that_others_deployed_over_keep_a_resume_from_undoing() -> None:
    """It had verified everything and begun to record: a deploy over that record since changes nothing in it."""

    async def main() -> None:
        world = World()
        await world.promote_killed("record:ODB", after=False, late_s=1.0)
        intent = await world.intent()
        assert intent is not None
        recorded = await world.ledger.deployments("staging", "SSO", 1)
        assert recorded[0].promotion == intent.id
        world.ledger.put(
            replace(recorded[0], id="900", promotion="", state=State.SUCCESS, reached_success=True)
        )
        world.platform.fails[("settle", "ODB")] = LiftlockError("It is ill for a moment.")
        result = await world.finish(intent)
        assert result.ending is Ending.UNRECORDED
        assert world.versions() == {"b"}

    anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})
