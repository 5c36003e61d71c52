"""What a platform has to do, on a swarm: each story is told to a modelled engine, and to a real one where it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from liftlock.errors import ArtifactMissing, NotHealthy, ReleaseFailed
from liftlock.model import ImageId, Known, Missing, Release, Unknown
from liftlock.platforms.swarm import marks
from liftlock.platforms.swarm.api import Service
from liftlock.polling import wait_for
from tests.swarm.world import SECOND, TYPES, World

Play = Callable[..., None]
Story = Callable[[World], Awaitable[None]]
PHASED = ("release", *TYPES)


def test_nothing_runs_where_nothing_is(play: Play) -> None:
    async def story(world: World) -> None:
        assert await world.running() == Known({})

    play(story)


@pytest.mark.promise("P6")
def test_every_service_is_given_its_image_by_digest_and_labelled(play: Play) -> None:
    async def story(world: World) -> None:
        old, new = await world.built("1"), await world.built("2", "6" * 40)
        await world.deployed(old)
        before = {each: await world.service(each) for each in TYPES}
        assert (await world.running()).artifacts == old.artifacts
        await world.lifted(new, settle_s=0.5)
        running = await world.running()
        assert running.artifacts == new.artifacts
        assert (running.healthy, running.pending) == (True, "")
        images = await world.platform._images(world.target(), new)
        for each in TYPES:
            service = await world.service(each)
            assert service.image == f"{images[each].repository}:{new.commit}@{images[each].digest}"
            told = {k: v for k, v in service.labels.items() if k.startswith("io.liftlock.")}
            assert told == {
                marks.APP: world.app.name,
                marks.COMMIT: new.commit,
                marks.PROMOTION: "p1",
                marks.RELEASE: marks.Mark(new, "p1").identity,
                marks.IMAGE_ID: str(new.artifacts[each]),
                marks.DIGEST: str(images[each].digest),
            }
            assert without_ours(service.spec) == without_ours(before[each].spec)

    play(story)


def without_ours(spec: Any) -> Any:
    """A specification without what liftlock may change."""
    labels = {k: v for k, v in spec["Labels"].items() if not k.startswith("io.liftlock.")}
    container = {k: v for k, v in spec["TaskTemplate"]["ContainerSpec"].items() if k != "Image"}
    return {**spec, "Labels": labels, "TaskTemplate": {**spec["TaskTemplate"], "ContainerSpec": container}}


@pytest.mark.promise("P5")
def test_a_release_that_runs_already_is_not_released_again(play: Play) -> None:
    async def story(world: World) -> None:
        new = await world.built("1")
        await world.deployed(new)
        version = (await world.service("web")).version
        switch = await world.platform.release(world.target(), new, world.progress, "p2")
        assert not switch.changed
        assert (await world.service("web")).version == version

    play(story)


def test_what_was_scaled_by_hand_stays_so(play: Play) -> None:
    async def story(world: World) -> None:
        await world.deployed(await world.built("1"))
        await world.changed("web", lambda spec: spec["Mode"].update(Replicated={"Replicas": 2}))
        await world.changed("worker", lambda spec: spec["Mode"].update(Replicated={"Replicas": 0}))
        new = await world.built("2")
        await world.lifted(new)
        running = await world.running()
        assert running.artifacts == new.artifacts
        assert running.scale == {"web": 2, "worker": 0}
        assert "scaled to zero: worker" in running.note

    play(story)


@pytest.mark.parametrize("failure", ["pause", "rollback", "continue"])
@pytest.mark.promise("P4")
def test_a_release_that_crashes_is_told_with_its_log_and_taken_back(play: Play, failure: str) -> None:
    async def story(world: World) -> None:
        old, bad = await world.built("1"), await world.built("2", web="crash")
        await world.deployed(old, failure=failure)
        before = {each: await world.service(each) for each in TYPES}
        with pytest.raises(NotHealthy) as caught:
            await world.lifted(bad)
        assert "this image crashes at start" in caught.value.message
        assert "non-zero exit" in caught.value.message
        await world.platform.restore(world.target(), Known(old.artifacts), world.progress, bad)
        running = await world.running()
        assert (running.artifacts, running.healthy, running.pending) == (old.artifacts, True, "")
        for each in TYPES:
            assert (await world.service(each)).spec == before[each].spec

    play(story)


def test_a_health_check_that_never_passes_is_told(play: Play) -> None:
    async def story(world: World) -> None:
        await world.deployed(await world.built("1"))
        with pytest.raises(NotHealthy, match=r"unhealthy container|its health check failed"):
            await world.lifted(await world.built("2", worker="unhealthy"))

    play(story)


def test_a_paused_update_is_pending_and_taken_back_though_the_old_tasks_run(play: Play) -> None:
    """Whoever changes the service next would let the paused update go on."""

    async def story(world: World) -> None:
        old, bad = await world.built("1"), await world.built("2", web="crash", worker="crash")
        await world.deployed(old)
        with pytest.raises(NotHealthy):
            await world.lifted(bad)
        paused = await world.running()
        assert paused.artifacts == old.artifacts
        assert paused.pending
        await world.platform.restore(world.target(), Known(old.artifacts), world.progress, bad)
        assert not (await world.running()).pending

    play(story)


def test_a_task_that_crashes_is_made_anew(play: Play) -> None:
    async def story(world: World) -> None:
        old = await world.built("1")
        await world.deployed(old)
        first = await world.up("web")
        await world.crash(first)
        await world.up("web", but={first.id})
        tasks = {task.id: task for task in await world.swarm.tasks_of(first.service)}
        assert tasks[first.id].has_failed
        assert "non-zero exit" in tasks[first.id].error
        assert (await world.running()).artifacts == old.artifacts

    play(story)


@pytest.mark.parametrize(
    ("failure", "state", "colour"),
    [
        ("pause", "paused", "red"),
        ("rollback", "rollback_completed", "green"),
        ("continue", "completed", "red"),
    ],
)
def test_an_update_fails_by_its_own_task_that_crashes_while_it_is_watched(
    play: Play, failure: str, state: str, colour: str
) -> None:
    """And whatever comes of the update, a task is up again by the specification that is left."""

    async def story(world: World) -> None:
        update = {"Parallelism": 1, "Order": "start-first", "Monitor": 4 * SECOND, "FailureAction": failure}
        await world.deployed(await world.built("1"), update=update)
        first = await world.up("web")
        await world.changed("web", lambda spec: container_of(spec).update(Env=["COLOUR=red"]))
        second = await world.up("web", but={first.id})
        await world.crash(second)

        async def ended() -> Service | None:
            service = await world.service("web")
            return service if service.update and service.update.state == state else None

        service = await wait_for(
            ended, limit_s=60.0, timed_out=lambda: AssertionError(f"the update is never {state}")
        )
        assert container_of(service.spec)["Env"] == [f"COLOUR={colour}"]
        await world.up("web", but={first.id, second.id})

    play(story)


def container_of(spec: Any) -> Any:
    return spec["TaskTemplate"]["ContainerSpec"]


def test_an_undo_takes_environment_and_images_back_together(play: Play) -> None:
    async def story(world: World) -> None:
        old, new = await world.built("1"), await world.built("2")
        await world.deployed(old)
        await world.lifted(new)
        assert (await world.service("web")).previous is not None
        await world.platform.restore(world.target(), Known(old.artifacts), world.progress, new)
        service = await world.service("web")
        assert service.spec["TaskTemplate"]["ContainerSpec"]["Env"] == ["COLOUR=green"]
        assert not [name for name in service.labels if name.startswith("io.liftlock.")]
        assert (await world.running()).artifacts == old.artifacts

    play(story)


def test_an_undo_puts_the_image_back_where_the_engine_no_longer_knows_what_was_before(play: Play) -> None:
    async def story(world: World) -> None:
        old, new = await world.built("1"), await world.built("2")
        await world.deployed(old)
        await world.lifted(new)

        def recoloured(spec: Any) -> None:
            spec["TaskTemplate"]["ContainerSpec"]["Env"] = ["COLOUR=blue"]

        await world.changed("web", recoloured)
        await world.platform.restore(world.target(), Known(old.artifacts), world.progress, new)
        assert (await world.running()).artifacts == old.artifacts
        service = await world.service("web")
        assert service.spec["TaskTemplate"]["ContainerSpec"]["Env"] == ["COLOUR=blue"]

    play(story)


def test_a_migration_runs_to_its_end_before_any_service_changes(play: Play) -> None:
    async def story(world: World) -> None:
        old, new = await world.built("1"), await world.built("2")
        await world.deployed(old)
        await world.lifted(new)
        assert (await world.running()).artifacts == new.artifacts
        assert any("migration" in text for text in world.told)
        services = await world.swarm.services(world.target().name)
        assert len(services) == len(PHASED), "the job is gone once the services have changed"

    play(story, types=PHASED)


def test_a_migration_that_fails_stops_the_release_before_any_service_changes(play: Play) -> None:
    async def story(world: World) -> None:
        old, bad = await world.built("1"), await world.built("2", release="release-fails")
        await world.deployed(old)
        before = {each: await world.service(each) for each in PHASED}
        with pytest.raises(ReleaseFailed, match="the migration fails"):
            await world.lifted(bad)
        for each in PHASED:
            assert (await world.service(each)).spec == before[each].spec
        assert (await world.running()).artifacts == old.artifacts
        assert len(await world.swarm.services(world.target().name)) == len(PHASED)

    play(story, types=PHASED)


def test_an_undo_runs_no_migration(play: Play) -> None:
    async def story(world: World) -> None:
        old, new = await world.built("1"), await world.built("2")
        await world.deployed(old)
        await world.lifted(new)
        await world.platform.restore(world.target(), Known(old.artifacts), world.progress, new)
        assert (await world.running()).artifacts == old.artifacts
        template = await world.service("release")
        assert await world.swarm.tasks_of(template.id) == []

    play(story, types=PHASED)


def test_a_template_that_would_run_by_itself_is_refused_before_anything_changes(play: Play) -> None:
    async def story(world: World) -> None:
        await world.deployed(await world.built("1"))
        await world.changed(
            "release", lambda spec: spec["Mode"].update(ReplicatedJob={"TotalCompletions": 1})
        )
        with pytest.raises(ReleaseFailed, match="runs by itself") as caught:
            await world.staged(await world.built("2"))
        assert "replicas: 0" in caught.value.hint

    play(story, types=PHASED)


def test_an_image_that_no_registry_has_is_missing_before_anything_changes(play: Play) -> None:
    async def story(world: World) -> None:
        await world.deployed(await world.built("1"))
        nowhere = Release(world.app.name, "7" * 40, dict.fromkeys(TYPES, ImageId("sha256:" + "0" * 64)))
        assert isinstance(await world.platform.locate(world.target(), nowhere, None), Missing)
        with pytest.raises(ArtifactMissing):
            await world.staged(nowhere)

    play(story)


def test_what_was_started_by_a_tag_is_unknown(play: Play) -> None:
    async def story(world: World) -> None:
        await world.deployed(await world.built("1"))
        image = (await world.service("web")).image.partition("@")[0]

        def tagged(spec: Any) -> None:
            spec["TaskTemplate"]["ContainerSpec"]["Image"] = f"{image}:latest"
            spec["Mode"] = {"Replicated": {"Replicas": 0}}

        await world.changed("web", tagged)
        await world.changed("web", lambda spec: None)
        running = await world.running()
        assert isinstance(running, Unknown)
        assert "by a tag" in running.reason

    play(story)
