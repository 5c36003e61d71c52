"""Puts the dashboard together: pages, live events and our own files, around one project."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from liftlock.errors import Busy, LiftlockError, NotFound, UsageError
from liftlock.model import Project
from liftlock.sqlite_file import user_name
from liftlock.web import pages
from liftlock.web.access.people import PERSON, Person, everything
from liftlock.web.live import Changes, live, topic_of_run
from liftlock.web.pages.render import static, troubled
from liftlock.web.reading import Reading
from liftlock.web.site import Site
from liftlock.web.work.follow import Followers
from liftlock.web.work.inprocess import in_process
from liftlock.web.work.orders import OpenWork
from liftlock.web.work.perform import Open

LOOPBACK = ["127.0.0.1", "localhost", "[::1]", "::1"]
HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
}


def create_app(
    project: Project, open_: Open, *, changes: Changes | None = None, open_work: OpenWork | None = None
) -> Starlette:
    """The dashboard of `project`, as an ASGI application. `open_` opens its adapters, for a person or for us.

    `open_work` gives whoever does what is asked for; without it, that is done in this process and forgotten with it.
    """
    told = changes or Changes()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_("") as adapters, anyio.create_task_group() as tasks:
            reading = Reading(project, adapters, tasks, told)
            here = partial(in_process, project, open_, reading.now, lambda id_: told.tell(topic_of_run(id_)))
            async with (open_work or here)() as work:
                followers = Followers(work, tasks, told, reading.outdate)
                app.state.site = Site(project, reading, told, work, followers, open_)
                tasks.start_soon(reading.watch)
                yield
                told.close()
            tasks.cancel_scope.cancel()

    return Starlette(
        routes=[
            Route("/static/{digest}/{name}", static),
            Route("/live", live),
            *pages.routes(),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK),
            Middleware(WithHeaders),
            Middleware(AtThisMachine, project=project),
        ],
        exception_handlers={LiftlockError: _trouble, HTTPException: _refused},
        lifespan=lifespan,
    )


class WithHeaders:
    """Every answer says what its page may do."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS.items()]
            await send(message)

        await self.app(scope, receive, sent)


class AtThisMachine:
    """Whoever can reach loopback sits at the machine that has the credentials; other pages cannot send forms."""

    def __init__(self, app: ASGIApp, project: Project) -> None:
        self.app = app
        account = user_name()
        self._person = Person(account, account, "link", everything(project))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[PERSON] = self._person
            headers = Headers(scope=scope)
            own = headers.get("origin") == f"http://{headers.get('host')}"
            if scope["method"] not in {"GET", "HEAD"} and not own:
                refusal = PlainTextResponse("This form was sent from another page.\n", 403)
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def _trouble(request: Request, error: Exception) -> Response:
    if not isinstance(error, LiftlockError):
        raise error
    status = 404 if isinstance(error, NotFound | UsageError) else 409 if isinstance(error, Busy) else 502
    return troubled(request, error, status)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    said = {404: f"There is no page {request.url.path}.", 405: "This page cannot be asked for in this way."}
    return troubled(request, LiftlockError(said.get(error.status_code, error.detail)), error.status_code)
