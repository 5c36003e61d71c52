"""What the server's own database keeps of work: events, withdrawals, and which workers live.

The queue itself is the engine's, and what was done is the ledger's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from liftlock.errors import LiftlockError
from liftlock.web.store import Store
from liftlock.web.store.tables import orders, withdrawals, work_events, workers
from liftlock.web.work.orders import Event

TRIES = 20
AT_A_TIME = 500
"""How many events are read at once."""


class Kept:
    """The tables of work, read and written."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add_order(self, item: str, environment: str) -> int:
        """Note that something is asked for; gives its number: who has the lower one comes first."""
        new = insert(orders).values(item=item, environment=environment).returning(orders.c.number)
        return await self._store.write(lambda db: db.execute(new).scalar_one())

    async def orders(self, environment: str | None, limit: int) -> Sequence[str]:
        """The newest items, newest first, of one environment or of all."""
        query = select(orders.c.item).order_by(orders.c.number.desc()).limit(limit)
        if environment is not None:
            query = query.where(orders.c.environment == environment)
        return await self._store.read(lambda db: db.execute(query).scalars().all())

    async def add_events(self, item: str, events: Sequence[Event]) -> None:
        """Append to what a run told, after whatever another worker tells that was taken for dead."""

        def add(db: Connection) -> None:
            last = db.execute(
                select(func.coalesce(func.max(work_events.c.number), 0)).where(work_events.c.item == item)
            ).scalar_one()
            rows = [
                {"item": item, "number": last + number, "document": dict(event)}
                for number, event in enumerate(events, 1)
            ]
            db.execute(insert(work_events), rows)

        for _ in range(TRIES):
            try:
                return await self._store.write(add)
            except IntegrityError:  # the other one had the number first
                continue
        raise LiftlockError(f"What {item} told could not be kept: others tell of it all the time.")

    async def events(self, item: str, after: int) -> Sequence[tuple[int, Event]]:
        """The next events of a run after one of them, in their order."""
        query = (
            select(work_events.c.number, work_events.c.document)
            .where(work_events.c.item == item, work_events.c.number > after)
            .order_by(work_events.c.number)
            .limit(AT_A_TIME)
        )
        rows = await self._store.read(lambda db: db.execute(query).all())
        return [(number, document) for number, document in rows]

    async def withdraw(self, item: str, account: str) -> None:
        """Note that an order was taken back; the first who does so is named."""

        def note(db: Connection) -> None:
            if db.execute(select(withdrawals.c.item).where(withdrawals.c.item == item)).first() is None:
                db.execute(insert(withdrawals).values(item=item, account=account, at=_now(db)))

        await self._store.write(note)

    async def withdrawn(self, items: Sequence[str]) -> Mapping[str, str]:
        """By item, who took it back; those that nobody did are absent."""
        query = select(withdrawals.c.item, withdrawals.c.account).where(withdrawals.c.item.in_(items))
        rows = await self._store.read(lambda db: db.execute(query).all())
        return {row.item: row.account for row in rows}

    async def forget(self, items: Sequence[str]) -> None:
        """Delete all that is kept of orders."""

        def drop(db: Connection) -> None:
            for table in (work_events, withdrawals, orders):
                db.execute(delete(table).where(table.c.item.in_(items)))

        await self._store.write(drop)

    async def beat(self, worker: str, version: str) -> None:
        """Say that a worker lives."""

        def say(db: Connection) -> None:
            now = _now(db)
            known = update(workers).where(workers.c.id == worker).values(seen_at=now)
            if db.execute(known).rowcount == 0:
                db.execute(insert(workers).values(id=worker, version=version, began_at=now, seen_at=now))

        await self._store.write(say)

    async def leave(self, worker: str) -> None:
        """Say that a worker ended and performs nothing any more."""
        await self._store.write(lambda db: db.execute(delete(workers).where(workers.c.id == worker)))

    async def living(self, silent_s: float) -> Sequence[str]:
        """The workers that said so within `silent_s` seconds; the others are forgotten."""

        def look(db: Connection) -> Sequence[str]:
            db.execute(delete(workers).where(workers.c.seen_at < _now(db) - silent_s))
            return db.execute(select(workers.c.id)).scalars().all()

        return await self._store.write(look)


def _now(db: Connection) -> float:
    """The database's time in seconds since 1970: workers' clocks may differ, a file's users share theirs."""
    if db.dialect.name == "sqlite":
        return time.time()
    moment: Any = db.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    return float(moment)
