"""The pages: each a handler that reads through `Reading`, and a template that shows it."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from liftlock.web.pages.board import board
from liftlock.web.pages.history import history


def routes() -> list[BaseRoute]:
    """Every page of the dashboard."""
    return [Route("/", board), Route("/history", history)]
