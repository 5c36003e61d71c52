"""GitHub's git database: refs, blobs, trees, commits and tags.

Source: GitHub REST documentation, "Git database".
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, body_object, login_of
from liftlock.sandbox.clock import from_iso, seconds_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.github_repository import SHA, Repository, find, invalid, refuse
from liftlock.sandbox.github_shapes import UNVERIFIED, address, git_commit, node_id, ref
from liftlock.sandbox.store import Document

# git-check-ref-format(1): no part begins with a dot or ends with .lock, none of these signs.
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/$|\.$|/\.|\.lock(/|$)")
_KINDS = ("blob", "tree", "commit", "tag")


def routes(cloud: Cloud) -> list[BaseRoute]:
    """Refs and objects."""
    base = "/repos/{owner}/{repo}/git"

    def repository(request: Request) -> Repository:
        return find(cloud, request.path_params["owner"], request.path_params["repo"])

    async def get_ref(request: Request) -> Response:
        here = repository(request)
        name = "refs/" + request.path_params["ref"]
        found = here.refs.get(name)
        if found is None:
            raise refuse(404, "Not Found")
        return Json(ref(address(request), here, name, found["sha"]))

    async def matching_refs(request: Request) -> Response:
        here = repository(request)
        prefix = "refs/" + request.path_params["ref"]
        origin = address(request)
        names = sorted(name for name in here.refs if name.startswith(prefix))
        return Json([ref(origin, here, name, here.refs.get(name)["sha"]) for name in names])  # type: ignore[index]

    async def create_ref(request: Request) -> Response:
        here = repository(request)
        asked = await body_object(request)
        name, sha = asked.get("ref"), asked.get("sha")
        if not isinstance(name, str) or not isinstance(sha, str):
            raise refuse(422, 'Invalid request.\n\n"ref" and "sha" weren\'t supplied.')
        if not len(here.objects):
            raise refuse(409, "Git Repository is empty.")
        if not name.startswith("refs/") or name.count("/") < 2 or _BAD_REF.search(name):
            raise refuse(422, f"{name} is not a valid ref name.")
        _require_object(here, sha)
        if name in here.refs:
            raise refuse(422, "Reference already exists")
        if any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in here.refs):
            raise refuse(422, "Reference update failed")
        here.refs.put(name, {"sha": sha})
        shape = ref(address(request), here, name, sha)
        return Json(shape, 201, {"location": shape["url"]})

    async def update_ref(request: Request) -> Response:
        here = repository(request)
        asked = await body_object(request)
        name = "refs/" + request.path_params["ref"]
        found = here.refs.get(name)
        if found is None:
            raise refuse(422, "Reference does not exist")
        sha = asked.get("sha")
        if not isinstance(sha, str):
            raise refuse(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
        _require_object(here, sha)
        if not asked.get("force") and not here.contains(sha, found["sha"]):
            raise refuse(422, "Update is not a fast forward")
        here.refs.put(name, {"sha": sha})
        return Json(ref(address(request), here, name, sha))

    async def delete_ref(request: Request) -> Response:
        if not repository(request).refs.delete("refs/" + request.path_params["ref"]):
            raise refuse(422, "Reference does not exist")
        return Response(status_code=204)

    async def create_blob(request: Request) -> Response:
        here = repository(request)
        asked = await body_object(request)
        content = asked.get("content")
        if not isinstance(content, str):
            raise invalid("Blob", "content", "missing_field")
        sha = here.add_blob(_decoded(content, asked.get("encoding", "utf-8")))
        url = f"{address(request)}{request.url.path}/{sha}"
        return Json({"sha": sha, "url": url}, 201, {"location": url})

    async def get_blob(request: Request) -> Response:
        here = repository(request)
        sha = request.path_params["sha"]
        content = here.blob(sha)
        shape = {
            "sha": sha,
            "node_id": node_id("Blob", sha),
            "size": len(content),
            "url": address(request) + request.url.path,
            "content": base64.encodebytes(content).decode(),
            "encoding": "base64",
        }
        return Json(shape)

    async def create_tree(request: Request) -> Response:
        here = repository(request)
        asked = await body_object(request)
        entries = asked.get("tree")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise refuse(422, "Invalid tree info")
        kept = asked.get("base_tree")
        if kept is not None and not here.has(kept, "tree"):
            raise refuse(422, "base_tree is not a valid tree oid")
        sha = _write_tree(here, kept, entries)
        return Json(
            _tree(request, here, sha), 201, {"location": f"{address(request)}{request.url.path}/{sha}"}
        )

    async def get_tree(request: Request) -> Response:
        here = repository(request)
        sha = request.path_params["sha"]
        if here.has(sha, "commit"):
            sha = here.object(sha, "commit")["tree"]
        return Json(_tree(request, here, sha, recursive="recursive" in request.query_params))

    async def create_commit(request: Request) -> Response:
        here = repository(request)
        asked = await body_object(request)
        message, tree, parents = asked.get("message"), asked.get("tree"), asked.get("parents", [])
        if not isinstance(message, str) or not isinstance(tree, str) or not isinstance(parents, list):
            raise refuse(422, 'Invalid request.\n\n"message" and "tree" weren\'t supplied.')
        if not here.has(tree, "tree"):
            raise refuse(422, "Tree SHA does not exist")
        if not all(isinstance(parent, str) and here.has(parent, "commit") for parent in parents):
            raise refuse(422, "Parent SHA does not exist or is not a commit object")
        author = _person(cloud, asked.get("author"), login_of(request))
        committer = _person(cloud, asked.get("committer"), login_of(request), author)
        sha = here.add_commit(message, tree, parents, author, committer)
        shape = git_commit(address(request), here, sha)
        return Json(shape, 201, {"location": shape["url"]})

    async def get_commit(request: Request) -> Response:
        return Json(git_commit(address(request), repository(request), request.path_params["sha"]))

    async def create_tag(request: Request) -> Response:
        here = repository(request)
        asked = await body_object(request)
        fields = [asked.get(key) for key in ("tag", "message", "object", "type")]
        if not all(isinstance(field, str) for field in fields) or asked["type"] not in _KINDS:
            raise invalid("Tag", "object", "missing_field")
        if not here.has(asked["object"], asked["type"]):
            raise refuse(422, "Object does not exist")
        tagger = _person(cloud, asked.get("tagger"), login_of(request))
        sha = here.add_tag(asked["tag"], asked["message"], asked["object"], asked["type"], tagger)
        shape = _tag(request, here, sha)
        return Json(shape, 201, {"location": shape["url"]})

    async def get_tag(request: Request) -> Response:
        return Json(_tag(request, repository(request), request.path_params["sha"]))

    return [
        Route(base + "/ref/{ref:path}", get_ref, methods=["GET"]),
        Route(base + "/matching-refs/{ref:path}", matching_refs, methods=["GET"]),
        Route(base + "/refs", create_ref, methods=["POST"]),
        Route(base + "/refs/{ref:path}", update_ref, methods=["PATCH"]),
        Route(base + "/refs/{ref:path}", delete_ref, methods=["DELETE"]),
        Route(base + "/blobs", create_blob, methods=["POST"]),
        Route(base + "/blobs/{sha}", get_blob, methods=["GET"]),
        Route(base + "/trees", create_tree, methods=["POST"]),
        Route(base + "/trees/{sha}", get_tree, methods=["GET"]),
        Route(base + "/commits", create_commit, methods=["POST"]),
        Route(base + "/commits/{sha}", get_commit, methods=["GET"]),
        Route(base + "/tags", create_tag, methods=["POST"]),
        Route(base + "/tags/{sha}", get_tag, methods=["GET"]),
    ]


def _require_object(here: Repository, sha: str) -> None:
    if not SHA.fullmatch(sha):
        raise refuse(422, "The sha parameter must be exactly 40 characters and contain only [0-9a-f].")
    if not here.has(sha):
        raise refuse(422, "Object does not exist")


def _decoded(content: str, encoding: Any) -> bytes:
    if encoding == "utf-8":
        return content.encode()
    try:
        return base64.b64decode(content, validate=False)
    except binascii.Error as error:
        raise refuse(422, "content is not valid Base64") from error


def _write_tree(here: Repository, base: str | None, entries: list[Document]) -> str:
    """A tree of `base` with `entries` laid over it; paths with slashes make folders, `sha` null removes."""
    names: dict[str, Document] = {}
    if base is not None:
        names = {entry["path"]: entry for entry in here.object(base, "tree")["entries"]}
    folders: dict[str, list[Document]] = {}
    for entry in entries:
        path = entry.get("path")
        if not isinstance(path, str) or not path or path.startswith("/"):
            raise refuse(422, "tree.path contains a malformed path component")
        name, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(name, []).append({**entry, "path": rest})
        elif "sha" in entry and entry["sha"] is None:
            names.pop(name, None)
        else:
            names[name] = _entry(here, name, entry)
    for name, inner in folders.items():
        before = names.get(name)
        kept = before["sha"] if before is not None and before["type"] == "tree" else None
        names[name] = {"path": name, "mode": "040000", "type": "tree", "sha": _write_tree(here, kept, inner)}
    return here.add_tree(names.values())


def _entry(here: Repository, name: str, entry: Document) -> Document:
    kind, sha = entry.get("type", "blob"), entry.get("sha")
    if isinstance(entry.get("content"), str):
        kind, sha = "blob", here.add_blob(entry["content"].encode())
    if not isinstance(sha, str) or (kind != "commit" and not here.has(sha, kind)):
        raise refuse(422, f"tree.sha {sha} is not a valid {kind}")
    default = "040000" if kind == "tree" else "100644"
    return {"path": name, "mode": entry.get("mode") or default, "type": kind, "sha": sha}


def _tree(request: Request, here: Repository, sha: str, *, recursive: bool = False) -> Document:
    api = f"{address(request)}/repos/{here.full_name}/git"
    rows: list[Document] = []

    def walk(name: str, prefix: str) -> None:
        for entry in here.object(name, "tree")["entries"]:
            row = {**entry, "path": prefix + entry["path"], "url": f"{api}/{entry['type']}s/{entry['sha']}"}
            if entry["type"] == "blob":
                row["size"] = here.object(entry["sha"], "blob")["size"]
            rows.append(row)
            if recursive and entry["type"] == "tree":
                walk(entry["sha"], f"{prefix}{entry['path']}/")

    walk(sha, "")
    return {"sha": sha, "url": f"{api}/trees/{sha}", "tree": rows, "truncated": False}


def _tag(request: Request, here: Repository, sha: str) -> Document:
    document = here.object(sha, "tag")
    api = f"{address(request)}/repos/{here.full_name}/git"
    target, kind = document["object"], document["object_type"]
    return {
        "node_id": node_id("Tag", sha),
        "sha": sha,
        "url": f"{api}/tags/{sha}",
        "tag": document["tag"],
        "message": document["message"],
        "tagger": document["tagger"],
        "object": {"sha": target, "type": kind, "url": f"{api}/{kind}s/{target}"},
        "verification": UNVERIFIED,
    }


def _person(cloud: Cloud, given: Any, login: str, default: Document | None = None) -> Document:
    """Author, committer or tagger: as given, with what is missing filled in."""
    if not isinstance(given, dict):
        given = default or {}
    date = given.get("date")
    try:
        when = from_iso(date) if isinstance(date, str) else cloud.clock.now()
    except ValueError as error:
        raise refuse(422, f"{date} is not a valid date-time") from error
    name = given.get("name") or login
    return {"name": name, "email": given.get("email") or f"{login}@users.invalid", "date": seconds_iso(when)}
