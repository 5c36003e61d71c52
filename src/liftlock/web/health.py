"""Whether the server lives, and whether it can be used: for orchestrators and load balancers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route


def routes() -> list[BaseRoute]:
    """The two probes."""
    return [Route("/healthz", healthz), Route("/readyz", readyz)]


async def healthz(request: Request) -> Response:
    """`GET /healthz`: this process answers. Nothing else is asked: a database that is down is no reason to restart."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """`GET /readyz`: people can be served. 503 while the server's database does not answer, or it stops."""
    is_stopping = request.app.state.site.changes.is_closed
    is_ready = not is_stopping and await request.app.state.access.store.answers()
    status = "ok" if is_ready else "stopping" if is_stopping else "the database does not answer"
    return JSONResponse({"status": status}, 200 if is_ready else 503)
