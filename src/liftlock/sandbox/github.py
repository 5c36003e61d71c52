"""GitHub's REST API, as far as deploying needs it: this module plugs its parts into the frame.

Deployments are in `github_deployments`, git objects and refs in `github_git`, history and files in
`github_commits`; here are repositories, accounts, environments and the administration.
"""

from __future__ import annotations

import tarfile
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox import (
    github_checks,
    github_commits,
    github_deployments,
    github_git,
    github_pulls,
    github_runs,
)
from liftlock.sandbox.answers import Json, Refusal, body_object, login_of
from liftlock.sandbox.clock import from_iso, seconds_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.github_repository import (
    DOCS,
    EMPTY_TREE,
    SHA,
    Repository,
    find,
    invalid,
    refuse,
    repositories,
)
from liftlock.sandbox.github_shapes import address, node_id, public_user, repository
from liftlock.sandbox.store import Document

NAME = "github"
PATHS = ("/repos/", "/user", "/rate_limit")
OPEN = False


def routes(cloud: Cloud) -> list[BaseRoute]:
    """Everything under `/repos`, and the account."""
    base = "/repos/{owner}/{repo}"

    def here(request: Request) -> Repository:
        return find(cloud, request.path_params["owner"], request.path_params["repo"])

    async def get_user(request: Request) -> Response:
        # The scopes tell which permissions a classic token has.
        return Json(public_user(address(request), login_of(request)), headers={"x-oauth-scopes": "repo"})

    async def rate_limit(request: Request) -> Response:
        core = cloud.limits.github(login_of(request)).document()
        return Json({"resources": {"core": core, "search": core}, "rate": core})

    async def get_repository(request: Request) -> Response:
        return Json(repository(address(request), here(request).document, login_of(request)))

    async def list_environments(request: Request) -> Response:
        view = here(request)
        rows = [_environment(request, view, row) for row in view.environments.values()]
        return Json({"total_count": len(rows), "environments": rows})

    async def get_environment(request: Request) -> Response:
        view = here(request)
        row = view.environments.get(request.path_params["name"])
        if row is None:
            raise refuse(404, "Not Found")
        return Json(_environment(request, view, row))

    async def put_environment(request: Request) -> Response:
        view = here(request)
        asked = await body_object(request)
        name = request.path_params["name"]
        row = view.environments.get(name) or {
            "id": cloud.store.next("github.environment"),
            "name": name,
            "created_at": seconds_iso(cloud.clock.now()),
        }
        return Json(_environment(request, view, view.environments.put(name, {**row, "rules": _rules(asked)})))

    return [
        *github_deployments.routes(cloud),
        *github_git.routes(cloud),
        *github_runs.routes(cloud),
        *github_pulls.routes(cloud),  # before the commits, whose names may hold slashes
        *github_commits.routes(cloud),
        Route("/user", get_user, methods=["GET"]),
        Route("/rate_limit", rate_limit, methods=["GET"]),
        Route(base + "/environments", list_environments, methods=["GET"]),
        Route(base + "/environments/{name:path}", get_environment, methods=["GET"]),
        Route(base + "/environments/{name:path}", put_environment, methods=["PUT"]),
        Route(base, get_repository, methods=["GET"]),
    ]


def refusal(status: int, message: str) -> Response:
    """GitHub's error body."""
    if status == 400:
        message = "Problems parsing JSON"
    return Json({"message": message, "documentation_url": DOCS, "status": str(status)}, status)


async def create(cloud: Cloud, world: Document) -> None:
    """Make the repositories of `{"repositories": ["owner/name", …]}` that are absent."""
    for full_name in world.get("repositories", []):
        if not isinstance(full_name, str) or full_name.count("/") != 1:
            raise ValueError(f"github.repositories: {full_name!r} is not owner/name")
        if full_name.lower() not in repositories(cloud):
            now = seconds_iso(cloud.clock.now())
            number = cloud.store.next("github.repository")
            document = {"id": number, "full_name": full_name, "default_branch": "main", "created_at": now}
            repositories(cloud).put(full_name.lower(), document)


def observe(cloud: Cloud) -> Document:
    """Deployments with their statuses, refs and environments, by repository."""
    seen = {}
    for document in repositories(cloud).values():
        view = Repository(cloud, document["full_name"], document)
        seen[document["full_name"]] = {
            "default_branch": document["default_branch"],
            "deployments": [
                {**row, "statuses": (view.statuses.get(str(row["id"])) or {"rows": []})["rows"]}
                for row in view.deployments.values()
            ],
            "refs": {name: row["sha"] for name, row in view.refs.items()},
            "environments": view.environments.keys(),
        }
    return {"repositories": seen}


def administration(cloud: Cloud) -> list[BaseRoute]:
    """Putting commits and tarballs, as a push would, and what pipelines said of commits."""
    base = "/_sandbox/github/{owner}/{repo}"

    async def put_commits(request: Request) -> Response:
        view = find(cloud, request.path_params["owner"], request.path_params["repo"])
        commits = await request.json()
        if not isinstance(commits, list):
            raise Refusal(400, {"error": "a list of commits is wanted"})
        for commit in commits:
            _put_commit(cloud, view, commit)
        branch = request.query_params.get("branch") or view.default_branch
        if commits:
            view.refs.put(f"refs/heads/{branch}", {"sha": commits[-1]["sha"]})
        return Json({"commits": len(commits), "branch": branch, "head": view.resolve(branch)})

    async def put_tarball(request: Request) -> Response:
        view = find(cloud, request.path_params["owner"], request.path_params["repo"])
        sha = view.commit(request.path_params["sha"])
        try:
            content = github_commits.wrap_tarball(view, sha, await request.body())
        except (tarfile.TarError, OSError, EOFError) as error:
            raise Refusal(400, {"error": f"the body is not a tar.gz archive: {error}"}) from error
        view.tarballs.put(sha, {"blob": cloud.store.blobs.put(content), "size": len(content)})
        return Json({"sha": sha, "size": len(content)})

    return [
        *github_checks.administration(cloud),
        *github_pulls.administration(cloud),
        *github_runs.administration(cloud),
        Route(base + "/commits", put_commits, methods=["PUT"]),
        Route(base + "/tarballs/{sha}", put_tarball, methods=["PUT"]),
    ]


def _put_commit(cloud: Cloud, view: Repository, commit: Any) -> None:
    sha = commit.get("sha") if isinstance(commit, dict) else None
    if not isinstance(sha, str) or not SHA.fullmatch(sha):
        raise Refusal(400, {"error": f"a commit needs its sha of 40 hexadecimal digits, not {sha!r}"})
    for parent in commit.get("parents", []):
        if not view.has(parent, "commit"):
            raise Refusal(400, {"error": f"{sha}: its parent {parent} is not there; put parents first"})
    try:
        date = seconds_iso(from_iso(commit["date"]) if "date" in commit else cloud.clock.now())
    except (TypeError, ValueError) as error:
        raise Refusal(400, {"error": f"{sha}: the date is not ISO 8601: {error}"}) from error
    person = {"name": commit.get("author", "owner"), "email": commit.get("email", "owner@users.invalid")}
    who = {**person, "date": date, **({"login": commit["login"]} if "login" in commit else {})}
    view.put_commit(sha, commit.get("message", ""), EMPTY_TREE, commit.get("parents", []), who, who)


def _rules(asked: Document) -> list[Document]:
    """The protection rules that a request's `wait_timer` and `reviewers` stand for."""
    rules: list[Document] = []
    timer = asked.get("wait_timer") or 0
    if not isinstance(timer, int) or not 0 <= timer <= 43_200:
        raise invalid("Environment", "wait_timer", "invalid")
    if timer:
        rules.append({"id": 1, "node_id": node_id("GateRule", 1), "type": "wait_timer", "wait_timer": timer})
    if asked.get("reviewers"):
        rules.append(
            {
                "id": 2,
                "node_id": node_id("GateRule", 2),
                "type": "required_reviewers",
                "prevent_self_review": bool(asked.get("prevent_self_review")),
                "reviewers": [],
            }
        )
    return rules


def _environment(request: Request, view: Repository, row: Document) -> Document:
    origin = address(request)
    return {
        "id": row["id"],
        "node_id": node_id("Environment", row["id"]),
        "name": row["name"],
        "url": f"{origin}/repos/{view.full_name}/environments/{row['name']}",
        "html_url": f"{origin}/{view.full_name}/deployments/activity_log?environments_filter={row['name']}",
        "created_at": row["created_at"],
        "updated_at": row["created_at"],
        "can_admins_bypass": True,
        "protection_rules": row["rules"],
        "deployment_branch_policy": None,
    }
