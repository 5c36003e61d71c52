"""Administration under `/_sandbox/`: the world, the request log, faults, settings, the whole state.

For tests, benchmarks and people; it asks for no credentials, and faults do not touch it.
"""

from __future__ import annotations

import inspect
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, Refusal, body_object
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.pages import page, table
from liftlock.sandbox.store import Document

NAME = "admin"
PATHS = ("/_sandbox",)
OPEN = True
LATEST = 40


def routes(cloud: Cloud) -> list[BaseRoute]:
    """The administration's own routes and those of the vendors."""

    async def health(request: Request) -> Response:
        return Json({"ok": True})

    async def put_world(request: Request) -> Response:
        world = await body_object(request)
        makers = {name: module.create for name, module in cloud.vendors.items() if hasattr(module, "create")}
        for name, part in world.items():
            if name not in makers or not isinstance(part, dict):
                raise Refusal(
                    400, {"error": f"unknown part of the world {name!r}; there are {', '.join(makers)}"}
                )
        for name, part in world.items():
            try:
                await makers[name](cloud, part)
            except ValueError as error:
                raise Refusal(400, {"error": str(error)}) from error
        return Json({"ok": True})

    async def list_requests(request: Request) -> Response:
        since = request.query_params.get("since", "0")
        entries = cloud.log.since(int(since) if since.isdigit() else 0, request.query_params.get("vendor"))
        return Json([entry.document() for entry in entries])

    async def clear_requests(request: Request) -> Response:
        cloud.log.clear()
        return Response(status_code=204)

    async def add_fault(request: Request) -> Response:
        try:
            rule = cloud.faults.add(await body_object(request))
        except ValueError as error:
            raise Refusal(400, {"error": str(error)}) from error
        return Json({"id": rule.id}, 201)

    async def list_faults(request: Request) -> Response:
        return Json([rule.document() for rule in cloud.faults.rules])

    async def delete_faults(request: Request) -> Response:
        number = request.path_params.get("id")
        if not cloud.faults.delete(number) and number is not None:
            raise Refusal(404, {"error": f"there is no fault {number}"})
        return Response(status_code=204)

    async def get_settings(request: Request) -> Response:
        return Json(cloud.settings.document())

    async def put_settings(request: Request) -> Response:
        try:
            cloud.settings.change(await body_object(request))
        except ValueError as error:
            raise Refusal(400, {"error": str(error)}) from error
        cloud.store.table("settings").put("settings", cloud.settings.document())
        return Json(cloud.settings.document())

    async def state(request: Request) -> Response:
        return Json(await observe_all(cloud))

    async def index(request: Request) -> Response:
        body = _index(await observe_all(cloud), cloud, request.url.port)
        return Response(page("liftlock sandbox", body, navigation=True), media_type="text/html")

    own = [
        Route("/_sandbox/health", health, methods=["GET"]),
        Route("/_sandbox/requests", list_requests, methods=["GET"]),
        Route("/_sandbox/requests", clear_requests, methods=["DELETE"]),
        Route("/_sandbox/state", state, methods=["GET"]),
        Route("/_sandbox/world", put_world, methods=["PUT"]),
        Route("/_sandbox/faults", add_fault, methods=["POST"]),
        Route("/_sandbox/faults", list_faults, methods=["GET"]),
        Route("/_sandbox/faults", delete_faults, methods=["DELETE"]),
        Route("/_sandbox/faults/{id:int}", delete_faults, methods=["DELETE"]),
        Route("/_sandbox/settings", get_settings, methods=["GET"]),
        Route("/_sandbox/settings", put_settings, methods=["PUT"]),
        Route("/_sandbox/", index, methods=["GET"]),
        Route("/_sandbox", index, methods=["GET"]),
        Route("/", lambda _: RedirectResponse("/_sandbox/"), methods=["GET"]),
    ]
    others: list[BaseRoute] = []
    for module in cloud.vendors.values():
        if hasattr(module, "administration"):
            others += module.administration(cloud)
    return own + others


def refusal(status: int, message: str) -> Response:
    """The administration's error body."""
    return Json({"error": message}, status)


async def observe_all(cloud: Cloud) -> Document:
    """The whole observable truth, by vendor."""
    seen: Document = {}
    for name, module in cloud.vendors.items():
        if hasattr(module, "observe"):
            part: Any = module.observe(cloud)
            seen[name] = await part if inspect.isawaitable(part) else part
    return seen


def _index(state: Document, cloud: Cloud, port: int | None) -> str:
    """What runs where, for a person who has just started the sandbox."""
    suffix = f":{port}" if port else ""

    def link(name: str) -> str:
        return f'<a href="http://{escape(name)}.localhost{suffix}/">{escape(name)}</a>'

    return (
        "<h1>liftlock sandbox</h1>"
        f"<h2>Heroku apps</h2>{table(['app', 'release', 'processes', 'image'], _apps(state, link), 'No apps yet.')}"
        f"<h2>Firebase sites</h2>{table(['site', 'live version', 'since'], _sites(state, link), 'No sites yet.')}"
        f"<h2>Latest deployments</h2>{table(_DEPLOYMENT, _deployments(state), 'None recorded yet.')}"
        f"<h2>Latest requests</h2>{table(_REQUEST, _requests(cloud), 'None yet.')}"
    )


_DEPLOYMENT = ["repository", "task", "environment", "commit", "state", "at"]
_REQUEST = ["n", "vendor", "request", "status", "fault"]


def _apps(state: Document, link: Any) -> list[list[str]]:
    rows = []
    for name, app in _parts(state, "heroku", "apps").items():
        formation = app.get("formation") or []
        processes = ", ".join(
            f"{one.get('type')}&nbsp;&times;&nbsp;{one.get('quantity', 1)}" for one in formation
        )
        images = sorted(
            {str(one.get("image_id") or one.get("docker_image_id") or "")[7:19] for one in formation}
        )
        version = f"v{app['current']}" if app.get("current") else "-"
        rows.append([link(name), version, processes or "-", f"<code>{escape(', '.join(images))}</code>"])
    return rows


def _sites(state: Document, link: Any) -> list[list[str]]:
    rows = []
    for name, site in _parts(state, "firebase", "sites").items():
        version = site["live_version"]
        shown = f"<code>{escape(version.rpartition('/')[2])}</code>" if version else "-"
        since = site["releases"][-1]["releaseTime"] if site["releases"] else "-"
        rows.append(
            [link(name), '<span class="bad">disabled</span>' if site["disabled"] else shown, escape(since)]
        )
    return rows


def _deployments(state: Document) -> list[list[str]]:
    found = [
        (one["created_at"], one["id"], repository, one)
        for repository, part in _parts(state, "github", "repositories").items()
        for one in part["deployments"]
    ]
    rows = []
    for at, _, repository, one in sorted(found, key=lambda row: row[:2], reverse=True)[:LATEST]:
        status = one["statuses"][-1]["state"] if one["statuses"] else "-"
        kind = {"success": "good", "failure": "bad", "error": "bad"}.get(status, "dim")
        cells = [repository, one["task"], one["environment"], one["sha"][:7]]
        rows.append([*map(escape, cells), f'<span class="{kind}">{escape(status)}</span>', escape(at)])
    return rows


def _requests(cloud: Cloud) -> list[list[str]]:
    entries = [entry for entry in cloud.log.since() if entry.vendor != NAME][-LATEST:]
    return [
        [
            str(entry.n),
            escape(entry.vendor),
            f"<code>{escape(entry.method)} {escape(entry.path)}</code>",
            f'<span class="{"bad" if entry.status >= 400 or not entry.status else "good"}">{entry.status or "-"}</span>',
            escape(entry.fault),
        ]
        for entry in reversed(entries)
    ]


def _parts(state: Document, vendor: str, kind: str) -> Document:
    """A vendor's things by name, whether its state lists them by name or one after another."""
    part = state.get(vendor) or {}
    things = part.get(kind, {})
    return {one["name"]: one for one in things} if isinstance(things, list) else things
