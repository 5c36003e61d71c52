"""GitHub's other host, which serves tarballs to whoever was sent there."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.app import plain_refusal
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.github_repository import find

NAME = "github-codeload"
PATHS = ("/_codeload/",)
OPEN = True
refusal = plain_refusal


def routes(cloud: Cloud) -> list[BaseRoute]:
    """The one route that there is."""

    async def tarball(request: Request) -> Response:
        parameters = request.path_params
        row = find(cloud, parameters["owner"], parameters["repo"]).tarballs.get(parameters["sha"])
        content = cloud.store.blobs.get(row["blob"]) if row else None
        if content is None:
            return plain_refusal(404, "Not Found")
        name = f"{parameters['owner']}-{parameters['repo']}-{parameters['sha'][:7]}.tar.gz"
        headers = {"content-disposition": f"attachment; filename={name}"}
        return Response(content, headers=headers, media_type="application/x-gzip")

    return [Route("/_codeload/{owner}/{repo}/legacy.tar.gz/{sha}", tarball, methods=["GET"])]
