"""The modelled engine does as a real one does, where a story told to both would be a matter of luck."""

from __future__ import annotations

import anyio
import pytest

from liftlock.errors import ReleaseFailed
from liftlock.model import Known
from liftlock.platforms.swarm import marks
from liftlock.platforms.swarm.api import registry_auth
from tests.swarm.modelled import Modelled, play
from tests.swarm.world import spec_of


@pytest.mark.promise("P4")
def test_an_undo_waits_for_the_migration_that_a_crash_has_left_running() -> None:
    async def story(world: Modelled) -> None:
        old, new = await world.built("1"), await world.built("2")
        await world.deployed(old)
        world.cloud.settings.release_s = 100.0
        began = anyio.current_time()
        async with anyio.create_task_group() as killed:
            killed.start_soon(world.lifted, new)
            while not await jobs_of(world):  # noqa: ASYNC110 - only asking tells, and the clock jumps
                await anyio.sleep(1)
            killed.cancel_scope.cancel()
        await world.platform.restore(world.target(), Known(old.artifacts), world.progress, new)
        assert anyio.current_time() - began >= 100, "the migration ran to its end"
        assert any("still runs: waiting for its end" in text for text in world.told)
        assert (await world.running()).artifacts == old.artifacts
        assert not await jobs_of(world)

    play(story, types=("release", "web"))


def test_a_service_that_the_engine_changes_meanwhile_is_read_again_after_ever_longer_pauses() -> None:
    async def story(world: Modelled) -> None:
        old, new = await world.built("1"), await world.built("2")
        await world.deployed(old)
        body = {"message": "rpc error: code = Unknown desc = update out of sequence"}
        world.fault(method="POST", path="/update", action="status", status=500, body=body, times=4)
        began = anyio.current_time()
        await world.platform.release(world.target(), new, world.progress, "p1")
        assert anyio.current_time() - began == pytest.approx(0.05 + 0.1 + 0.2 + 0.4, abs=0.1)
        world.fault(method="POST", path="/update", action="status", status=500, body=body)
        with pytest.raises(ReleaseFailed, match="something else keeps changing it"):
            await world.platform.release(world.target(), old, world.progress, "p2")

    play(story, types=("web",))


async def jobs_of(world: Modelled) -> list[str]:
    """The migrations that are there; the service that they are made from is none."""
    services = await world.swarm.services(world.target().name)
    return [name for name, each in services.items() if marks.JOB in each.labels]


def test_what_crashes_is_tried_again_though_a_label_was_changed_while_it_came_up() -> None:
    async def story(world: Modelled) -> None:
        target = world.target()
        image = (await world.platform._images(target, await world.built("1", web="crash")))["web"]
        spec = spec_of(target, "web", f"{image.repository}@{image.digest}")
        await world.swarm.create(spec, registry_auth(("_", "owner"), image.repository.partition("/")[0]))
        await world.changed("web", lambda now: now["Labels"].update(team="daily"))
        await anyio.sleep(5)
        assert sum(task.has_ended for task in await world.swarm.tasks(target.name)) > 2

    play(story)


def test_a_roll_back_goes_on_with_the_task_that_its_update_had_not_yet_ended() -> None:
    async def story(world: Modelled) -> None:
        old, new = await world.built("1"), await world.built("2")
        await world.deployed(old)
        before = await world.swarm.tasks_of((await world.service("web")).id)
        world.cloud.settings.boot_s = 60.0
        image = (await world.platform._images(world.target(), new))["web"]
        name = f"{image.repository}@{image.digest}"
        await world.changed("web", lambda now: now["TaskTemplate"]["ContainerSpec"].update(Image=name))
        await anyio.sleep(30)  # the new task starts beside the old one
        service = await world.service("web")
        assert service.previous is not None
        await world.swarm.update(service, service.previous, {}, roll_back=True)
        await anyio.sleep(120)
        after = [task.id for task in await world.swarm.tasks_of(service.id) if task.is_up]
        assert after == [task.id for task in before if task.is_up]

    play(story)
