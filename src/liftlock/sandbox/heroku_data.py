"""Heroku's data API: a database's state, its backups and their restores.

Source: `heroku/cli` `src/commands/pg/backups` and `src/lib/pg/types.ts`; there is no published schema.
A transfer is over when `finished_at` is set, and only then `succeeded` means something.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liftlock.sandbox.answers import Json, body_object
from liftlock.sandbox.backings import DatabaseError
from liftlock.sandbox.clock import seconds_iso
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.heroku import refusal
from liftlock.sandbox.heroku_apps import apps, find, payer, refuse
from liftlock.sandbox.store import Document, Table

NAME = "heroku_data"
PATHS = ("/client/v11/",)
OPEN = False

_DUMP_ADDRESS = re.compile(r".*/_backups/([0-9a-f-]{36})\.dump(?:\?.*)?")


def routes(cloud: Cloud) -> list[BaseRoute]:
    """The backups' API; what is polled comes first."""
    cloud.backing.at_start.append(partial(resume, cloud))
    transfer = "/client/v11/apps/{app}/transfers/{transfer}"
    return [
        Route(transfer, partial(_one, cloud), methods=["GET", "DELETE"]),
        Route("/client/v11/apps/{app}/transfers", partial(_list, cloud), methods=["GET"]),
        Route("/client/v11/databases/{addon}", partial(_database, cloud), methods=["GET"]),
        Route("/client/v11/databases/{addon}/backups", partial(_capture, cloud), methods=["POST"]),
        Route("/client/v11/databases/{addon}/restores", partial(_restore, cloud), methods=["POST"]),
        Route(transfer + "/actions/public-url", partial(_public_url, cloud), methods=["POST"]),
        Route(transfer + "/actions/cancel", partial(_cancel, cloud), methods=["POST"]),
    ]


def transfers(cloud: Cloud) -> Table:
    """The transfers by `app/num`."""
    return cloud.store.table("heroku.transfers")


def transfers_of(cloud: Cloud, app: Document) -> list[Document]:
    """An app's backups, restores and copies, oldest first; deleted ones are not there."""
    begin = app["name"] + "/"
    return [row for key, row in transfers(cloud).items() if key.startswith(begin)]


async def resume(cloud: Cloud) -> None:
    """After a restart of the sandbox: what was under way has failed."""
    for key, transfer in transfers(cloud).items():
        if transfer["finished_at"] is None:
            _finish(cloud, key, transfer, succeeded=False, message="The sandbox was stopped.")


def observe(cloud: Cloud) -> dict[str, Any]:
    """The backups of every app, for tests."""
    keys = ("num", "from_type", "to_type", "succeeded", "finished_at", "canceled_at", "processed_bytes")
    return {
        "backups": {
            app["name"]: [{key: one[key] for key in keys} for one in transfers_of(cloud, app)]
            for app in apps(cloud).values()
            if app["database"]
        }
    }


def _owner(cloud: Cloud, request: Request) -> Document:
    """The app whose database is meant by the add-on's id or name. Raises a 404."""
    identity = request.path_params["addon"]
    for app in apps(cloud).values():
        if app["database"] and identity in (app["database"]["id"], app["database"]["name"]):
            return payer(cloud, app)
    raise refuse(404, "not_found", "Couldn't find that database.")


def _find(cloud: Cloud, request: Request) -> tuple[str, Document]:
    app = find(cloud, request.path_params["app"])
    wanted = request.path_params["transfer"]
    key = f"{app['name']}/{wanted}"
    if wanted.isdecimal():
        row = transfers(cloud).get(key)
        if row is not None:
            return key, row
    else:
        for row in transfers_of(cloud, app):
            if row["uuid"] == wanted:
                return f"{app['name']}/{row['num']}", row
    raise refuse(404, "not_found", "Couldn't find that transfer.")


def _payload(transfer: Document, *, verbose: bool = False) -> dict[str, Any]:
    return {key: value for key, value in transfer.items() if key != "app" and (verbose or key != "logs")}


async def _one(cloud: Cloud, request: Request) -> Response:
    key, transfer = _find(cloud, request)
    if request.method == "DELETE":
        transfers(cloud).delete(key)
        cloud.backing.databases.forget(transfer["uuid"])
        transfer["deleted_at"] = seconds_iso(cloud.clock.now())
    return Json(_payload(transfer, verbose=request.query_params.get("verbose") == "true"))


async def _list(cloud: Cloud, request: Request) -> Response:
    app = find(cloud, request.path_params["app"])
    return Json([_payload(transfer) for transfer in transfers_of(cloud, app)])


async def _database(cloud: Cloud, request: Request) -> Response:
    app = _owner(cloud, request)
    info = {
        "Plan": "Essential 0",
        "Status": "Available",
        "Data Size": f"{await cloud.backing.databases.size(app['name']) / 1024:.1f} KB",
        "PG Version": "18",
        "Continuous Protection": "Off",
    }
    return Json(
        {
            "addon_id": app["database"]["id"],
            "name": app["database"]["name"],
            "info": [{"name": name, "values": [value]} for name, value in info.items()],
        }
    )


async def _capture(cloud: Cloud, request: Request) -> Response:
    app = _owner(cloud, request)
    key, transfer = _new(cloud, app, "pg_dump", "gof3r")
    cloud.start_soon(_dump, cloud, app, key, transfer)
    return Json(_payload(transfer), 201)


async def _restore(cloud: Cloud, request: Request) -> Response:
    app = _owner(cloud, request)
    address = (await body_object(request)).get("backup_url")
    match = _DUMP_ADDRESS.fullmatch(str(address))
    if match is None or cloud.backing.databases.dumped(match[1]) is None:
        raise refuse(422, "invalid_params", "backup_url is not the address of a backup of this sandbox.")
    key, transfer = _new(cloud, app, "gof3r", "pg_restore")
    cloud.start_soon(_load, cloud, app, key, transfer, match[1])
    return Json(_payload(transfer), 201)


async def _public_url(cloud: Cloud, request: Request) -> Response:
    _, transfer = _find(cloud, request)
    if not transfer["succeeded"] or transfer["to_type"] != "gof3r":
        raise refuse(422, "invalid_params", "That transfer is not a finished backup.")
    return Json({"expires_at": seconds_iso(cloud.clock.now()), "url": _address(cloud, transfer["uuid"])}, 201)


async def _cancel(cloud: Cloud, request: Request) -> Response:
    key, transfer = _find(cloud, request)
    if transfer["finished_at"] is None:
        transfer["canceled_at"] = seconds_iso(cloud.clock.now())
        _finish(cloud, key, transfer, succeeded=False, message="canceled")
    return Json(_payload(transfer))


def _address(cloud: Cloud, uuid: str) -> str:
    return f"{cloud.base}/_backups/{uuid}.dump"


def _new(cloud: Cloud, app: Document, from_type: str, to_type: str) -> tuple[str, Document]:
    """A transfer that has begun, under the app's next number."""
    num = cloud.store.next(f"transfers/{app['name']}")
    now = seconds_iso(cloud.clock.now())
    uuid = cloud.uuid()
    backup = to_type == "gof3r"
    url = _address(cloud, uuid)
    transfer: Document = {
        "app": app["name"],
        "uuid": uuid,
        "num": num,
        "from_name": "DATABASE" if backup else "BACKUP",
        "from_type": from_type,
        "from_url": None,
        "to_name": "BACKUP" if backup else "DATABASE",
        "to_type": to_type,
        "to_url": url if backup else None,
        "options": {},
        "source_bytes": None,
        "processed_bytes": 0,
        "succeeded": None,
        "warnings": 0,
        "created_at": now,
        "updated_at": now,
        "started_at": now,
        "finished_at": None,
        "canceled_at": None,
        "deleted_at": None,
        "purged_at": None,
        "num_keep": None,
        "schedule": None,
        "logs": [{"created_at": now, "level": "info", "message": "started"}],
    }
    key = f"{app['name']}/{num}"
    transfers(cloud).put(key, transfer)
    return key, transfer


async def _dump(cloud: Cloud, app: Document, key: str, transfer: Document) -> None:
    """Write the backup; `fail_backups` lets it fail after the time that it takes."""
    databases = cloud.backing.databases
    try:
        transfer["source_bytes"] = await databases.size(app["name"])
        size = await databases.dump(app["name"], transfer["uuid"])
        if app["fail_backups"]:
            raise DatabaseError("pg_dump: error: this database's backups fail on purpose")
    except DatabaseError as error:
        databases.forget(transfer["uuid"])
        _finish(cloud, key, transfer, succeeded=False, message=str(error))
    else:
        transfer["processed_bytes"] = size
        _finish(cloud, key, transfer, succeeded=True, message="finished")


async def _load(cloud: Cloud, app: Document, key: str, transfer: Document, backup: str) -> None:
    try:
        await cloud.backing.databases.restore(app["name"], backup)
    except DatabaseError as error:
        _finish(cloud, key, transfer, succeeded=False, message=str(error))
    else:
        transfer["processed_bytes"] = await cloud.backing.databases.size(app["name"])
        _finish(cloud, key, transfer, succeeded=True, message="finished")


def _finish(cloud: Cloud, key: str, transfer: Document, *, succeeded: bool, message: str) -> None:
    if transfer["finished_at"] is not None or transfers(cloud).get(key) is not transfer:
        cloud.backing.databases.forget(transfer["uuid"])  # canceled or deleted meanwhile
        return
    now = seconds_iso(cloud.clock.now())
    transfer |= {"finished_at": now, "updated_at": now, "succeeded": succeeded}
    transfer["logs"].append(
        {"created_at": now, "level": "info" if succeeded else "error", "message": message}
    )
    transfers(cloud).put(key, transfer)


__all__ = ["NAME", "OPEN", "PATHS", "observe", "refusal", "routes", "transfers_of"]
