"""What every platform owes the core, as tests: see `ports.Platform` for the words."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Protocol

import pytest

from liftlock.changes import guarded
from liftlock.engine.outcome import Ending, Result
from liftlock.errors import LeaseLost, LiftlockError, NotHealthy
from liftlock.model import (
    App,
    Artifacts,
    Known,
    Located,
    Missing,
    Project,
    Release,
    Running,
    Target,
    same_artifacts,
)
from liftlock.ports import Clock, Platform, Switch
from liftlock.testing.workbench import Killed, Workbench, adapters_in_memory
from liftlock.wiring import SystemClock


class PlatformWorld(Protocol):
    """Your platform and the place behind it, as the contract needs them. One is made for every test."""

    project: Project
    """A project of one app on the platform; of its environments, the second is promoted from the first."""
    settle_s: float
    """How long a release is watched: a little longer than a broken one takes to be seen so."""

    def platform(self) -> Platform:
        """A new one over the same place, as another process or another machine has it."""
        ...

    async def built(self, version: str) -> Release:
        """A release that `publish` has just made: another for another version, and it runs nowhere yet."""
        ...

    async def broken(self) -> Release | None:
        """One that can be switched to and does not stay up; None where your platform cannot tell."""
        ...

    async def absent(self) -> Release:
        """One whose artifacts are nowhere."""
        ...


class PlatformContract:
    """Inherit from it, give it the fixture `world`, and your platform is held to what the core relies on.

    The tests run on asyncio; override the fixture `anyio_backend` for another event loop, and
    `clock` for another time.
    """

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> object:
        return "asyncio"

    @pytest.fixture
    def clock(self) -> Clock:
        return SystemClock()

    @pytest.fixture
    def bench(self, world: PlatformWorld, clock: Clock) -> Workbench:
        """The world's app, promoted with a ledger in memory."""
        project = replace(world.project, settle_s=world.settle_s)
        apps = {name: replace(app, backup=False) for name, app in project.apps.items()}
        return Workbench(replace(project, apps=apps), adapters_in_memory(clock, world.platform()))

    # What it is

    async def test_it_has_the_name_that_its_apps_go_by(self, world: PlatformWorld) -> None:
        assert world.platform().name == app_of(world).platform

    async def test_it_takes_at_least_one_step_at_a_time(self, world: PlatformWorld) -> None:
        assert world.platform().concurrency >= 1

    # Looking

    async def test_a_target_that_nothing_was_released_to_runs_nothing(self, world: PlatformWorld) -> None:
        for expected in ((), (await world.built("1"),)):
            running = await world.platform().running(first(world), expected)
            assert isinstance(running, Known), running
            assert running.artifacts == {}

    async def test_what_was_published_is_pinned_already(self, world: PlatformWorld) -> None:
        release = await world.built("1")
        assert release.artifacts
        assert await world.platform().pin(first(world), release) == release

    async def test_versions_are_told_apart_by_their_bytes(self, world: PlatformWorld) -> None:
        one, other = await world.built("1"), await world.built("2")
        assert not same_artifacts(one.artifacts, other.artifacts)

    async def test_what_was_published_is_found_and_looking_changes_nothing(
        self, world: PlatformWorld
    ) -> None:
        release = await world.built("1")
        for target, source in ((first(world), None), (second(world), first(world))):
            located = await world.platform().locate(target, release, source)
            assert isinstance(located, Located), located
            assert located.where.keys() == release.artifacts.keys() == located.release.artifacts.keys()
            assert await runs(world, target, release) == {}

    async def test_what_is_nowhere_is_missing_with_a_reason(self, world: PlatformWorld) -> None:
        found = await world.platform().locate(second(world), await world.absent(), first(world))
        assert isinstance(found, Missing), found
        assert found.reason.strip()

    # Staging

    async def test_staging_switches_nothing_and_keeps_the_bytes(self, world: PlatformWorld) -> None:
        old, new = await world.built("1"), await world.built("2")
        await lifted(world, old)
        once = await staged(world, new)
        again = await staged(world, new)
        assert same_artifacts(once.artifacts, new.artifacts)
        assert same_artifacts(again.artifacts, new.artifacts)
        assert same_artifacts(await runs(world, second(world), old), old.artifacts)

    async def test_what_is_nowhere_is_never_switched_to(self, world: PlatformWorld) -> None:
        old, absent = await world.built("1"), await world.absent()
        await lifted(world, old)
        with pytest.raises(LiftlockError):
            await taken_for_there(world, absent)
        assert same_artifacts(await runs(world, second(world), old), old.artifacts)

    # Switching

    async def test_what_was_released_runs_and_every_process_sees_it(self, world: PlatformWorld) -> None:
        release = await world.built("1")
        switch = await lifted(world, release)
        assert switch.changed
        assert same_artifacts(await runs(world, second(world), release), release.artifacts)
        assert await runs(world, first(world), release) == {}

    async def test_releasing_what_runs_changes_nothing(self, world: PlatformWorld) -> None:
        """As a resume does, from another machine, when the answer to the switch was never heard."""
        release = await world.built("1")
        once = await lifted(world, release)
        again = await lifted(world, release)
        assert (again.changed, again.marker) == (False, once.marker)

    async def test_a_release_takes_the_place_of_the_one_before(self, world: PlatformWorld) -> None:
        old, new = await world.built("1"), await world.built("2")
        await lifted(world, old)
        assert (await lifted(world, new)).changed
        assert same_artifacts(await runs(world, second(world), new, old), new.artifacts)
        assert not same_artifacts(await runs(world, second(world), old, new), old.artifacts)

    async def test_nothing_is_switched_or_taken_back_once_the_lease_is_lost(
        self, world: PlatformWorld
    ) -> None:
        """See `changes`: whatever sends a change asks right before, however long the step has run."""
        old, new = await world.built("1"), await world.built("2")
        before = await running(world, second(world), old)
        await lifted(world, old)
        release = await staged(world, new)
        with guarded(lost), pytest.raises(LeaseLost):
            await world.platform().release(second(world), release, quiet)
        with guarded(lost), pytest.raises(LeaseLost):
            await world.platform().restore(second(world), before, quiet, old)
        assert same_artifacts(await runs(world, second(world), old, new), old.artifacts)

    async def test_one_that_does_not_stay_up_is_not_healthy(self, world: PlatformWorld) -> None:
        release = await broken(world)
        with pytest.raises(NotHealthy) as refused:
            await lifted(world, release)
        assert app_of(world).name in refused.value.message

    # Going back

    async def test_restoring_takes_back_to_what_ran_before(self, world: PlatformWorld) -> None:
        old, new = await world.built("1"), await world.built("2")
        await lifted(world, old)
        before = await running(world, second(world), old)
        await lifted(world, new)
        for _ in range(2):  # the second time there is nothing left to do
            await world.platform().restore(second(world), before, quiet, new)
            assert same_artifacts(await runs(world, second(world), old, new), old.artifacts)

    async def test_restoring_a_first_release_leaves_nothing(self, world: PlatformWorld) -> None:
        release = await world.built("1")
        before = await running(world, second(world), release)
        await lifted(world, release)
        for _ in range(2):
            await world.platform().restore(second(world), before, quiet, release)
            assert await runs(world, second(world), release) == {}

    async def test_what_was_taken_back_can_be_released_again(self, world: PlatformWorld) -> None:
        old, new = await world.built("1"), await world.built("2")
        await lifted(world, old)
        before = await running(world, second(world), old)
        await lifted(world, new)
        await world.platform().restore(second(world), before, quiet, new)
        assert (await lifted(world, new)).changed
        assert same_artifacts(await runs(world, second(world), new, old), new.artifacts)

    # Whatever it says

    async def test_progress_is_told_in_short_lines(self, world: PlatformWorld) -> None:
        told: list[str] = []
        await lifted(world, await world.built("1"), told)
        assert all(text.strip() and "\n" not in text and len(text) <= 200 for text in told), told

    # From end to end

    async def test_a_deploy_and_a_promotion_go_through(self, world: PlatformWorld, bench: Workbench) -> None:
        release = await world.built("1")
        await ended(bench.deploy(first(world).environment, release))
        await ended(bench.promote(first(world).environment, second(world).environment))
        assert same_artifacts(await runs(world, second(world), release), release.artifacts)
        await ended(bench.promote(first(world).environment, second(world).environment))
        assert bench.plans[-1].changes == ()

    async def test_a_promotion_is_rolled_back(self, world: PlatformWorld, bench: Workbench) -> None:
        old, new = await world.built("1"), await world.built("2")
        for release in (old, new):
            await ended(bench.deploy(first(world).environment, release))
            await ended(bench.promote(first(world).environment, second(world).environment))
        await ended(bench.rollback(second(world).environment))
        assert same_artifacts(await runs(world, second(world), old, new), old.artifacts)

    async def test_a_promotion_that_does_not_stay_up_is_put_back(
        self, world: PlatformWorld, bench: Workbench
    ) -> None:
        old, bad = await world.built("1"), await broken(world)
        await ended(bench.deploy(first(world).environment, old))
        await ended(bench.promote(first(world).environment, second(world).environment))
        result = await bench.deploy(first(world).environment, bad)
        assert (result.ending, result.put_back) == (Ending.FAILED, (app_of(world).name,)), result
        assert same_artifacts(await runs(world, first(world), old, bad), old.artifacts)

    @pytest.mark.parametrize("finishing", [True, False], ids=["finished", "undone"])
    async def test_a_promotion_that_was_killed_after_the_switch_is_resumed(
        self, world: PlatformWorld, bench: Workbench, finishing: bool
    ) -> None:
        old, new = await world.built("1"), await world.built("2")
        source, target = first(world).environment, second(world).environment
        await ended(bench.deploy(source, old))
        await ended(bench.promote(source, target))
        await ended(bench.deploy(source, new))
        with pytest.raises(Killed):
            await bench.promote(source, target, kill_after="release")
        survivor = replace(bench.adapters, platforms={app_of(world).platform: world.platform()})
        bench = Workbench(bench.project, survivor)
        result = await bench.resume(target, finishing=finishing)
        wanted = new if finishing else old
        assert result.ending is (Ending.SUCCEEDED if finishing else Ending.FAILED), result
        assert same_artifacts(await runs(world, second(world), wanted, old), wanted.artifacts)


def app_of(world: PlatformWorld) -> App:
    """The project's one app."""
    (app,) = world.project.apps.values()
    return app


def first(world: PlatformWorld) -> Target:
    """Where the app lives in the environment that deploys go to."""
    return app_of(world).targets[next(iter(world.project.environments))]


def second(world: PlatformWorld) -> Target:
    """Where it lives in the environment that is promoted to."""
    return app_of(world).targets[list(world.project.environments)[1]]


def quiet(text: str) -> None:
    """Progress that nobody wants to hear of."""


async def running(world: PlatformWorld, target: Target, *expected: Release) -> Known:
    found: Running = await world.platform().running(target, expected)
    assert isinstance(found, Known), found
    return found


async def runs(world: PlatformWorld, target: Target, *expected: Release) -> Artifacts:
    """What runs at `target`, as a process sees it that comes now."""
    return (await running(world, target, *expected)).artifacts


async def staged(world: PlatformWorld, release: Release) -> Release:
    target, source = second(world), first(world)
    located = await world.platform().locate(target, release, source)
    assert isinstance(located, Located), located
    return await world.platform().stage(target, located, source, quiet)


async def lifted(world: PlatformWorld, release: Release, told: list[str] | None = None) -> Switch:
    """Stage, release and settle in the second environment, each as another process would."""
    release = await staged(world, release)
    tell = quiet if told is None else told.append
    switch = await world.platform().release(second(world), release, tell)
    await world.platform().settle(second(world), release, switch, world.settle_s, tell)
    return switch


async def lost(lasts_s: float) -> None:
    """Leave to change something that nobody gets any more."""
    raise LeaseLost("The lease was broken.")


async def taken_for_there(world: PlatformWorld, release: Release) -> None:
    """Stage and release what is thought to be at the target already."""
    located = Located(release, dict.fromkeys(release.artifacts, "target"))
    release = await world.platform().stage(second(world), located, first(world), quiet)
    await world.platform().release(second(world), release, quiet)


async def broken(world: PlatformWorld) -> Release:
    release = await world.broken()
    if release is None:
        pytest.skip("this platform cannot tell what does not stay up")
    return release


async def ended(run: Awaitable[Result]) -> Result:
    """A run that has to succeed."""
    result = await run
    assert result.ending is Ending.SUCCEEDED, result
    return result
