"""What firebase-tools asks of Google beside Hosting before it does anything: may I, and is the API switched on.

Every project may everything, and every API is enabled. Source: firebase-tools 15.34, `src/ensureApiEnabled.ts`
(Service Usage v1), `src/gcp/iam.ts` (Cloud Resource Manager v1).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, body_object
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.firebase import refusal

NAME = "google"
PATHS = ("/v1/projects/",)
OPEN = False

__all__ = ["NAME", "OPEN", "PATHS", "refusal", "routes"]


def routes(cloud: Cloud) -> list[BaseRoute]:
    """The two methods."""

    async def service(request: Request) -> Response:
        name = "projects/{project}/services/{service}".format(**request.path_params)
        return Json({"name": name, "state": "ENABLED"})

    async def permissions(request: Request) -> Response:
        asked = (await body_object(request)).get("permissions", [])
        return Json({"permissions": asked} if asked else {})

    return [
        Route("/v1/projects/{project}/services/{service}", service, methods=["GET"]),
        Route("/v1/projects/{project}:testIamPermissions", permissions, methods=["POST"]),
    ]
