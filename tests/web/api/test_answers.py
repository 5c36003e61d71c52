"""Real answers, held against the description: no key is missing there, and none is there that nobody gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from liftlock.errors import NotHealthy
from liftlock.model import Between, Commit, Relation
from liftlock.testing.samples import BACKUP
from liftlock.web.api.openapi import document
from tests.commands.world import Checked, World
from tests.doubles import START
from tests.web.api.test_api import Api, a_world, api

jsonschema = pytest.importorskip("jsonschema", reason="schemathesis brings jsonschema")
pytestmark = pytest.mark.anyio
SHA = "c" * 40
COMMIT = Commit(SHA, "Answer sooner", "Ada Lovelace", committed_at=START, login="ada", pull_request=7)


class Told(Checked):
    """Knows what lies between any two commits."""

    async def distance(self, repository: str, base: str, head: str) -> Between | None:
        return Between(Relation.AHEAD, ahead=1, commits=(COMMIT,))

    async def history(self, repository: str, base: str, head: str) -> Between | None:
        return Between(Relation.AHEAD, ahead=1, commits=(COMMIT,))

    async def about(self, repository: str, sha: str) -> Commit:
        return replace(COMMIT, sha=sha)


def a_told_world() -> World:
    world = a_world(approvals=1)
    world.source_code = Told()
    world.adapters = replace(world.adapters, source_code=world.source_code)
    return world


def described(path: str, method: str = "get") -> Any:
    """What validates answers of an operation."""
    whole = document()
    answers = whole["paths"][f"/api/v1{path}"][method]["responses"]
    schema = next(answer for status, answer in answers.items() if status != "default")
    of_json = schema["content"]["application/json"]["schema"]
    return jsonschema.Draft202012Validator({**of_json, "components": whole["components"]})


async def checked(asked: Api, path: str, template: str = "") -> Any:
    told = await asked.asks("GET", path)
    described(template or path.partition("?")[0]).validate(told)
    return told


async def test_what_stands_after_a_promotion() -> None:
    world = a_told_world()
    plan = await world.plan()
    world.approved(plan, "grace")
    async with api(world) as asked:
        before = await checked(asked, "/status")
        assert {cell["running"]["known"] for cell in before["apps"]} == {True}
        planned = await checked(asked, "/plan?source=dev&target=staging")
        assert planned["gates"][0]["passed"] is True
        diff = await checked(asked, "/diff?source=dev&target=staging")
        assert diff["apps"][0]["standing"] == "ahead"
        await world.run(world.plan)
        asked.browser.reading.outdate()
        assert (await checked(asked, "/history?limit=1"))[0]["outcome"] == "success"
        (intent,) = await world.ledger.intents("staging", 1)
        whole = await checked(asked, f"/promotions/{intent.id}", "/promotions/{id}")
        assert whole["backups"]
        assert whole["approvals"][0]["by"] == "grace"
        assert whole["apps"]["SSO"]["steps"]
        assert (await checked(asked, "/rollback-plan?environment=staging"))["kind"] == "rollback"


async def test_what_stands_in_trouble() -> None:
    world = a_world()
    world.platform.unknown.add("Explore")
    world.platform.fails["settle", "ODB"] = NotHealthy("ODB is not healthy.")
    await world.run(world.plan)
    world.put("SSO", "d", 70, 900)
    async with api(world) as asked:
        told = await checked(asked, "/status?environment=staging")
        assert {cell["drift"] for cell in told["apps"]} >= {"drift", "unknown"}
        entries = await checked(asked, "/history?environment=staging")
        assert {entry["kind"] for entry in entries} == {"promotion", "record of another tool"}
        assert (await checked(asked, "/promotions/900", "/promotions/{id}"))["kind"].startswith("record")
        await checked(asked, "/plan?source=dev&target=staging&accept_drift=true")


async def test_backups_and_who_holds_an_environment() -> None:
    world = a_world()
    world.databases.kept = [replace(BACKUP, database="db-SSO")]
    lease = await world.adapters.leases.take("staging", "a test")
    async with api(world) as asked:
        template = "/environments/{environment}/backups"
        assert (await checked(asked, "/environments/staging/backups", template))["backups"]
        template = "/environments/{environment}/lease"
        held = await checked(asked, "/environments/staging/lease", template)
        assert held["holding"]["purpose"] == "a test"
        assert (await checked(asked, "/environments/dev/lease", template))["holding"] is None
    await lease.free()


def test_nothing_is_said_beside_what_is_described() -> None:
    validator = described("/environments/{environment}/lease")
    assert not validator.is_valid({"environment": "staging", "holding": None, "secret": "x"})
    assert not validator.is_valid({"environment": "staging"})
