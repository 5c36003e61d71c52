"""The API: JSON under `/api/v1`, described by the OpenAPI document that is made from this code."""

from __future__ import annotations

from starlette.routing import BaseRoute

from liftlock.web.api.operations import OPERATIONS, route


def routes() -> list[BaseRoute]:
    """Every operation of the API."""
    # Importing them registers their operations.
    from liftlock.web.api import changing, keeping, looking, webhooks  # noqa: F401

    return [route(operation) for operation in OPERATIONS]
