"""What every request can reach: the project as it is read, what changes, and the work that is asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup
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
    fragments: OrderedDict[Hashable, tuple[int, tuple[object, ...], Markup]] = field(
        default_factory=OrderedDict
    )
    """Parts of pages that are drawn; see `pages.render.fragment`."""
    boards: dict[tuple[str, ...], tuple[object, Any]] = field(default_factory=dict)
    """By the environments that somebody sees: what was seen, and the board that was made of it."""


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state.site
    return site
