"""What every request passes: its host, its size, who it is from, and whether their page sent it.

Nothing behind it needs to think of these: `person_of` and `require` tell who asks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from liftlock.model import Project
from liftlock.web.access import forms
from liftlock.web.access.access import Access
from liftlock.web.access.addresses import client_address, host_of, known_hosts, origin, safe_path
from liftlock.web.access.audit import NOTE, Outcome
from liftlock.web.access.headers import with_headers
from liftlock.web.access.limits import TooMany
from liftlock.web.access.people import PERSON, Person, SignInNeeded
from liftlock.web.access.sessions import LONGEST_S, Session

MOST_BYTES = 1 << 20
"""How large a request's body may be: nothing that we take comes near."""
MOST_WEBHOOK_BYTES = 25 << 20
"""What GitHub sends at most. Source: GitHub Docs, "Webhook events and payloads"."""
WEBHOOK = "/api/v1/webhooks/github"
PROBES = frozenset({"/healthz", "/readyz"})
"""Asked by machines that know the server by its number, and told nothing."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ADDRESS = "liftlock.address"
"""The key of the request's scope that says where it came from."""
API = "/api/"
STATIC = "/static/"
OPEN = ("/sign-in", "/api/v1/openapi.json", WEBHOOK)
"""What is for everybody, with all that is below it. Whatever else there is, nobody sees who is not signed in:
no handler can forget it."""


class Guard:
    """ASGI middleware. The server's `Access` is at `app.state.access` while it runs."""

    def __init__(self, app: ASGIApp, project: Project) -> None:
        self.app = app
        self._url = project.serve.url
        self._hosts = known_hosts(self._url)
        self._is_https = self._url.startswith("https:")
        self._proxies = project.serve.proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if (
            scope["type"] != "http"
        ):  # we have no WebSockets: whatever guards requests guards those by refusing
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        is_https = self._is_https and host_of(headers) == urlsplit(self._url).hostname

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = with_headers(message["headers"], is_https=is_https)
            await send(message)

        try:
            await self._guarded(_Request(self, scope, headers, receive, answer, is_https))
        except HTTPException as error:
            await _refuse(scope, answer, _Refusal(error.status_code, error.detail, "Send less."))
        except _Refusal as refusal:
            await _refuse(scope, answer, refusal)

    async def _guarded(self, request: _Request) -> None:
        scope, headers = request.scope, request.headers
        path: str = scope["path"]
        if path in PROBES:
            await self.app(scope, request.receive, request.send)
            return
        if host_of(headers) not in self._hosts:
            raise _Refusal(
                421,
                "This server is not known by that name.",
                "Use its address as [serve] url says it, or say it there.",
            )
        address = client_address(scope, headers, self._proxies)
        scope[ADDRESS] = address
        scope[PERSON] = scope[forms.SESSION] = None
        receive = request.limited(MOST_WEBHOOK_BYTES if path == WEBHOOK else MOST_BYTES)
        if path.startswith(STATIC):
            await self.app(scope, receive, request.send)
            return
        access: Access = scope["app"].state.access
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        if authorization:
            scope[PERSON] = await self._by_token(access, authorization, address)
            await self._audited(scope, receive, request.send)
            return
        session = await access.sessions.find(request.cookie(cookie_name(scope, is_https=request.is_https)))
        if session is not None:
            scope[forms.SESSION] = session
            scope[PERSON] = access.person(session, address)
        elif not _is_open(path):
            await _lead_to_sign_in(scope, request.send)
            return
        if scope["method"] not in SAFE:
            self._check_origin(scope, headers)
            if session is not None:
                receive = await self._check_form(scope, headers, session, receive)
        fresh = await access.sessions.rotated(session) if session and scope["method"] in SAFE else None
        send = request.setting(fresh) if fresh else request.send
        if fresh is not None:
            scope[forms.SESSION] = fresh
        await self._audited(scope, receive, send)

    async def _audited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every change that somebody asks for is a line of the audit log: no handler can forget it."""
        person = scope[PERSON]
        if scope["method"] in SAFE or person is None:
            await self.app(scope, receive, send)
            return
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, answer)
        finally:
            told = {"action": scope["method"].lower(), "subject": scope["path"], **scope.get(NOTE, {})}
            outcome: Outcome = "done" if status < 400 else "refused" if status in {401, 403} else "failed"
            access: Access = scope["app"].state.access
            with anyio.CancelScope(shield=True):
                await access.audit.write(person, **told, outcome=outcome, status=status)

    async def _by_token(self, access: Access, authorization: str, address: str) -> Person:
        scheme, _, text = authorization.partition(" ")
        try:
            await access.limits.check("token", address)
            token = await access.tokens.find(text.strip()) if scheme.lower() == "bearer" else None
            if token is None:
                await access.limits.count("token", address)
        except TooMany as many:
            raise _Refusal(429, many.message, many.hint, retry_after_s=many.wait_s) from None
        if token is None:
            raise _Refusal(
                401,
                "The token is unknown, expired or revoked.",
                "Make a new one on the server's page, or with: liftlock serve token create",
            )
        return token.person(access.project, address)

    def _check_origin(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Browsers say which site sends a form; one that is not ours is refused."""
        said = headers.get(b"origin", b"").decode("latin-1").lower()
        site = headers.get(b"sec-fetch-site", b"same-origin").decode("latin-1")
        if site not in {"same-origin", "none"} or (said and said != origin(scope, headers, self._url)):
            raise _Refusal(
                403, "The form was sent from another site.", "Open the page here, and send it from there."
            )

    async def _check_form(
        self, scope: Scope, headers: Mapping[bytes, bytes], session: Session, receive: Receive
    ) -> Receive:
        given = headers.get(forms.HEADER, b"").decode("latin-1")
        body = b""
        if not given and headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded"):
            body, receive = await _whole(receive)
            given = forms.field(body, forms.FIELD)
        if not forms.is_ours(session, given):
            raise _Refusal(
                403,
                "The form is not one of this session's: it is old, or another site made it.",
                "Load the page again, and send it once more.",
            )
        return receive


class _Request:
    """One request on its way through the guard."""

    def __init__(
        self,
        guard: Guard,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
        is_https: bool,
    ) -> None:
        self.scope = scope
        self.headers = headers
        self.receive = receive
        self.send = send
        self.is_https = is_https

    def cookie(self, name: str) -> str:
        """The value of a cookie; "" without it, or with several of that name: one of them was planted."""
        pairs = [
            pair.strip().partition("=")
            for said, line in self.scope["headers"]
            if said == b"cookie"
            for pair in line.decode("latin-1").split(";")
        ]
        found = {value for key, _, value in pairs if key == name}
        return found.pop() if len(found) == 1 else ""

    def limited(self, most: int) -> Receive:
        """`receive`, until the body has grown too large."""
        length = self.headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most:
            raise _Refusal(413, f"The request is larger than {most >> 20} MiB.", "Send less.")
        seen = 0

        async def receive() -> Message:
            nonlocal seen
            message = await self.receive()
            seen += len(message.get("body", b""))
            if seen > most:  # raised in whoever reads the body, and answered there
                raise HTTPException(413, f"The request is larger than {most >> 20} MiB.")
            return message

        return receive

    def setting(self, session: Session) -> Send:
        """`send`, with the session's new cookie."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = session_cookie(self.scope, session, is_https=self.is_https)
                message["headers"] = [*message["headers"], (b"set-cookie", cookie.encode())]
            await self.send(message)

        return send


class _Refusal(Exception):
    def __init__(self, status: int, message: str, hint: str, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint
        self.retry_after_s = retry_after_s


async def _whole(receive: Receive) -> tuple[bytes, Receive]:
    """The whole body, and a `receive` that gives it once more."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    is_given = False

    async def again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, again


async def _refuse(scope: Scope, send: Send, refusal: _Refusal) -> None:
    """Answer without the application: a problem document to programs, plain text to people."""
    headers = [(b"cache-control", b"no-store")]
    if refusal.retry_after_s:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="liftlock"'))
    if scope["path"].startswith(API):
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": refusal.message,
            "status": refusal.status,
            "detail": refusal.message,
            "hint": refusal.hint,
            "exit_code": 1,
        }
        body = json.dumps(document).encode()
        headers.append((b"content-type", b"application/problem+json"))
    else:
        body = f"{refusal.message}\n{refusal.hint}\n".encode()
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _is_open(path: str) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in OPEN)


async def _lead_to_sign_in(scope: Scope, send: Send) -> None:
    """Programs are told that they need a token; people are sent to sign in, and come back."""
    if scope["path"].startswith(API):
        needed = SignInNeeded()
        await _refuse(scope, send, _Refusal(401, needed.message, needed.hint))
        return
    asked: str = scope["path"]
    if scope["query_string"]:
        asked += "?" + scope["query_string"].decode("latin-1")
    is_page = scope["method"] in SAFE
    where = f"/sign-in?next={quote(safe_path(asked), safe='')}" if is_page else "/sign-in"
    headers = [(b"location", where.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def cookie_name(scope: Scope, *, is_https: bool) -> str:
    """The session's cookie. On plain http, with the port: cookies of one host are shared by all its ports."""
    if is_https:
        return "__Host-liftlock"
    server = scope.get("server")
    return f"liftlock-{server[1] if server and server[1] else 0}"


def session_cookie(scope: Scope, session: Session | None, *, is_https: bool) -> str:
    """The header that sets the session's cookie, or, with None, that takes it away."""
    value, age = (session.secret, int(LONGEST_S)) if session else ("", 0)
    secure = "; Secure" if is_https else ""
    name = cookie_name(scope, is_https=is_https)
    # Lax: a link from a chat must find its reader signed in. What changes something is never a GET.
    return f"{name}={value}; Max-Age={age}; Path=/; HttpOnly; SameSite=Lax{secure}"
