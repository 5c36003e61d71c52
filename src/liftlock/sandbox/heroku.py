"""Heroku's Platform API: what the CLI and liftlock ask of it.

Source: `heroku/platform-api` `schema.json`, and the CLI's own requests for what that leaves out
(image releases by `version=3.docker-releases`). Objects are written by `heroku_payloads`, releases
are made by `heroku_apps`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox import heroku_payloads as payloads
from liftlock.sandbox.answers import Json, body_object, login_of
from liftlock.sandbox.backings import DatabaseError
from liftlock.sandbox.clock import seconds_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.heroku_apps import (
    apps,
    begin_release,
    create_app,
    find,
    find_release,
    payer,
    refuse,
    releases,
    resume,
)
from liftlock.sandbox.heroku_formation import (
    change_formation,
    change_one_formation,
    list_formation,
    one_formation,
)
from liftlock.sandbox.heroku_ranges import ranged
from liftlock.sandbox.store import Document

NAME = "heroku"
PATHS = (
    "/apps",
    "/account",
    "/actions/",
    "/addon",
    "/pipeline-couplings",
    "/pipelines",
    "/rate-limits",
    "/users/~/",
)
OPEN = False

Handler = Callable[[Cloud, Request], Awaitable[Response]]

_ACCEPT = re.compile(r"application/vnd\.heroku\+json;\s*version=3(?:\.[\w.-]+)?(?:\s*[;,]|\s*$)")
_IDS = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    500: "internal_server_error",
}


def refusal(status: int, message: str) -> Response:
    """The frame's refusals in Heroku's format."""
    if status == 401:
        message = "Invalid credentials provided."
    return Json({"id": _IDS.get(status, "bad_request"), "message": message}, status)


def routes(cloud: Cloud) -> list[BaseRoute]:
    """The Platform API; what a promotion polls comes first."""
    cloud.backing.at_start.append(partial(resume, cloud))
    table: list[tuple[str, str, Handler]] = [
        ("GET", "/apps/{app}/dynos", list_dynos),
        ("GET", "/apps/{app}/releases", list_releases),
        ("GET", "/apps/{app}/formation", list_formation),
        ("GET", "/apps/{app}/releases/{release}", one_release),
        ("PATCH", "/apps/{app}/formation", change_formation),
        ("GET", "/apps/{app}", one_app),
        ("PATCH", "/apps/{app}", change_app),
        ("GET", "/apps/{app}/formation/{type}", one_formation),
        ("PATCH", "/apps/{app}/formation/{type}", change_one_formation),
        ("GET", "/apps/{app}/releases/{release}/config-vars", release_config_vars),
        ("POST", "/apps/{app}/releases", roll_back),
        ("GET", "/apps/{app}/config-vars", config_vars),
        ("PATCH", "/apps/{app}/config-vars", change_config_vars),
        ("DELETE", "/apps/{app}/dynos", restart),
        ("GET", "/apps/{app}/dynos/{dyno}", one_dyno),
        ("DELETE", "/apps/{app}/dynos/{dyno}", restart),
        ("DELETE", "/apps/{app}/formations/{type}", restart),
        ("POST", "/apps/{app}/log-sessions", open_log),
        ("GET", "/apps/{app}/addons", list_addons),
        ("GET", "/apps/{app}/addon-attachments", list_attachments),
        ("POST", "/actions/addon-attachments/resolve", resolve_attachment),
        ("POST", "/actions/addons/resolve", resolve_addon),
        ("GET", "/addons", list_addons),
        ("GET", "/addons/{addon}", one_addon),
        ("GET", "/account", account),
        ("GET", "/account/rate-limits", rate_limits),
        ("GET", "/apps", list_apps),
        ("GET", "/pipelines", list_pipelines),
        ("GET", "/pipeline-couplings", list_couplings),
        ("GET", "/users/~/apps", list_apps),
        ("GET", "/addon-attachments", list_attachments),
    ]
    methods: dict[str, dict[str, Handler]] = {}
    for method, path, handler in table:
        methods.setdefault(path, {})[method] = handler
    return [
        Route(path, _endpoint(cloud, handlers), methods=list(handlers)) for path, handlers in methods.items()
    ]


def _endpoint(cloud: Cloud, handlers: dict[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not _ACCEPT.search(request.headers.get("accept", "")):
            message = "Set the Accept header to application/vnd.heroku+json; version=3."
            raise refuse(406, "not_acceptable", message)
        method = "GET" if request.method == "HEAD" else request.method
        return await handlers[method](cloud, request)

    return endpoint


def _app(cloud: Cloud, request: Request) -> Document:
    return find(cloud, request.path_params["app"])


async def list_apps(cloud: Cloud, request: Request) -> Response:
    chosen, status, headers = ranged(request.headers.get("range", "id .."), list(apps(cloud).values()))
    return Json([payloads.app_payload(cloud, app) for app in chosen], status, headers)


async def list_pipelines(cloud: Cloud, request: Request) -> Response:
    named = dict.fromkeys(app["pipeline"] for app in apps(cloud).values() if app.get("pipeline"))
    rows = [payloads.pipeline_payload(name) for name in named]
    chosen, status, headers = ranged(request.headers.get("range", "id .."), rows)
    return Json(chosen, status, headers)


async def list_couplings(cloud: Cloud, request: Request) -> Response:
    rows = [payloads.coupling_payload(app) for app in apps(cloud).values() if app.get("pipeline")]
    chosen, status, headers = ranged(request.headers.get("range", "id .."), rows)
    return Json(chosen, status, headers)


async def one_app(cloud: Cloud, request: Request) -> Response:
    return Json(payloads.app_payload(cloud, _app(cloud, request)))


async def change_app(cloud: Cloud, request: Request) -> Response:
    """Maintenance on or off."""
    app = _app(cloud, request)
    wish = await body_object(request)
    if not isinstance(wish.get("maintenance", False), bool):
        raise refuse(422, "invalid_params", "maintenance is true or false.")
    app["maintenance"] = wish.get("maintenance", app["maintenance"])
    app["updated_at"] = seconds_iso(cloud.clock.now())
    apps(cloud).put(app["name"], app)
    return Json(payloads.app_payload(cloud, app))


async def list_releases(cloud: Cloud, request: Request) -> Response:
    app = _app(cloud, request)
    chosen, status, headers = ranged(request.headers.get("range", ""), releases(cloud, app))
    return Json([payloads.release_payload(app, one, cloud.base) for one in chosen], status, headers)


async def one_release(cloud: Cloud, request: Request) -> Response:
    app = _app(cloud, request)
    release = find_release(cloud, app, request.path_params["release"])
    return Json(payloads.release_payload(app, release, cloud.base))


async def roll_back(cloud: Cloud, request: Request) -> Response:
    """A new release with the images and the config vars of an old one."""
    app = _app(cloud, request)
    wish = await body_object(request)
    old = find_release(cloud, app, str(wish.get("release", "")))
    if old["status"] != "succeeded" or not old["images"]:
        raise refuse(422, "invalid_params", f"Release v{old['version']} is not eligible for rollback.")
    description = f"Rollback to v{old['version']}"
    release = begin_release(cloud, app, login_of(request), description, old["images"], old["config_vars"])
    return Json(payloads.release_payload(app, release, cloud.base), 201)


async def config_vars(cloud: Cloud, request: Request) -> Response:
    return Json(_app(cloud, request)["config_vars"])


async def release_config_vars(cloud: Cloud, request: Request) -> Response:
    app = _app(cloud, request)
    return Json(find_release(cloud, app, request.path_params["release"])["config_vars"])


async def change_config_vars(cloud: Cloud, request: Request) -> Response:
    """Set and unset; a change makes a release and restarts the dynos."""
    app = _app(cloud, request)
    wish = await body_object(request)
    for key, value in wish.items():
        if not re.fullmatch(r"\w+", key) or not isinstance(value, str | None):
            raise refuse(422, "invalid_params", f"Config var {key} is not a text, or its name is not a word.")
        if key == "DATABASE_URL" and app["database"]:
            raise refuse(422, "invalid_params", "Cannot overwrite attachment values DATABASE_URL.")
    before = app["config_vars"]
    after = {k: v for k, v in {**before, **wish}.items() if v is not None}
    if after != before:
        put = [key for key, value in wish.items() if value is not None and before.get(key) != value]
        gone = [key for key, value in wish.items() if value is None and key in before]
        changes = ([f"Set {', '.join(put)}"] if put else []) + ([f"Remove {', '.join(gone)}"] if gone else [])
        images = {type_: entry["image"] for type_, entry in app["formation"].items()}
        begin_release(cloud, app, login_of(request), f"{' and '.join(changes)} config vars", images, after)
    return Json(after)


async def list_dynos(cloud: Cloud, request: Request) -> Response:
    app = _app(cloud, request)
    return Json([payloads.dyno_payload(app, dyno) for dyno in cloud.backing.dynos(app["name"])])


async def one_dyno(cloud: Cloud, request: Request) -> Response:
    app = _app(cloud, request)
    for dyno in cloud.backing.dynos(app["name"]):
        if request.path_params["dyno"] in (dyno.id, dyno.name):
            return Json(payloads.dyno_payload(app, dyno))
    raise refuse(404, "not_found", "Couldn't find that dyno.")


async def restart(cloud: Cloud, request: Request) -> Response:
    app = _app(cloud, request)
    cloud.backing.restart(app["name"], request.path_params.get("dyno"), request.path_params.get("type"))
    return Json({}, 202)


async def open_log(cloud: Cloud, request: Request) -> Response:
    """A session whose address streams the app's log as text; asked for no credentials, as Logplex's."""
    app = _app(cloud, request)
    wish = await body_object(request)
    now = seconds_iso(cloud.clock.now())
    session = {
        "app": app["name"],
        "lines": int(wish.get("lines", 100)),
        "tail": bool(wish.get("tail")),
        "dyno": wish.get("dyno"),
        "source": wish.get("source"),
    }
    id_ = cloud.uuid()
    cloud.store.table("heroku.log-sessions").put(id_, session)
    url = f"{cloud.base}/_streams/logs/{id_}"
    return Json({"created_at": now, "id": id_, "logplex_url": url, "updated_at": now}, 201)


async def list_addons(cloud: Cloud, request: Request) -> Response:
    some = [_app(cloud, request)] if "app" in request.path_params else apps(cloud).values()
    return Json([payloads.addon_payload(app) for app in some if app["database"] and payer(cloud, app) is app])


async def one_addon(cloud: Cloud, request: Request) -> Response:
    return Json(payloads.addon_payload(_with_addon(cloud, request.path_params["addon"])))


async def list_attachments(cloud: Cloud, request: Request) -> Response:
    some = [_app(cloud, request)] if "app" in request.path_params else apps(cloud).values()
    detailed = _is_detailed(request)
    return Json(
        [
            payloads.attachment_payload(app, payer(cloud, app), detailed=detailed)
            for app in some
            if app["database"]
        ]
    )


async def resolve_attachment(cloud: Cloud, request: Request) -> Response:
    wish = await body_object(request)
    app = find(cloud, str(wish.get("app", "")))
    name = str(wish.get("addon_attachment", ""))
    if app["database"] is None or name.removesuffix("_URL") not in ("DATABASE", app["database"]["name"]):
        raise refuse(404, "not_found", "Couldn't find that add on attachment.")
    return Json([payloads.attachment_payload(app, payer(cloud, app), detailed=_is_detailed(request))])


def _is_detailed(request: Request) -> bool:
    return "addon:plan" in request.headers.get("accept-inclusion", "")


async def resolve_addon(cloud: Cloud, request: Request) -> Response:
    wish = await body_object(request)
    name = str(wish.get("addon", ""))
    if "app" in wish and name.removesuffix("_URL") == "DATABASE":
        app = find(cloud, str(wish["app"]))
        return Json([payloads.addon_payload(payer(cloud, app))] if app["database"] else [])
    return Json([payloads.addon_payload(_with_addon(cloud, name))])


def _with_addon(cloud: Cloud, identity: str) -> Document:
    for app in apps(cloud).values():
        if app["database"] and identity in (app["database"]["id"], app["database"]["name"]):
            return payer(cloud, app)
    raise refuse(404, "not_found", "Couldn't find that add-on.")


async def account(cloud: Cloud, request: Request) -> Response:
    return Json(payloads.account_payload(cloud, login_of(request)))


async def rate_limits(cloud: Cloud, request: Request) -> Response:
    return Json({"remaining": cloud.limits.heroku(login_of(request))})


async def create(cloud: Cloud, world: dict[str, Any]) -> None:
    """The apps of the world's part `heroku`. Raises `ValueError` for one that cannot be made."""
    for wish in world.get("apps", []):
        try:
            await create_app(cloud, wish)
        except DatabaseError as error:
            raise ValueError(f"the database of {wish['name']} cannot be made: {error}") from error


def observe(cloud: Cloud) -> dict[str, Any]:
    """Every app as it is, for tests: no values of config vars."""
    return {"apps": {app["name"]: _observed(cloud, app) for app in apps(cloud).values()}}


def _observed(cloud: Cloud, app: Document) -> dict[str, Any]:
    return {
        "maintenance": app["maintenance"],
        "current": app["current"],
        "config_vars": sorted(app["config_vars"]),
        "database": bool(app["database"]),
        "formation": [
            {"type": type_, "quantity": entry["quantity"], "image_id": entry["image"]}
            for type_, entry in app["formation"].items()
        ],
        "releases": [
            {key: one[key] for key in ("version", "status", "description", "images", "login", "created_at")}
            for one in releases(cloud, app)
        ],
        "dynos": [
            {"name": dyno.name, "state": dyno.state, "version": dyno.job.version, "image": dyno.job.image.id}
            for dyno in cloud.backing.dynos(app["name"])
        ],
    }


def administration(cloud: Cloud) -> list[BaseRoute]:
    """`PUT /_sandbox/heroku/apps/{app}` `{"fail_backups": true}`."""

    async def change(request: Request) -> Response:
        app = _app(cloud, request)
        wish = await body_object(request)
        if set(wish) - {"fail_backups"} or not isinstance(wish.get("fail_backups", False), bool):
            raise refuse(422, "invalid_params", "An app has the setting fail_backups: true or false.")
        app["fail_backups"] = wish.get("fail_backups", app["fail_backups"])
        apps(cloud).put(app["name"], app)
        return Json({"fail_backups": app["fail_backups"]})

    return [Route("/_sandbox/heroku/apps/{app}", change, methods=["PUT"])]
