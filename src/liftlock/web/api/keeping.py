"""Who asks, tokens, the audit log, and the API's own description."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from liftlock.config import duration_s
from liftlock.errors import UsageError
from liftlock.web.access import forms
from liftlock.web.access.audit import Line, Outcome, note
from liftlock.web.access.people import Forbidden, Right
from liftlock.web.access.sessions import Session
from liftlock.web.access.tokens import Token
from liftlock.web.api.operations import Call, Nothing, Shape, Told, operation
from liftlock.web.api.problem import NoSuchThing


class Me(Shape):
    """Who asks, and what they may."""

    account: str
    name: str
    via: str
    rights: dict[str, list[Right]] = Field(description="By environment.")


@operation("GET", "/me", tag="keep", answer=Me)
async def me(call: Call[Nothing, Nothing]) -> Told:
    """Who you are to the server, and what you may."""
    person = call.person
    told = Me(
        account=person.account,
        name=person.name,
        via=person.via,
        rights={e: [r for r in Right if person.may(r, e)] for e in person.where(Right.SEE)},
    )
    return Told(told.model_dump(mode="json"))


class TokenKept(Shape):
    """What is known of a token."""

    id: str
    name: str
    account: str
    rights: dict[str, list[Right]]
    created_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    state: str


class TokenMade(TokenKept):
    """A new token. It is shown this once."""

    token: str


class TokenAsked(Shape):
    """A token of one's own."""

    name: str = Field(description="What it is for.", examples=["laptop"])
    rights: dict[str, list[Right]] = Field(
        description="By environment; no more than you may yourself.",
        examples=[{"staging": ["see", "promote"]}],
    )
    expires_in: str = Field("90d", description="For how long it works; a year at most.")


def kept(token: Token, now: float) -> TokenKept:
    """A token as the API tells it."""
    return TokenKept(
        id=token.id,
        name=token.name,
        account=token.account,
        rights={e: sorted(each) for e, each in token.rights.items() if each},
        created_by=token.created_by,
        created_at=_moment(token.created_at),
        expires_at=_moment(token.expires_at),
        used_at=_moment(token.used_at) if token.used_at else None,
        state=token.state(now),
    )


@operation("GET", "/tokens", tag="keep", answer=list[TokenKept])
async def tokens(call: Call[Nothing, Nothing]) -> Told:
    """Your tokens; all of them for who administers every environment."""
    person = call.person
    sees_all = _administers_all(call)
    found = await call.access.tokens.all("" if sees_all else person.account)
    return Told([kept(token, call.access.now()).model_dump(mode="json") for token in found])


@operation("POST", "/tokens", tag="keep", answer=TokenMade, status=201)
async def token_create(call: Call[Nothing, TokenAsked]) -> Told:
    """Make a token that acts for you, with no more than you may. It is shown this once."""
    person, asked = call.person, call.body
    session = call.request.scope.get(forms.SESSION)
    if not isinstance(session, Session) or person.via != "session":
        raise UsageError(
            "A token of your own is made by somebody who is signed in, not with another token.",
            hint="Sign in on the page; on this machine: liftlock serve token create",
        )
    for environment, rights in asked.rights.items():
        for right in rights:
            call.require(right, environment)
    try:
        lasts_s = duration_s(asked.expires_in)
    except ValueError as error:
        raise UsageError(f"expires_in: {error}", hint="For example: 90d") from None
    text, token = await call.access.tokens.create(
        asked.name,
        {e: frozenset(each) for e, each in asked.rights.items()},
        created_by=person.account,
        owner=person.account,
        groups=session.groups,
        lasts_s=lasts_s,
    )
    note(call.request, "token-create", subject=token.id, name=asked.name)
    made = TokenMade(token=text, **kept(token, call.access.now()).model_dump())
    return Told(made.model_dump(mode="json"), status=201)


@operation("DELETE", "/tokens/{id}", tag="keep", answer=TokenKept)
async def token_revoke(call: Call[Nothing, Nothing]) -> Told:
    """Revoke a token: your own, or anybody's for who administers all environments that it is for."""
    person, id_ = call.person, call.path("id")
    note(call.request, "token-revoke", subject=id_[:20])
    token = await call.access.tokens.get(id_)
    is_own = token is not None and token.account == person.account
    if token is None or not (is_own or all(person.may(Right.ADMINISTER, e) for e in token.rights)):
        raise NoSuchThing(f"There is no token {id_[:20]!r}.", hint="See yours with: GET /api/v1/tokens")
    revoked = await call.access.tokens.revoke(id_, person.account)
    return Told(kept(revoked, call.access.now()).model_dump(mode="json"))


class AuditQuery(Shape):
    """Which part of the audit log."""

    account: str = Field("", description="Only this account's.")
    before: int | None = Field(None, ge=1, le=2**62, description="Only lines before this one's id.")
    limit: int = Field(100, ge=1, le=500)


class AuditLine(Shape):
    """A line of the audit log."""

    id: int
    at: datetime
    account: str
    via: str
    address: str
    action: str
    environment: str
    subject: str
    outcome: Outcome
    detail: dict[str, Any]


@operation("GET", "/audit", tag="keep", answer=list[AuditLine], right=Right.ADMINISTER)
async def audit(call: Call[AuditQuery, Nothing]) -> Told:
    """Who did what, from where, newest first: for who administers, of the environments that they do."""
    person = call.person
    mine = person.where(Right.ADMINISTER)
    if not mine:
        raise Forbidden(person, Right.ADMINISTER, next(iter(call.site.project.environments)))
    lines = await call.access.audit.read(
        environments=None if _administers_all(call) else mine,
        account=call.query.account,
        before=call.query.before,
        limit=call.query.limit,
    )
    return Told([told_line(line).model_dump(mode="json") for line in lines])


def told_line(line: Line) -> AuditLine:
    """A line as the API tells it."""
    return AuditLine(
        id=line.id,
        at=_moment(line.at),
        account=line.account,
        via=line.via,
        address=line.address,
        action=line.action,
        environment=line.environment,
        subject=line.subject,
        outcome=line.outcome,
        detail=dict(line.detail),
    )


@operation("GET", "/openapi.json", tag="keep", answer={"type": "object"}, is_open=True)
async def openapi(call: Call[Nothing, Nothing]) -> Told:
    """This description."""
    from liftlock.web.api.openapi import document

    return Told(document())


def _administers_all(call: Call[Any, Any]) -> bool:
    return len(call.person.where(Right.ADMINISTER)) == len(call.site.project.environments)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
