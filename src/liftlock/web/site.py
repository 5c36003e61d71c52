"""What every request can reach: the project as it is read, what changes, and the work that is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from liftlock.model import Project
from liftlock.web.live import Changes
from liftlock.web.reading import Reading
from liftlock.web.work.follow import Followers
from liftlock.web.work.orders import Work
from liftlock.web.work.perform import Open


@dataclass(frozen=True, slots=True)
class Site:
    """One project, served."""

    project: Project
    reading: Reading
    changes: Changes
    work: Work
    followers: Followers
    open: Open
    """Opens the project's adapters for a person's account."""


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state.site
    return site
