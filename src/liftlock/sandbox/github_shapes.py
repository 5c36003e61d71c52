"""What GitHub's objects look like on the wire: complete, so that they fit its OpenAPI description."""

from __future__ import annotations

import base64
import zlib
from typing import Any

from starlette.requests import Request

from liftlock.sandbox.answers import Json
from liftlock.sandbox.github_repository import Repository
from liftlock.sandbox.store import Document


def address(request: Request) -> str:
    """The scheme and host that the client spoke to: links lead back there."""
    for name, value in request.scope["headers"]:
        if name == b"host":
            return f"{request.scope['scheme']}://{value.decode('latin-1')}"
    return "http://127.0.0.1"


def node_id(kind: str, identity: object) -> str:
    """An opaque global id."""
    return base64.b64encode(f"0{len(kind)}:{kind}{identity}".encode()).decode()


def number_of(name: str) -> int:
    """A lasting number for something that is known by its name alone."""
    return zlib.crc32(name.encode()) or 1


def user(base: str, login: str, kind: str = "User") -> Document:
    """A "simple user"."""
    api = f"{base}/users/{login}"
    return {
        "login": login,
        "id": number_of(login),
        "node_id": node_id("User", number_of(login)),
        "avatar_url": f"{base}/avatars/{login}",
        "gravatar_id": "",
        "url": api,
        "html_url": f"{base}/{login}",
        "followers_url": f"{api}/followers",
        "following_url": f"{api}/following{{/other_user}}",
        "gists_url": f"{api}/gists{{/gist_id}}",
        "starred_url": f"{api}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{api}/subscriptions",
        "organizations_url": f"{api}/orgs",
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events{{/privacy}}",
        "received_events_url": f"{api}/received_events",
        "type": kind,
        "site_admin": False,
    }


def public_user(base: str, login: str) -> Document:
    """A "public user", as `GET /user` answers."""
    return {
        **user(base, login),
        "name": login,
        "company": None,
        "blog": "",
        "location": None,
        "email": None,
        "hireable": None,
        "bio": None,
        "public_repos": 0,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": "2020-01-01T00:00:00Z",
        "updated_at": "2020-01-01T00:00:00Z",
    }


_REPOSITORY_LINKS = {
    "archive": "{/archive_format}{/ref}", "assignees": "{/user}", "branches": "{/branch}",
    "collaborators": "{/collaborator}", "comments": "{/number}", "commits": "{/sha}", "compare": "/{base}...{head}",
    "contents": "/{+path}", "contributors": "", "deployments": "", "downloads": "", "events": "", "forks": "",
    "hooks": "", "issues": "{/number}", "keys": "{/key_id}", "labels": "{/name}", "languages": "", "merges": "",
    "milestones": "{/number}", "notifications": "{?since,all,participating}", "pulls": "{/number}",
    "releases": "{/id}", "stargazers": "", "statuses": "/{sha}", "subscribers": "", "subscription": "", "tags": "",
    "teams": "",
}  # fmt: skip


def repository(base: str, document: Document, login: str) -> Document:
    """A "full repository"."""
    owner, _, name = document["full_name"].partition("/")
    api = f"{base}/repos/{document['full_name']}"
    page = f"{base}/{document['full_name']}"
    return {
        "id": document["id"],
        "node_id": node_id("Repository", document["id"]),
        "name": name,
        "full_name": document["full_name"],
        "owner": user(base, owner, "Organization"),
        "private": True,
        "html_url": page,
        "description": None,
        "fork": False,
        "url": api,
        **{f"{key}_url": f"{api}/{key}{rest}" for key, rest in _REPOSITORY_LINKS.items()},
        "blobs_url": f"{api}/git/blobs{{/sha}}",
        "git_commits_url": f"{api}/git/commits{{/sha}}",
        "git_refs_url": f"{api}/git/refs{{/sha}}",
        "git_tags_url": f"{api}/git/tags{{/sha}}",
        "trees_url": f"{api}/git/trees{{/sha}}",
        "issue_comment_url": f"{api}/issues/comments{{/number}}",
        "issue_events_url": f"{api}/issues/events{{/number}}",
        "clone_url": f"{page}.git",
        "git_url": f"{page}.git",
        "ssh_url": f"{page}.git",
        "svn_url": page,
        "mirror_url": None,
        "homepage": None,
        "language": None,
        "license": None,
        "default_branch": document["default_branch"],
        **dict.fromkeys(("forks", "forks_count", "open_issues", "open_issues_count", "size"), 0),
        **dict.fromkeys(
            ("stargazers_count", "watchers", "watchers_count", "network_count", "subscribers_count"), 0
        ),
        **dict.fromkeys(("has_issues", "has_projects", "has_wiki", "has_pages", "has_discussions"), False),
        "archived": False,
        "disabled": False,
        "visibility": "private",
        "permissions": {"admin": True, "maintain": True, "push": True, "triage": True, "pull": True},
        "pushed_at": document["created_at"],
        "created_at": document["created_at"],
        "updated_at": document["created_at"],
    }


def deployment(base: str, repository: Repository, document: Document) -> Document:
    """A "deployment"; it has no state of its own."""
    api = f"{base}/repos/{repository.full_name}"
    url = f"{api}/deployments/{document['id']}"
    return {
        "url": url,
        "id": document["id"],
        "node_id": node_id("Deployment", document["id"]),
        "task": document["task"],
        "original_environment": document["environment"],
        "environment": document["environment"],
        "description": document["description"],
        "created_at": document["created_at"],
        "updated_at": document["updated_at"],
        "statuses_url": f"{url}/statuses",
        "repository_url": api,
        "creator": user(base, document["creator"]),
        "sha": document["sha"],
        "ref": document["ref"],
        "payload": document["payload"],
        "transient_environment": document["transient_environment"],
        "production_environment": document["production_environment"],
        "performed_via_github_app": None,
    }


def deployment_status(base: str, repository: Repository, deployment_id: int, document: Document) -> Document:
    """A "deployment status"."""
    api = f"{base}/repos/{repository.full_name}"
    url = f"{api}/deployments/{deployment_id}"
    return {
        "url": f"{url}/statuses/{document['id']}",
        "id": document["id"],
        "node_id": node_id("DeploymentStatus", document["id"]),
        "state": document["state"],
        "creator": user(base, document["creator"]),
        "description": document["description"],
        "environment": document["environment"],
        "target_url": document["log_url"],
        "created_at": document["created_at"],
        "updated_at": document["created_at"],
        "deployment_url": url,
        "repository_url": api,
        "environment_url": document["environment_url"],
        "log_url": document["log_url"],
        "performed_via_github_app": None,
    }


def ref(base: str, repository: Repository, name: str, sha: str) -> Document:
    """A "git ref"."""
    kind = (repository.objects.get(sha) or {"type": "commit"})["type"]
    api = f"{base}/repos/{repository.full_name}/git"
    return {
        "ref": name,
        "node_id": node_id("Ref", f"{repository.full_name}:{name}"),
        "url": f"{api}/{name}",
        "object": {"sha": sha, "type": kind, "url": f"{api}/{kind}s/{sha}"},
    }


UNVERIFIED = {
    "verified": False,
    "reason": "unsigned",
    "signature": None,
    "payload": None,
    "verified_at": None,
}


def git_commit(base: str, repository: Repository, sha: str) -> Document:
    """A "git commit": the object itself."""
    document = repository.object(sha, "commit")
    api = f"{base}/repos/{repository.full_name}"
    page = f"{base}/{repository.full_name}/commit"
    return {
        "sha": sha,
        "node_id": node_id("Commit", sha),
        "url": f"{api}/git/commits/{sha}",
        "html_url": f"{page}/{sha}",
        "author": _person(document["author"]),
        "committer": _person(document["committer"]),
        "tree": {"url": f"{api}/git/trees/{document['tree']}", "sha": document["tree"]},
        "message": document["message"],
        "parents": [
            {"url": f"{api}/git/commits/{one}", "sha": one, "html_url": f"{page}/{one}"}
            for one in document["parents"]
        ],
        "verification": UNVERIFIED,
    }


def commit(base: str, repository: Repository, sha: str) -> Document:
    """A "commit": the object with its place on GitHub."""
    document = repository.object(sha, "commit")
    api = f"{base}/repos/{repository.full_name}"
    page = f"{base}/{repository.full_name}/commit"
    return {
        "url": f"{api}/commits/{sha}",
        "sha": sha,
        "node_id": node_id("Commit", sha),
        "html_url": f"{page}/{sha}",
        "comments_url": f"{api}/commits/{sha}/comments",
        "commit": {
            "url": f"{api}/git/commits/{sha}",
            "author": _person(document["author"]),
            "committer": _person(document["committer"]),
            "message": document["message"],
            "tree": {"url": f"{api}/git/trees/{document['tree']}", "sha": document["tree"]},
            "comment_count": 0,
            "verification": UNVERIFIED,
        },
        "author": _account(base, document["author"]),
        "committer": _account(base, document["committer"]),
        "parents": [
            {"url": f"{api}/commits/{one}", "sha": one, "html_url": f"{page}/{one}"}
            for one in document["parents"]
        ],
    }


def _person(stamp: Document) -> Document:
    return {name: stamp[name] for name in ("name", "email", "date")}


def _account(base: str, stamp: Document) -> Document | None:
    """The account behind an author, where GitHub knows one by the address."""
    return user(base, stamp["login"]) if "login" in stamp else None


def page_of(
    request: Request, rows: list[Any], largest: int = 100, default: int = 30
) -> tuple[list[Any], dict[str, str]]:
    """One page of `rows` and its `Link` header, by `per_page` and `page`."""
    query = request.query_params
    size = min(largest, max(1, _integer(query.get("per_page"), default)))
    page = max(1, _integer(query.get("page"), 1))
    last = max(1, -(-len(rows) // size))
    links = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    if page >= last:
        del links["next"], links["last"]
    if page == 1:
        del links["prev"], links["first"]
    header = ", ".join(
        f'<{address(request)}{request.url.path}?{query_with(request, page=number, per_page=size)}>; rel="{rel}"'
        for rel, number in links.items()
    )
    return rows[(page - 1) * size : page * size], {"link": header} if header else {}


def query_with(request: Request, **changes: object) -> str:
    """The request's query string with some parameters set anew."""
    return request.url.include_query_params(**changes).query


def paged(request: Request, rows: list[Any], shape: Any) -> Json:
    """The answer of a list: only the page's rows are rendered."""
    chosen, headers = page_of(request, rows)
    return Json([shape(row) for row in chosen], headers=headers)


def _integer(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() else default
