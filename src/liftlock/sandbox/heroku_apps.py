"""Heroku's apps and what a release does to them, without HTTP.

A release carries an image for every process type and the config vars. With a `release` process type
it is *pending* until that image's command has ended; a failed one does not become current and the
processes go on as they were. Documents are kept in the tables `heroku.apps` and `heroku.releases`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from liftlock.sandbox.answers import Refusal
from liftlock.sandbox.backings import Job
from liftlock.sandbox.clock import seconds_iso
from liftlock.sandbox.images import holds_image, load_image
from liftlock.sandbox.store import Document, Table

if TYPE_CHECKING:
    from liftlock.sandbox.cloud import Cloud

RELEASE = "release"
NAME = re.compile(r"[a-z][a-z0-9-]{1,28}[a-z0-9]")


def refuse(status: int, id_: str, message: str) -> Refusal:
    """An error as Heroku writes it."""
    return Refusal(status, {"id": id_, "message": message})


def apps(cloud: Cloud) -> Table:
    """The apps by name."""
    return cloud.store.table("heroku.apps")


def find(cloud: Cloud, identity: str) -> Document:
    """The app of that name or id. Raises a 404."""
    app = apps(cloud).get(identity)
    if app is None:
        app = next((one for one in apps(cloud).values() if one["id"] == identity), None)
    if app is None:
        raise refuse(404, "not_found", "Couldn't find that app.")
    return app


def release_of(cloud: Cloud, app: Document, version: int) -> Document:
    """One release by its version number; it has to exist."""
    release = cloud.store.table("heroku.releases").get(f"{app['name']}/{version}")
    if release is None:
        raise LookupError(f"{app['name']} has no release v{version}")
    return release


def releases(cloud: Cloud, app: Document) -> list[Document]:
    """All releases of an app, oldest first."""
    return [release_of(cloud, app, version) for version in range(1, app["last"] + 1)]


def find_release(cloud: Cloud, app: Document, identity: str) -> Document:
    """The release of that version number or id. Raises a 404."""
    if identity.isdecimal():
        if 1 <= int(identity) <= app["last"]:
            return release_of(cloud, app, int(identity))
    else:
        for version in range(app["last"], 0, -1):
            release = release_of(cloud, app, version)
            if release["id"] == identity:
                return release
    raise refuse(404, "not_found", "Couldn't find that release.")


async def create_app(cloud: Cloud, wish: dict[str, Any]) -> Document:
    """The app of that name, made when it is absent.

    `wish`: `name`; and optionally `database` (true for one of its own, or the name of the app whose
    database is attached to it as well), `config_vars`, and `formation` ({type: quantity}:
    how its process types are scaled once they have an image; without it Heroku gives web 1, others 0),
    and `pipeline` with `stage` ("development", "staging" or "production").
    """
    name = wish["name"]
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"an app's name matches {NAME.pattern}, and {name!r} does not")
    app = apps(cloud).get(name)
    if app is None:
        app = _new_app(cloud, name, wish)
        _add_release(cloud, app, "owner", "Initial release", {}, wish.get("config_vars") or {})
    if wish.get("pipeline"):
        app |= {"pipeline": wish["pipeline"], "stage": wish["stage"]}
        apps(cloud).put(name, app)
    if wish.get("formation"):
        app["scale"].update(wish["formation"])
        apps(cloud).put(name, app)
    if wish.get("database") and app["database"] is None:
        owner = _owner_of(cloud, wish)
        if owner is None:
            addon = app["database"] = {"id": cloud.uuid(), "name": f"postgresql-{name}"}
            app["config_vars"]["DATABASE_URL"] = await cloud.backing.databases.create(name)
        else:
            addon = app["database"] = {**owner["database"], "of": owner["name"]}
            app["config_vars"]["DATABASE_URL"] = owner["config_vars"]["DATABASE_URL"]
        description = f"Attach DATABASE (@ref:{addon['name']})"
        begin_release(cloud, app, "owner", description, _images(app), app["config_vars"])
    return app


def _owner_of(cloud: Cloud, wish: dict[str, Any]) -> Document | None:
    """The app whose database is to be shared; None for a database of one's own."""
    if wish["database"] is True:
        return None
    owner = apps(cloud).get(str(wish["database"]))
    if owner is None or owner["database"] is None or "of" in owner["database"]:
        raise ValueError(f"{wish['database']} has no database of its own that {wish['name']} could share")
    return owner


def payer(cloud: Cloud, app: Document) -> Document:
    """The app that its database belongs to, and is billed to: itself, where it shares nobody's."""
    return find(cloud, app["database"].get("of", app["name"]))


def check_image(cloud: Cloud, app: Document, type_: str, image: str) -> None:
    """Raises the refusal for an image that was never pushed for this process type."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", image):
        raise refuse(422, "invalid_params", f"docker_image of {type_} is not an image id (sha256:…).")
    if not holds_image(cloud, f"{app['name']}/{type_}", image):
        raise refuse(404, "not_found", f"Couldn't find that docker image: {image} for {app['name']}/{type_}.")


def check_free(cloud: Cloud, app: Document) -> None:
    """Raises a 409 while a release phase of the app runs (ours: Heroku's own answer is not published)."""
    if release_of(cloud, app, app["last"])["status"] == "pending":
        raise refuse(409, "conflict", f"A release of {app['name']} is in progress (v{app['last']}).")


def begin_release(
    cloud: Cloud,
    app: Document,
    login: str,
    description: str,
    images: dict[str, str],
    config_vars: dict[str, str],
) -> Document:
    """Make a release; it becomes current at once, or after its release phase when it has one.

    Raises a 409 as `check_free` does.
    """
    check_free(cloud, app)
    release = _add_release(cloud, app, login, description, images, config_vars)
    if RELEASE in images:
        release["status"] = "pending"
        release["streamed"] = True
        _save(cloud, app, release)
        cloud.start_soon(_release_phase, cloud, app, release)
    else:
        _make_current(cloud, app, release, switching=True)
    return release


def jobs(cloud: Cloud, app: Document, *, switching: bool = False) -> list[Job]:
    """The processes that the app's formation asks for, at its current release."""
    wanted = []
    for type_, entry in app["formation"].items():
        if type_ != RELEASE and entry["image"]:
            image = load_image(cloud, entry["image"])
            wanted += [
                Job(app["name"], f"{type_}.{n}", image, app["current"], app["config_vars"], switching)
                for n in range(1, entry["quantity"] + 1)
            ]
    return wanted


def scale(cloud: Cloud, app: Document, type_: str, quantity: int) -> None:
    """How many dynos of a process type run from now on; makes no release. Raises a 404."""
    entry = app["formation"].get(type_)
    if entry is None:
        raise refuse(404, "not_found", f"Couldn't find that process type ({type_}).")
    entry["quantity"] = app["scale"][type_] = quantity
    entry["updated_at"] = seconds_iso(cloud.clock.now())
    apps(cloud).put(app["name"], app)
    cloud.backing.adjust(app["name"], release_of(cloud, app, app["current"])["id"], jobs(cloud, app))


async def resume(cloud: Cloud) -> None:
    """After a restart of the sandbox: start what ran, end what was under way."""
    now = seconds_iso(cloud.clock.now())
    for app in apps(cloud).values():
        if app["database"]:
            # The server may have had to take another port.
            name = app["database"].get("of", app["name"])
            app["config_vars"]["DATABASE_URL"] = await cloud.backing.databases.create(name)
            apps(cloud).put(app["name"], app)
        last = release_of(cloud, app, app["last"])
        if last["status"] == "pending":
            last["output"] += "The release phase was interrupted: the sandbox was stopped.\n"
            last |= {"status": "failed", "updated_at": now}
            _save(cloud, app, last)
        cloud.backing.replace(app["name"], release_of(cloud, app, app["current"])["id"], jobs(cloud, app))


def _new_app(cloud: Cloud, name: str, wish: dict[str, Any]) -> Document:
    now = seconds_iso(cloud.clock.now())
    return {
        "id": cloud.uuid(),
        "name": name,
        "created_at": now,
        "updated_at": now,
        "released_at": None,
        "maintenance": False,
        "config_vars": dict(wish.get("config_vars") or {}),
        "formation": {},
        "scale": {},
        "database": None,
        "current": 1,
        "last": 0,
        "fail_backups": False,
    }


def _images(app: Document) -> dict[str, str]:
    """The image of every process type as it runs now."""
    return {type_: entry["image"] for type_, entry in app["formation"].items() if entry["image"]}


def _add_release(
    cloud: Cloud,
    app: Document,
    login: str,
    description: str,
    images: dict[str, str],
    config_vars: dict[str, str],
) -> Document:
    now = seconds_iso(cloud.clock.now())
    app["last"] += 1
    release: Document = {
        "id": cloud.uuid(),
        "version": app["last"],
        "status": "succeeded",
        "description": description,
        "login": login,
        "images": dict(images),
        "config_vars": dict(config_vars),
        "created_at": now,
        "updated_at": now,
        "output": "",
        "streamed": False,
    }
    _save(cloud, app, release)
    return release


def _save(cloud: Cloud, app: Document, release: Document) -> None:
    cloud.store.table("heroku.releases").put(f"{app['name']}/{release['version']}", release)
    apps(cloud).put(app["name"], app)


async def _release_phase(cloud: Cloud, app: Document, release: Document) -> None:
    """Run the release command; its outcome is the release's."""
    name = app["name"]

    def heard(line: str) -> None:
        release["output"] += line + "\n"

    job = Job(
        name,
        f"{RELEASE}.{1000 + release['version']}",
        load_image(cloud, release["images"][RELEASE]),
        release["version"],
        release["config_vars"],
    )
    status = await cloud.backing.release_phase(job, release["id"], heard)
    release["updated_at"] = seconds_iso(cloud.clock.now())
    if status == 0:
        release["status"] = "succeeded"
        _make_current(cloud, app, release, switching=False)
    else:
        heard(f"Release command failed with exit status {status}.")
        release["status"] = "failed"
        _save(cloud, app, release)
    cloud.backing.log(name, "heroku[release]", f"Release v{release['version']} {release['status']}")


def _make_current(cloud: Cloud, app: Document, release: Document, *, switching: bool) -> None:
    """Let the app run what the release says."""
    now = seconds_iso(cloud.clock.now())
    formation: dict[str, Document] = {}
    for type_, image in release["images"].items():
        entry = app["formation"].get(type_) or {
            "id": cloud.uuid(),
            "quantity": 0 if type_ == RELEASE else app["scale"].get(type_, 1 if type_ == "web" else 0),
            "created_at": now,
        }
        command = " ".join(load_image(cloud, image).argv)
        formation[type_] = entry | {"image": image, "command": command, "updated_at": now}
    config_vars = dict(release["config_vars"])
    if app["database"]:
        # An add-on's own variable is not the release's: a rollback does not bring an old one back.
        config_vars["DATABASE_URL"] = app["config_vars"]["DATABASE_URL"]
    app |= {
        "formation": formation,
        "config_vars": config_vars,
        "current": release["version"],
        "released_at": now,
        "updated_at": now,
    }
    _save(cloud, app, release)
    cloud.backing.log(app["name"], "app[api]", f"Release v{release['version']}: {release['description']}")
    cloud.backing.replace(app["name"], release["id"], jobs(cloud, app, switching=switching))
