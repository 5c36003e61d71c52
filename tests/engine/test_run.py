"""A run keeps the promises whatever fails in it: on a virtual clock, with a platform that fails on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
import anyio.lowlevel
import pytest
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liftlock.cli.result_view import next_step
from liftlock.engine.backups import journaled_backups
from liftlock.engine.events import Emit, Event, Notice, RunFinished, StepFinished, Stopping, UndoStarted
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Ending, Result
from liftlock.engine.run import Run
from liftlock.engine.way_back import Standing
from liftlock.errors import BackupFailed, LeaseLost, LiftlockError
from liftlock.leases.memory import MemoryLeases
from liftlock.ledgers.memory import Memory
from liftlock.model import (
    App,
    Database,
    Deployment,
    Intent,
    Kind,
    Known,
    Release,
    Running,
    State,
    StepTime,
    Target,
    Undo,
)
from liftlock.planning.make import make_plan
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters, Announcement, NewDeployment, Progress, Switch
from liftlock.tasks import together
from tests.doubles import (
    FakeClock,
    FakeDatabases,
    FakeLease,
    FakeNotifier,
    FakePlatform,
    NoSourceCode,
    app_of,
    crash,
    observation,
    project_of,
    refusal,
    release,
    seen,
)


class RefusingMemory(Memory):
    """A ledger that counts its records, and refuses those of some apps."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.refuse_records_of: set[str] = set()
        self.recorded: list[str] = []
        self.takes_s = 0.0

    async def record(self, new: NewDeployment, intent: Intent) -> Deployment:
        if new.app in self.refuse_records_of:
            raise LiftlockError(f"GitHub answered 500 for {new.app}.")
        self.recorded.append(new.app)
        await anyio.sleep(self.takes_s)
        return await super().record(new, intent)


@dataclass
class World:
    """A project whose every app is to go from version a to version b in staging."""

    apps: list[App]
    settle_s: float = 0.0
    platform: FakePlatform = field(default_factory=FakePlatform)
    notifier: FakeNotifier = field(default_factory=FakeNotifier)
    lease: FakeLease = field(default_factory=FakeLease)
    events: list[Event] = field(default_factory=list)
    emit: Emit | None = None

    def __post_init__(self) -> None:
        self.project = project_of(*self.apps, settle_s=self.settle_s)
        self.ledger = RefusingMemory()
        self.databases = FakeDatabases(self.platform)
        self.stop = StopRequest()
        for app in self.apps:
            self.platform.runs[app.name, "staging"] = Known(release(app.name, "a").artifacts, marker="v1")
        self.adapters = Adapters(
            {"fake": self.platform},
            self.ledger,
            {"fake": self.databases},
            [self.notifier],
            NoSourceCode(),
            FakeClock(),
            MemoryLeases(FakeClock()),
        )

    def plan(self) -> Plan:
        observed = [
            seen(
                a.name,
                wanted=release(a.name, "b"),
                runs=self.platform.runs[a.name, "staging"],
                recorded=release(a.name, "a"),
                databases=(Database(f"db-{a.name}", a.name, "staging", "fake"),),
            )
            for a in self.apps
        ]
        return make_plan(
            self.project, observation(*observed), kind=Kind.PROMOTION, environment="staging", source="dev"
        )

    async def run(self, *, undo: bool = True) -> Result:
        run = Run(
            self.project,
            self.plan(),
            self.adapters,
            key="key",
            lease=self.lease,
            emit=self.emit or self.events.append,
            stop=self.stop,
            undo_on_failure=undo,
        )
        return await run.run()

    def play(self, *, undo: bool = True) -> Result:
        """Run on trio's virtual clock: waiting costs nothing."""
        clock = trio.testing.MockClock(autojump_threshold=0)

        async def main() -> Result:
            return await self.run(undo=undo)

        return anyio.run(main, backend="trio", backend_options={"clock": clock})

    def versions(self) -> dict[str, str]:
        """By app, the version that staging runs: a, b, or ? for something else."""
        found = {}
        for app in self.apps:
            artifacts = self.platform.runs[app.name, "staging"].artifacts
            known = {v: release(app.name, v).artifacts for v in "ab"}
            found[app.name] = next((v for v, a in known.items() if a == artifacts), "?")
        return found

    @property
    def records(self) -> int:
        return len(set(self.ledger.recorded))

    def did(self, verb: str) -> list[str]:
        return [app for what, app in self.platform.log if what == verb]


def observatory() -> World:
    return World(
        [
            app_of("SSO", backup=True),
            app_of("ITC"),
            app_of("ODB", ["SSO"], backup=True),
            app_of("Explore", ["SSO", "ITC", "ODB"]),
        ]
    )


def test_all_apps_are_lifted_in_order_and_then_recorded() -> None:
    world = observatory()
    result = world.play()
    assert Ending.SUCCEEDED is result.ending
    assert world.versions() == {"SSO": "b", "ITC": "b", "ODB": "b", "Explore": "b"}
    assert world.records == 4
    log = world.platform.log
    assert log.index(("settle done", "SSO")) < log.index(("release", "ODB"))
    assert world.did("release")[-1] == "Explore"
    assert world.notifier.told[0].outcome == "succeeded"


@pytest.mark.promise("P2")
def test_nothing_is_released_when_a_backup_fails() -> None:
    world = observatory()
    world.platform.fails["backup", "ODB"] = BackupFailed("The backup of ODB failed.")
    result = world.play()
    assert Ending.FAILED is result.ending
    assert world.did("release") == []
    assert world.records == 0


@pytest.mark.promise("P2")
def test_an_empty_backup_does_not_count() -> None:
    world = observatory()
    world.databases.size_bytes = 0
    assert Ending.FAILED is world.play().ending
    assert world.did("release") == []


@pytest.mark.promise("P2")
def test_a_release_waits_for_the_slowest_backup() -> None:
    world = observatory()
    world.platform.takes_s = {"backup": 600.0, "stage": 1.0}
    world.play()
    log = world.platform.log
    last_backup = max(i for i, (verb, _) in enumerate(log) if verb == "backup done")
    assert last_backup < min(i for i, (verb, _) in enumerate(log) if verb == "release")


def test_every_record_says_how_long_the_steps_of_its_app_took() -> None:
    world = observatory()
    world.platform.takes_s = {"stage": 2.0, "backup": 60.0, "release": 20.0, "settle": 30.0}
    result = world.play()
    assert result.deployments is not None
    times = {app: result.deployments[app].steps for app in ("SSO", "ODB", "ITC")}
    assert times["SSO"] == {
        "stage": StepTime(0.0, 2.0),
        "backup": StepTime(0.0, 60.0),
        "release": StepTime(60.0, 20.0),
        "verify": StepTime(80.0, 30.0),
    }
    assert times["ODB"]["release"].began_s == times["SSO"]["verify"].ended_s
    assert "backup" not in times["ITC"]


@pytest.mark.promise("P4")
def test_a_crash_puts_every_switched_app_back_in_reverse_order() -> None:
    world = observatory()
    world.platform.fails["settle", "Explore"] = crash("Explore")
    result = world.play()
    assert (result.ending, result.exit_code) == (Ending.FAILED, 1)
    assert world.versions() == {"SSO": "a", "ITC": "a", "ODB": "a", "Explore": "a"}
    assert world.records == 0
    assert world.did("restore")[0] == "Explore"
    assert world.did("restore").index("ODB") < world.did("restore").index("SSO")
    assert "web of Explore crashed" in str(result.cause)


@pytest.mark.promise("P4")
def test_a_refused_release_that_switched_nothing_is_not_restored() -> None:
    world = observatory()
    world.platform.fails["release", "SSO"] = refusal("SSO")
    result = world.play()
    assert Ending.FAILED is result.ending
    assert "SSO" not in world.did("restore")


@pytest.mark.promise("P4")
def test_a_failed_release_that_switched_all_the_same_is_restored() -> None:
    world = observatory()
    world.platform.fails["release", "SSO"] = refusal("SSO")
    world.platform.switched_anyway.add("SSO")
    assert Ending.FAILED is world.play().ending
    assert world.versions()["SSO"] == "a"


@pytest.mark.promise("P4")
def test_an_app_that_cannot_be_put_back_is_reported_app_by_app() -> None:
    world = observatory()
    world.platform.fails["settle", "Explore"] = crash("Explore")
    world.platform.fails["restore", "ODB"] = refusal("ODB")
    result = world.play()
    assert (result.ending, result.exit_code) == (Ending.MIXED, 6)
    assert Standing.NEW is result.apps["ODB"]
    assert Standing.OLD is result.apps["SSO"]


def test_past_the_point_of_no_return_nothing_is_put_back() -> None:
    world = World([app_of("ODB", backup=True, undo=Undo.NEVER), app_of("Explore", ["ODB"])])
    world.platform.fails["settle", "Explore"] = crash("Explore")
    result = world.play()
    assert result.exit_code == 6
    assert world.did("restore") == []
    assert any("ODB is past the point of no return" in n and "b001" in n for n in result.notes)


def test_a_failure_before_the_point_of_no_return_is_still_undone() -> None:
    world = World([app_of("ODB", undo=Undo.NEVER), app_of("SSO"), app_of("ITC")])
    world.platform.fails["settle", "ITC"] = crash("ITC")
    assert world.play().exit_code == 1
    assert "ODB" not in world.did("release")


def test_on_failure_stop_leaves_everything_as_it_stands() -> None:
    world = observatory()
    world.platform.fails["settle", "Explore"] = crash("Explore")
    result = world.play(undo=False)
    assert (result.exit_code, world.did("restore")) == (6, [])


@pytest.mark.promise("P1")
def test_a_failing_record_leaves_healthy_apps_and_says_so() -> None:
    world = observatory()
    world.ledger.refuse_records_of = {"ODB"}
    result = world.play()
    assert (result.ending, result.exit_code) == (Ending.UNRECORDED, 6)
    assert {"b"} == set(world.versions().values())
    assert any("ODB runs and is healthy, but its record was not written" in n for n in result.notes)


def test_a_silent_notifier_never_fails_a_promotion() -> None:
    world = observatory()
    world.notifier.error = LiftlockError("Slack answered 404 channel_not_found.")
    result = world.play()
    assert Ending.SUCCEEDED is result.ending
    assert result.notes == ("slack was not told: Slack answered 404 channel_not_found.",)


class Broken(FakePlatform):
    """A platform with a defect: it raises what is no error of ours."""

    def __init__(self, verb: str, app: str) -> None:
        super().__init__()
        self._breaks = verb, app

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        self._break("running", target)
        return await super().running(target, expected)

    async def restore(
        self, target: Target, before: Known, progress: Progress, released: Release | None = None
    ) -> None:
        self._break("restore", target)
        await super().restore(target, before, progress, released)

    def _break(self, verb: str, target: Target) -> None:
        if (verb, target.app) == self._breaks:
            raise KeyError("formation")


@pytest.mark.promise("P4")
@pytest.mark.parametrize("verb", ["running", "restore"])
def test_a_defect_on_the_way_back_keeps_no_other_app_from_it(verb: str) -> None:
    world = World(
        [app_of("SSO"), app_of("ITC"), app_of("Explore", ["SSO", "ITC"])], platform=Broken(verb, "ITC")
    )
    world.platform.fails["settle", "Explore"] = crash("Explore")
    result = world.play()
    assert (result.ending, result.exit_code) == (Ending.MIXED, 6)
    assert (world.versions()["SSO"], world.versions()["Explore"]) == ("a", "a")
    assert any("ITC" in note and "KeyError" in note for note in result.notes)


class NoAddress(NoSourceCode):
    """Cannot even tell an address."""

    async def compare_url(self, repository: str, base: str, head: str) -> str:
        raise LiftlockError("There is no token for GitHub.")


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
def test_telling_never_changes_how_a_run_ends(fails: bool) -> None:
    world = observatory()
    world.adapters = replace(world.adapters, source_code=NoAddress())
    if fails:
        world.platform.fails["settle", "Explore"] = crash("Explore")
    result = world.play()
    assert result.exit_code == (1 if fails else 0)
    assert result.notes == ()
    assert [line.compare_url for line in world.notifier.told[0].lines] == [""] * 4


def test_a_defect_of_a_notifier_never_fails_a_promotion() -> None:
    class Defective(FakeNotifier):
        async def announce(self, announcement: Announcement) -> None:
            raise KeyError("channel")

    world = observatory()
    world.adapters = replace(world.adapters, notifiers=[Defective()])
    result = world.play()
    assert result.exit_code == 0
    assert result.notes == (
        "slack was not told: liftlock itself failed in notify:slack: KeyError: 'channel'",
    )


def test_a_record_that_could_not_be_marked_is_marked_again_and_else_told() -> None:
    class Unmarking(RefusingMemory):
        refused = 0

        async def mark(self, deployment: Deployment, state: State, description: str = "") -> None:
            if deployment.app == "ODB" and state is State.SUCCESS:
                await anyio.sleep(1)  # the intent is closed by then
                self.refused += 1
                raise LiftlockError("GitHub answered 500.")
            await super().mark(deployment, state, description)

    world = observatory()
    ledger = Unmarking()
    world.ledger, world.adapters = ledger, replace(world.adapters, ledger=ledger)
    result = world.play()
    assert (result.exit_code, ledger.refused) == (0, 2)
    assert result.notes == ("ODB is recorded, and its record could not be marked: GitHub answered 500.",)


@pytest.mark.promise("P4")
@pytest.mark.parametrize("broken", [BrokenPipeError(), SystemExit(1)], ids=["closed pipe", "exit"])
def test_a_run_goes_on_when_nobody_hears_it_any_more(broken: BaseException) -> None:
    def emit(event: Event) -> None:
        if len(heard) == 20:
            raise broken
        heard.append(event)

    heard: list[Event] = []
    world = observatory()
    world.emit = emit
    assert world.play().exit_code == 0
    assert world.versions() == {"SSO": "b", "ITC": "b", "ODB": "b", "Explore": "b"}


@pytest.mark.parametrize("verb", ["stage", "backup", "release", "settle"])
@pytest.mark.promise("P4")
def test_an_interruption_settles_what_is_in_flight_and_undoes(verb: str) -> None:
    world = observatory()
    world.platform.takes_s[verb] = 100.0

    async def interrupt() -> None:
        await anyio.sleep(50)
        world.stop.ask("interrupted by SIGINT")

    async def main() -> Result:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(interrupt)
            return await world.run()
        raise AssertionError("the task group ends with the run")

    clock = trio.testing.MockClock(autojump_threshold=0)
    result = anyio.run(main, backend="trio", backend_options={"clock": clock})
    assert (result.ending, result.interrupted) == (Ending.FAILED, "interrupted by SIGINT")
    assert {"a"} == set(world.versions().values())
    assert world.records == 0
    if result.intent is not None:
        assert State.FAILURE is anyio.run(world.ledger.intents, "staging", 1)[0].state


def test_independent_apps_are_switched_at_once() -> None:
    world = World([app_of(f"A{i}") for i in range(20)])
    world.platform.takes_s = {"release": 10.0, "settle": 5.0}
    result = world.play()
    assert pytest.approx(result.elapsed_s) == 15.0


def test_a_lane_limits_how_many_run_at_once() -> None:
    world = World([app_of(f"A{i}") for i in range(8)])
    world.platform.concurrency = 2
    world.platform.takes_s = {"release": 10.0}
    assert world.play().elapsed_s >= 40.0


def test_every_started_step_finishes_in_the_stream() -> None:
    world = observatory()
    world.platform.fails["settle", "ODB"] = crash("ODB")
    world.play()
    finished = [e.step for e in world.events if isinstance(e, StepFinished)]
    assert len(finished) == len(set(finished))
    assert isinstance(world.events[-1], RunFinished)


@pytest.mark.promise("P3")
def test_nothing_is_switched_without_a_lease_that_outlasts_the_call() -> None:
    world = observatory()
    world.lease.left_s = 30.0
    result = world.play()
    assert (result.exit_code, world.did("release")) == (1, [])
    assert "too little time left" in str(result.cause)


@pytest.mark.promise("P3")
def test_a_lease_lost_in_the_middle_stops_the_run_and_nothing_more_is_changed() -> None:
    world = observatory()
    world.platform.takes_s["settle"] = 1000.0
    world.lease.lost = LeaseLost("The lease on staging was broken by ana: hotfix.")
    result = world.play()
    assert {"ODB", "Explore"}.isdisjoint(world.did("release"))
    assert world.did("restore") == []
    assert result.exit_code == 6
    assert world.records == 0
    assert result.notes == ("Nothing was put back: whoever has the lease now decides what becomes of it.",)


async def _broken_at(leases: MemoryLeases, at_s: float) -> None:
    await anyio.sleep(at_s)
    await leases.break_("staging", "it seems to hang")


def play_broken(world: World, at_s: float) -> Result:
    """Run under a real lease, which somebody breaks after so many seconds."""

    async def main() -> Result:
        leases = MemoryLeases(FakeClock())
        world.lease = await leases.take("staging", "a promotion")  # type: ignore[assignment]
        broken = partial(_broken_at, leases, at_s)
        _, result = await together(broken, world.run)
        return result

    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(main, backend="trio", backend_options={"clock": clock})


@pytest.mark.promise("P3")
def test_a_holder_whose_lease_was_broken_records_nothing_more() -> None:
    """It is broken long before it would have been renewed: it is looked at before the records."""
    world = World([app_of("SSO"), app_of("ITC")], settle_s=100)
    world.platform.takes_s["settle"] = 100.0
    result = play_broken(world, at_s=50.0)
    assert world.did("release") == ["SSO", "ITC"] or world.did("release") == ["ITC", "SSO"]
    assert world.records == 0
    assert world.did("restore") == []
    assert "was broken by memory" in str(result.cause)
    assert result.exit_code == 6
    assert result.stands_open  # who broke it may be finishing the promotion, and says how it ended
    assert "liftlock resume staging" in next_step(world.plan(), result)
    assert result.notes == ()


@pytest.mark.promise("P3")
def test_a_lease_that_is_broken_between_two_records_lets_no_second_one_be_made() -> None:
    world = World([app_of("SSO"), app_of("ITC"), app_of("ODB")])
    world.ledger.concurrency = 1
    world.ledger.takes_s = 30.0
    play_broken(world, at_s=40.0)
    assert world.records == 2  # one was done, and one under way


@pytest.mark.promise("P3")
def test_a_change_waits_while_its_lease_cannot_be_looked_at() -> None:
    """Somebody may have broken it meanwhile: after 45 s without a look, nothing is begun."""

    class Mute(FakeLease):
        answers_at = 0.0

        async def renew(self) -> None:
            if anyio.current_time() < self.answers_at:
                raise LiftlockError("GitHub does not answer.")
            await super().renew()

        look = renew

    world = World([app_of("SSO"), app_of("ODB", ["SSO"])])
    world.platform.takes_s["settle"] = 60.0
    world.lease = lease = Mute()
    lease.answers_at = 200.0
    result = world.play()
    assert result.exit_code == 0
    assert result.elapsed_s >= 200.0 + 60.0  # the second app was switched after that, and had to settle
    assert any("cannot be looked at" in event.text for event in world.events if isinstance(event, Notice))


@pytest.mark.promise("P4")
def test_a_defect_in_renewing_the_lease_cuts_no_switch_off() -> None:
    class Defective(FakeLease):
        async def renew(self) -> None:
            await anyio.lowlevel.checkpoint()
            raise KeyError("tagger")

    world = observatory()
    world.lease = Defective()
    world.platform.takes_s["release"] = 300.0
    assert world.play().exit_code == 0
    assert set(world.versions().values()) == {"b"}


def test_the_way_back_is_told_in_its_order_whatever_the_order_of_the_file() -> None:
    world = World([app_of("Explore", ["ODB"]), app_of("ODB", ["SSO"]), app_of("SSO")])
    world.platform.fails["settle", "Explore"] = crash("Explore")
    world.play()
    (told,) = [event for event in world.events if isinstance(event, UndoStarted)]
    assert list(told.apps) == world.did("restore") == ["Explore", "ODB", "SSO"]


@pytest.mark.promise("P5")
def test_backups_are_journaled_before_the_first_switch() -> None:
    world = observatory()
    world.platform.fails["release", "SSO"] = refusal("SSO")
    result = world.play()
    assert result.intent is not None
    assert {b.app for b in journaled_backups(result.intent, world.lease.journal)} == {"SSO", "ODB"}


VERBS = ("stage", "backup", "release", "settle", "restore")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=150)
@given(st.data())
@pytest.mark.promise("P4")
def test_whatever_fails_the_environment_is_whole_or_it_is_said(data: st.DataObject) -> None:
    """P1, P2, P4: with any set of failures, checked from what the platform saw."""
    count = data.draw(st.integers(1, 6))
    names = [f"A{i}" for i in range(count)]
    apps = []
    for i, name in enumerate(names):
        after = data.draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else []
        undo = data.draw(st.sampled_from([Undo.SAFE, Undo.SAFE, Undo.NEVER]))
        apps.append(app_of(name, after, backup=data.draw(st.booleans()), undo=undo))
    world = World(apps)
    failing = data.draw(st.sets(st.tuples(st.sampled_from(VERBS), st.sampled_from(names)), max_size=4))
    for verb, app in failing:
        world.platform.fails[verb, app] = refusal(app)
    world.platform.switched_anyway = data.draw(st.sets(st.sampled_from(names)))
    world.platform.takes_s = {v: data.draw(st.sampled_from([0.0, 1.0, 7.0])) for v in VERBS}

    result = world.play()

    versions = set(world.versions().values())
    match result.exit_code:
        case 0:
            assert {"b"} == versions
            assert count == world.records
        case 1:
            assert {"a"} == versions
            assert world.records == 0
        case code:
            assert code == 6
            assert world.records == 0
    owed = {a.name for a in apps if a.backup}
    if world.did("release"):
        first_release = next(i for i, (verb, _) in enumerate(world.platform.log) if verb == "release")
        done = {app for verb, app in world.platform.log[:first_release] if verb == "backup done"}
        assert owed <= done


@pytest.mark.promise("P4")
def test_a_release_still_under_way_is_not_taken_for_the_old_state() -> None:
    world = observatory()
    world.platform.fails["release", "SSO"] = refusal("SSO")
    runs = Known(release("SSO", "a").artifacts, marker="v1", pending="v2")
    plan = world.plan()
    world.platform.runs["SSO", "staging"] = runs
    run = Run(
        world.project,
        plan,
        world.adapters,
        key="key",
        lease=world.lease,
        emit=world.events.append,
        stop=world.stop,
    )
    clock = trio.testing.MockClock(autojump_threshold=0)
    anyio.run(run.run, backend="trio", backend_options={"clock": clock})
    assert "SSO" in world.did("restore")


@pytest.mark.promise("P8")
def test_stopping_is_told_once_though_a_failure_and_an_interruption_meet() -> None:
    world = observatory()
    world.platform.fails[("release", "ITC")] = LiftlockError("Heroku refused.")
    switch = world.platform.release

    async def slowly(target: Target, release: Release, progress: Progress, promotion: str = "") -> Switch:
        await anyio.sleep(0 if target.app == "ITC" else 100)
        return await switch(target, release, progress, promotion)

    world.platform.release = slowly  # type: ignore[method-assign]

    async def main() -> Result:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(interrupt)
            return await world.run()
        raise AssertionError("the task group ends with the run")

    async def interrupt() -> None:
        await anyio.sleep(50)
        world.stop.ask("interrupted by SIGINT")

    clock = trio.testing.MockClock(autojump_threshold=0)
    result = anyio.run(main, backend="trio", backend_options={"clock": clock})
    assert result.exit_code == 1
    assert len([event for event in world.events if isinstance(event, Stopping)]) == 1


@pytest.mark.promise("P8")
def test_a_record_that_was_not_retired_in_time_is_told() -> None:
    world = observatory()
    mark = world.ledger.mark

    async def slow(deployment: Deployment, state: State, description: str = "") -> None:
        if state is State.INACTIVE and deployment.app == "ODB":
            await anyio.sleep_forever()
        await mark(deployment, state, description)

    world.ledger.mark = slow  # type: ignore[method-assign]
    result = world.play()
    assert result.exit_code == 0
    (note,) = [note for note in result.notes if "not marked inactive" in note]
    assert "of ODB" in note


@pytest.mark.promise("P8")
def test_a_promotion_that_cannot_be_closed_is_no_success() -> None:
    """Everything runs and is recorded, and yet nothing else could begin: the next one would be refused."""
    world = observatory()

    async def refuse(intent: Intent, state: State, description: str) -> None:
        raise LiftlockError("GitHub answered 500.")

    world.ledger.close_intent = refuse  # type: ignore[method-assign]
    result = world.play()
    assert (result.ending, result.exit_code, result.stands_open) == (Ending.UNRECORDED, 6, True)
    assert {"b"} == set(world.versions().values())
    assert world.records == 4
    assert "liftlock resume staging" in next_step(world.plan(), result)


@pytest.mark.promise("P8")
def test_a_failed_promotion_that_cannot_be_closed_says_what_comes_first() -> None:
    world = observatory()
    world.platform.fails[("release", "ODB")] = LiftlockError("Heroku refused.")

    async def refuse(intent: Intent, state: State, description: str) -> None:
        raise LiftlockError("GitHub answered 500.")

    world.ledger.close_intent = refuse  # type: ignore[method-assign]
    result = world.play()
    assert (result.exit_code, result.stands_open) == (1, True)
    assert "liftlock resume staging" in next_step(world.plan(), result)
