"""Approvals: somebody's yes to one plan, given where it is shown."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from liftlock.commands.names import check_names
from liftlock.web.access import forms
from liftlock.web.access.access import access_of
from liftlock.web.access.approving import approve as give
from liftlock.web.access.audit import note
from liftlock.web.access.people import Right, require
from liftlock.web.access.sessions import Session
from liftlock.web.pages.forms import read_form, seen_at
from liftlock.web.pages.render import address
from liftlock.web.site import site_of


async def approve(request: Request) -> Response:
    """`POST /environments/{environment}/approve`: approve the plan whose digest the form holds."""
    site = site_of(request)
    environment = request.path_params["environment"]
    check_names(site.project, (environment,))
    person = require(request, Right.APPROVE, environment)
    form = await read_form(request)
    note(request, "approve", environment=environment, subject=form.one("digest")[:80])
    session = request.scope.get(forms.SESSION)
    await give(
        access_of(request),
        site.open,
        person,
        session if isinstance(session, Session) else None,
        environment,
        form.one("digest"),
    )
    site.reading.outdate()
    source = form.one("source")
    if source not in site.project.environments[environment].promotes_from:
        return seen_at(address("/environments", environment))
    return seen_at(address("/plan", source, environment, app=form.every("app"), approved=form.one("digest")))
