"""The sites themselves: the live version of each, at `http://SITE.localhost:PORT/` and `/_sites/SITE/`.

Order of decisions, from Firebase's documentation "Hosting priority order": redirects, exact files,
rewrites, the site's own 404.html, the default page. Headers are those whose pattern takes the path
that was asked for.
"""

from __future__ import annotations

import gzip
import mimetypes
from dataclasses import dataclass, field
from html import escape

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.app import plain_refusal
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.firebase_store import Hosting
from liftlock.sandbox.pages import page
from liftlock.sandbox.patterns import location, match
from liftlock.sandbox.store import Document

NAME = "sites"
PATHS = ("/_sites/",)
OPEN = True
refusal = plain_refusal

# What the standard library's table lacks or says differently on some machines.
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
    ".ico": "image/x-icon",
    ".webp": "image/webp",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a path leads to: a file of the version, or somewhere else."""

    status: int
    digest: str = ""
    path: str = ""
    location: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def routes(cloud: Cloud) -> list[BaseRoute]:
    """One route: any path of any site."""
    hosting = Hosting(cloud)

    async def serve(request: Request) -> Response:
        site: str = request.path_params["site"]
        if site not in hosting.sites:
            return _notice(404, "No such site", f"The sandbox has no Firebase site “{site}”.")
        version = hosting.live(site)
        if version is None:
            if hosting.channel(site, "live")["releases"]:
                return _notice(404, "Site disabled", f"The last release of “{site}” switched it off.")
            return _notice(404, "Nothing deployed yet", f"“{site}” waits for its first release.")
        path = "/" + request.path_params["path"]
        return _serve(
            request, hosting, version, path, "" if "liftlock.host" in request.scope else f"/_sites/{site}"
        )

    return [Route("/_sites/{site}/{path:path}", serve, methods=["GET", "HEAD"])]


def lookup(config: Document, files: dict[str, str], path: str) -> Found:
    """What Firebase Hosting would answer to `path`: a pure function of the version."""
    headers: dict[str, str] = {}
    for rule in config.get("headers", []):
        if match(rule, path):
            headers |= rule["headers"]
    for rule in config.get("redirects", []):
        found = match(rule, path)
        if found:
            return Found(rule["statusCode"], location=location(rule["location"], found), headers=headers)
    clean, slash = config.get("cleanUrls", False), config.get("trailingSlashBehavior", "")
    if clean and path.endswith((".html", "/index")) and (path in files or f"{path}.html" in files):
        return Found(301, location=_without_extension(path, slash), headers=headers)
    exact = _exact(files, path, clean=clean)
    if exact:
        proper = _proper_slash(exact, path, slash)
        if proper != path:
            return Found(301, location=proper, headers=headers)
        return Found(200, files[exact], exact, headers=headers)
    for rule in config.get("rewrites", []):
        if "path" in rule and match(rule, path):
            target = _exact(files, rule["path"], clean=clean)
            if target:
                return Found(200, files[target], target, headers=headers)
    return Found(404, files.get("/404.html", ""), "/404.html", headers=headers)


def _exact(files: dict[str, str], path: str, *, clean: bool) -> str | None:
    candidates = [path, path.rstrip("/") + "/index.html"]
    if clean:
        candidates.append(path.rstrip("/") + ".html")
    return next((one for one in candidates if one in files), None)


def _proper_slash(file: str, path: str, behavior: str) -> str:
    """The path as the version wants it written; only pages are concerned, not files asked for by name."""
    if path in ("/", file):
        return path
    if behavior == "ADD":
        return path if path.endswith("/") else f"{path}/"
    if behavior == "REMOVE":
        return path.rstrip("/")
    # By default a folder's page ends with a slash and any other one does not.
    if file.endswith("/index.html"):
        return path if path.endswith("/") else f"{path}/"
    return path.rstrip("/")


def _without_extension(path: str, behavior: str) -> str:
    bare = path.removesuffix(".html").removesuffix("index")
    if behavior == "ADD":
        return bare if bare.endswith("/") else f"{bare}/"
    return bare.rstrip("/") or "/" if behavior == "REMOVE" else bare


def _serve(request: Request, hosting: Hosting, version: Document, path: str, base: str) -> Response:
    files: dict[str, str] = hosting.files.get(version["name"]) or {}
    found = lookup(version.get("config", {}), files, path)
    if found.location:
        to = base + found.location if found.location.startswith("/") else found.location
        if request.url.query and "?" not in to:
            to += f"?{request.url.query}"
        return RedirectResponse(to, found.status, found.headers)
    content = hosting.blobs.get(found.digest) if found.digest else None
    if content is None:
        return _notice(404, "Page not found", f"The live version has no “{path}”.")
    headers = {"cache-control": "max-age=3600", "etag": f'"{found.digest}"', "vary": "accept-encoding"}
    headers |= {"content-type": content_type(found.path)} | {k.lower(): v for k, v in found.headers.items()}
    if found.status == 200 and request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
    else:
        content = gzip.decompress(content)
    return Response(content, found.status, headers)


def content_type(path: str) -> str:
    """The media type by the name's ending, as Firebase Hosting sets it."""
    ending = "." + path.rpartition(".")[2].lower() if "." in path.rpartition("/")[2] else ""
    kind = _TYPES.get(ending) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") and "charset" not in kind else kind


def _notice(status: int, title: str, text: str) -> Response:
    return Response(
        page(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>"), status, media_type="text/html"
    )
