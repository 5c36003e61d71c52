"""Approvals: somebody's yes to one plan, given where it is shown."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from liftlock.commands.approve import approve_plan
from liftlock.commands.names import check_names
from liftlock.web.access.people import Right, require
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
    async with site.open(person.account) as adapters:
        await approve_plan(site.project, adapters, form.one("digest"), environment)
    site.reading.outdate()
    source = form.one("source")
    if source not in site.project.environments[environment].promotes_from:
        return seen_at(address("/environments", environment))
    return seen_at(address("/plan", source, environment, app=form.every("app")))
