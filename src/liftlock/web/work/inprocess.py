"""Work in this process: for a laptop, and for tests. What is queued is gone with the process.

What runs when the process is killed stands open in the ledger, like any promotion that was killed, and
`resume` sees to it from anywhere.
"""

from __future__ import annotations

import logging
import socket
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import uuid4

import anyio
import anyio.abc

from liftlock.documents.error import error_document
from liftlock.engine.execute import StopRequest
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Project
from liftlock.web.work.orders import Event, Order, WorkItem, WorkState
from liftlock.web.work.perform import Open, Performed, perform

MOST_KEPT = 200
"""How many orders that are over are remembered."""
_LOG = logging.getLogger("liftlock.work")


@dataclass(slots=True)
class _Entry:
    """An order here: how it stands, and what was told of it."""

    item: WorkItem
    stop: StopRequest = field(default_factory=StopRequest)
    events: list[Event] = field(default_factory=list)
    changed: anyio.Event = field(default_factory=anyio.Event)

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


@asynccontextmanager
async def in_process(
    project: Project, open_: Open, now: Callable[[], datetime], changed: Callable[[str], None]
) -> AsyncIterator[InProcessWork]:
    """Work that is done while the block lasts; what runs then is asked to stop, and is put back."""
    async with anyio.create_task_group() as tasks:
        work = InProcessWork(project, open_, tasks, now, changed)
        yield work
        await work.stop("the server stops")
        tasks.cancel_scope.cancel()


class InProcessWork:
    """`Work` in tasks of this process."""

    def __init__(
        self,
        project: Project,
        open_: Open,
        tasks: anyio.abc.TaskGroup,
        now: Callable[[], datetime],
        changed: Callable[[str], None] = lambda id_: None,
    ) -> None:
        """`changed` is told the id of an order that stands otherwise than before."""
        self._project = project
        self._open = open_
        self._tasks = tasks
        self._now = now
        self._changed = changed
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._queues: dict[str, deque[str]] = {}
        """By environment: what waits, and at its front what runs."""
        self._worker = socket.gethostname()

    async def submit(self, order: Order) -> WorkItem:
        id_ = uuid4().hex[:12]
        self._entries[id_] = _Entry(WorkItem(id_, order, WorkState.QUEUED, self._now()))
        queue = self._queues.setdefault(order.environment, deque())
        queue.append(id_)
        if len(queue) == 1:
            self._tasks.start_soon(self._work, order.environment)
        self._forget()
        self._changed(id_)
        return self._shown(self._entries[id_])

    async def item(self, id_: str) -> WorkItem | None:
        entry = self._entries.get(id_)
        return self._shown(entry) if entry else None

    async def items(self, environment: str | None = None, limit: int = 50) -> Sequence[WorkItem]:
        found = [
            self._shown(entry)
            for entry in reversed(self._entries.values())
            if environment in {None, entry.item.order.environment}
        ]
        return found[:limit]

    async def withdraw(self, id_: str, by: str) -> None:
        entry = self._entries.get(id_)
        if entry is None or entry.item.state.is_over:
            raise UsageError(f"There is nothing to withdraw: {id_} is over or unknown.")
        entry.item = replace(entry.item, withdrawn_by=by)
        if entry.item.state is WorkState.QUEUED:
            self._queues[entry.item.order.environment].remove(id_)
            self._end(entry, WorkState.WITHDRAWN)
        else:
            entry.stop.ask(f"stopped by {by}")

    async def events(self, id_: str, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        entry = self._entries.get(id_)
        while entry is not None:
            changed = entry.changed
            while after < len(entry.events):
                after += 1
                yield after, entry.events[after - 1]
            if entry.item.state.is_over:
                return
            if changed is entry.changed:
                await changed.wait()

    async def stop(self, reason: str) -> None:
        """Begin nothing more, ask what runs to stop, and wait until it has settled and undone."""
        for queue in self._queues.values():
            for id_ in list(queue)[1:]:
                queue.remove(id_)
                self._end(self._entries[id_], WorkState.WITHDRAWN)
        running = [entry for entry in self._entries.values() if entry.item.state is WorkState.RUNNING]
        for entry in running:
            entry.stop.ask(reason)
        for entry in running:
            async for _ in self.events(entry.item.id, len(entry.events)):
                pass

    async def _work(self, environment: str) -> None:
        queue = self._queues[environment]
        while queue:
            entry = self._entries[queue[0]]
            await self._run(entry)
            with suppress(ValueError):
                queue.remove(entry.item.id)

    async def _run(self, entry: _Entry) -> None:
        id_ = entry.item.id
        entry.item = replace(entry.item, state=WorkState.RUNNING, started_at=self._now(), worker=self._worker)
        self._changed(id_)

        def tell(event: Event) -> None:
            entry.tell(event)
            self._changed(id_)

        try:
            done = await perform(self._project, self._open, entry.item.order, tell, entry.stop)
        except Exception as error:  # noqa: BLE001 - a task's edge: the others go on
            _LOG.exception("work %s failed", id_)
            failed = LiftlockError(
                f"liftlock itself failed: {type(error).__name__}.",
                hint="That is a defect: please report it, with the server's log. "
                f"See what runs with: liftlock status {entry.item.order.environment}",
            )
            done = Performed(failed.exit_code, {"exit_code": 1, "error": error_document(failed)})
        entry.item = replace(entry.item, exit_code=done.exit_code, result=done.result)
        self._end(entry, WorkState.ENDED)

    def _end(self, entry: _Entry, state: WorkState) -> None:
        entry.item = replace(entry.item, state=state, ended_at=self._now())
        entry.wake()
        self._changed(entry.item.id)

    def _shown(self, entry: _Entry) -> WorkItem:
        if entry.item.state is not WorkState.QUEUED:
            return entry.item
        queue = self._queues[entry.item.order.environment]
        return replace(entry.item, position=queue.index(entry.item.id))

    def _forget(self) -> None:
        over = [id_ for id_, entry in self._entries.items() if entry.item.state.is_over]
        for id_ in over[: max(len(over) - MOST_KEPT, 0)]:
            del self._entries[id_]
