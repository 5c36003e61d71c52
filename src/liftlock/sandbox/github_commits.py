"""GitHub's view of commits and content: history, comparison, checks, tarballs and files."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from collections import Counter

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, body_object, login_of
from liftlock.sandbox.clock import seconds_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.github_checks import check_run
from liftlock.sandbox.github_repository import Repository, find, git_name, invalid, refuse
from liftlock.sandbox.github_shapes import address, commit, node_id, page_of, paged, user
from liftlock.sandbox.store import Document

COMPARE_PAGE = 250
COMPARE_FILES = 300
CONTEXT_STATES = ("error", "failure", "pending", "success")


def routes(cloud: Cloud) -> list[BaseRoute]:
    """Commits, comparison, statuses of commits, tarballs, files."""
    base = "/repos/{owner}/{repo}"

    def repository(request: Request) -> Repository:
        return find(cloud, request.path_params["owner"], request.path_params["repo"])

    async def list_commits(request: Request) -> Response:
        here = repository(request)
        if not len(here.objects):
            raise refuse(409, "Git Repository is empty.")
        head = here.commit(request.query_params.get("sha") or here.default_branch)
        origin = address(request)
        return paged(request, here.in_order(here.ancestors(head)), lambda sha: commit(origin, here, sha))

    async def get_commit(request: Request) -> Response:
        here = repository(request)
        sha = here.commit(request.path_params["ref"], 422)
        if "sha" in request.headers.get("accept", "").partition("github.")[2].partition("+")[0]:
            return Response(sha, media_type="application/vnd.github.sha; charset=utf-8")
        return Json(commit(address(request), here, sha))

    async def compare(request: Request) -> Response:
        here = repository(request)
        base_name, dots, head_name = request.path_params["basehead"].partition("...")
        if not dots:
            raise refuse(404, "Not Found")
        return _comparison(request, here, here.commit(base_name), here.commit(head_name))

    async def create_context(request: Request) -> Response:
        here = repository(request)
        sha = here.commit(request.path_params["ref"], 422)
        asked = await body_object(request)
        if asked.get("state") not in CONTEXT_STATES:
            raise invalid("Status", "state", "invalid")
        now = seconds_iso(cloud.clock.now())
        row = {
            "id": cloud.store.next("github.status"),
            "state": asked["state"],
            "context": asked.get("context") or "default",
            "description": asked.get("description"),
            "target_url": asked.get("target_url"),
            "creator": login_of(request),
            "created_at": now,
        }
        before = (here.contexts.get(sha) or {"rows": []})["rows"]
        kept = [one for one in before if one["context"] != row["context"]]
        here.contexts.put(sha, {"rows": [*kept, row]})
        shape = {
            **_context(address(request), here, sha, row),
            "creator": user(address(request), row["creator"]),
        }
        return Json(shape, 201, {"location": shape["url"]})

    async def combined_status(request: Request) -> Response:
        here = repository(request)
        sha = here.commit(request.path_params["ref"])
        rows = (here.contexts.get(sha) or {"rows": []})["rows"]
        states = {row["state"] for row in rows}
        bad = states & {"error", "failure"}
        state = "failure" if bad else "pending" if "pending" in states or not rows else "success"
        shown, headers = page_of(request, rows)
        origin = address(request)
        api = f"{origin}/repos/{here.full_name}"
        shape = {
            "state": state,
            "statuses": [_context(origin, here, sha, row) for row in shown],
            "sha": sha,
            "total_count": len(rows),
            "repository": _minimal(origin, here),
            "commit_url": f"{api}/commits/{sha}",
            "url": f"{api}/commits/{sha}/status",
        }
        return Json(shape, headers=headers)

    async def check_runs(request: Request) -> Response:
        here = repository(request)
        sha = here.commit(request.path_params["ref"])
        rows = (here.check_runs.get(sha) or {"rows": []})["rows"]
        wanted = request.query_params.get("check_name")
        rows = [row for row in rows if wanted in (None, row["name"])]
        shown, headers = page_of(request, rows)
        origin = address(request)
        shapes = [check_run(origin, here, sha, row) for row in shown]
        return Json({"total_count": len(rows), "check_runs": shapes}, headers=headers)

    async def tarball(request: Request) -> Response:
        here = repository(request)
        sha = here.commit(request.path_params.get("ref") or here.default_branch)
        # The real one answers so too, from another host; credentials must not follow.
        return RedirectResponse(f"{address(request)}/_codeload/{here.full_name}/legacy.tar.gz/{sha}", 302)

    async def contents(request: Request) -> Response:
        here = repository(request)
        sha = here.commit(request.query_params.get("ref") or here.default_branch)
        return _contents(request, here, sha, request.path_params.get("path", "").strip("/"))

    return [
        Route(base + "/commits", list_commits, methods=["GET"]),
        Route(base + "/commits/{ref:path}/status", combined_status, methods=["GET"]),
        Route(base + "/commits/{ref:path}/check-runs", check_runs, methods=["GET"]),
        Route(base + "/commits/{ref:path}", get_commit, methods=["GET"]),
        Route(base + "/compare/{basehead:path}", compare, methods=["GET"]),
        Route(base + "/statuses/{ref}", create_context, methods=["POST"]),
        Route(base + "/tarball/{ref:path}", tarball, methods=["GET"]),
        Route(base + "/tarball", tarball, methods=["GET"]),
        Route(base + "/contents/{path:path}", contents, methods=["GET"]),
        Route(base + "/contents", contents, methods=["GET"]),
    ]


def _comparison(request: Request, here: Repository, base: str, head: str) -> Response:
    middle = here.merge_base(base, head)
    if middle is None:
        raise refuse(404, f"No common ancestor between {base} and {head}.")
    before, after = here.ancestors(base), here.ancestors(head)
    ahead = list(reversed(here.in_order(sha for sha in after if sha not in before)))
    behind = sum(sha not in after for sha in before)
    status = "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical"
    whole = "page" not in request.query_params and "per_page" not in request.query_params
    shown, headers = (ahead[:COMPARE_PAGE], {}) if whole else page_of(request, ahead)
    first = request.query_params.get("page", "1") == "1"
    origin = address(request)
    page = f"{origin}/{here.full_name}/compare/{base}...{head}"
    shape = {
        "url": f"{origin}/repos/{here.full_name}/compare/{base}...{head}",
        "html_url": page,
        "permalink_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "base_commit": commit(origin, here, base),
        "merge_base_commit": commit(origin, here, middle),
        "status": status,
        "ahead_by": len(ahead),
        "behind_by": behind,
        "total_commits": len(ahead),
        "commits": [commit(origin, here, sha) for sha in shown],
        "files": _changed(origin, here, middle, head)[:COMPARE_FILES] if first else [],
    }
    return Json(shape, headers=headers)


def _changed(origin: str, here: Repository, base: str, head: str) -> list[Document]:
    """A "diff entry" for every file that differs, by name; none where a commit was put without its files."""
    if base == head or not (here.tarballs.get(base) and here.tarballs.get(head)):
        return []
    before, after = _files(here, base), _files(here, head)
    return [
        _entry(origin, here, head, path, before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def _entry(
    origin: str, here: Repository, head: str, path: str, old: bytes | None, new: bytes | None
) -> Document:
    was, now = Counter((old or b"").splitlines()), Counter((new or b"").splitlines())
    added, removed = (now - was).total(), (was - now).total()
    return {
        "sha": git_name("blob", new if new is not None else old or b""),
        "filename": path,
        "status": "added" if old is None else "removed" if new is None else "modified",
        "additions": added,
        "deletions": removed,
        "changes": added + removed,
        "blob_url": f"{origin}/{here.full_name}/blob/{head}/{path}",
        "raw_url": f"{origin}/{here.full_name}/raw/{head}/{path}",
        "contents_url": f"{origin}/repos/{here.full_name}/contents/{path}?ref={head}",
    }


def _context(origin: str, here: Repository, sha: str, row: Document) -> Document:
    """A "simple commit status"."""
    return {
        "url": f"{origin}/repos/{here.full_name}/statuses/{sha}",
        "avatar_url": None,
        "id": row["id"],
        "node_id": node_id("StatusContext", row["id"]),
        "state": row["state"],
        "description": row["description"],
        "target_url": row["target_url"],
        "context": row["context"],
        "created_at": row["created_at"],
        "updated_at": row["created_at"],
    }


def _minimal(origin: str, here: Repository) -> Document:
    from liftlock.sandbox.github_shapes import repository

    return repository(origin, here.document, "")


# Content comes from the tarball of the commit, since commits that were put have no trees of their own.


def wrap_tarball(here: Repository, sha: str, content: bytes) -> bytes:
    """The tar.gz with everything in one folder, as GitHub names it. Raises `tarfile.TarError`, `OSError`."""
    top = f"{here.full_name.replace('/', '-')}-{sha[:7]}"
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(content), mode="r:*") as source,
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(
            fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": sha}
        ) as target,
    ):
        folder = tarfile.TarInfo(top)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o775
        target.addfile(folder)
        for member in source:
            inner = member.name.removeprefix("./").strip("/")
            if inner in ("", "."):
                continue
            member.name = f"{top}/{inner}"
            member.pax_headers = {}
            target.addfile(member, source.extractfile(member) if member.isfile() else None)
    return out.getvalue()


def _files(here: Repository, sha: str) -> dict[str, bytes]:
    """The files of a commit's tarball by path; 404 when none was put."""
    row = here.tarballs.get(sha)
    content = here.cloud.store.blobs.get(row["blob"]) if row else None
    if content is None:
        raise refuse(404, "Not Found")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is not None:
                files[member.name.partition("/")[2]] = stream.read()
    return files


def _contents(request: Request, here: Repository, sha: str, path: str) -> Response:
    files = _files(here, sha)
    origin = address(request)
    if path in files:
        if "raw" in request.headers.get("accept", ""):
            return Response(files[path], media_type="application/vnd.github.raw+json; charset=utf-8")
        body = base64.encodebytes(files[path]).decode()
        return Json({**_item(origin, here, sha, path, files[path]), "encoding": "base64", "content": body})
    prefix = f"{path}/" if path else ""
    names = sorted({name[len(prefix) :].partition("/")[0] for name in files if name.startswith(prefix)})
    if not names:
        raise refuse(404, "Not Found")
    return Json([_item(origin, here, sha, prefix + name, files.get(prefix + name)) for name in names])


def _item(origin: str, here: Repository, sha: str, path: str, content: bytes | None) -> Document:
    kind, git_kind = ("dir", "tree") if content is None else ("file", "blob")
    name = git_name(git_kind, content or path.encode())
    url = f"{origin}/repos/{here.full_name}/contents/{path}?ref={sha}"
    git_url = f"{origin}/repos/{here.full_name}/git/{git_kind}s/{name}"
    page = f"{origin}/{here.full_name}/{git_kind}/{sha}/{path}"
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": name,
        "size": len(content or b""),
        "url": url,
        "html_url": page,
        "git_url": git_url,
        "download_url": None if content is None else f"{url}&raw",
        "type": kind,
        "_links": {"self": url, "git": git_url, "html": page},
    }
