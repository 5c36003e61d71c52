"""How often somebody may try: signing in, one-time links, tokens that are none.

Counted in the server's database by address and by span of time, so that N processes count together.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from liftlock.errors import LiftlockError
from liftlock.web.store import Store, tables

SPAN_S = 600
MOST = {"sign-in": 30, "link": 10, "token": 60, "webhook": 60}
"""By what is tried: how many times in ten minutes from one address."""


class TooMany(LiftlockError):
    """They tried too often. Answered with 429."""

    def __init__(self, what: str, wait_s: int) -> None:
        super().__init__(
            f"There were too many attempts from this address ({what}).", hint=f"Try again in {wait_s} s."
        )
        self.wait_s = wait_s


class Limits:
    """The counts in one database."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def check(self, what: str, address: str) -> None:
        """Raises `TooMany` where enough was tried already; counts nothing."""
        since, left = self._span()
        attempts = tables.attempts
        query = select(attempts.c.count).where(
            attempts.c.key == _key(what, address), attempts.c.since == since
        )
        if (await self._store.read(lambda c: c.execute(query).scalar()) or 0) >= MOST[what]:
            raise TooMany(what, left)

    async def count(self, what: str, address: str) -> None:
        """Count an attempt. Raises `TooMany` where it is one too many."""
        since, left = self._span()
        attempts = tables.attempts
        mine = (attempts.c.key == _key(what, address)) & (attempts.c.since == since)

        def write(connection: Connection) -> int:
            more = update(attempts).where(mine).values(count=attempts.c.count + 1)
            if connection.execute(more).rowcount == 0:
                connection.execute(delete(attempts).where(attempts.c.since < since))
                try:
                    with connection.begin_nested():
                        connection.execute(
                            insert(attempts).values(key=_key(what, address), since=since, count=1)
                        )
                except IntegrityError:  # another process counted the first one
                    connection.execute(more)
            return int(connection.execute(select(attempts.c.count).where(mine)).scalar_one())

        if await self._store.write(write) > MOST[what]:
            raise TooMany(what, left)

    def _span(self) -> tuple[int, int]:
        now = int(self._now())
        since = now - now % SPAN_S
        return since, since + SPAN_S - now


def _key(what: str, address: str) -> str:
    """An address as it is counted: of IPv6, the network that one subscriber has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return f"{what} {address[:60]}"
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return f"{what} {ipaddress.ip_network((found, 64), strict=False)}"
    return f"{what} {found}"
