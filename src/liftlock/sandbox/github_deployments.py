"""GitHub's deployments and their statuses.

Source: GitHub REST documentation, "Deployments" and "Deployment statuses".
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, body_object, login_of
from liftlock.sandbox.clock import micros_iso, seconds_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.github_repository import Repository, find, invalid, refuse
from liftlock.sandbox.github_shapes import address, deployment, deployment_status, paged
from liftlock.sandbox.store import Document

STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
DESCRIPTION_LIMIT = 140
_TYPES: dict[str, type | tuple[type, ...]] = {
    "ref": str,
    "task": str,
    "auto_merge": bool,
    "required_contexts": list,
    "payload": (dict, str),
    "environment": str,
    "description": str,
    "transient_environment": bool,
    "production_environment": bool,
}


def routes(cloud: Cloud) -> list[BaseRoute]:
    """Deployments and statuses."""
    base = "/repos/{owner}/{repo}/deployments"

    def repository(request: Request) -> Repository:
        return find(cloud, request.path_params["owner"], request.path_params["repo"])

    async def list_deployments(request: Request) -> Response:
        here = repository(request)
        wanted = {k: v for k, v in request.query_params.items() if k in ("sha", "ref", "task", "environment")}
        now = micros_iso(cloud.clock.now())
        rows = [row for row in reversed(here.deployments.values()) if row["listed_at"] <= now]
        for key, value in wanted.items():
            rows = [row for row in rows if row[key] == value]
        origin = address(request)
        return paged(request, rows, lambda row: deployment(origin, here, row))

    async def create_deployment(request: Request) -> Response:
        here = repository(request)
        asked = _checked(await body_object(request))
        sha = here.resolve(asked["ref"])
        if sha is None:
            raise refuse(422, f"No ref found for: {asked['ref']}")
        merged = _auto_merge(here, asked, sha)
        if merged:
            return merged
        _require_contexts(here, asked, sha)
        row = _create(cloud, here, asked, sha, login_of(request))
        url = f"{address(request)}{request.url.path}/{row['id']}"
        return Json(deployment(address(request), here, row), 201, {"location": url})

    async def get_deployment(request: Request) -> Response:
        here = repository(request)
        return Json(deployment(address(request), here, _deployment(here, request)))

    async def delete_deployment(request: Request) -> Response:
        here = repository(request)
        row = _deployment(here, request)
        statuses = _statuses(here, row["id"])
        inactive = bool(statuses) and statuses[-1]["state"] == "inactive"
        if not inactive and len(here.deployments) > 1:
            message = "We cannot delete an active deployment unless it is the only deployment in a given repository."
            raise refuse(422, message)
        here.deployments.delete(str(row["id"]))
        here.statuses.delete(str(row["id"]))
        return Response(status_code=204)

    async def list_statuses(request: Request) -> Response:
        here = repository(request)
        number = _deployment(here, request)["id"]
        origin = address(request)
        rows = list(reversed(_statuses(here, number)))
        return paged(request, rows, lambda row: deployment_status(origin, here, number, row))

    async def get_status(request: Request) -> Response:
        here = repository(request)
        number = _deployment(here, request)["id"]
        for row in _statuses(here, number):
            if row["id"] == request.path_params["status"]:
                return Json(deployment_status(address(request), here, number, row))
        raise refuse(404, "Not Found")

    async def create_status(request: Request) -> Response:
        here = repository(request)
        row = _deployment(here, request)
        asked = await body_object(request)
        status = _add_status(cloud, here, row, _checked_status(asked), login_of(request))
        if status["state"] == "success" and asked.get("auto_inactive", True):
            _retire_predecessors(cloud, here, row, status, login_of(request))
        shape = deployment_status(address(request), here, row["id"], status)
        return Json(shape, 201, {"location": shape["url"]})

    one = base + "/{number:int}"
    return [
        Route(base, list_deployments, methods=["GET"]),
        Route(base, create_deployment, methods=["POST"]),
        Route(one + "/statuses", list_statuses, methods=["GET"]),
        Route(one + "/statuses", create_status, methods=["POST"]),
        Route(one + "/statuses/{status:int}", get_status, methods=["GET"]),
        Route(one, get_deployment, methods=["GET"]),
        Route(one, delete_deployment, methods=["DELETE"]),
    ]


def _checked(asked: Document) -> Document:
    for key, kind in _TYPES.items():
        value = asked.get(key)
        if value is not None and not isinstance(value, kind):
            raise invalid("Deployment", key, "invalid")
    if not asked.get("ref"):
        raise invalid("Deployment", "ref", "missing_field")
    if len(asked.get("description") or "") > DESCRIPTION_LIMIT:
        raise invalid("Deployment", "description", "invalid")
    return asked


def _auto_merge(here: Repository, asked: Document, sha: str) -> Response | None:
    """What `auto_merge`, on unless it is false, does to a ref that lacks the default branch's commits."""
    head = here.resolve(here.default_branch)
    if asked.get("auto_merge") is False or head is None or here.contains(sha, head):
        return None
    name = asked["ref"]
    if f"refs/heads/{name}" not in here.refs:
        raise refuse(409, f"Conflict merging {here.default_branch} into {name}.")
    now = seconds_iso(here.cloud.clock.now())
    person = {"name": "GitHub", "email": "noreply@github.invalid", "date": now}
    message = f"Merge {here.default_branch} into {name}"
    tree = here.object(sha, "commit")["tree"]
    merge = here.add_commit(message, tree, [sha, head], person, person)
    here.refs.put(f"refs/heads/{name}", {"sha": merge})
    return Json({"message": f"Auto-merged {here.default_branch} into {name} on deployment."}, 202)


def _require_contexts(here: Repository, asked: Document, sha: str) -> None:
    """All of the commit's contexts must be green, or those that the request names."""
    contexts = {row["context"]: row["state"] for row in (here.contexts.get(sha) or {"rows": []})["rows"]}
    wanted = asked.get("required_contexts")
    states = contexts if wanted is None else {name: contexts.get(name, "pending") for name in wanted}
    bad = [{"context": name, "state": state} for name, state in states.items() if state != "success"]
    if bad:
        error = {"resource": "Deployment", "field": "required_contexts", "code": "invalid", "contexts": bad}
        raise refuse(409, f"Conflict: Commit status checks failed for {asked['ref']}.", errors=[error])


def _create(cloud: Cloud, here: Repository, asked: Document, sha: str, login: str) -> Document:
    now = cloud.clock.now()
    number = cloud.store.next("github.deployment")
    environment = asked.get("environment") or "production"
    production = asked.get("production_environment")
    _know_environment(cloud, here, environment)
    return here.deployments.put(
        str(number),
        {
            "id": number,
            "sha": sha,
            "ref": asked["ref"],
            "task": asked.get("task") or "deploy",
            "environment": environment,
            "payload": "" if asked.get("payload") is None else asked["payload"],
            "description": asked.get("description"),
            "transient_environment": asked.get("transient_environment") or False,
            "production_environment": environment == "production" if production is None else production,
            "creator": login,
            "created_at": seconds_iso(now),
            "updated_at": seconds_iso(now),
            "listed_at": micros_iso(now + timedelta(seconds=cloud.settings.github_listing_delay_s)),
        },
    )


def _know_environment(cloud: Cloud, here: Repository, name: str) -> None:
    """The first deployment that names an environment makes it."""
    if name not in here.environments:
        now = seconds_iso(cloud.clock.now())
        number = cloud.store.next("github.environment")
        here.environments.put(name, {"id": number, "name": name, "created_at": now, "rules": []})


def _deployment(here: Repository, request: Request) -> Document:
    row = here.deployments.get(str(request.path_params["number"]))
    if row is None:
        raise refuse(404, "Not Found")
    return row


def _statuses(here: Repository, number: int) -> list[Document]:
    """A deployment's statuses, oldest first."""
    rows: list[Document] = (here.statuses.get(str(number)) or {"rows": []})["rows"]
    return rows


def _checked_status(asked: Document) -> Document:
    if asked.get("state") not in STATES:
        raise invalid("DeploymentStatus", "state", "missing_field" if "state" not in asked else "invalid")
    for key in ("description", "log_url", "target_url", "environment", "environment_url"):
        if not isinstance(asked.get(key, ""), str):
            raise invalid("DeploymentStatus", key, "invalid")
    if len(asked.get("description", "")) > DESCRIPTION_LIMIT:
        message = f"Validation Failed: description is too long (maximum is {DESCRIPTION_LIMIT} characters)"
        raise invalid("DeploymentStatus", "description", "custom", message)
    return asked


def _add_status(cloud: Cloud, here: Repository, row: Document, asked: Document, login: str) -> Document:
    now = seconds_iso(cloud.clock.now())
    status: dict[str, Any] = {
        "id": cloud.store.next("github.deployment_status"),
        "state": asked["state"],
        "description": asked.get("description", ""),
        "environment": asked.get("environment") or row["environment"],
        "environment_url": asked.get("environment_url", ""),
        "log_url": asked.get("log_url") or asked.get("target_url", ""),
        "creator": login,
        "created_at": now,
    }
    key = str(row["id"])
    here.statuses.put(key, {"rows": [*_statuses(here, row["id"]), status]})
    here.deployments.put(key, {**row, "updated_at": now})
    return status


def _retire_predecessors(cloud: Cloud, here: Repository, row: Document, status: Document, login: str) -> None:
    """`auto_inactive`: earlier successes in the environment, neither transient nor production, end."""
    for other in here.deployments.values():
        if other["id"] >= row["id"] or other["environment"] != status["environment"]:
            continue
        if other["transient_environment"] or other["production_environment"]:
            continue
        statuses = _statuses(here, other["id"])
        if statuses and statuses[-1]["state"] == "success":
            _add_status(cloud, here, other, {"state": "inactive"}, login)
