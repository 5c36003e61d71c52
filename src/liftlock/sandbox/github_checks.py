"""Check runs of the sandbox's GitHub: pipelines' jobs, put by the administration in place of any pipeline."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, Refusal
from liftlock.sandbox.clock import seconds_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.github_repository import Repository, find
from liftlock.sandbox.github_shapes import node_id, number_of, user
from liftlock.sandbox.store import Document

STATUSES = ("queued", "in_progress", "completed")
CONCLUSIONS = (
    "success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required", "stale",
)  # fmt: skip
_APP = "github-actions"


def administration(cloud: Cloud) -> list[BaseRoute]:
    """`PUT …/checks/{ref}` `[{"name", "conclusion"}, …]`: the newest word of every check run there."""

    async def put_checks(request: Request) -> Response:
        here = find(cloud, request.path_params["owner"], request.path_params["repo"])
        sha = here.commit(request.path_params["ref"])
        asked = await request.json()
        if not isinstance(asked, list):
            raise Refusal(400, {"error": "a list of check runs is wanted"})
        rows = [_row(cloud, one) for one in asked]
        here.check_runs.put(sha, {"rows": rows})
        return Json({"sha": sha, "check_runs": len(rows)})

    return [
        Route("/_sandbox/github/{owner}/{repo}/checks/{ref:path}", put_checks, methods=["PUT"]),
    ]


def _row(cloud: Cloud, asked: object) -> Document:
    if not isinstance(asked, dict) or not isinstance(asked.get("name"), str):
        raise Refusal(400, {"error": "a check run needs its name"})
    conclusion = asked.get("conclusion")
    status = asked.get("status", "completed" if conclusion else "in_progress")
    if status not in STATUSES or conclusion not in (None, *CONCLUSIONS):
        raise Refusal(
            400, {"error": f"{asked['name']}: status is one of {STATUSES}, conclusion of {CONCLUSIONS}"}
        )
    if (status == "completed") != (conclusion is not None):
        raise Refusal(400, {"error": f"{asked['name']}: a conclusion goes with the status completed"})
    now = seconds_iso(cloud.clock.now())
    return {
        "id": cloud.store.next("github.check_run"),
        "name": asked["name"],
        "status": status,
        "conclusion": conclusion,
        "started_at": now,
        "completed_at": now if conclusion else None,
    }


def check_run(origin: str, here: Repository, sha: str, row: Document) -> Document:
    """A "check run"."""
    url = f"{origin}/repos/{here.full_name}/check-runs/{row['id']}"
    page = f"{origin}/{here.full_name}/actions/runs/{row['id']}"
    return {
        "id": row["id"],
        "head_sha": sha,
        "node_id": node_id("CheckRun", row["id"]),
        "external_id": "",
        "url": url,
        "html_url": page,
        "details_url": page,
        "status": row["status"],
        "conclusion": row["conclusion"],
        "started_at": row["started_at"],
        "completed_at": row["completed_at"],
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": 0,
            "annotations_url": f"{url}/annotations",
        },
        "name": row["name"],
        "check_suite": {"id": number_of(sha)},
        "app": _app(origin),
        "pull_requests": [],
    }


def _app(origin: str) -> Document:
    """The GitHub App that runs workflows."""
    return {
        "id": number_of(_APP),
        "slug": _APP,
        "node_id": node_id("Integration", number_of(_APP)),
        "owner": user(origin, "github", "Organization"),
        "name": "GitHub Actions",
        "description": "Automate your workflow from idea to production",
        "external_url": f"{origin}/features/actions",
        "html_url": f"{origin}/apps/{_APP}",
        "created_at": "2020-01-01T00:00:00Z",
        "updated_at": "2020-01-01T00:00:00Z",
        "permissions": {"checks": "write", "contents": "read", "metadata": "read"},
        "events": ["push"],
    }
