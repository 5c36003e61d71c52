"""Heroku's objects as its Platform API writes them: every field of the published schema, from our documents.

Source: `heroku/platform-api`, `schema.json`. Where the sandbox has no such thing (slugs, teams,
spaces, prices) the field holds what a small container app of a personal account shows.
One field departs from the schema on purpose: `web_url` is on loopback, not under herokuapp.com.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from liftlock.sandbox.backings.supervisor import Dyno
from liftlock.sandbox.clock import seconds_iso
from liftlock.sandbox.store import Document

if TYPE_CHECKING:
    from liftlock.sandbox.cloud import Cloud

_NAMESPACE = uuid.UUID("3f0c8a5e-64a3-4c0e-8f0f-6865726f6b75")


def fixed_id(*parts: str) -> str:
    """The identifier of something that has no document of its own: always the same for the same parts."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(parts)))


_CONTAINER = {"id": fixed_id("stack", "container"), "name": "container"}
_REGION = {"id": fixed_id("region", "us"), "name": "us"}
_SIZE = {"id": fixed_id("size", "Basic"), "name": "Basic"}


def email_of(login: str) -> str:
    """The account's address, under the reserved example domain."""
    return f"{login}@example.com"


def identity(app: Document) -> dict[str, str]:
    """An app as it appears inside other objects."""
    return {"id": app["id"], "name": app["name"]}


def app_payload(cloud: Cloud, app: Document) -> dict[str, Any]:
    return {
        "acm": False,
        "archived_at": None,
        "buildpack_provided_description": None,
        "build_stack": _CONTAINER,
        "created_at": app["created_at"],
        "generation": {"id": fixed_id("generation", "cedar"), "name": "cedar"},
        "git_url": f"https://git.heroku.com/{app['name']}.git",
        "id": app["id"],
        "internal_routing": None,
        "maintenance": app["maintenance"],
        "name": app["name"],
        "owner": {"email": email_of("owner"), "id": fixed_id("account", "owner")},
        "organization": None,
        "team": None,
        "region": _REGION,
        "released_at": app["released_at"],
        "repo_size": None,
        "slug_size": None,
        "space": None,
        "stack": _CONTAINER,
        "updated_at": app["updated_at"],
        "web_url": f"{cloud.base}/_apps/{app['name']}/",
    }


def pipeline_payload(name: str) -> dict[str, Any]:
    """A pipeline has no document of its own: its apps name it."""
    return {
        "created_at": "2026-01-01T00:00:00Z",
        "id": fixed_id("pipeline", name),
        "name": name,
        "owner": {"id": fixed_id("account", "owner"), "type": "user"},
        "updated_at": "2026-01-01T00:00:00Z",
        "generation": {"id": fixed_id("generation", "cedar"), "name": "cedar"},
    }


def coupling_payload(app: Document) -> dict[str, Any]:
    """An app's place in its pipeline."""
    return {
        "app": {"id": app["id"]},
        "created_at": app["created_at"],
        "id": fixed_id("coupling", app["id"]),
        "pipeline": {"id": fixed_id("pipeline", app["pipeline"])},
        "stage": app["stage"],
        "updated_at": app["updated_at"],
    }


def formation_payload(
    app: Document, type_: str, entry: Document, *, images: bool, wanted: str | None = None
) -> dict[str, Any]:
    """One process type; `images`: whether to tell its image, which may be `wanted` of a pending release."""
    payload = {
        "app": identity(app),
        "command": entry["command"],
        "created_at": entry["created_at"],
        "dyno_size": _SIZE,
        "id": entry["id"],
        "quantity": entry["quantity"],
        "size": "Basic",
        "type": type_,
        "updated_at": entry["updated_at"],
    }
    if images:
        image = wanted or entry["image"]
        payload["docker_image"] = {"id": image} if image else None
    return payload


def release_payload(app: Document, release: Document, base: str) -> dict[str, Any]:
    stream = f"{base}/_streams/releases/{release['id']}" if release["streamed"] else None
    return {
        "addon_plan_names": ["heroku-postgresql:essential-0"] if app["database"] else [],
        "artifacts": [
            {"id": fixed_id("artifact", image), "type": "docker-image"}
            for image in release["images"].values()
        ],
        "app": identity(app),
        "created_at": release["created_at"],
        "current": app["current"] == release["version"],
        "description": release["description"],
        "eligible_for_rollback": release["status"] == "succeeded" and bool(release["images"]),
        "id": release["id"],
        "output_stream_url": stream,
        "slug": None,
        "status": release["status"],
        "updated_at": release["updated_at"],
        "user": {"email": email_of(release["login"]), "id": fixed_id("account", release["login"])},
        "version": release["version"],
    }


def dyno_payload(app: Document, dyno: Dyno) -> dict[str, Any]:
    return {
        "app": identity(app),
        "attach_url": None,
        "command": " ".join(dyno.job.image.argv),
        "created_at": seconds_iso(dyno.created_at),
        "id": dyno.id,
        "name": dyno.name,
        "release": {"id": dyno.release_id, "version": dyno.job.version},
        "size": "Basic",
        "state": dyno.state,
        "type": dyno.job.type,
        "updated_at": seconds_iso(dyno.changed_at),
    }


def addon_payload(app: Document) -> dict[str, Any]:
    """The Heroku Postgres that belongs to the app."""
    return {
        "actions": [],
        "addon_service": {"id": fixed_id("service", "heroku-postgresql"), "name": "heroku-postgresql"},
        "billing_entity": {"id": app["id"], "name": app["name"], "type": "app"},
        "app": identity(app),
        "billed_price": {"cents": 500, "contract": False, "unit": "month"},
        "config_vars": ["DATABASE_URL"],
        "created_at": app["created_at"],
        "id": app["database"]["id"],
        "name": app["database"]["name"],
        "plan": {"id": fixed_id("plan", "essential-0"), "name": "heroku-postgresql:essential-0"},
        "provider_id": app["database"]["id"],
        "state": "provisioned",
        "updated_at": app["created_at"],
        "web_url": None,
    }


def attachment_payload(app: Document, payer: Document, *, detailed: bool = False) -> dict[str, Any]:
    """How the app sees its database, which belongs to `payer`; `detailed` adds what `Accept-Inclusion` asks for."""
    addon: dict[str, Any] = {
        "id": app["database"]["id"],
        "name": app["database"]["name"],
        "app": identity(payer),
    }
    if detailed:
        whole = addon_payload(payer)
        addon |= {"plan": whole["plan"], "config_vars": whole["config_vars"]}
    return {
        "addon": addon,
        "app": identity(app),
        "config_vars": ["DATABASE_URL"],
        "created_at": app["created_at"],
        "id": fixed_id("attachment", app["id"]),
        "log_input_url": None,
        "name": "DATABASE",
        "namespace": None,
        "updated_at": app["created_at"],
        "web_url": None,
    }


def account_payload(cloud: Cloud, login: str) -> dict[str, Any]:
    now = seconds_iso(cloud.clock.now())
    return {
        "allow_tracking": False,
        "beta": False,
        "country_of_residence": None,
        "created_at": "2026-01-01T00:00:00Z",
        "default_organization": None,
        "default_team": None,
        "delinquent_at": None,
        "email": email_of(login),
        "federated": False,
        "id": fixed_id("account", login),
        "identity_provider": None,
        "last_login": now,
        "name": login,
        "sms_number": None,
        "suspended_at": None,
        "two_factor_authentication": False,
        "updated_at": now,
        "verified": True,
    }
