"""Tokens: what programs, and people at a terminal, send instead of a session.

A token is shown once. It says for which environments and rights it is, and never gives more than
its owner has at that moment. A machine's token has no owner: its rights are what it says, and it
cannot approve.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Project
from liftlock.web.access.keys import digest, new_secret, same
from liftlock.web.access.people import Person, Right, rights_of
from liftlock.web.store import Store, tables

PREFIX = "liftlock"
MACHINE = "token:"
"""What a machine's account begins with; no person's can: it is refused at their sign-in."""
LONGEST_S = 366 * 86400.0
DEFAULT_S = 90 * 86400.0
USED_S = 60.0
"""How exactly it is kept when a token was last used."""
_TOKEN = re.compile(rf"{PREFIX}_([a-z0-9]{{12}})_([A-Za-z0-9_-]{{43}})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,59}")
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; the token itself is not."""

    id: str
    name: str
    account: str
    """Whom it acts for: a person, or `token:NAME`."""
    rights: Mapping[str, frozenset[Right]]
    groups: frozenset[str]
    """Its owner's teams or groups when they last signed in."""
    created_by: str
    created_at: float
    expires_at: float
    revoked_at: float | None = None
    revoked_by: str | None = None
    used_at: float | None = None

    @property
    def is_machines(self) -> bool:
        return self.account.startswith(MACHINE)

    def state(self, now: float) -> str:
        """`valid`, `expired` or `revoked`."""
        return "revoked" if self.revoked_at is not None else "valid" if self.expires_at > now else "expired"

    def person(self, project: Project, address: str) -> Person:
        """Whom a request with this token is from, and what it may: no more than its owner may now."""
        theirs = None if self.is_machines else rights_of(project, self.account, self.groups)
        rights = {}
        for environment in project.environments:
            given = self.rights.get(environment, frozenset())
            rights[environment] = (
                given & theirs[environment] if theirs is not None else given - {Right.APPROVE}
            )
        return Person(self.account, self.name, "token", rights, address, is_machine=self.is_machines)


class Tokens:
    """The tokens in one database."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def create(
        self,
        name: str,
        rights: Mapping[str, frozenset[Right]],
        *,
        created_by: str,
        owner: str = "",
        groups: frozenset[str] = frozenset(),
        lasts_s: float = DEFAULT_S,
    ) -> tuple[str, Token]:
        """A new token, to be shown once, and what is kept of it. Without an owner it is a machine's.

        Raises `UsageError`.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name[:60]!r} is no name for a token.",
                hint="It has letters, digits, spaces and ._- and is short.",
            )
        if not 0 < lasts_s <= LONGEST_S:
            raise UsageError("A token lasts for a year at most.", hint="For example: 90d")
        if not any(rights.values()):
            raise UsageError(
                "A token without any right is of no use.", hint="Name an environment and a right."
            )
        if not owner and any(Right.APPROVE in each for each in rights.values()):
            raise UsageError(
                "A machine cannot approve: an approval is a person's yes.",
                hint="Leave `approve` out, or make a token of your own on the page.",
            )
        id_ = "".join(secrets.choice(_LETTERS) for _ in range(12))
        text = f"{PREFIX}_{id_}_{new_secret()}"
        now = self._now()
        token = Token(id_, name, owner or f"{MACHINE}{name}", rights, groups, created_by, now, now + lasts_s)
        row = {
            "id": id_,
            "hash": digest(text),
            "name": name,
            "account": token.account,
            "rights": {environment: sorted(each) for environment, each in rights.items() if each},
            "groups": sorted(groups),
            "created_by": created_by,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
        }
        await self._store.write(lambda connection: connection.execute(insert(tables.tokens).values(row)))
        return text, token

    async def find(self, text: str) -> Token | None:
        """The valid token of that text; None for one that is unknown, expired or revoked."""
        match = _TOKEN.fullmatch(text)
        if match is None:
            return None
        query = select(tables.tokens).where(tables.tokens.c.id == match[1])
        row = await self._store.read(lambda connection: connection.execute(query).mappings().first())
        if row is None or not same(row["hash"], digest(text)):
            return None
        token, now = _token(row), self._now()
        if token.state(now) != "valid":
            return None
        if now - (token.used_at or 0) > USED_S:
            used = update(tables.tokens).where(tables.tokens.c.id == token.id).values(used_at=now)
            await self._store.write(lambda connection: connection.execute(used))
        return token

    async def all(self, account: str = "") -> list[Token]:
        """Every token, or one account's, newest first."""
        query = select(tables.tokens).order_by(tables.tokens.c.created_at.desc())
        if account:
            query = query.where(tables.tokens.c.account == account)
        rows = await self._store.read(lambda connection: connection.execute(query).mappings().all())
        return [_token(row) for row in rows]

    async def get(self, id_: str) -> Token | None:
        """What is known of a token, valid or not."""
        query = select(tables.tokens).where(tables.tokens.c.id == id_)
        row = await self._store.read(lambda connection: connection.execute(query).mappings().first())
        return _token(row) if row is not None else None

    async def revoke(self, id_: str, by: str) -> Token:
        """End a token at once; ending it again changes nothing. Raises `LiftlockError` for an unknown one."""
        tokens = tables.tokens
        now = self._now()

        def write(connection: Connection) -> None:
            connection.execute(
                update(tokens)
                .where(tokens.c.id == id_, tokens.c.revoked_at.is_(None))
                .values(revoked_at=now, revoked_by=by)
            )

        await self._store.write(write)
        token = await self.get(id_)
        if token is None:
            raise LiftlockError(
                f"There is no token {id_[:20]!r}.", hint="See them with: liftlock serve token list"
            )
        return token

    async def know_groups(self, account: str, groups: frozenset[str]) -> None:
        """Somebody signed in: their tokens go by the teams that they are in now."""
        theirs = update(tables.tokens).where(tables.tokens.c.account == account).values(groups=sorted(groups))
        await self._store.write(lambda connection: connection.execute(theirs))


def _token(row: Mapping[Any, Any]) -> Token:
    values = dict(row)
    del values["hash"]
    values["rights"] = {
        environment: frozenset(Right(each) for each in given if each in set(Right))
        for environment, given in values["rights"].items()
    }
    values["groups"] = frozenset(values["groups"])
    return Token(**values)
