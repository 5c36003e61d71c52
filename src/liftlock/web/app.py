"""Puts the dashboard together: pages, live events and our own files, around one project."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from liftlock.errors import LiftlockError, UsageError
from liftlock.model import Project
from liftlock.web import api, health, pages
from liftlock.web.access import sign_in
from liftlock.web.access.access import Access
from liftlock.web.access.audit import forbidden
from liftlock.web.access.guard import Guard
from liftlock.web.access.people import Forbidden
from liftlock.web.api.problem import status_of
from liftlock.web.live import Changes, live, topic_of_run
from liftlock.web.pages.render import static, troubled
from liftlock.web.reading import Reading
from liftlock.web.site import Site
from liftlock.web.store import open_store
from liftlock.web.work.follow import Followers
from liftlock.web.work.inprocess import in_process
from liftlock.web.work.orders import OpenWork
from liftlock.web.work.perform import Open


def create_app(
    project: Project,
    open_: Open,
    *,
    database: str = "sqlite://",
    changes: Changes | None = None,
    open_work: OpenWork | None = None,
) -> Starlette:
    """The dashboard of `project` and its API, as an ASGI application.

    `open_` opens its adapters, for a person or for us. `database` is the server's own; without one it is
    kept in memory. `open_work` gives whoever does what is asked for; without it, that is done in this
    process and forgotten with it.
    """
    told = changes or Changes()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with (
            open_store(database) as store,
            open_("") as adapters,
            anyio.create_task_group() as tasks,
        ):
            app.state.access = Access(project, store)
            reading = Reading(project, adapters, tasks, told)
            here = partial(in_process, project, open_, reading.now, lambda id_: told.tell(topic_of_run(id_)))
            async with (open_work or here)() as work:
                followers = Followers(work, tasks, told, reading.outdate)
                app.state.site = Site(project, reading, told, work, followers, open_)
                tasks.start_soon(reading.watch)
                yield
                told.close()
            tasks.cancel_scope.cancel()

    app = Starlette(
        routes=[
            Route("/static/{digest}/{name}", static),
            Route("/live", live),
            *health.routes(),
            *sign_in.routes(),
            *api.routes(),
            *pages.routes(),
        ],
        middleware=[Middleware(Guard, project=project)],
        exception_handlers={LiftlockError: _trouble, HTTPException: _refused},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # an address is what it is: nothing that is asked for leads elsewhere
    return app


async def _trouble(request: Request, error: Exception) -> Response:
    if not isinstance(error, LiftlockError):
        raise error
    if isinstance(error, Forbidden):
        await forbidden(request, error)
    status = 404 if isinstance(error, UsageError) else status_of(error)
    return troubled(request, error, status)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    said = {404: f"There is no page {request.url.path}.", 405: "This page cannot be asked for in this way."}
    return troubled(request, LiftlockError(said.get(error.status_code, error.detail)), error.status_code)
