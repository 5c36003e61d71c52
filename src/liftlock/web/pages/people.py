"""Signing in, one's own tokens, and the audit log."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from liftlock.config import duration_s
from liftlock.errors import LiftlockError, UsageError
from liftlock.web.access import forms
from liftlock.web.access.access import access_of
from liftlock.web.access.audit import note
from liftlock.web.access.people import PERSON, Forbidden, Right, person_of, require
from liftlock.web.access.providers import provider_of
from liftlock.web.access.sessions import Session
from liftlock.web.access.sign_in import start_path
from liftlock.web.pages.forms import read_form, seen_at
from liftlock.web.pages.render import page
from liftlock.web.site import site_of

SHOWN = 100


async def sign_in(request: Request) -> Response:
    """`GET /sign-in`: how to sign in; on to where they wanted to go for whoever is signed in already."""
    if request.scope.get(PERSON) is not None:
        return RedirectResponse("/", 303)
    provider = provider_of(access_of(request))
    return page(
        request,
        "sign_in.html",
        topics=(),
        provider=provider.name if provider is not None else "",
        start=start_path(request),
    )


async def account(request: Request) -> Response:
    """`GET /account`: who you are to the server, what you may, and your tokens."""
    return await _account(request)


async def _account(
    request: Request, made: str = "", error: LiftlockError | None = None, status: int = 200
) -> Response:
    person, access = person_of(request), access_of(request)
    found = await access.tokens.all(person.account)
    return page(
        request,
        "account.html",
        status=status,
        topics=(),
        person=person,
        rights=list(Right),
        tokens=[(token, token.state(access.now()), _moment(token.expires_at)) for token in found],
        can_make=person.via == "session" and any(person.where(right) for right in Right),
        host=request.url.netloc,
        made=made,
        error=error,
    )


async def make_token(request: Request) -> Response:
    """`POST /account/tokens`: a token of one's own. The page that answers is the only one that ever shows it."""
    person, access = person_of(request), access_of(request)
    form = await read_form(request)
    session = request.scope.get(forms.SESSION)
    try:
        if person.via != "session" or not isinstance(session, Session):
            raise UsageError(
                "Nobody is signed in here by name, whom a token could act for.",
                hint="Make one for a machine: liftlock serve token create",
            )
        rights: dict[str, set[Right]] = {}
        for said in form.every("right"):
            environment, _, right = said.partition("/")
            if right in set(Right):
                require(request, Right(right), environment)
                rights.setdefault(environment, set()).add(Right(right))
        try:
            lasts_s = duration_s(form.one("expires_in") or "90d")
        except ValueError as error:
            raise UsageError(f"How long it works: {error}", hint="For example: 90d") from None
        text, token = await access.tokens.create(
            form.one("name"),
            {environment: frozenset(each) for environment, each in rights.items()},
            created_by=person.account,
            owner=person.account,
            groups=session.groups,
            lasts_s=lasts_s,
        )
    except Forbidden:
        raise
    except LiftlockError as error:
        return await _account(request, error=error, status=400)
    note(request, "token-create", subject=token.id, name=token.name)
    return await _account(request, made=text)


async def revoke_token(request: Request) -> Response:
    """`POST /account/tokens/{id}/revoke`: one's own alone; the API and the command line know others."""
    person, access = person_of(request), access_of(request)
    id_ = request.path_params["id"]
    await read_form(request)
    note(request, "token-revoke", subject=id_[:20])
    token = await access.tokens.get(id_)
    if token is None or token.account != person.account:
        raise UsageError(f"You have no token {id_[:20]!r}.")
    await access.tokens.revoke(id_, person.account)
    return seen_at("/account")


async def audit(request: Request) -> Response:
    """`GET /audit`: who did what, from where, for who administers."""
    person, project = person_of(request), site_of(request).project
    mine = person.where(Right.ADMINISTER)
    if not mine:
        raise Forbidden(person, Right.ADMINISTER, next(iter(project.environments)))
    before = request.query_params.get("before", "")
    account_asked = request.query_params.get("account", "")
    lines = await access_of(request).audit.read(
        environments=None if len(mine) == len(project.environments) else mine,
        account=account_asked,
        before=int(before) if before.isdecimal() and len(before) < 16 else None,
        limit=SHOWN,
    )
    return page(
        request,
        "audit.html",
        topics=(),
        lines=[(line, _moment(line.at)) for line in lines],
        account=account_asked,
        older=lines[-1].id if len(lines) == SHOWN else None,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
