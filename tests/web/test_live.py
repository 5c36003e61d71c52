"""What changes is told to whoever follows it, and to nobody else."""

from __future__ import annotations

import anyio
import pytest

from liftlock.web.live import Changes, stream

pytestmark = pytest.mark.anyio


async def heard(changes: Changes, topics: list[str], version: int, many: int) -> list[str]:
    events: list[str] = []
    async for chunk in stream(changes, topics, version):
        if chunk.startswith(b"event:"):
            events.append(chunk.decode().split("\n")[1])
        if len(events) == many:
            break
    return events


async def test_a_change_between_the_page_and_its_stream_is_not_lost() -> None:
    changes = Changes()
    changes.tell("project")
    with anyio.fail_after(5):
        assert await heard(changes, ["project"], 0, 1) == ["id: 1"]


async def test_other_topics_wake_nobody() -> None:
    changes = Changes()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            found: list[str] = []

            async def listen() -> None:
                found.extend(await heard(changes, ["run:1"], 0, 1))

            tasks.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            changes.tell("project")
            await anyio.wait_all_tasks_blocked()
            assert found == []
            changes.tell("run:1")
    assert found == ["id: 1"]


async def test_streams_end_when_the_server_stops() -> None:
    changes = Changes()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                async for _ in stream(changes, ["project"], 0):
                    pass

            tasks.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            assert changes.watchers["project"] == 1
            changes.close()
    assert changes.watchers["project"] == 0
