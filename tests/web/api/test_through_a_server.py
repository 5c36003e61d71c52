"""`liftlock --server URL …`: what is shown, printed and returned is what it is without a server."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from liftlock.cli import diff, history, lease, look, promote, record, resume, rollback
from liftlock.cli.backups import list_
from liftlock.cli.looks import Here, HistoryAsked, There
from liftlock.cli.server import Server, asked
from liftlock.cli.session import Common
from liftlock.documents.diff import diff_document
from liftlock.documents.history import account_document, history_document
from liftlock.documents.status import status_document
from liftlock.documents.wire import NotOurs, from_wire, to_wire
from liftlock.errors import Refused, ReleaseFailed, Unauthorized, Unreachable, UsageError
from liftlock.model import Backup, Gates, Intent, Kind, Serve, State
from liftlock.planning.document import plan_document
from liftlock.ports import NewIntent
from tests.commands.world import World
from tests.doubles import release
from tests.web.access.served import GITHUB
from tests.web.api.listening import listening

pytestmark = pytest.mark.anyio
ALL = ("*",)
ROLES = {
    environment: {"see": ALL, "promote": ("ada",), "approve": ("ada",), "administer": ("ada",)}
    for environment in ("dev", "staging", "production")
}
ENVIRONMENTS = ("dev", "staging", "production")


def a_world(**gates: Any) -> World:
    world = World(gates=Gates(**gates))
    world.project = replace(world.project, serve=Serve(github=GITHUB, roles=ROLES))
    return world


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    made = a_world()
    async with listening(made) as (url, token):
        monkeypatch.setenv("LIFTLOCK_SERVER", url)
        monkeypatch.setenv("LIFTLOCK_TOKEN", token)
        yield made


def plain(text: str) -> str:
    """Without how long ago and how long: they differ between two looks."""
    return re.sub(r"\d+(\.\d+)? (s|ms|min|h|d)\b", "…", text)


async def test_every_look_gives_the_documents_of_this_machines_own(world: World, monkeypatch: Any) -> None:
    await promote.promote("dev", "staging", yes=True, common=Common())
    here = Here(world.project, {}, world.adapters)
    import os

    async with asked(os.environ["LIFTLOCK_SERVER"]) as server:
        project, _ = await server.value("project")
        there = There(server, project, {})
        mine, theirs = await here.status(ENVIRONMENTS), await there.status(ENVIRONMENTS)
        assert status_document(theirs) == status_document(mine)
        everything = HistoryAsked("", "", "", "", "", 20)
        found = await there.history(everything)
        assert history_document(found.entries) == history_document((await here.history(everything)).entries)
        (intent,) = [entry.intent for entry in found.entries if entry.intent]
        assert isinstance(intent, Intent)
        assert account_document(await there.account(intent.id)) == account_document(
            await here.account(intent.id)
        )
        plans = [
            plan_document(await looks.plan("dev", "production", (), accept_drift=False))
            for looks in (here, there)
        ]
        assert {**plans[0], "observed_at": ""} == {**plans[1], "observed_at": ""}
        compared = [diff_document(*await looks.diff("dev", "production", ["ODB"])) for looks in (here, there)]
        assert compared[0] == compared[1]
        assert await there.lease("staging") is None
        assert list(await there.backups("staging", ())) == list(await here.backups("staging", ()))


async def test_a_promotion_is_followed_and_ends_as_it_would_here(world: World, capsys: Any) -> None:
    assert await promote.promote("dev", "staging", yes=True, common=Common()) == 0
    said = capsys.readouterr().out
    for words in (
        "Promotion of",
        "from dev to staging",
        "switched",
        "verified",
        "done in",
        "see: liftlock history",
    ):
        assert words in said
    assert await promote.promote("dev", "staging", yes=True, common=Common()) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert await rollback.rollback("staging", yes=True, common=Common(json=True)) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["ending"], document["exit_code"]) == ("rollback", "succeeded", 0)


async def test_events_are_those_of_the_run(world: World, capsys: Any) -> None:
    await promote.promote("dev", "staging", yes=True, events=True, common=Common())
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["event"] for each in (told[0], told[-1])] == ["run-started", "run-finished"]
    assert {each["kind"] for each in told if each["event"] == "step-finished"} >= {
        "stage",
        "backup",
        "release",
    }


async def test_a_failure_has_its_exit_code_and_what_to_do_next(world: World, capsys: Any) -> None:
    world.platform.fails["release", "ODB"] = ReleaseFailed(
        "ODB's migration failed.", hint="Mend the migration."
    )
    assert await promote.promote("dev", "staging", yes=True, common=Common()) == 1
    said = capsys.readouterr().out
    for words in (
        "failed after",
        "ODB's migration failed.",
        "Mend the migration.",
        "put back        SSO",
    ):
        assert words in said


async def test_a_gate_that_refuses_ends_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(a_world(approvals=1)) as (url, token):
        monkeypatch.setenv("LIFTLOCK_TOKEN", token)
        with pytest.raises(Refused, match="approvals: 0 of 1 given"):
            await promote.promote("dev", "staging", yes=True, common=Common(server=url))


async def test_looking_prints_what_it_prints_here(world: World, capsys: Any) -> None:
    common = Common(no_color=True)
    shows: tuple[Callable[[], Awaitable[int]], ...] = (
        lambda: look.status(common=common),
        lambda: look.status("staging", check=True, common=Common(json=True)),
        lambda: history.history(common=common),
        lambda: diff.diff("dev", "staging", common=common),
        lambda: promote.plan("dev", "staging", common=common),
        lambda: lease.show("staging", common=common),
        lambda: list_("staging", common=common),
    )
    for show in shows:
        assert await show() == 0
        assert capsys.readouterr().out.strip()


async def test_what_came_a_moment_ago_is_seen(world: World, capsys: Any) -> None:
    """Nobody acts on what somebody else saw before."""
    at = world.adapters.clock.now()
    for number in range(1, 4):
        world.databases.kept.append(Backup(f"b{number}", "db-SSO", "SSO", "fake", 1 << 20, at, at))
        assert await list_("staging", common=Common(json=True)) == 0
        listed = json.loads(capsys.readouterr().out)["backups"]
        assert {each["id"] for each in listed} == {f"b{n}" for n in range(1, number + 1)}
        assert {*map(tuple, (each["apps"] for each in listed))} == {("SSO",)}


async def test_an_approval_is_given_through_the_server(world: World, capsys: Any) -> None:
    assert await record.approve("5" * 64, environment="staging", common=Common()) == 0
    assert "approves plan 555555555555 for staging" in capsys.readouterr().out


async def test_where_nothing_stands_open_nothing_is_resumed(world: World, capsys: Any) -> None:
    assert await resume.resume("staging", common=Common()) == 0
    assert "Nothing stands open" in capsys.readouterr().out


async def test_what_stands_open_is_resumed_there(world: World, capsys: Any) -> None:
    intent = NewIntent("k", Kind.PROMOTION, "staging", "dev", "5" * 64, {"ODB": release("ODB", "b")}, {}, {})
    opened = await world.ledger.open_intent(intent)
    assert opened.is_open
    await resume.resume("staging", undo=True, yes=True, common=Common())
    (seen,) = await world.ledger.intents("staging", 1)
    assert seen.state is not State.IN_PROGRESS


async def test_without_a_token_or_a_server_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIFTLOCK_TOKEN", raising=False)
    with pytest.raises(UsageError, match=r"There is no token for the server at liftlock\.example\.com"):
        await look.status(common=Common(server="https://liftlock.example.com"))
    monkeypatch.setenv("LIFTLOCK_TOKEN", "liftlock_x")
    with pytest.raises(UsageError, match="over plain http"):
        await look.status(common=Common(server="http://liftlock.example.com"))
    with pytest.raises(Unreachable, match="cannot be reached"):
        await look.status(common=Common(server="http://127.0.0.1:1"))
    with pytest.raises(UsageError, match="works on this machine alone"):
        Common(server="https://liftlock.example.com").project()
    async with listening(a_world()) as (url, _):
        with pytest.raises(Unauthorized, match="unknown, expired or revoked"):
            await look.status(common=Common(server=url))


async def test_only_values_of_the_model_come_off_the_wire() -> None:
    for sent in (
        {"_": "os.system", "value": "true"},
        {"_": "subprocess.Popen"},
        {"_": "model.Intent", "id": "1"},
        {"_": "model.State", "value": "surprising"},
        {"_": "datetime", "value": "never"},
        {"_": "map", "items": [[[1], 2], 3]},
    ):
        with pytest.raises(NotOurs):
            from_wire(sent)
    later = to_wire(Gates(approvals=2)) | {"a_field_of_a_later_version": 1}
    assert from_wire(later) == Gates(approvals=2)


async def test_a_stream_that_breaks_goes_on_where_it_was(world: World) -> None:
    import os

    async with asked(os.environ["LIFTLOCK_SERVER"]) as server:
        run = await server.change("POST", "promotions", body={"source": "dev", "target": "staging"})
        heard: list[Any] = []
        async for kind, document in server.events(run["id"]):
            heard.append((kind, document))
            if len(heard) == 3:
                break
        with anyio.fail_after(20):
            async for kind, _ in Server.events(server, run["id"]):
                if kind == "end":
                    break
