"""The modelled engine does as a real one does, where a story told to both would be a matter of luck."""

from __future__ import annotations

import anyio

from liftlock.platforms.swarm.api import registry_auth
from tests.swarm.modelled import Modelled, play
from tests.swarm.world import spec_of


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
