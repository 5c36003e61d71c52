"""Heroku's formation: what is released to each process type, and how many dynos of it run.

Image releases are the unpublished variant `version=3.docker-releases` of the API; what is known of
it comes from the CLI's requests (`container/release.ts`, `container/rm.ts`).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from liftlock.sandbox import heroku_payloads as payloads
from liftlock.sandbox.answers import Json, body_object, login_of
from liftlock.sandbox.clock import seconds_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.heroku_apps import begin_release, check_free, check_image, find, refuse, scale
from liftlock.sandbox.store import Document


def _tells_images(cloud: Cloud, request: Request, *, reading: bool) -> bool:
    asked = "version=3.docker-releases" in request.headers["accept"]
    return asked and (cloud.settings.formation_images or not reading)


async def list_formation(cloud: Cloud, request: Request) -> Response:
    app = find(cloud, request.path_params["app"])
    images = _tells_images(cloud, request, reading=True)
    return Json(
        [
            payloads.formation_payload(app, type_, entry, images=images)
            for type_, entry in app["formation"].items()
        ]
    )


async def one_formation(cloud: Cloud, request: Request) -> Response:
    app = find(cloud, request.path_params["app"])
    type_ = request.path_params["type"]
    entry = app["formation"].get(type_)
    if entry is None:
        raise refuse(404, "not_found", "Couldn't find that formation.")
    images = _tells_images(cloud, request, reading=True)
    return Json(payloads.formation_payload(app, type_, entry, images=images))


async def change_formation(cloud: Cloud, request: Request) -> Response:
    """Release images and scale, several process types in one call; all of it or nothing."""
    app = find(cloud, request.path_params["app"])
    updates = (await body_object(request)).get("updates")
    if not isinstance(updates, list) or not all(isinstance(one, dict) and one.get("type") for one in updates):
        raise refuse(422, "invalid_params", "updates is a list of objects, each with its type.")
    return Json(_change(cloud, request, app, updates))


async def change_one_formation(cloud: Cloud, request: Request) -> Response:
    app = find(cloud, request.path_params["app"])
    type_ = request.path_params["type"]
    update = await body_object(request) | {"type": type_}
    before = app["formation"].get(type_)
    answer = _change(cloud, request, app, [update])
    entry = next((one for one in answer if one["type"] == type_), None)
    if entry is None and before is not None:
        entry = payloads.formation_payload(app, type_, before | {"image": None, "quantity": 0}, images=True)
    return Json(entry)


def _change(cloud: Cloud, request: Request, app: Document, updates: list[Document]) -> list[Document]:
    released = [one for one in updates if "docker_image" in one]
    if released and not _tells_images(cloud, request, reading=False):
        message = (
            "docker_image needs the Accept header application/vnd.heroku+json; version=3.docker-releases."
        )
        raise refuse(422, "invalid_params", message)
    wanted = _wanted_images(cloud, app, released)
    quantities = _quantities(app, updates, wanted)
    if wanted != {type_: entry["image"] for type_, entry in app["formation"].items()}:
        description = _description(app, wanted, released)
        check_free(cloud, app)
        app["scale"].update(quantities)
        begin_release(cloud, app, login_of(request), description, wanted, app["config_vars"])
    for type_, quantity in quantities.items():
        if type_ in app["formation"] and app["formation"][type_]["quantity"] != quantity:
            scale(cloud, app, type_, quantity)
    return _answer(cloud, request, app, wanted)


def _wanted_images(cloud: Cloud, app: Document, released: list[Document]) -> dict[str, str]:
    wanted = {type_: entry["image"] for type_, entry in app["formation"].items()}
    for one in released:
        image = one["docker_image"]
        if isinstance(image, dict):
            image = image.get("id")
        if image is None:
            if one["type"] not in wanted:
                raise refuse(404, "not_found", f"Couldn't find that process type ({one['type']}).")
            del wanted[one["type"]]
        else:
            check_image(cloud, app, one["type"], str(image))
            wanted[one["type"]] = image
    return wanted


def _quantities(app: Document, updates: list[Document], wanted: dict[str, str]) -> dict[str, int]:
    quantities = {}
    for one in updates:
        if "quantity" in one:
            text = str(one["quantity"])
            if not text.isdecimal():
                raise refuse(422, "invalid_params", f"quantity of {one['type']} is not a number: {text}.")
            if one["type"] not in wanted:
                raise refuse(404, "not_found", f"Couldn't find that process type ({one['type']}).")
            quantities[one["type"]] = int(text)
    return quantities


def _description(app: Document, wanted: dict[str, str], released: list[Document]) -> str:
    changed = [
        type_
        for type_, image in wanted.items()
        if image != (app["formation"].get(type_) or {"image": None})["image"]
    ]
    if not changed:
        gone = [one["type"] for one in released if one["type"] not in wanted]
        return f"Removed {', '.join(gone)}"
    return "Deployed " + ", ".join(f"{type_} ({wanted[type_][7:19]})" for type_ in changed)


def _answer(cloud: Cloud, request: Request, app: Document, wanted: dict[str, str]) -> list[Document]:
    """The formation as it was asked for: of a pending release, as it will be."""
    now = seconds_iso(cloud.clock.now())
    images = _tells_images(cloud, request, reading=False)
    answer = []
    for type_, image in wanted.items():
        entry = app["formation"].get(type_) or {
            "id": payloads.fixed_id("formation", app["id"], type_),
            "command": "",
            "quantity": 0,
            "created_at": now,
            "updated_at": now,
            "image": image,
        }
        answer.append(payloads.formation_payload(app, type_, entry, images=images, wanted=image))
    return answer
