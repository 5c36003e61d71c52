"""The engine that hands work over, as all processes of a server use it: names, its database, its items.

It is dbos. It knows which order waits, which worker has it, and what that gave back; it is asked for
nothing else. What a promotion did is in the ledger, and only `perform` looks there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, WorkflowStatus
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url

from liftlock.web.store import Store
from liftlock.web.store.database import make_file
from liftlock.web.work.orders import Options, Order, OrderKind, WorkItem, WorkState
from liftlock.wording import read_moment

NAME = "liftlock"
WORKFLOW = "liftlock.order"
QUEUE = "orders"
VERSION = "orders-1"
"""The form of an order. Workers of any liftlock that knows it take it: a newer program beside an older one
is no reason to leave work lying. Another form gets another version, and is left to those that know it."""
SCHEMA = "liftlock_work"
BUSY_S = 20
POLL_S = 0.5
"""How often an idle worker looks for work, in seconds."""
SERIALIZER = DBOSPortableJSONSerializer()
"""JSON: a row that somebody else wrote is never run as a pickle would be."""

_STATES = {"ENQUEUED": WorkState.QUEUED, "DELAYED": WorkState.QUEUED, "PENDING": WorkState.RUNNING}


@asynccontextmanager
async def open_queue(store: Store) -> AsyncIterator[DBOSClient]:
    """The queue, for whoever fills it or looks at it; its tables are made, or brought forward, first."""
    engine = engine_of(store)
    client = await anyio.to_thread.run_sync(_client, engine)
    try:
        yield client
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(client.destroy)
            if engine is not store.engine:
                engine.dispose()


def engine_of(store: Store) -> Engine:
    """The queue's database: the server's own, or a file beside the server's file.

    Two kinds of transactions in one file would wait for each other; in PostgreSQL it has a schema of its own.
    """
    if not store.is_sqlite:
        return store.engine
    url = make_url(store.address)
    path = f"{str(url.database).removesuffix('.db')}-work.db"
    make_file(Path(path))
    return create_engine(url.set(database=path), connect_args={"timeout": BUSY_S})


def address_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def _client(engine: Engine) -> DBOSClient:
    DBOS.migrate(address_of(engine), schema=SCHEMA)
    client = DBOSClient(
        system_database_engine=engine,
        dbos_system_schema=SCHEMA,
        serializer=SERIALIZER,
        application_name=NAME,
    )
    client.register_queue(QUEUE, partition_concurrency=1, polling_interval_sec=POLL_S)
    return client


def written(order: Order) -> dict[str, Any]:
    """An order as it is queued: JSON."""
    options = _fields(order.options) | {"overrides": dict(order.options.overrides)}
    return _fields(order) | {"kind": order.kind.value, "apps": list(order.apps), "options": options}


def read_order(document: Mapping[str, Any]) -> Order:
    """An order from what `written` made, here or in another liftlock.

    An older one lacks fields that came later: they have their defaults. A newer one may say more, which is left
    out, and may be of a kind that is not known here: it is here to be shown, for what has another `VERSION` is
    performed by those that know it.
    """
    kind = str(document.get("kind", ""))
    said = {
        **document,
        "kind": OrderKind(kind) if kind in set(OrderKind) else OrderKind.UNKNOWN,
        "apps": tuple(document.get("apps", ())),
        "options": Options(**_known(Options, document.get("options", {}))),
    }
    return Order(**_known(Order, said))


def _known(kind: type[Order | Options], document: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: document[each.name] for each in fields(kind) if each.name in document}


def _fields(value: Order | Options) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def item_of(status: WorkflowStatus, withdrawn_by: str = "") -> WorkItem:
    """How an order stands, by what the engine says of it."""
    if status.input is None:
        raise AssertionError(f"{status.workflow_id} was read without its order")
    done: Mapping[str, Any] = status.output or {}
    state = _STATES.get(status.status, WorkState.ENDED)
    has_run = not done.get("withdrawn")
    if (state is WorkState.QUEUED and withdrawn_by) or (state is WorkState.ENDED and not has_run):
        state = WorkState.WITHDRAWN
    is_failed = state is WorkState.ENDED and "exit_code" not in done
    return WorkItem(
        id=status.workflow_id,
        order=read_order(status.input["args"][0]),
        state=state,
        created_at=read_moment(status.input["args"][1]),
        worker=(status.executor_id or "") if state is not WorkState.QUEUED else "",
        exit_code=1 if is_failed else done.get("exit_code"),
        result=done.get("result", {}),
        started_at=moment(status.dequeued_at) if status.dequeued_at and has_run else None,
        ended_at=moment(status.completed_at) if status.completed_at else None,
        withdrawn_by=withdrawn_by,
    )


def moment(epoch_ms: int | None) -> datetime:
    return datetime.fromtimestamp((epoch_ms or 0) / 1000, UTC)
