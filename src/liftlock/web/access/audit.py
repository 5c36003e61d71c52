"""The audit log: every change, and every refusal, with who, what, where and from where.

It is only ever added to: the database's own triggers refuse anything else. Each line goes to the
server's log as well, so that a copy leaves the machine where logs do.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import insert, select
from starlette.requests import HTTPConnection

from liftlock.model import EMPTY
from liftlock.web.access.people import Forbidden, Person
from liftlock.web.store import Store, tables

Outcome = Literal["done", "refused", "failed"]
MOST = 500
"""How many lines are read at once, at most."""
_LOG = logging.getLogger("liftlock.audit")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log."""

    id: int
    at: float
    account: str
    via: str
    address: str
    action: str
    environment: str
    subject: str
    outcome: Outcome
    detail: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


NOTE = "liftlock.note"
"""The key of the request's scope where a handler says what a change is called."""


def note(
    request: HTTPConnection, action: str, *, environment: str = "", subject: str = "", **detail: Any
) -> None:
    """Say what the change is that this request makes. The guard writes the line, with how it ended."""
    request.scope[NOTE] = {"action": action, "environment": environment, "subject": subject, **detail}


async def forbidden(request: HTTPConnection, error: Forbidden) -> None:
    """Write down that somebody may not. What asked for a change has its line from the guard."""
    if request.scope["method"] in {"GET", "HEAD"}:
        audit: Audit = request.app.state.access.audit
        await audit.write(
            error.person,
            str(error.right),
            environment=error.environment,
            subject=request.scope["path"],
            outcome="refused",
        )
    else:
        request.scope.setdefault(NOTE, {"action": str(error.right), "environment": error.environment})


class Audit:
    """The log in one database."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def write(
        self,
        person: Person | None,
        action: str,
        *,
        environment: str = "",
        subject: str = "",
        outcome: Outcome = "done",
        address: str = "",
        **detail: Any,
    ) -> None:
        """Add a line; `person` None is somebody whom the server does not know. No secret belongs in it."""
        row = {
            "at": self._now(),
            "account": person.account if person else "",
            "via": person.via if person else "",
            "address": address or (person.address if person else ""),
            "action": action,
            "environment": environment[:100],
            "subject": subject[:200],
            "outcome": outcome,
            "detail": detail,
        }
        await self._store.write(lambda connection: connection.execute(insert(tables.audit).values(row)))
        _LOG.info(
            "%s %s", action, outcome, extra={"audit": {**row, "detail": json.dumps(detail, default=str)}}
        )

    async def read(
        self,
        *,
        environments: Sequence[str] | None = None,
        account: str = "",
        before: int | None = None,
        limit: int = 100,
    ) -> list[Line]:
        """Lines, newest first: of these environments and of none, or of all (None)."""
        audit = tables.audit
        query = select(audit).order_by(audit.c.id.desc()).limit(min(limit, MOST))
        if environments is not None:
            query = query.where(audit.c.environment.in_(["", *environments]))
        if account:
            query = query.where(audit.c.account == account)
        if before is not None:
            query = query.where(audit.c.id < before)
        rows = await self._store.read(lambda connection: connection.execute(query).mappings().all())
        return [Line(**row) for row in rows]
