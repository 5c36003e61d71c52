"""Workflow runs of the sandbox's GitHub, and their reviews: put by the administration in place of any runner."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, Refusal
from liftlock.sandbox.clock import seconds_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.github_repository import Repository, find, refuse
from liftlock.sandbox.github_shapes import address, node_id, number_of, repository, user
from liftlock.sandbox.store import Document

STATES = ("approved", "rejected", "pending")
_NOT_MINIMAL = ("clone_url", "git_url", "ssh_url", "svn_url", "mirror_url")
_RUN = "/actions/runs/{number:int}"


def routes(cloud: Cloud) -> list[BaseRoute]:
    """A run, and its review history."""

    def found(request: Request) -> tuple[Repository, Document]:
        here = find(cloud, request.path_params["owner"], request.path_params["repo"])
        row = here.runs.get(str(request.path_params["number"]))
        if row is None:
            raise refuse(404, "Not Found")
        return here, row

    async def get_run(request: Request) -> Response:
        return Json(workflow_run(address(request), *found(request)))

    async def get_reviews(request: Request) -> Response:
        here, row = found(request)
        return Json([_review(address(request), here, one) for one in row["reviews"]])

    base = "/repos/{owner}/{repo}" + _RUN
    return [
        Route(base, get_run, methods=["GET"]),
        Route(base + "/approvals", get_reviews, methods=["GET"]),
    ]


def administration(cloud: Cloud) -> list[BaseRoute]:
    """`PUT …/runs/{number}` `{"actor", "triggering_actor", "attempt", "status", "reviews": [{"user", "state", "environments"}]}`."""

    async def put_run(request: Request) -> Response:
        here = find(cloud, request.path_params["owner"], request.path_params["repo"])
        asked = await request.json()
        if not isinstance(asked, dict) or not isinstance(asked.get("reviews", []), list):
            raise Refusal(400, {"error": "a workflow run is wanted, as an object"})
        number = request.path_params["number"]
        actor = str(asked.get("actor", "owner"))
        row = {
            "id": number,
            "head": here.resolve(here.default_branch),
            "actor": actor,
            "triggering_actor": str(asked.get("triggering_actor", actor)),
            "attempt": int(asked.get("attempt", 1)),
            "status": str(asked.get("status", "in_progress")),
            "reviews": [_asked_review(one) for one in asked.get("reviews", [])],
            "at": seconds_iso(cloud.clock.now()),
        }
        here.runs.put(str(number), row)
        return Json({"run": number, "reviews": len(row["reviews"])})

    return [Route("/_sandbox/github/{owner}/{repo}/runs/{number:int}", put_run, methods=["PUT"])]


def _asked_review(asked: object) -> Document:
    if not isinstance(asked, dict) or not isinstance(asked.get("user"), str):
        raise Refusal(400, {"error": "a review needs its user"})
    state = asked.get("state", "approved")
    if state not in STATES:
        raise Refusal(400, {"error": f"the state of a review is one of {', '.join(STATES)}"})
    return {
        "user": asked["user"],
        "state": state,
        "environments": [str(e) for e in asked.get("environments", [])],
    }


def _review(origin: str, here: Repository, row: Document) -> Document:
    """One of the "environment approvals"."""
    return {
        "state": row["state"],
        "comment": "",
        "environments": [
            {
                "id": number_of(name),
                "node_id": node_id("Environment", number_of(name)),
                "name": name,
                "url": f"{origin}/repos/{here.full_name}/environments/{name}",
                "html_url": f"{origin}/{here.full_name}/deployments/activity_log?environments_filter={name}",
                "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-01T00:00:00Z",
            }
            for name in row["environments"]
        ],
        "user": user(origin, row["user"]),
    }


def workflow_run(origin: str, here: Repository, row: Document) -> Document:
    """A "workflow run"."""
    api = f"{origin}/repos/{here.full_name}"
    url, page = f"{api}/actions/runs/{row['id']}", f"{origin}/{here.full_name}/actions/runs/{row['id']}"
    workflow = number_of(f"{here.full_name} workflow")
    owner = here.full_name.partition("/")[0]
    whole = repository(origin, here.document, owner)
    minimal = {
        name: value
        for name, value in whole.items()
        if name not in _NOT_MINIMAL and (name.endswith("_url") or name in _MINIMAL)
    }
    head = here.object(row["head"], "commit")
    return {
        "id": row["id"],
        "name": "Promote",
        "node_id": node_id("WorkflowRun", row["id"]),
        "head_branch": here.default_branch,
        "head_sha": row["head"],
        "path": ".github/workflows/liftlock-promote.yml",
        "run_number": row["id"],
        "run_attempt": row["attempt"],
        "event": "workflow_dispatch",
        "display_title": "Promote",
        "status": row["status"],
        "conclusion": "success" if row["status"] == "completed" else None,
        "workflow_id": workflow,
        "url": url,
        "html_url": page,
        "pull_requests": [],
        "created_at": row["at"],
        "updated_at": row["at"],
        "run_started_at": row["at"],
        "actor": user(origin, row["actor"]),
        "triggering_actor": user(origin, row["triggering_actor"]),
        "jobs_url": f"{url}/jobs",
        "logs_url": f"{url}/logs",
        "check_suite_url": f"{api}/check-suites/{number_of(row['head'])}",
        "artifacts_url": f"{url}/artifacts",
        "cancel_url": f"{url}/cancel",
        "rerun_url": f"{url}/rerun",
        "workflow_url": f"{api}/actions/workflows/{workflow}",
        "head_commit": {
            "id": row["head"],
            "tree_id": head["tree"],
            "message": head["message"],
            "timestamp": head["committer"]["date"],
            "author": {name: head["author"][name] for name in ("name", "email")},
            "committer": {name: head["committer"][name] for name in ("name", "email")},
        },
        "repository": minimal,
        "head_repository": minimal,
    }


_MINIMAL = ("id", "node_id", "name", "full_name", "owner", "private", "description", "fork", "url")
