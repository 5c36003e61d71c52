"""What the cloud serves without credentials: the running apps, their logs and the backups' addresses.

`/_apps/{app}/…` (or the host `{app}.localhost`) is proxied to the app's web dynos in turn. A request
that comes while they start waits for them, as Heroku's router does; the error pages are in its style
(H10 crashed, H14 none, H20 not up in time). A dyno's answer is passed on once it is whole. Source: Heroku Dev Center, "Error codes".
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json
from liftlock.sandbox.app import plain_refusal
from liftlock.sandbox.backings.supervisor import Dyno
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.heroku_apps import apps
from liftlock.sandbox.http1 import ProtocolError, exchange
from liftlock.sandbox.store import Document

NAME = "router"
PATHS = ("/_apps/", "/_streams/", "/_backups/")
OPEN = True

BOOT_WAIT_S = 75.0
"""How long a request waits for a starting dyno. Source: Heroku error H20."""
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"upgrade", b"proxy-connection"}
_ERRORS = {
    "H10": "App crashed",
    "H13": "Connection closed without response",
    "H14": "No web dynos running",
    "H20": "App boot timeout",
    "H80": "Maintenance mode",
}


def refusal(status: int, message: str) -> Response:
    return plain_refusal(status, message)


def routes(cloud: Cloud) -> list[BaseRoute]:
    """Served apps, log and release streams, and dumps."""
    turns: dict[str, int] = {}
    return [
        Route("/_apps/{app}/{path:path}", partial(_serve, cloud, turns), methods=METHODS),
        Route("/_apps/{app}", partial(_serve, cloud, turns), methods=METHODS),
        Route("/_streams/releases/{release}", partial(_release_stream, cloud), methods=["GET"]),
        Route("/_streams/logs/{session}", partial(_log_stream, cloud), methods=["GET"]),
        Route("/_backups/{uuid}.dump", partial(_dump, cloud), methods=["GET"]),
    ]


async def _serve(cloud: Cloud, turns: dict[str, int], request: Request) -> Response:
    name = request.path_params["app"]
    app = apps(cloud).get(name)
    if app is None:
        return PlainTextResponse(f"No such app: {name}\n", 404)
    if app["maintenance"]:
        return _error(cloud, request, app, "H80")
    with anyio.move_on_after(BOOT_WAIT_S):
        while True:
            dynos = [dyno for dyno in cloud.backing.dynos(name) if dyno.job.type == "web"]
            up = [dyno for dyno in dynos if dyno.state == "up"]
            if up:
                turns[name] = turns.get(name, -1) + 1
                return await _pass_on(cloud, request, app, up[turns[name] % len(up)])
            if not any(dyno.state == "starting" for dyno in dynos):
                return _error(cloud, request, app, "H10" if dynos else "H14")
            await cloud.backing.change(name)
    return _error(cloud, request, app, "H20")


async def _pass_on(cloud: Cloud, request: Request, app: Document, dyno: Dyno) -> Response:
    if dyno.run is None or dyno.run.port is None:
        return _modelled(request, app, dyno)
    # As it was written: the decoded path does not tell "%2F" from "/".
    raw = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    path = raw.decode("latin-1").removeprefix(f"/_apps/{app['name']}") or "/"
    if request.scope["query_string"]:
        path += "?" + request.scope["query_string"].decode("latin-1")
    headers = [(k, v) for k, v in request.headers.raw if k not in _HOP_BY_HOP]
    headers += [(b"x-forwarded-proto", b"http"), (b"x-forwarded-for", b"127.0.0.1")]
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    body = request.stream() if has_body else None
    try:
        stream = await anyio.connect_tcp("127.0.0.1", dyno.run.port)
        async with exchange(stream, request.method, path, headers, body) as reply:
            content = await reply.read()
    except (ProtocolError, OSError):
        return _error(cloud, request, app, "H13")
    answer = Response(content, reply.status)
    # A HEAD's content-length is the dyno's; another answer's is the body's.
    dropped = _HOP_BY_HOP if request.method == "HEAD" else _HOP_BY_HOP | {b"content-length"}
    answer.raw_headers = [(k, v) for k, v in reply.headers if k.lower() not in (*dropped, b"date")]
    if request.method != "HEAD":
        answer.raw_headers.append((b"content-length", str(len(content)).encode()))
    return answer


def _modelled(request: Request, app: Document, dyno: Dyno) -> Response:
    unhealthy = dyno.job.image.behaviour == "unhealthy"
    told = {"app": app["name"], "dyno": dyno.name, "version": dyno.job.version, "image": dyno.job.image.id}
    return Json({"ok": not unhealthy, **told}, 500 if unhealthy else 200)


def _error(cloud: Cloud, request: Request, app: Document, code: str) -> Response:
    line = f'at=error code={code} desc="{_ERRORS[code]}" method={request.method} path="{request.url.path}" status=503'
    cloud.backing.log(app["name"], "heroku[router]", line)
    return PlainTextResponse(f"Application error: {code} {_ERRORS[code]}\n", 503)


async def _release_stream(cloud: Cloud, request: Request) -> Response:
    """The release phase's output, from its beginning until it ends."""
    wanted = request.path_params["release"]
    found = next(
        (one for one in cloud.store.table("heroku.releases").items() if one[1]["id"] == wanted), None
    )
    if found is None:
        return PlainTextResponse("No such release\n", 404)
    name, release = found[0].partition("/")[0], found[1]

    async def output() -> AsyncIterator[str]:
        sent = 0
        while True:
            text = release["output"]
            if len(text) > sent:
                yield text[sent:]
                sent = len(text)
            elif release["status"] != "pending":
                return
            else:
                await cloud.backing.change(name)

    return StreamingResponse(output(), media_type="text/plain")


async def _log_stream(cloud: Cloud, request: Request) -> Response:
    """The last lines of a log, and with `tail` those that follow."""
    session = cloud.store.table("heroku.log-sessions").get(request.path_params["session"])
    if session is None:
        return PlainTextResponse("No such log session\n", 404)

    def fitting(after: int) -> list[tuple[int, str]]:
        lines = cloud.backing.lines(session["app"], after)
        return [entry for entry in lines if _fits(session, entry[1])]

    async def output() -> AsyncIterator[str]:
        everything = cloud.backing.lines(session["app"])
        last = everything[-1][0] if everything else 0
        for _, line in fitting(0)[-session["lines"] :] if session["lines"] else []:
            yield line + "\n"
        while session["tail"]:
            await cloud.backing.change(session["app"])
            for number, line in fitting(last):
                last = number
                yield line + "\n"

    return StreamingResponse(output(), media_type="text/plain")


def _fits(session: dict[str, Any], line: str) -> bool:
    source = line.split(" ", 2)[1]
    wanted, dyno = session.get("source"), session.get("dyno")
    return (not wanted or source.startswith(wanted + "[")) and (not dyno or f"[{dyno}" in source)


async def _dump(cloud: Cloud, request: Request) -> Response:
    kept = cloud.backing.databases.dumped(request.path_params["uuid"])
    if kept is None:
        return PlainTextResponse("No such backup\n", 404)
    if isinstance(kept, Path):
        return FileResponse(kept, media_type="application/octet-stream")
    return Response(kept, media_type="application/octet-stream")
