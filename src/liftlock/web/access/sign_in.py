"""Signing in and out: through the provider, or on this machine by a one-time link.

What belongs to a sign-in stays in the database, and is bound to the browser that began it by a cookie:
nobody can be signed in as somebody else by a link that they are sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import Connection, delete, insert, select, update
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from liftlock.sqlite_file import user_name
from liftlock.web.access import forms
from liftlock.web.access.access import Access, access_of
from liftlock.web.access.addresses import is_loopback, origin, safe_path
from liftlock.web.access.audit import note
from liftlock.web.access.guard import ADDRESS, cookie_name, session_cookie
from liftlock.web.access.keys import digest, new_secret
from liftlock.web.access.providers import Begun, Identity, SignInFailed, provider_of
from liftlock.web.access.sessions import Session
from liftlock.web.store import Store, tables

BEGUN_S = 600.0
"""How long somebody may take at the provider."""
LINK_S = 600.0
"""How long a one-time link works, as long as nobody has used it."""


def routes() -> list[BaseRoute]:
    """What signing in needs; `sign-in` itself is a page."""
    return [
        Route("/sign-in/start", start),
        Route("/sign-in/callback", callback),
        Route("/sign-in/link/{secret}", link),
        Route("/sign-out", sign_out, methods=["POST"]),
    ]


async def start(request: Request) -> Response:
    """`GET /sign-in/start?next=…`: on to the provider."""
    access = access_of(request)
    provider = provider_of(access)
    if provider is None:
        return RedirectResponse("/sign-in", 303)
    await access.limits.count("sign-in", request.scope[ADDRESS])
    begun, browser = Begun(new_secret(), new_secret(), new_secret()), new_secret()
    now = access.now()
    row = {
        "state": digest(begun.state),
        "browser": digest(browser),
        "provider": provider.key,
        "verifier": begun.verifier,
        "nonce": begun.nonce,
        "next": safe_path(request.query_params.get("next", "/")),
        "expires_at": now + BEGUN_S,
    }

    def write(connection: Connection) -> None:
        connection.execute(delete(tables.sign_ins).where(tables.sign_ins.c.expires_at < now))
        connection.execute(insert(tables.sign_ins).values(row))

    await access.store.write(write)
    answer = RedirectResponse(await provider.address(begun, _callback(request)), 303)
    answer.headers.append("set-cookie", _browser_cookie(request, browser))
    return answer


async def callback(request: Request) -> Response:
    """`GET /sign-in/callback?code=…&state=…`: back from the provider."""
    access = access_of(request)
    address = request.scope[ADDRESS]
    await access.limits.count("sign-in", address)
    provider = provider_of(access)
    state, code = request.query_params.get("state", ""), request.query_params.get("code", "")
    begun = await _begun(access, state, request.cookies.get(_browser_name(request), ""))
    try:
        if provider is None or begun is None or provider.key != begun.provider:
            raise SignInFailed(
                "This sign-in was begun in another browser, or too long ago.", hint="Start again: /sign-in"
            )
        if not code:
            said = request.query_params.get("error", "")
            raise SignInFailed(
                f"{provider.name} did not sign you in{': ' + said[:60] if said.isprintable() and said else ''}.",
                hint="Start again: /sign-in",
            )
        identity = await provider.identity(
            Begun(state, begun.verifier, begun.nonce), _callback(request), code
        )
    except SignInFailed as failed:
        await access.audit.write(
            None, "sign-in", outcome="refused", address=address, why=failed.headline[:200]
        )
        raise
    session = await _signed_in(access, identity, address)
    answer = RedirectResponse(begun.next, 303)
    answer.headers.append("set-cookie", session_cookie(request.scope, session, is_https=_is_https(request)))
    answer.headers.append("set-cookie", _browser_cookie(request, ""))
    return answer


async def _signed_in(access: Access, identity: Identity, address: str) -> Session:
    session = await access.sessions.begin(
        identity.account,
        identity.name,
        "session",
        groups=identity.groups,
        address=address,
        provider_token=identity.token,
    )
    await access.tokens.know_groups(identity.account, identity.groups)
    await access.audit.write(access.person(session, address), "sign-in")
    return session


async def link(request: Request) -> Response:
    """`GET /sign-in/link/…`: the link that was printed at the start, once, from this machine alone."""
    access = access_of(request)
    address = request.scope[ADDRESS]
    await access.limits.count("link", address)
    if (
        access.has_sign_in
        or not is_loopback(address)
        or not await _use_link(access, request.path_params["secret"])
    ):
        await access.audit.write(None, "sign-in", outcome="refused", address=address, why="no such link")
        raise SignInFailed(
            "This link was used already, or it is not one of this server's.",
            hint="Make a new one on the machine that it runs on: liftlock serve link",
        )
    account = user_name()
    session = await access.sessions.begin(account, account, "link", address=address)
    await access.audit.write(access.person(session, address), "sign-in")
    answer = RedirectResponse("/", 303)
    answer.headers.append("set-cookie", session_cookie(request.scope, session, is_https=_is_https(request)))
    return answer


async def sign_out(request: Request) -> Response:
    """`POST /sign-out`."""
    access = access_of(request)
    session = request.scope.get(forms.SESSION)
    if isinstance(session, Session):
        await access.sessions.end(session)
        note(request, "sign-out")
    answer = RedirectResponse("/sign-in", 303)
    answer.headers.append("set-cookie", session_cookie(request.scope, None, is_https=_is_https(request)))
    return answer


async def new_link(store: Store, now: float) -> str:
    """The path of a new one-time link."""
    secret = new_secret()
    row = {"id": digest(secret), "expires_at": now + LINK_S, "used_at": None}

    def write(connection: Connection) -> None:
        connection.execute(delete(tables.links).where(tables.links.c.expires_at < now))
        connection.execute(insert(tables.links).values(row))

    await store.write(write)
    return f"/sign-in/link/{secret}"


def start_path(request: Request) -> str:
    """What the button on the sign-in page leads to."""
    return f"/sign-in/start?{urlencode({'next': safe_path(request.query_params.get('next', '/'))})}"


@dataclass(frozen=True, slots=True)
class _Begun:
    provider: str
    verifier: str
    nonce: str
    next: str


async def _begun(access: Access, state: str, browser: str) -> _Begun | None:
    """The sign-in of that state, taken out: it is good once. None where it is another browser's or too old."""
    sign_ins = tables.sign_ins
    if not state or not browser:
        return None
    found = (sign_ins.c.state == digest(state)) & (sign_ins.c.browser == digest(browser))

    def take(connection: Connection) -> _Begun | None:
        row = connection.execute(select(sign_ins).where(found)).mappings().first()
        taken = connection.execute(delete(sign_ins).where(found)).rowcount == 1
        if row is None or not taken or row["expires_at"] < access.now():
            return None
        return _Begun(row["provider"], row["verifier"], row["nonce"], row["next"])

    return await access.store.write(take)


async def _use_link(access: Access, secret: str) -> bool:
    links = tables.links
    now = access.now()
    used = (
        update(links)
        .where(links.c.id == digest(secret), links.c.used_at.is_(None), links.c.expires_at > now)
        .values(used_at=now)
    )
    return await access.store.write(lambda connection: connection.execute(used).rowcount == 1)


def _callback(request: Request) -> str:
    headers = dict(request.scope["headers"])
    return f"{origin(request.scope, headers, access_of(request).project.serve.url)}/sign-in/callback"


def _is_https(request: Request) -> bool:
    return origin(
        request.scope, dict(request.scope["headers"]), access_of(request).project.serve.url
    ).startswith("https:")


def _browser_name(request: Request) -> str:
    return f"{cookie_name(request.scope, is_https=_is_https(request))}-sign-in"


def _browser_cookie(request: Request, value: str) -> str:
    secure = "; Secure" if _is_https(request) else ""
    age = int(BEGUN_S) if value else 0
    return f"{_browser_name(request)}={value}; Max-Age={age}; Path=/; HttpOnly; SameSite=Lax{secure}"
