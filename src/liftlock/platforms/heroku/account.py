"""What a Heroku account holds: apps, pipelines and databases, for `init`.

Source: Heroku Platform API reference, "App", "Pipeline", "Pipeline Coupling", "Add-on", "Formation".
Lists come in pages of up to 1,000, continued by the header `Next-Range`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from liftlock.accounts import HerokuApp
from liftlock.http import Http, field, optional
from liftlock.platforms.heroku.api import ACCEPT
from liftlock.tasks import together

POSTGRES = "heroku-postgresql"
_ALL = {"Range": "id ..; max=1000"}


async def read_apps(http: Http) -> Sequence[HerokuApp]:
    """Every app that the credential sees. One round trip for each 1,000 of the longest list."""
    apps, addons, pipelines, couplings = await together(
        partial(_all, http, "/apps"),
        partial(_all, http, "/addons"),
        partial(_all, http, "/pipelines"),
        partial(_all, http, "/pipeline-couplings"),
    )
    names = {field(each, "id", str): field(each, "name", str) for each in pipelines}
    coupled = {
        field(each, "app.id", str): (
            names.get(field(each, "pipeline.id", str), ""),
            field(each, "stage", str),
        )
        for each in couplings
    }
    with_database = {
        optional(each, "app.id", str)
        for each in addons
        if optional(each, "addon_service.name", str) == POSTGRES
    }
    found = []
    for each in apps:
        id_ = field(each, "id", str)
        pipeline, stage = coupled.get(id_, ("", ""))
        stack = optional(each, "stack.name", str) or ""
        found.append(
            HerokuApp(field(each, "name", str), stack == "container", id_ in with_database, pipeline, stage)
        )
    return sorted(found, key=lambda app: app.name)


async def read_processes(http: Http, app: str) -> Sequence[str]:
    """The process types of an app. One round trip."""
    answer = await http.request("GET", f"/apps/{app}/formation", headers=ACCEPT)
    return [field(each, "type", str) for each in answer.array()]


async def _all(http: Http, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    asked = _ALL
    while True:
        answer = await http.request("GET", path, headers=ACCEPT | asked)
        found += answer.array()
        following = answer.headers.get("next-range", "")
        if answer.status != 206 or not following:
            return found
        asked = {"Range": following}
