"""Firebase Hosting, v1beta1. What it serves is in `sites`.

Source: Google's discovery document `firebasehosting.v1beta1`, revision 20260920. Every path exists
with and without `projects/{project}`; names in answers are without it, as the document says. The project
itself is of the Firebase Management API, which has the same version: firebase-tools asks for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, body_object, login_of
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.firebase_store import Hosting, not_found, refuse, version_name
from liftlock.sandbox.github_shapes import address, number_of
from liftlock.sandbox.store import Document

NAME = "firebase"
PATHS = ("/v1beta1/", "/upload/")
OPEN = False

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    405: "NOT_FOUND",
    500: "INTERNAL",
}
_PATTERN = ("glob", "regex")
_CONFIG: dict[str, tuple[str, ...] | None] = {
    "appAssociation": None,
    "cleanUrls": None,
    "i18n": None,
    "trailingSlashBehavior": None,
    "headers": (*_PATTERN, "headers"),
    "redirects": (*_PATTERN, "statusCode", "location"),
    "rewrites": (*_PATTERN, "path", "function", "functionRegion", "run", "dynamicLinks"),
}
_HASH = re.compile(r"[0-9a-f]{64}")
_TTL = re.compile(r"(\d+(?:\.\d+)?)s")


def routes(cloud: Cloud) -> list[BaseRoute]:
    """The API's methods, under both of their addresses."""
    hosting = Hosting(cloud)

    async def get_channel(request: Request) -> Response:
        return Json(
            _channel(request, hosting, hosting.channel(_site(request), request.path_params["channel"]))
        )

    async def list_channels(request: Request) -> Response:
        site = hosting.site(_site(request))["site"]
        rows = [row for row in hosting.channels.values() if row["site"] == site]
        return _page(request, "channels", rows, lambda row: _channel(request, hosting, row))

    async def create_channel(request: Request) -> Response:
        site = hosting.site(_site(request))["site"]
        name = re.sub(r"[/:_#]", "-", request.query_params.get("channelId", ""))
        if not name:
            raise refuse("INVALID_ARGUMENT", "channelId is missing")
        ttl = (await body_object(request)).get("ttl")
        matched = _TTL.fullmatch(ttl) if isinstance(ttl, str) else None
        if ttl is not None and not matched:
            raise refuse("INVALID_ARGUMENT", f"Invalid value for ttl: {ttl!r}")
        row = hosting.create_channel(site, name, float(matched[1]) if matched else None)
        return Json(_channel(request, hosting, row))

    async def list_releases(request: Request) -> Response:
        row = hosting.channel(_site(request), request.path_params.get("channel", "live"))
        return _page(request, "releases", row["releases"][::-1], lambda one: _release(hosting, one))

    async def create_release(request: Request) -> Response:
        asked = await body_object(request)
        channel = request.path_params.get("channel", "live")
        version = request.query_params.get("versionName")
        release = hosting.release(_site(request), channel, version, asked, _email(request))
        return Json(_release(hosting, release))

    async def create_version(request: Request) -> Response:
        asked = await body_object(request)
        if asked.get("status", "CREATED") != "CREATED":
            raise refuse("INVALID_ARGUMENT", "A version begins as CREATED")
        more = {key: asked[key] for key in ("labels", "config") if key in asked}
        _check_config(more.get("config", {}))
        return Json(_version(hosting.create_version(_site(request), _email(request), "CREATED", **more)))

    async def list_versions(request: Request) -> Response:
        prefix = f"sites/{hosting.site(_site(request))['site']}/"
        rows = [
            hosting.version(name) for name in reversed(hosting.versions.keys()) if name.startswith(prefix)
        ]
        return _page(request, "versions", rows, _version)

    async def get_version(request: Request) -> Response:
        return Json(_version(hosting.version(_version_of(request))))

    async def patch_version(request: Request) -> Response:
        row = hosting.version(_version_of(request))
        asked = await body_object(request)
        mask = (request.query_params.get("updateMask") or ",".join(asked)).split(",")
        if "config" in mask:
            _require_open(row)
            _check_config(asked.get("config") or {})
            row = hosting.versions.put(row["name"], {**row, "config": asked.get("config") or {}})
        if "labels" in mask:
            row = hosting.versions.put(row["name"], {**row, "labels": asked.get("labels") or {}})
        if "status" in mask and asked.get("status") == "FINALIZED" and row["status"] != "FINALIZED":
            _require_open(row)
            row = hosting.finalize(row, _email(request))
        return Json(_version(row))

    async def delete_version(request: Request) -> Response:
        row = hosting.version(_version_of(request))
        if any(row["name"] == one["releases"][-1].get("version") for one in _released(hosting)):
            raise refuse("FAILED_PRECONDITION", f"{row['name']} is released")
        more = {"deleteTime": hosting.now(), "deleteUser": {"email": _email(request)}}
        hosting.versions.put(row["name"], {**row, "status": "DELETED", **more})
        return Json({})

    async def populate_files(request: Request) -> Response:
        row = hosting.version(_version_of(request))
        _require_open(row)
        given = (await body_object(request)).get("files", {})
        files = dict(hosting.files.get(row["name"]) or {})
        for path, digest in given.items():
            if not path.startswith("/") or (digest and not _HASH.fullmatch(digest)):
                raise refuse("INVALID_ARGUMENT", f"Invalid file {path!r}: {digest!r}")
            if digest:
                files[path] = digest
            else:
                files.pop(path, None)
        hosting.files.put(row["name"], files)
        required = sorted({digest for digest in given.values() if digest and digest not in hosting.blobs})
        answer: Document = {"uploadUrl": f"{address(request)}/upload/{row['name']}/files"}
        return Json({**answer, "uploadRequiredHashes": required} if required else answer)

    async def upload(request: Request) -> Response:
        row = hosting.version(_version_of(request))
        _require_open(row)
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != request.path_params["hash"]:
            raise refuse("INVALID_ARGUMENT", "The uploaded bytes do not have the hash of the address")
        hosting.blobs.put(content)
        return Response(status_code=200)

    async def list_files(request: Request) -> Response:
        row = hosting.version(_version_of(request))
        files = sorted((hosting.files.get(row["name"]) or {}).items())
        wanted = request.query_params.get("status", "STATUS_UNSPECIFIED")
        shapes = [
            {"path": path, "hash": digest, "status": "ACTIVE" if digest in hosting.blobs else "EXPECTED"}
            for path, digest in files
        ]
        chosen = [one for one in shapes if wanted in ("STATUS_UNSPECIFIED", one["status"])]
        return _page(request, "files", chosen, lambda one: one, largest=1000)

    async def clone(request: Request) -> Response:
        asked = await body_object(request)
        operation = hosting.clone(_site(request), asked, _email(request))
        return Json(_operation(hosting, operation))

    async def get_operation(request: Request) -> Response:
        operation = hosting.operations.get(request.url.path.removeprefix("/v1beta1/"))
        if operation is None:
            raise not_found()
        return Json(_operation(hosting, operation))

    async def get_site(request: Request) -> Response:
        return Json(_site_shape(request, hosting.site(_site(request))))

    async def list_sites(request: Request) -> Response:
        project = request.path_params["project"]
        rows = [row for row in hosting.sites.values() if project in ("-", row["project"])]
        return _page(request, "sites", rows, lambda row: _site_shape(request, row))

    async def get_project(request: Request) -> Response:
        project = request.path_params["project"]
        sites = [row["site"] for row in hosting.sites.values() if row["project"] == project]
        if not sites:
            raise not_found()
        return Json(
            {
                "name": f"projects/{project}",
                "projectId": project,
                "projectNumber": number_of(project),
                "displayName": project,
                "resources": {"hostingSite": sites[0]},
                "state": "ACTIVE",
            }
        )

    def under(base: str) -> list[BaseRoute]:
        channel, version = base + "/channels/{channel}", base + "/versions/{version}"
        return [
            Route(channel, get_channel, methods=["GET"]),
            Route(channel + "/releases", create_release, methods=["POST"]),
            Route(channel + "/releases", list_releases, methods=["GET"]),
            Route(base + "/channels", list_channels, methods=["GET"]),
            Route(base + "/channels", create_channel, methods=["POST"]),
            Route(base + "/releases", create_release, methods=["POST"]),
            Route(base + "/releases", list_releases, methods=["GET"]),
            Route(base + "/versions:clone", clone, methods=["POST"]),
            Route(base + "/versions", create_version, methods=["POST"]),
            Route(base + "/versions", list_versions, methods=["GET"]),
            Route(version + ":populateFiles", populate_files, methods=["POST"]),
            Route(version + "/files", list_files, methods=["GET"]),
            Route(version, get_version, methods=["GET"]),
            Route(version, patch_version, methods=["PATCH"]),
            Route(version, delete_version, methods=["DELETE"]),
            Route(base, get_site, methods=["GET"]),
        ]

    return [
        *under("/v1beta1/projects/{project}/sites/{site}"),
        Route("/v1beta1/projects/{project}/operations/{operation}", get_operation, methods=["GET"]),
        *under("/v1beta1/sites/{site}"),
        Route("/v1beta1/projects/{project}/sites", list_sites, methods=["GET"]),
        Route("/v1beta1/projects/{project}", get_project, methods=["GET"]),
        Route("/upload/sites/{site}/versions/{version}/files/{hash}", upload, methods=["POST"]),
    ]


def refusal(status: int, message: str) -> Response:
    """Google's error body."""
    name = _STATUS.get(status, "INTERNAL")
    return Json({"error": {"code": status, "message": message, "status": name}}, status)


async def create(cloud: Cloud, world: Document) -> None:
    """Make the sites of `{"sites": [{"name", "project"}, …]}` that are absent."""
    for site in world.get("sites", []):
        if not isinstance(site, dict) or not isinstance(site.get("name"), str):
            raise ValueError(f"firebase.sites: {site!r} has no name")  # noqa: TRY004  the caller answers 400
        Hosting(cloud).create_site(site["name"], site.get("project") or site["name"])


def observe(cloud: Cloud) -> Document:
    """Each site's live version, with the hash over its files and configuration, and its releases."""
    hosting = Hosting(cloud)
    seen = {}
    for name, site in hosting.sites.items():
        version = hosting.live(name)
        releases = hosting.channel(name, "live")["releases"]
        seen[name] = {
            "project": site["project"],
            "live_version": version["name"] if version else None,
            "content_hash": content_hash(hosting, version) if version else None,
            "disabled": bool(releases) and version is None,
            "releases": [
                {key: one.get(key) for key in ("name", "type", "version", "releaseTime")} for one in releases
            ],
            "versions": [v for v in hosting.versions if v.startswith(f"sites/{name}/")],
        }
    return {"sites": seen}


def content_hash(hosting: Hosting, version: Document) -> str:
    """SHA-256 over a version's files and configuration: the same for a clone."""
    files = sorted((hosting.files.get(version["name"]) or {}).items())
    config = Json(version.get("config", {})).body
    return hashlib.sha256(repr(files).encode() + bytes(config)).hexdigest()


def _site(request: Request) -> str:
    site: str = request.path_params["site"]
    return site


def _version_of(request: Request) -> str:
    return version_name(f"sites/{_site(request)}/versions/{request.path_params['version']}")


def _email(request: Request) -> str:
    return f"{login_of(request)}@users.invalid"


def _released(hosting: Hosting) -> list[Document]:
    return [row for row in hosting.channels.values() if row["releases"]]


def _require_open(row: Document) -> None:
    if row["status"] != "CREATED":
        raise refuse("FAILED_PRECONDITION", f"{row['name']} is {row['status']} and cannot be changed")


def _check_config(config: Any) -> None:
    """Refuse what Google's schema does not know, as its JSON reader does."""
    if not isinstance(config, dict):
        raise refuse("INVALID_ARGUMENT", "Invalid value at 'version.config'")
    for key, value in config.items():
        if key not in _CONFIG:
            _unknown_name(key, "version.config")
        inner = _CONFIG[key]
        for number, rule in enumerate(value if inner else ()):
            for name in rule:
                if name not in (inner or ()):
                    _unknown_name(name, f"version.config.{key}[{number}]")


def _unknown_name(name: str, place: str) -> None:
    raise refuse(
        "INVALID_ARGUMENT",
        f"Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field.",
    )


# What is sent.


def _version(row: Document) -> Document:
    return {key: value for key, value in row.items() if key != "operation"}


def _release(hosting: Hosting, release: Document) -> Document:
    if "version" not in release:
        return release
    return {**release, "version": _version(hosting.version(release["version"]))}


def _channel(request: Request, hosting: Hosting, row: Document) -> Document:
    shape: Document = {
        "name": row["name"],
        "url": _site_url(request, row["site"]),
        "createTime": row["createTime"],
        "updateTime": row["updateTime"],
        "retainedReleaseCount": 10,
    }
    if "expireTime" in row:
        shape["expireTime"] = row["expireTime"]
    if row["releases"]:
        shape["release"] = _release(hosting, row["releases"][-1])
    return shape


def _operation(hosting: Hosting, operation: Document) -> Document:
    version = hosting.version(operation["version"])
    if version["status"] == "CLONING":
        return {"name": operation["name"], "done": False}
    kind = "type.googleapis.com/google.firebase.hosting.v1beta1.Version"
    return {"name": operation["name"], "done": True, "response": {"@type": kind, **_version(version)}}


def _site_shape(request: Request, row: Document) -> Document:
    name = f"projects/{row['project']}/sites/{row['site']}"
    return {"name": name, "defaultUrl": _site_url(request, row["site"]), "type": "USER_SITE"}


def _site_url(request: Request, site: str) -> str:
    port = request.url.port
    return f"{request.url.scheme}://{site}.localhost{f':{port}' if port else ''}"


def _page(request: Request, key: str, rows: Sequence[Document], shape: Any, *, largest: int = 100) -> Json:
    """One page of a list; the token is the place where the next one begins."""
    size, token = request.query_params.get("pageSize", ""), request.query_params.get("pageToken") or "0"
    if not token.isdigit():
        raise refuse("INVALID_ARGUMENT", "Invalid page token")
    count = min(largest, int(size)) if size.isdigit() and int(size) > 0 else largest
    start = int(token)
    answer: Document = {key: [shape(row) for row in rows[start : start + count]]} if rows else {}
    if start + count < len(rows):
        answer["nextPageToken"] = str(start + count)
    return Json(answer)
