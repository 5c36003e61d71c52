"""What every request can reach: the project as it is read, what changes, and the work that is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from liftlock.model import Project
from liftlock.web.live import Changes
from liftlock.web.reading import Reading


@dataclass(frozen=True, slots=True)
class Site:
    """One project, served."""

    project: Project
    reading: Reading
    changes: Changes


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state.site
    return site
