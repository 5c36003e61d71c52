"""Who is signed in: sessions, kept in the server's database and known by a cookie.

The database holds SHA-256 of what the cookie holds: who reads it can take over nobody's session.
A session gets a new cookie every hour, and ends when it is not used, or grows old.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from liftlock.web.access.keys import digest, new_secret, seal, unseal
from liftlock.web.access.people import Via
from liftlock.web.store import Store, tables

IDLE_S = 12 * 3600.0
"""How long after its last use a session ends."""
LONGEST_S = 7 * 86400.0
"""How long after its beginning a session ends, however much it is used."""
ROTATE_S = 3600.0
"""How old a cookie's secret grows before the session gets a new one."""
GRACE_S = 60.0
"""How long the old secret goes on working: requests may be under way with it."""
SEEN_S = 60.0
"""How exactly it is kept when a session was last used; every request would be a write otherwise."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody's session. `secret` is what the cookie holds."""

    secret: str
    account: str
    name: str
    via: Via
    groups: frozenset[str]
    address: str
    created_at: float
    seen_at: float
    expires_at: float
    rotated_at: float
    provider_token: str = ""
    """Their own token at the provider, for what is done in their name there; "" where there is none."""


class Sessions:
    """The sessions in one database."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def begin(
        self,
        account: str,
        name: str,
        via: Via,
        *,
        groups: frozenset[str] = frozenset(),
        address: str = "",
        provider_token: str = "",
    ) -> Session:
        """A new session, always with a secret of its own: one that a stranger planted is worth nothing."""
        now = self._now()
        session = Session(
            new_secret(), account, name, via, groups, address, now, now, now + LONGEST_S, now, provider_token
        )

        def write(connection: Connection) -> None:
            connection.execute(delete(tables.sessions).where(tables.sessions.c.expires_at < now))
            connection.execute(insert(tables.sessions).values(_row(session)))

        await self._store.write(write)
        return session

    async def find(self, secret: str) -> Session | None:
        """The session of a cookie; None for one that is unknown, ended or too old."""
        if not secret or len(secret) > 100:
            return None
        now = self._now()
        query = select(tables.sessions).where(tables.sessions.c.id == digest(secret))
        row = await self._store.read(lambda connection: connection.execute(query).mappings().first())
        if row is None or row["expires_at"] < now or row["seen_at"] + IDLE_S < now:
            return None
        if now - row["seen_at"] > SEEN_S:
            seen = update(tables.sessions).where(tables.sessions.c.id == digest(secret)).values(seen_at=now)
            await self._store.write(lambda connection: connection.execute(seen))
        return Session(
            secret=secret,
            account=row["account"],
            name=row["name"],
            via=row["via"],
            groups=frozenset(row["groups"]),
            address=row["address"],
            created_at=row["created_at"],
            seen_at=row["seen_at"],
            expires_at=row["expires_at"],
            rotated_at=row["rotated_at"],
            provider_token=unseal(row["sealed_token"], secret) if row["sealed_token"] else "",
        )

    async def rotated(self, session: Session) -> Session | None:
        """The session with a new secret, when the old one has grown old; else None.

        Of two requests that come at once, one rotates; the other goes on with the old secret.
        """
        now = self._now()
        if now - session.rotated_at < ROTATE_S:
            return None
        fresh = Session(
            new_secret(), session.account, session.name, session.via, session.groups, session.address,
            session.created_at, now, session.expires_at, now, session.provider_token,
        )  # fmt: skip
        sessions = tables.sessions

        def write(connection: Connection) -> bool:
            retired = connection.execute(
                update(sessions)
                .where(sessions.c.id == digest(session.secret), sessions.c.expires_at == session.expires_at)
                .values(expires_at=now + GRACE_S, rotated_at=now)
            )
            if retired.rowcount != 1:
                return False
            connection.execute(insert(sessions).values(_row(fresh)))
            return True

        return fresh if await self._store.write(write) else None

    async def end(self, session: Session) -> None:
        """End a session, with every secret that it ever had."""
        sessions = tables.sessions
        mine = delete(sessions).where(
            sessions.c.account == session.account, sessions.c.created_at == session.created_at
        )
        await self._store.write(lambda connection: connection.execute(mine))

    async def end_all(self, account: str) -> None:
        """End all of somebody's sessions."""
        theirs = delete(tables.sessions).where(tables.sessions.c.account == account)
        await self._store.write(lambda connection: connection.execute(theirs))


def _row(session: Session) -> dict[str, object]:
    return {
        "id": digest(session.secret),
        "account": session.account,
        "name": session.name,
        "via": session.via,
        "groups": sorted(session.groups),
        "sealed_token": seal(session.provider_token, session.secret) if session.provider_token else None,
        "address": session.address,
        "created_at": session.created_at,
        "seen_at": session.seen_at,
        "rotated_at": session.rotated_at,
        "expires_at": session.expires_at,
    }
