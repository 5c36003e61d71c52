"""Heroku's verbs against the sandbox: what is switched, what is refused, what a fault comes to."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from liftlock.errors import NotHealthy, ReleaseFailed, VendorFailure
from liftlock.model import ImageId, Known, RecordedId, Release, Unknown
from tests.platforms.world import COMMIT, IMAGE, World, container_app, simulate, with_health


def test_app_that_was_never_released_runs_nothing() -> None:
    async def story(world: World) -> None:
        running = await world.heroku.running(world.target("ODB", "staging"), ())
        assert running == Known({}, marker="v2")

    simulate(story)


def test_release_switches_every_process_type_in_one_call() -> None:
    async def story(world: World) -> None:
        release = world.built("1")
        await world.run(release)
        assert world.changes() == [("PATCH", "/apps/odb-staging/formation")]
        running = await world.heroku.running(world.target("ODB", "staging"), ())
        assert isinstance(running, Known)
        assert running.artifacts == release.artifacts
        assert running.scale == {"release": 0, "web": 1, "worker": 0}
        assert running.note == "scaled to zero: worker"
        assert running.marker == "v3"

    simulate(story)


def test_a_variable_set_by_hand_is_a_note_and_the_images_are_known() -> None:
    async def story(world: World) -> None:
        release = world.built("1")
        await world.run(release)
        async with world.client() as client:
            path = "/apps/odb-staging/config-vars"
            (await client.patch(path, json={"SEEING": "0.6"})).raise_for_status()
        running = await world.heroku.running(world.target("ODB", "staging"), (release,))
        assert isinstance(running, Known)
        assert running.artifacts == release.artifacts
        assert running.note == "scaled to zero: worker; v4 is no deploy: Set SEEING config vars"

    simulate(story)


@pytest.mark.promise("P4")
def test_what_runs_is_told_of_one_moment_though_its_answers_are_far_apart() -> None:
    """A release ends while the list of releases hangs, and the formation was read before."""

    async def story(world: World) -> None:
        old, new = world.built("1"), world.built("2")
        await world.run(old)
        updates = [{"type": part, "docker_image": str(image)} for part, image in new.artifacts.items()]
        async with world.client() as client:
            accept = {"accept": "application/vnd.heroku+json; version=3.docker-releases"}
            path = "/apps/odb-staging/formation"
            (await client.patch(path, json={"updates": updates}, headers=accept)).raise_for_status()
        world.fault(vendor="heroku", method="GET", path="/releases$", action="hang", times=1)
        running = await world.heroku.running(world.target("ODB", "staging"), (new, old))
        assert isinstance(running, Known)
        assert running.artifacts == new.artifacts

    simulate(story, release_s=5.0)


def test_an_app_of_workers_alone_is_healthy_without_a_web() -> None:
    async def story(world: World) -> None:
        release = world.built("1")
        await world.run(release)
        await world.scaled(release, worker=1)
        await world.run(world.built("2"))
        running = await world.heroku.running(world.target("ODB", "staging"), ())
        assert isinstance(running, Known)
        assert running.scale == {"worker": 1}

    simulate(story, container_app(processes={"worker": IMAGE}))


def test_release_that_runs_already_changes_nothing() -> None:
    async def story(world: World) -> None:
        release = world.built("1")
        await world.run(release)
        switch = await world.heroku.release(world.target("ODB", "staging"), release, world.progress)
        assert (switch.marker, switch.changed) == ("v3", False)
        assert len(world.changes()) == 1

    simulate(story)


def test_release_and_settle_take_two_round_trips_and_the_release() -> None:
    """The budget: a look, an update and looks under way while the release runs, nothing after it."""

    async def story(world: World) -> None:
        await world.run(world.built("1"))
        world.fault(vendor="heroku", action="delay", delay_s=0.1)
        began = anyio.current_time()
        await world.run(world.built("2", commit="6" * 40))
        taken = anyio.current_time() - began
        assert taken <= 2 * 0.1 + 0.5 * 1.1 + 0.05 + 0.001

    simulate(story, release_s=0.5)


def test_release_without_a_release_phase_is_as_quick() -> None:
    async def story(world: World) -> None:
        await world.run(world.built("1"))
        world.fault(vendor="heroku", action="delay", delay_s=0.1)
        began = anyio.current_time()
        await world.run(world.built("2", commit="6" * 40))
        assert anyio.current_time() - began <= 2 * 0.1 + 0.5 * 1.1 + 0.05 + 0.001

    processes = {"web": container_app().processes["web"]}
    simulate(story, container_app(processes=processes), release_s=0.5)


def test_running_takes_one_round_trip() -> None:
    async def story(world: World) -> None:
        world.fault(vendor="heroku", action="delay", delay_s=1.0)
        began = anyio.current_time()
        await world.heroku.running(world.target("ODB", "staging"), ())
        assert anyio.current_time() - began == pytest.approx(1.0, abs=0.01)

    simulate(story)


@pytest.mark.parametrize("action", ["lost", "reset"])
def test_lost_answer_is_resolved_by_looking(action: str) -> None:
    async def story(world: World) -> None:
        release = world.built("1")
        world.fault(vendor="heroku", method="PATCH", action=action, times=1)
        assert await world.run(release) == "v3"
        assert len(world.changes()) == (1 if action == "lost" else 2)

    simulate(story, release_s=5.0)


def test_persistent_failure_of_heroku_is_reported_and_nothing_switched() -> None:
    async def story(world: World) -> None:
        await world.run(world.built("1"))
        world.fault(vendor="heroku", method="PATCH", action="status", status=500)
        with pytest.raises(ReleaseFailed, match=r"in 3 attempts.*PATCH .*/apps/odb-staging/formation"):
            await world.run(world.built("2", commit="6" * 40))
        running = await world.heroku.running(world.target("ODB", "staging"), ())
        assert isinstance(running, Known)
        assert running.marker == "v3"

    simulate(story)


def test_failures_while_waiting_are_no_news() -> None:
    async def story(world: World) -> None:
        world.fault(
            vendor="heroku", method="GET", path="/releases", action="status", status=503, skip=1, times=9
        )
        await world.run(world.built("1"))

    simulate(story, release_s=10.0)


def test_vendor_that_stays_silent_ends_the_wait() -> None:
    async def story(world: World) -> None:
        world.fault(vendor="heroku", method="GET", path="/releases", action="status", status=503, skip=1)
        with pytest.raises(VendorFailure):
            await world.run(world.built("1"))

    simulate(story, release_s=10.0)


def test_failed_release_phase_tells_its_output_and_what_still_runs() -> None:
    async def story(world: World) -> None:
        await world.run(world.built("1"))
        bad = world.built("2", {"release": "release-fails"}, commit="6" * 40)
        with pytest.raises(ReleaseFailed) as caught:
            await world.run(bad)
        assert "release phase (process type release) of ODB in staging (odb-staging) failed" in str(
            caught.value
        )
        assert "Heroku release v4" in str(caught.value)
        assert "Release command failed with exit status 1." in str(caught.value)
        assert caught.value.hint.startswith("v3 still runs in staging.")
        running = await world.heroku.running(world.target("ODB", "staging"), ())
        assert isinstance(running, Known)
        assert (running.marker, running.artifacts) == ("v3", world.built("1").artifacts)

    simulate(story, release_s=1.0)


def test_release_that_was_begun_before_a_crash_is_waited_for_and_not_repeated() -> None:
    async def story(world: World) -> None:
        release = world.built("1")
        with anyio.move_on_after(5.0):
            await world.run(release)
        assert await world.run(release) == "v3"
        assert len(world.changes()) == 1

    simulate(story, release_s=20.0)


def test_crashing_process_is_not_healthy_and_shows_its_log() -> None:
    async def story(world: World) -> None:
        began = anyio.current_time()
        with pytest.raises(NotHealthy, match=r"web\.1 crashes at start") as caught:
            await world.run(world.built("1", {"web": "crash"}))
        assert "State changed from starting to crashed" in str(caught.value)
        assert anyio.current_time() - began < 10.0

    simulate(story)


@pytest.mark.parametrize(("settle_s", "limit_s"), [(0.0, 10), (30.0, 30), (600.0, 60)])
def test_unhealthy_process_is_told_apart_from_one_that_does_not_start(settle_s: float, limit_s: int) -> None:
    """It may take as long to answer well as it has to answer well afterwards, within bounds."""

    async def story(world: World) -> None:
        began = anyio.current_time()
        said = rf"its dynos are up, and /health answers 500 for {limit_s} s"
        with pytest.raises(NotHealthy, match=said):
            await world.run(world.built("1", {"web": "unhealthy"}), settle_s=settle_s)
        assert limit_s <= anyio.current_time() - began < limit_s * 1.2 + 10

    simulate(story, with_health(container_app(), "/health"))


def test_healthy_process_passes_with_its_health_path() -> None:
    async def story(world: World) -> None:
        await world.run(world.built("1"))
        assert any("/health" in path for _, path in world.requests())

    simulate(story, with_health(container_app(), "/health"))


def test_the_log_of_a_crash_begins_with_its_own_release() -> None:
    async def story(world: World) -> None:
        await world.run(world.built("1"))
        with pytest.raises(NotHealthy) as caught:
            await world.run(world.built("2", {"web": "crash"}))
        _, first, *lines = str(caught.value).splitlines()
        assert "Release v4" in first
        assert any("crashed" in line for line in lines)
        assert "v3" not in str(caught.value)

    simulate(story)


def test_process_that_does_not_come_up_runs_out_of_time() -> None:
    async def story(world: World) -> None:
        with pytest.raises(NotHealthy, match=r"after 300 s, 0 of 1 dynos are up on v3"):
            await world.run(world.built("1"))

    simulate(story, boot_s=1000.0)


def test_settle_looks_again_at_its_end() -> None:
    async def story(world: World) -> None:
        release = world.built("1")
        began = anyio.current_time()
        await world.run(release, settle_s=30.0)
        assert 30.0 <= anyio.current_time() - began < 33.0

    simulate(story)


def test_crash_while_settling_is_not_healthy() -> None:
    async def story(world: World) -> None:
        release = world.built("1")

        async def crash() -> None:
            await anyio.sleep(10.0)
            (dyno,) = world.cloud.backing.dynos("odb-staging")
            dyno.state = "crashed"

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crash)
            with pytest.raises(NotHealthy, match=r"web\.1 crashed after it had come up"):
                await world.run(release, settle_s=30.0)

    simulate(story)


def test_restarted_dyno_begins_the_wait_anew() -> None:
    async def story(world: World) -> None:
        async def restart() -> None:
            await anyio.sleep(10.0)
            world.cloud.backing.restart("odb-staging")

        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(restart)
            await world.run(world.built("1"), settle_s=30.0)
        assert 40.0 <= anyio.current_time() - began < 50.0

    simulate(story)


def test_release_of_somebody_else_in_between_is_not_healthy() -> None:
    async def story(world: World) -> None:
        other = world.built("2", commit="6" * 40)

        async def release() -> None:
            await anyio.sleep(10.0)
            updates = [{"type": t, "docker_image": str(i)} for t, i in other.artifacts.items()]
            async with world.client() as client:
                await client.patch(
                    "/apps/odb-staging/formation",
                    json={"updates": updates},
                    headers={"accept": "application/vnd.heroku+json; version=3.docker-releases"},
                )

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(release)
            with pytest.raises(NotHealthy, match=r"v4 was released in its place"):
                await world.run(world.built("1"), settle_s=30.0)

    simulate(story)


def test_process_type_that_the_release_lacks_is_removed() -> None:
    async def story(world: World) -> None:
        full = world.built("1")
        await world.run(full)
        less = Release("ODB", COMMIT, {k: v for k, v in full.artifacts.items() if k != "worker"})
        await world.run(less)
        assert world.changes()[1:] == [("PATCH", "/apps/odb-staging/formation/worker")]
        running = await world.heroku.running(world.target("ODB", "staging"), ())
        assert isinstance(running, Known)
        assert running.artifacts == less.artifacts

    simulate(story)


def test_restore_takes_back_to_what_ran() -> None:
    async def story(world: World) -> None:
        old = world.built("1")
        await world.run(old)
        target = world.target("ODB", "staging")
        before = await world.heroku.running(target, ())
        await world.run(world.built("2", commit="6" * 40))
        await world.heroku.restore(target, before, world.progress)
        after = await world.heroku.running(target, ())
        assert isinstance(after, Known)
        assert after.artifacts == old.artifacts
        changes = len(world.changes())
        await world.heroku.restore(target, before, world.progress)
        assert len(world.changes()) == changes

    simulate(story)


def test_restore_of_a_first_release_removes_every_container() -> None:
    async def story(world: World) -> None:
        target = world.target("ODB", "staging")
        before = await world.heroku.running(target, ())
        await world.run(world.built("1"))
        await world.heroku.restore(target, before, world.progress)
        after = await world.heroku.running(target, ())
        assert isinstance(after, Known)
        assert after.artifacts == {}

    simulate(story)


def test_restore_gives_a_removed_process_type_back_with_its_scale() -> None:
    async def story(world: World) -> None:
        full = world.built("1")
        await world.run(full)
        await world.scaled(full, worker=2)
        target = world.target("ODB", "staging")
        before = await world.heroku.running(target, ())
        less = Release("ODB", COMMIT, {k: v for k, v in full.artifacts.items() if k != "worker"})
        await world.run(less)
        world.cloud.vendors["heroku"].find(world.cloud, "odb-staging")["scale"].clear()
        await world.heroku.restore(target, before, world.progress)
        after = await world.heroku.running(target, ())
        assert isinstance(after, Known)
        assert (after.artifacts, after.scale["worker"]) == (full.artifacts, 2)

    simulate(story)


def test_restore_of_a_crashing_release_works_while_it_crashes() -> None:
    async def story(world: World) -> None:
        await world.run(world.built("1"))
        target = world.target("ODB", "staging")
        before = await world.heroku.running(target, ())
        with pytest.raises(NotHealthy):
            await world.run(world.built("2", {"web": "crash"}, commit="6" * 40))
        await world.heroku.restore(target, before, world.progress)
        after = await world.heroku.running(target, ())
        assert isinstance(after, Known)
        assert isinstance(before, Known)
        assert after.artifacts == before.artifacts

    simulate(story)


def test_where_heroku_names_no_image_running_is_unknown_unless_an_expected_release_agrees() -> None:
    async def story(world: World) -> None:
        release = world.built("1")
        await world.run(release)
        target = world.target("ODB", "staging")
        assert isinstance(await world.heroku.running(target, ()), Unknown)
        other = world.built("2", commit="6" * 40)
        assert isinstance(await world.heroku.running(target, [other]), Unknown)
        running = await world.heroku.running(target, [other, release])
        assert isinstance(running, Known)
        assert running.artifacts == release.artifacts

    simulate(story, formation_images=False)


def test_where_heroku_names_no_image_another_tools_record_confirms_what_runs() -> None:
    """Its ids may be those of manifests, of which no description speaks."""

    async def story(world: World) -> None:
        release = world.built("1")
        await world.run(release)
        ids = {part: RecordedId(artifact.value) for part, artifact in release.artifacts.items()}  # type: ignore[union-attr]
        running = await world.heroku.running(
            world.target("ODB", "staging"), [replace(release, artifacts=ids)]
        )
        assert isinstance(running, Known)
        assert running.artifacts == release.artifacts
        digests = {part: RecordedId("sha256:" + "d" * 64) for part in release.artifacts}
        told = await world.heroku.running(
            world.target("ODB", "staging"), [replace(release, artifacts=digests)]
        )
        assert isinstance(told, Unknown)

    simulate(story, formation_images=False)


def test_where_heroku_names_no_image_a_release_is_proved_by_its_own_description() -> None:
    """P1, in its second form."""

    async def story(world: World) -> None:
        await world.run(world.built("1"), settle_s=5.0)
        await world.run(world.built("2", commit="6" * 40), settle_s=5.0)
        assert len(world.changes()) == 2

    simulate(story, formation_images=False, release_s=1.0)


def test_limits_are_waited_for() -> None:
    async def story(world: World) -> None:
        world.fault(vendor="heroku", action="status", status=429, times=3)
        await world.run(world.built("1"))

    simulate(story, limits=True)


def test_refusal_names_app_process_types_and_vendor_message() -> None:
    async def story(world: World) -> None:
        release = Release("ODB", COMMIT, {"web": ImageId("sha256:" + "ab" * 32)})
        with pytest.raises(
            ReleaseFailed,
            match=r"Heroku refused to release web of ODB in staging \(odb-staging\): .*404 not_found Couldn't find",
        ) as caught:
            await world.run(release)
        assert caught.value.hint.startswith("Nothing was switched there.")

    simulate(story)


def test_target_that_is_gone_is_not_found() -> None:
    async def story(world: World) -> None:
        target = replace(world.target("ODB", "staging"), name="no-such-app")
        with pytest.raises(Exception, match="Couldn't find that app"):
            await world.heroku.running(target, ())

    simulate(story)


def test_waiting_for_dynos_asks_for_dynos_alone() -> None:
    async def story(world: World) -> None:
        await world.run(world.built("1"))
        asked = [path.partition("?")[0].rpartition("/")[2] for _, path in world.requests("heroku")]
        assert asked.count("formation") <= 4
        assert asked.count("releases") <= 4
        assert asked.count("dynos") > 50

    simulate(story, container_app(processes={"web": container_app().processes["web"]}), boot_s=60.0)
