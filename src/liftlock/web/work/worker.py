"""A worker: takes orders from the queue and performs them, and takes over from workers that died.

It keeps nothing. Killed at any point, it leaves an intent, a lease and a journal, and the order with
its name on it; whoever notices puts the order back at the head of its environment, and whoever takes
it then performs it again, which resumes what was begun.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import anyio
import anyio.abc
import anyio.to_thread
from dbos import DBOS, DBOSClient

from liftlock import __version__
from liftlock.documents.error import error_document
from liftlock.engine.execute import StopRequest
from liftlock.errors import LiftlockError
from liftlock.model import Project
from liftlock.web.store import Store, open_store
from liftlock.web.work import queue
from liftlock.web.work.kept import Kept
from liftlock.web.work.orders import Event
from liftlock.web.work.perform import Open, Performed, Turn, perform
from liftlock.web.work.retention import forget
from liftlock.wording import read_moment

_LOG = logging.getLogger("liftlock.work")

BEAT_S = 2.0
"""How often a worker says that it lives."""
SILENT_S = 20.0
"""A worker that was silent for so long is dead, or as good: its orders are taken over.

One that lives all the same holds its leases: whoever takes over waits for them, and finds what it did.
"""
WITHDRAWN_S = 0.5
"""How often a run is asked whether it was taken back."""
WAIT_S = 900.0
"""How long an order waits for a lease: that of a dead worker on another machine has run out before."""
FORGET_S = 3600.0
"""How often what is over for long is forgotten."""
ORDERS = 16
"""How many environments a worker works in at once."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How quickly workers notice each other; tests are in a hurry."""

    beat_s: float = BEAT_S
    silent_s: float = SILENT_S
    forget_s: float = FORGET_S


@asynccontextmanager
async def working(
    project: Project, open_: Open, address: str, *, pace: Pace = Pace(), name: str = ""
) -> AsyncIterator[Worker]:
    """A worker of this process, which works until the block is left: what it performs then is performed to its end.

    There can be one in a process, for the engine keeps its state in globals.
    """
    worker = Worker(
        project, open_, address, name or f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"
    )
    async with open_store(address) as store, queue.open_queue(store) as client:
        kept = Kept(store)
        await kept.beat(worker.name, __version__)  # before it takes anything: others know it from the start
        await anyio.to_thread.run_sync(worker.launch, store)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_live, worker.name, kept, pace)
                tasks.start_soon(_take_over, client, kept, pace)
                tasks.start_soon(_forget, project, open_, client, kept, pace)
                try:
                    yield worker
                finally:
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(worker.end)
                        tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await kept.leave(worker.name)


class Worker:
    """What performs orders. The engine calls it in a thread for each."""

    def __init__(self, project: Project, open_: Open, address: str, name: str) -> None:
        self.name = name
        self._project = project
        self._open = open_
        self._address = address

    def launch(self, store: Store) -> None:
        """Begin to take orders. Blocks."""
        engine = queue.engine_of(store)
        DBOS(
            config={
                "name": queue.NAME,
                "system_database_url": queue.address_of(engine),
                "system_database_engine": engine if engine is store.engine else None,
                "dbos_system_schema": queue.SCHEMA,
                "serializer": queue.SERIALIZER,
                "application_version": queue.VERSION,
                "executor_id": self.name,
                "log_level": "WARNING",
                "console_log_level": "WARNING",
            }
        )

        def order(document: dict[str, Any], asked_at: str) -> dict[str, Any]:  # it wants no method
            # An event loop of its own for each: runs do not hold each other up.
            return anyio.run(self._perform, str(DBOS.workflow_id), document, asked_at)

        DBOS.workflow(name=queue.WORKFLOW, max_recovery_attempts=None)(order)
        DBOS.launch()
        DBOS.register_queue(
            queue.QUEUE,
            partition_concurrency=1,
            worker_concurrency=ORDERS,
            polling_interval_sec=queue.POLL_S,
            on_conflict="always_update",
        )

    def end(self) -> None:
        """Take nothing more, and perform what was taken to its end. Blocks."""
        DBOS.destroy(workflow_completion_timeout_sec=24 * 3600, destroy_registry=True)

    async def _perform(self, id_: str, document: Mapping[str, Any], asked_at: str) -> dict[str, Any]:
        """Perform one order. Asks the engine nothing: it would remember the answers for a second time."""
        order = queue.read_order(document)
        stop = StopRequest()
        async with open_store(self._address) as store:
            kept = Kept(store)
            if await kept.withdrawn([id_]):
                return {"withdrawn": True}
            async with _telling(kept, id_) as tell, anyio.create_task_group() as tasks:
                tasks.start_soon(_heed, kept, id_, stop)
                turn = Turn(id_, read_moment(asked_at), WAIT_S)
                try:
                    done = await perform(self._project, self._open, order, tell, stop, turn)
                except Exception as error:  # noqa: BLE001 - a task's edge: the others go on
                    _LOG.exception("order %s failed", id_)
                    failed = LiftlockError(
                        f"liftlock itself failed: {type(error).__name__}.",
                        hint="That is a defect: please report it, with the worker's log. "
                        f"See what runs with: liftlock status {order.environment}",
                    )
                    done = Performed(1, {"exit_code": 1, "error": error_document(failed)})
                tasks.cancel_scope.cancel()
        return {"exit_code": done.exit_code, "result": done.result}


async def _live(worker: str, kept: Kept, pace: Pace) -> None:
    """Say again and again that we live. A database that is away for a while makes us silent, and no more."""
    while True:
        await anyio.sleep(pace.beat_s)
        try:
            await kept.beat(worker, __version__)
        except Exception as error:  # noqa: BLE001 - nothing beside a run may cut it off
            _noted(error)


async def _take_over(client: DBOSClient, kept: Kept, pace: Pace) -> None:
    """Put the orders of dead workers back to where they stood: first in their environments."""
    while True:
        try:
            living = await kept.living(pace.silent_s)
            for id_ in await _orphans(client, living):
                _LOG.warning("order %s lost its worker: another one takes it", id_)
                await client.resume_workflow_async(id_, queue_name=queue.QUEUE)
        except Exception as error:  # noqa: BLE001 - nothing beside a run may cut it off
            _noted(error)
        await anyio.sleep(pace.beat_s)


async def _forget(project: Project, open_: Open, client: DBOSClient, kept: Kept, pace: Pace) -> None:
    """Forget what was over for longer than the configuration says."""
    while True:
        before = datetime.now(UTC) - timedelta(seconds=project.serve.keep_s)
        try:
            if count := await forget(project, open_, client, kept, before):
                _LOG.info("orders that were over before %s are forgotten: %s", before.date(), count)
        except Exception as error:  # noqa: BLE001 - nothing beside a run may cut it off
            _noted(error)
        await anyio.sleep(pace.forget_s)


async def _orphans(client: DBOSClient, living: Sequence[str]) -> list[str]:
    """The orders that a worker has which lives no more."""
    running = await client.list_workflows_async(
        name=queue.WORKFLOW, status="PENDING", load_input=False, load_output=False
    )
    return [each.workflow_id for each in running if each.executor_id not in living]


async def _heed(kept: Kept, id_: str, stop: StopRequest) -> None:
    """Ask a run to stop when its order is taken back."""
    while True:
        await anyio.sleep(WITHDRAWN_S)
        try:
            by = await kept.withdrawn([id_])
        except Exception as error:  # noqa: BLE001 - nothing beside a run may cut it off
            _noted(error)
            continue
        if by:
            stop.ask(f"stopped by {by[id_]}")
            return


@asynccontextmanager
async def _telling(kept: Kept, id_: str) -> AsyncIterator[Callable[[Event], None]]:
    """Somewhere to tell events to: they are kept in their order, and a run never waits for that."""
    send, receive = anyio.create_memory_object_stream[Event](max_buffer_size=float("inf"))

    async def keep() -> None:
        async with receive:
            async for event in receive:
                events = [event]
                while receive.statistics().current_buffer_used:
                    events.append(receive.receive_nowait())
                try:
                    await kept.add_events(id_, events)
                except Exception as error:  # noqa: BLE001 - what was done does not depend on what is told
                    _noted(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep)
        with send:
            yield send.send_nowait


def _noted(error: Exception) -> None:
    """What went wrong beside the runs: the server's database was away, say. It is tried again."""
    _LOG.warning(
        "%s", error.message if isinstance(error, LiftlockError) else f"{type(error).__name__}: {error}"
    )
