"""Pull requests of the sandbox's GitHub: put by the administration as they were merged, and found by commit."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, Refusal
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.github_repository import Repository, find
from liftlock.sandbox.github_shapes import address, node_id, number_of, paged, repository, user
from liftlock.sandbox.store import Document


def routes(cloud: Cloud) -> list[BaseRoute]:
    """The pull requests that a commit came with."""

    async def of_commit(request: Request) -> Response:
        here = find(cloud, request.path_params["owner"], request.path_params["repo"])
        sha = here.commit(request.path_params["ref"])
        rows = [row for row in here.pulls.values() if _brought(here, row, sha)]
        origin = address(request)
        return paged(request, rows, lambda row: pull_request(origin, here, row))

    return [Route("/repos/{owner}/{repo}/commits/{ref:path}/pulls", of_commit, methods=["GET"])]


def administration(cloud: Cloud) -> list[BaseRoute]:
    """`PUT …/pulls` `[{"number", "title", "login", "merge_commit"}, …]`: merged, as that commit."""

    async def put_pulls(request: Request) -> Response:
        here = find(cloud, request.path_params["owner"], request.path_params["repo"])
        asked = await request.json()
        if not isinstance(asked, list):
            raise Refusal(400, {"error": "a list of pull requests is wanted"})
        for one in asked:
            row = _row(here, one)
            here.pulls.put(str(row["number"]), row)
        return Json({"pulls": len(asked)})

    return [Route("/_sandbox/github/{owner}/{repo}/pulls", put_pulls, methods=["PUT"])]


def _row(here: Repository, asked: object) -> Document:
    if not isinstance(asked, dict) or not isinstance(asked.get("number"), int):
        raise Refusal(400, {"error": "a pull request needs its number"})
    return {
        "number": asked["number"],
        "title": str(asked.get("title", f"Change {asked['number']}")),
        "login": str(asked.get("login", "owner")),
        "merge_commit": here.commit(str(asked.get("merge_commit", ""))),
    }


def _brought(here: Repository, row: Document, sha: str) -> bool:
    """Whether a commit is the pull request's merge, or one of those that it merged."""
    merge = row["merge_commit"]
    if sha == merge:
        return True
    main, *branches = here.parents(merge) or [""]
    return any(here.contains(branch, sha) for branch in branches) and not here.contains(main, sha)


def pull_request(origin: str, here: Repository, row: Document) -> Document:
    """A "pull request simple"."""
    number, merge = row["number"], row["merge_commit"]
    api = f"{origin}/repos/{here.full_name}"
    url, page = f"{api}/pulls/{number}", f"{origin}/{here.full_name}/pull/{number}"
    parents = here.parents(merge)
    merged_at = here.object(merge, "commit")["committer"]["date"]
    links = {
        "self": url,
        "html": page,
        "issue": f"{api}/issues/{number}",
        "comments": f"{api}/issues/{number}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{api}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{api}/statuses/{parents[-1] if parents else merge}",
    }
    return {
        "url": url,
        "id": number_of(page),
        "node_id": node_id("PullRequest", number_of(page)),
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        **{f"{name}_url": links[name] for name in links if name not in ("self", "html")},
        "number": number,
        "state": "closed",
        "locked": False,
        "title": row["title"],
        "user": user(origin, row["login"]),
        "body": None,
        "labels": [],
        "milestone": None,
        "created_at": merged_at,
        "updated_at": merged_at,
        "closed_at": merged_at,
        "merged_at": merged_at,
        "merge_commit_sha": merge,
        "assignee": None,
        "head": _end(origin, here, f"change-{number}", parents[-1] if parents else merge),
        "base": _end(origin, here, here.default_branch, parents[0] if parents else merge),
        "_links": {name: {"href": href} for name, href in links.items()},
        "author_association": "MEMBER",
        "auto_merge": None,
    }


def _end(origin: str, here: Repository, branch: str, sha: str) -> Document:
    owner = here.full_name.partition("/")[0]
    whole = repository(origin, here.document, owner)
    # Only a "full repository" counts them.
    repo = {name: whole[name] for name in whole if name not in ("network_count", "subscribers_count")}
    return {
        "label": f"{owner}:{branch}",
        "ref": branch,
        "sha": sha,
        "user": user(origin, owner, "Organization"),
        "repo": repo,
    }
