"""The API: the same documents as the command line, for those who may; problems in its words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest

from liftlock.commands.status import look_at
from liftlock.documents.status import status_document
from liftlock.model import Gates, Serve
from liftlock.planning.document import plan_document
from liftlock.web.access.people import Right
from tests.commands.world import World
from tests.web.access.served import GITHUB
from tests.web.served import Browser, served

pytestmark = pytest.mark.anyio
ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    "dev": {"see": ("*",)},
    "staging": {
        "see": ("*",),
        "promote": ("ada", "bob"),
        "approve": ("grace", "ada"),
        "administer": ("root",),
    },
    "production": {"see": ("root",)},
}


def a_world(**gates: Any) -> World:
    world = World(gates=Gates(**gates)) if gates else World()
    world.project = replace(world.project, serve=Serve(github=GITHUB, roles=ROLES))
    return world


@dataclass
class Api:
    """Asks as somebody with a token of their own."""

    browser: Browser
    headers: dict[str, str]

    async def asks(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        headers = self.headers | more.pop("headers", {})
        answer = await self.browser.client.request(method, f"/api/v1{path}", headers=headers, **more)
        assert answer.status_code == status, answer.text
        kind = answer.headers["content-type"]
        assert kind == ("application/json" if status < 400 else "application/problem+json")
        return answer.json()

    async def another(self, account: str) -> Api:
        """Somebody else at the same server."""
        return Api(self.browser, await headers_of(self.browser, account))

    async def ended(self, run: dict[str, Any]) -> dict[str, Any]:
        """The run, once it is over."""
        seen = 0
        while True:
            told = await self.asks("GET", f"/runs/{run['id']}/events?wait=true&after={seen}")
            seen = told["events"][-1]["number"] if told["events"] else seen
            if told["is_over"]:
                found: dict[str, Any] = await self.asks("GET", f"/runs/{run['id']}")
                return found


@asynccontextmanager
async def api(world: World, account: str = "ada") -> AsyncIterator[Api]:
    async with served(world) as browser:
        browser.client.cookies.clear()
        yield Api(browser, await headers_of(browser, account))


async def headers_of(browser: Browser, account: str) -> dict[str, str]:
    rights = {environment: frozenset(Right) for environment in ROLES}
    text, _ = await browser.access.tokens.create("test", rights, created_by=account, owner=account)
    return {"authorization": f"Bearer {text}"}


async def test_status_is_the_command_lines_document_of_what_one_may_see() -> None:
    world = a_world()
    async with api(world) as asked:
        told = await asked.asks("GET", "/status")
    expected = status_document(await look_at(world.project, world.adapters, ["dev", "staging"]))
    assert told == json.loads(json.dumps(expected))


async def test_what_one_may_not_see_is_refused_everywhere() -> None:
    async with api(a_world()) as asked:
        for path in (
            "/status?environment=production",
            "/history?environment=production",
            "/plan?source=staging&target=production",
            "/diff?source=staging&target=production",
            "/rollback-plan?environment=production",
            "/environments/production/backups",
            "/environments/production/lease",
            "/runs?environment=production",
        ):
            problem = await asked.asks("GET", path, 403)
            assert problem["detail"] == "ada may not see production."
            assert problem["exit_code"] == 3
        named = [level["name"] for level in (await asked.asks("GET", "/project"))["environments"]]
        assert named == ["dev", "staging"]


async def test_a_plan_is_the_command_lines_document_and_is_promoted_as_it_was_seen() -> None:
    world = a_world()
    async with api(world) as asked:
        plan = await asked.asks("GET", "/plan?source=dev&target=staging")
        expected = json.loads(json.dumps(plan_document(await world.plan())))
        assert {**plan, "observed_at": ""} == {**expected, "observed_at": ""}
        body = {"source": "dev", "target": "staging", "plan": plan["digest"]}
        run = await asked.asks("POST", "/promotions", 202, json=body)
        assert (run["state"], run["requested_by"]) in {("queued", "ada"), ("running", "ada")}
        ended = await asked.ended(run)
        assert (ended["state"], ended["exit_code"]) == ("ended", 0)
        assert ended["result"]["ending"] == "succeeded"
        detail = await asked.asks("GET", f"/promotions/{ended['result']['promotion']}")
        assert detail["environment"] == "staging"
        again = await asked.ended(await asked.asks("POST", "/promotions", 202, json=body))
        assert again["exit_code"] == 3  # the plan that was seen no longer holds
        lines = await asked.browser.access.audit.read()
        assert [(x.account, x.action, x.environment, x.subject) for x in lines][-1] == (
            "ada", "promotion", "staging", run["id"],
        )  # fmt: skip


@pytest.mark.parametrize("who", ["ada", "root"])
async def test_work_is_taken_back_at_its_owners_word_or_by_who_administers(who: str) -> None:
    world = a_world()
    world.platform.takes_s["stage"] = 30
    async with api(world) as asked:
        body = {"source": "dev", "target": "staging"}
        first = await asked.asks("POST", "/promotions", 202, json=body)
        second = await asked.asks("POST", "/promotions", 202, json=body)
        bob = await asked.another("bob")  # who may promote there himself, and would be next
        for run in (first, second):
            refused = await bob.asks("DELETE", f"/runs/{run['id']}", 403)
            assert refused["detail"] == "bob may not take back what ada asked for."
            assert "ada can" in refused["hint"]
        other = await asked.another(who)
        assert (await other.asks("DELETE", f"/runs/{second['id']}"))["state"] == "withdrawn"
        await other.asks("DELETE", f"/runs/{first['id']}")
        assert "stopped by" in json.dumps((await asked.ended(first))["result"])


async def test_who_may_see_may_not_change() -> None:
    async with api(a_world(), "carol") as asked:
        for method, path, body in (
            ("POST", "/promotions", {"source": "dev", "target": "staging"}),
            ("POST", "/rollbacks", {"environment": "staging"}),
            ("POST", "/resumes", {"environment": "staging"}),
            ("POST", "/approvals", {"environment": "staging", "plan": "5" * 64}),
            ("DELETE", "/environments/staging/lease", {"reason": "mine"}),
        ):
            assert "may not" in (await asked.asks(method, path, 403, json=body))["detail"]
        assert "may not administer" in (await asked.asks("GET", "/audit", 403))["detail"]
        lines = await asked.browser.access.audit.read()
        assert {line.outcome for line in lines} == {"refused"}
        assert len(lines) == 6


async def test_the_name_is_asked_for_where_the_project_wants_it() -> None:
    world = a_world()
    world.project = replace(world.project, serve=replace(world.project.serve, confirm=("staging",)))
    async with api(world) as asked:
        body = {"source": "dev", "target": "staging"}
        assert "say its name" in (await asked.asks("POST", "/promotions", 400, json=body))["detail"]
        await asked.asks("POST", "/promotions", 202, json={**body, "confirm": "staging"})


async def test_a_run_is_followed_as_it_happens_and_from_where_one_was_cut_off() -> None:
    async with api(a_world()) as asked:
        run = await asked.asks("POST", "/promotions", 202, json={"source": "dev", "target": "staging"})
        headers = {**asked.headers, "accept": "text/event-stream"}
        whole = (await asked.browser.client.get(run["events"], headers=headers)).text
        blocks = [block for block in whole.split("\n\n") if block.startswith("id:")]
        documents = [json.loads(block.partition("data: ")[2]) for block in blocks]
        assert documents[0]["event"] == "plan"
        assert documents[-1]["event"] == "run-finished"
        end = whole.rpartition("event: end\ndata: ")[2]
        assert json.loads(end)["exit_code"] == 0
        later = await asked.browser.client.get(run["events"], headers={**headers, "last-event-id": "3"})
        assert "id: 4\n" in later.text
        assert "id: 3\n" not in later.text


async def test_an_approval_is_of_whoever_gives_it_and_ones_own_never_counts() -> None:
    world = a_world(approvals=1)

    @asynccontextmanager
    async def acting(account: str) -> AsyncIterator[Any]:
        world.ledger._account = account or "server"
        yield replace(world.adapters, acting_for=account)

    async with api(world, "ada") as ada:
        site = ada.browser.client._transport.app.state.site  # type: ignore[attr-defined]
        object.__setattr__(site, "open", acting)
        world.project = replace(world.project, ledger="sqlite:///x.db")
        ada.browser.access.project = world.project
        digest = (await ada.asks("GET", "/plan?source=dev&target=staging"))["digest"]
        body = {"environment": "staging", "plan": digest}
        assert (await ada.asks("POST", "/approvals", 201, json=body))["by"] == "ada"
        approved = await world.ledger.approvals("staging", digest)
        assert [a.account for a in approved] == ["ada"]


async def test_a_github_ledger_takes_no_approval_for_the_servers_own() -> None:
    world = a_world()
    world.project = replace(world.project, ledger="github")
    async with api(world, "grace") as asked:
        digest = "5" * 64
        told = await asked.asks("POST", "/approvals", 409, json={"environment": "staging", "plan": digest})
        assert "no token of grace's" in told["detail"]
        assert f"liftlock approve {digest} --environment staging" in told["hint"]
        assert told["exit_code"] == 3


async def test_a_machine_approves_nothing() -> None:
    world = a_world()
    async with api(world) as asked:
        tokens = asked.browser.access.tokens
        rights = {"staging": frozenset({Right.PROMOTE})}
        text, _ = await tokens.create("ci", rights, created_by="root")
        asked.headers = {"authorization": f"Bearer {text}"}
        await asked.asks("POST", "/approvals", 403, json={"environment": "staging", "plan": "5" * 64})
        with pytest.raises(Exception, match="a person's yes"):
            await tokens.create("ci", {"staging": frozenset({Right.APPROVE})}, created_by="root")


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "said"),
    [
        ("GET", "/status?enviroment=dev", None, 400, "Did you mean 'environment'?"),
        ("GET", "/status?environment=stagin", None, 404, "Did you mean staging?"),
        ("GET", "/plan?source=dev", None, 400, "The parameter 'target' is wrong: field required."),
        ("GET", "/history?limit=0", None, 400, "The parameter 'limit' is wrong"),
        ("GET", "/history?since=yesterday", None, 400, "neither a day"),
        ("GET", "/promotions/nothing1", None, 404, "No promotion, rollback, deploy or record has the id"),
        ("GET", "/runs/nothing", None, 404, "There is no run"),
        ("POST", "/promotions", b"{", 400, "The body is not JSON."),
        ("POST", "/promotions", b"[]", 400, "not a JSON object"),
        ("POST", "/promotions", b'{"source": "dev", "target": "staging", "yes": true}', 400, "'yes'"),
        ("POST", "/promotions", b'{"source": "dev", "target": 1}', 400, "'target'"),
        ("POST", "/promotions", b'{"source": "staging", "target": "staging"}', 400, "is not promoted from"),
        ("POST", "/promotions", b'{"source":"dev","target":"staging","apps":["X"]}', 400, "no app 'X'"),
        ("POST", "/promotions", b'{"source":"dev","target":"staging","override":["soak"]}', 400, "go together"),
        ("POST", "/promotions", b'{"source":"dev","target":"staging","override":["x"],"reason":"y"}', 400, "no gate 'x'"),
        ("DELETE", "/tokens/nothing", None, 404, "There is no token"),
        ("POST", "/tokens", b'{"name": "x", "rights": {"dev": ["see"]}}', 400, "not with another token"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_in_the_command_lines_words(
    method: str, path: str, sent: bytes | None, status: int, said: str
) -> None:
    async with api(a_world()) as asked:
        more: dict[str, Any] = {"content": sent} if sent else {}
        headers = {"content-type": "application/json"}
        problem = await asked.asks(method, path, status, headers=headers, **more)
    assert said in f"{problem['detail']} {problem['hint']}"
    assert problem["status"] == status
    assert problem["exit_code"] in {1, 2}


async def test_nobody_is_told_nothing() -> None:
    async with api(a_world()) as asked:
        client: httpx2.AsyncClient = asked.browser.client
        for path in ("/status", "/project", "/runs", "/tokens", "/audit", "/me", "/promotions/1"):
            answer = await client.get(f"/api/v1{path}")
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"] == 'Bearer realm="liftlock"'
        for path in ("/healthz", "/readyz"):
            assert (await client.get(path, headers={"host": "10.1.2.3"})).json() == {"status": "ok"}


async def test_no_answer_holds_where_secrets_are() -> None:
    """The wire's project names no secret's place and nothing that only the server needs."""
    world = a_world()
    world.project = replace(
        world.project,
        notify={"slack": {"webhook": "env:SLACK_WEBHOOK_URL"}},
        serve=replace(world.project.serve, webhook_secret="env:HOOK", database="postgresql://db/serve"),
    )
    async with api(world) as asked:
        headers = asked.headers | {"accept": "application/vnd.liftlock.model+json"}
        for path in ("/project", "/status", "/me"):
            text = (await asked.browser.client.get(f"/api/v1{path}", headers=headers)).text
            for secret in ("SLACK_WEBHOOK", "env:", "postgresql:", "client_secret", "tests/"):
                assert secret not in text
