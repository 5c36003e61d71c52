"""Work that outlives its workers: orders in a queue that any process of the server can see and fill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import anyio
from dbos import DBOSClient, WorkflowStatus

from liftlock.errors import LiftlockError
from liftlock.web.store import Store
from liftlock.web.work import queue
from liftlock.web.work.kept import Kept
from liftlock.web.work.orders import Event, Order, WorkItem, WorkState

LOOK_S = 0.15
"""How often a run that is followed is looked at, in seconds."""
STATE_LOOKS = 4
"""After how many looks without an event its state is asked for."""
WAITING = ["ENQUEUED", "PENDING"]


@asynccontextmanager
async def open_work(store: Store) -> AsyncIterator[DurableWork]:
    """The work of a server, for a process that may do none of it itself."""
    async with queue.open_queue(store) as client:
        yield DurableWork(client, Kept(store))


class DurableWork:
    """`orders.Work` on the engine's queue."""

    def __init__(self, client: DBOSClient, kept: Kept) -> None:
        self._client = client
        self._kept = kept

    async def submit(self, order: Order) -> WorkItem:
        id_ = uuid4().hex
        number = await self._kept.add_order(id_, order.environment)
        await self._client.enqueue_async(
            {
                "workflow_name": queue.WORKFLOW,
                "queue_name": queue.QUEUE,
                "workflow_id": id_,
                "app_version": queue.VERSION,
                "queue_partition_key": order.environment,
                "priority": number,
            },
            queue.written(order),
            datetime.now(UTC).isoformat(),
        )
        item = await self.item(id_)
        if item is None:
            raise AssertionError(f"{id_} was queued and is not there")
        return item

    async def item(self, id_: str) -> WorkItem | None:
        found = await self._items(await self._client.list_workflows_async(workflow_ids=[id_]))
        if not found or found[0].state is not WorkState.QUEUED:
            return found[0] if found else None
        return replace(found[0], position=await self._before(found[0]))

    async def items(self, environment: str | None = None, limit: int = 50) -> Sequence[WorkItem]:
        ids = list(await self._kept.orders(environment, limit))
        if not ids:
            return []
        found = {
            item.id: item
            for item in await self._items(await self._client.list_workflows_async(workflow_ids=ids))
        }
        ahead: dict[str, int] = {}
        if any(item.state is WorkState.QUEUED for item in found.values()):
            waiting = await self._waiting()
            ahead = {id_: number for each in waiting.values() for number, id_ in enumerate(each)}
        return [replace(found[id_], position=ahead.get(id_, 0)) for id_ in ids if id_ in found]

    async def withdraw(self, id_: str, by: str) -> None:
        item = await self.item(id_)
        if item is None or item.state.is_over:
            raise LiftlockError(
                f"{id_} {'is over' if item else 'is not known'}: there is nothing to take back.",
                hint="See what became of it: liftlock history",
            )
        await self._kept.withdraw(id_, by)

    async def events(self, id_: str, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        quiet = 0
        is_over = False
        while True:
            for number, event in (found := await self._kept.events(id_, after)):
                yield number, event
                after = number
            if found:
                quiet = 0
                continue
            if is_over:
                return
            if quiet % STATE_LOOKS == 0:
                item = await self.item(id_)
                is_over = item is None or item.state.is_over
                if is_over:
                    continue  # what it told last may have come in between
            quiet += 1
            await anyio.sleep(LOOK_S)

    async def _items(self, found: Sequence[WorkflowStatus]) -> Sequence[WorkItem]:
        by = await self._kept.withdrawn([status.workflow_id for status in found]) if found else {}
        return [queue.item_of(status, by.get(status.workflow_id, "")) for status in found]

    async def _before(self, item: WorkItem) -> int:
        environment = item.order.environment
        waiting = (await self._waiting()).get(environment, [])
        return waiting.index(item.id) if item.id in waiting else 0

    async def _waiting(self) -> dict[str, list[str]]:
        """By environment, the orders that run or wait there, first come first."""
        found = await self._client.list_workflows_async(
            name=queue.WORKFLOW,
            status=WAITING,
            queue_name=queue.QUEUE,
            load_input=False,
            load_output=False,
        )
        by = await self._kept.withdrawn([each.workflow_id for each in found]) if found else {}
        waiting: dict[str, list[str]] = {}
        for each in sorted(found, key=lambda each: each.priority or 0):
            if each.status == "PENDING" or each.workflow_id not in by:
                waiting.setdefault(each.queue_partition_key or "", []).append(each.workflow_id)
        return waiting
