"""One app, one environment, and an environment's backups."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from liftlock.commands.lease import break_lease
from liftlock.commands.names import check_names
from liftlock.errors import LiftlockError
from liftlock.web.access.audit import note
from liftlock.web.access.people import Right, person_of, require
from liftlock.web.live import PROJECT
from liftlock.web.pages.board import square
from liftlock.web.pages.forms import check_typed, read_form, seen_at
from liftlock.web.pages.history import line
from liftlock.web.pages.render import address, page
from liftlock.web.reading import Asked
from liftlock.web.site import site_of

FEW = 12


async def app(request: Request) -> Response:
    """`GET /apps/{app}`: where it runs, what it is made of, and what happened to it."""
    site = site_of(request)
    name = request.path_params["app"]
    check_names(site.project, (), (name,))
    version = site.changes.version((PROJECT,))
    board = await site.reading.board()
    seen = [e for e in site.project.environments if _may_see(request, e)]
    history = await site.reading.history(Asked(app=name, limit=FEW))
    entries = [e for e in history.value.entries if e.environment in seen] if history.value else []
    squares = [square(site.project, board.value, name, e) for e in seen] if board.value else []
    return page(
        request,
        "app.html",
        version=version,
        reload_s=2 if board.is_first_look or history.is_first_look else 0,
        app=site.project.apps[name],
        board=board,
        squares=squares,
        history=history,
        lines_=[line(entry) for entry in entries],
    )


async def environment(request: Request) -> Response:
    """`GET /environments/{environment}`: who holds it, what runs, what can be done, what happened."""
    return await _environment(request)


async def _environment(request: Request, wrong: LiftlockError | None = None) -> Response:
    site = site_of(request)
    name = request.path_params["environment"]
    check_names(site.project, (name,))
    person = require(request, Right.SEE, name)
    version = site.changes.version((PROJECT,))
    board = await site.reading.board()
    history = await site.reading.history(Asked(environment=name, limit=FEW))
    lease = await site.reading.lease(name)
    squares = [square(site.project, board.value, a, name) for a in site.project.apps] if board.value else []
    items = await site.work.items(name, limit=20)
    return page(
        request,
        "environment.html",
        status=422 if wrong else 200,
        version=version,
        reload_s=2 if board.is_first_look or history.is_first_look else 0,
        environment=site.project.environments[name],
        board=board,
        squares=squares,
        open_intents=board.value.open_intents.get(name, ()) if board.value else (),
        history=history,
        lines_=[line(entry) for entry in history.value.entries] if history.value else [],
        lease=lease,
        holding=lease.value[0] if lease.value else None,
        items=[item for item in items if not item.state.is_over],
        person={right.value: person.may(right, name) for right in Right},
        wrong=wrong,
        waits={
            source: sum(one.cell.behind == source for one in squares)
            for source in site.project.environments[name].promotes_from
        },
    )


async def backups(request: Request) -> Response:
    """`GET /environments/{environment}/backups`: its databases' backups, newest first."""
    site = site_of(request)
    name = request.path_params["environment"]
    check_names(site.project, (name,))
    require(request, Right.SEE, name)
    version = site.changes.version((PROJECT,))
    view = await site.reading.backups(name)
    return page(
        request,
        "backups.html",
        version=version,
        reload_s=2 if view.is_first_look else 0,
        environment=name,
        view=view,
    )


async def break_the_lease(request: Request) -> Response:
    """`POST /environments/{environment}/lease`: take it from a holder that is gone, saying why."""
    site = site_of(request)
    name = request.path_params["environment"]
    check_names(site.project, (name,))
    person = require(request, Right.ADMINISTER, name)
    form = await read_form(request)
    note(request, "lease-break", environment=name, reason=form.one("reason")[:500])
    try:
        check_typed(site.project, name, form)
        async with site.open(person.account) as adapters:
            await break_lease(site.project, adapters, name, form.one("reason"))
    except LiftlockError as error:
        return await _environment(request, error)
    site.reading.outdate()
    return seen_at(address("/environments", name))


def _may_see(request: Request, name: str) -> bool:
    return person_of(request).may(Right.SEE, name)
