"""The GitHub ledger beside other tools' records, with late listings and lost answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx2
import pytest

from liftlock.errors import (
    AnswerLost,
    BadAnswer,
    Conflict,
    NotFound,
    Unauthorized,
    UsageError,
    VendorError,
    VendorFailure,
)
from liftlock.http import Http
from liftlock.ledgers.github import INTENT_TASK, GitHubLedger
from liftlock.ledgers.github_deployments import LOOKS_S, Deployments, cut
from liftlock.ledgers.payload import approval_payload, intent_payload
from liftlock.model import Deployment, Intent, RecordedId, State
from liftlock.ports import Ledger
from tests.ledgers.worlds import (
    BASE,
    COMMITS,
    OBSERVATORY,
    RELEASES,
    GitHubWorld,
    containers,
    github_world,
    new_deployment,
    new_intent,
    observatory,
)

pytestmark = pytest.mark.anyio

SERVICES = "example/services"
on_virtual_clock = pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
WEB = "sha256:" + "a" * 64


@pytest.fixture
async def world() -> AsyncIterator[GitHubWorld]:
    async with github_world() as made:
        yield made


def sso(environment: str = "staging", payload: Any = None, **more: Any) -> dict[str, Any]:
    payload = {"docker_image_shas": {"web": WEB}} if payload is None else payload
    return {"task": "deploy:SSO", "environment": environment, "payload": payload, **more}


# Records of other tools.


async def test_the_records_of_an_existing_team_are_read_under_their_own_names(world: GitHubWorld) -> None:
    ids = {}
    for record in OBSERVATORY["records"]:
        repository = OBSERVATORY["apps"][record["app"]]["repository"]
        ids[record["app"]] = await world.foreign(repository, record["body"])
    found = await world.ledger.read("dev", list(OBSERVATORY["apps"])).recorded()
    for record in OBSERVATORY["records"]:
        current = found[record["app"]].current
        assert current is not None, record["why"]
        assert current.id == ids[record["app"]]
        assert current.release.commit == record["body"]["ref"]
        assert current.release.artifacts == {k: RecordedId(v) for k, v in record["artifacts"].items()}
        assert (current.state, current.promotion, current.kind) == (None, "", None)
    assert {app for app, r in found.items() if r.current is None} == {"ITC", "RESOURCE", "preferences"}


async def test_the_names_of_every_environment_are_the_teams_own(world: GitHubWorld) -> None:
    for environment, github in (("dev", "development"), ("staging", "staging"), ("production", "production")):
        await world.foreign(SERVICES, sso(github))
        await world.foreign("example/admin", {"task": "deploy", "environment": f"admin-ui-{environment}"})
        found = await world.ledger.read(environment, ["SSO", "AdminUI", "ResourceUI"]).newest()
        assert set(found) == {"SSO", "AdminUI"}


@pytest.mark.parametrize(
    ("states", "counts"),
    [
        ((), True),
        (("success",), True),
        (("in_progress", "success"), True),
        (("success", "inactive"), True),
        (("success", "failure"), True),
        (("failure",), False),
        (("error",), False),
        (("in_progress",), False),
        (("pending", "queued"), False),
        (("inactive",), False),
    ],
)
async def test_what_counts_is_what_ever_succeeded_or_has_no_status(
    world: GitHubWorld, states: tuple[str, ...], counts: bool
) -> None:
    older = await world.foreign(SERVICES, sso(), "success")
    newer = await world.foreign(SERVICES, sso(), *states)
    found = (await world.ledger.read("staging", ["SSO"]).recorded())["SSO"]
    assert found.current is not None
    assert found.current.id == (newer if counts else older)
    assert [d.id for d in found.failed_since] == ([] if counts else [newer])
    assert found.current.state in {None, *State} - {State.QUEUED, State.PENDING, State.IN_PROGRESS}


async def test_a_neighbour_that_github_retires_still_counts(world: GitHubWorld) -> None:
    """A workflow that leaves `auto_inactive` on marks every neighbour's success inactive."""
    mine = await world.foreign(SERVICES, sso(), "success")
    await world.foreign(SERVICES, {"task": "deploy:ITC", "environment": "staging"}, "success")
    found = (await world.ledger.read("staging", ["SSO"]).recorded())["SSO"]
    assert found.current is not None
    assert (found.current.id, found.current.state) == (mine, State.INACTIVE)


async def test_our_own_success_retires_no_neighbour(world: GitHubWorld) -> None:
    await world.foreign(SERVICES, {"task": "deploy:ITC", "environment": "staging"}, "success")
    intent = await world.ledger.open_intent(new_intent())
    made = await world.ledger.record(new_deployment(containers(), intent.id), intent)
    await world.ledger.mark(made, State.SUCCESS, "from dev")
    assert [s["state"] for s in world.records()[0]["statuses"]] == ["success"]


@pytest.mark.parametrize("payload", ["<html>502</html>", "{", {"docker_image_shas": {"web": 5}}, "", {}])
async def test_a_record_that_cannot_be_understood_has_no_artifacts(world: GitHubWorld, payload: Any) -> None:
    await world.foreign(SERVICES, sso(payload=payload))
    found = (await world.ledger.read("staging", ["SSO"]).recorded())["SSO"]
    assert found.current is not None
    assert found.current.release.artifacts == {}


async def test_todays_scripts_read_our_record(world: GitHubWorld) -> None:
    """They take the newest record of the task and environment, whatever its status."""
    intent = await world.ledger.open_intent(new_intent())
    made = await world.ledger.record(new_deployment(RELEASES["ODB"], intent.id), intent)
    await world.ledger.mark(made, State.SUCCESS, "x" * 200)
    path = f"/repos/{SERVICES}/deployments?task=deploy:ODB&environment=staging"
    newest = (await world.http.request("GET", path)).array()[0]
    assert newest["sha"] == COMMITS[1]
    assert newest["payload"]["docker_image_shas"] == {
        "web": "sha256:" + "b" * 64,
        "calibration": "sha256:" + "c" * 64,
        "obscalc": "sha256:" + "d" * 64,
    }
    assert newest["production_environment"] is False
    assert newest["transient_environment"] is False


# How much is asked.


async def many(world: GitHubWorld, count: int, body: dict[str, Any], *states: str) -> list[str]:
    return [await world.foreign(SERVICES, body, *states) for _ in range(count)]


async def test_nothing_is_asked_before_it_is_awaited_and_nothing_twice(world: GitHubWorld) -> None:
    apps = list(OBSERVATORY["apps"])
    for app in ("SSO", "ITC", "ODB", "RESOURCE"):
        await world.foreign(SERVICES, {"task": f"deploy:{app}", "environment": "staging"})
    world.cloud.log.clear()
    reading = world.ledger.read("staging", apps)
    assert world.requests() == []
    await reading.newest()
    # services/staging, explore/staging, admin/resource-ui-staging, admin/admin-ui-staging
    assert len(world.requests()) == 4
    await reading.recorded()
    assert len(world.requests()) == 8, "one look at the statuses of each app's newest record"
    await reading.open_intents()
    await reading.newest()
    await reading.recorded()
    assert len(world.requests()) == 8


async def test_a_promotion_writes_this_much_and_no_more(world: GitHubWorld) -> None:
    await world.ledger.read("staging", ["SSO"]).open_intents()
    world.cloud.log.clear()
    intent = await world.ledger.open_intent(new_intent())
    assert len(world.requests()) == 1
    made = await world.ledger.record(new_deployment(containers(), intent.id), intent)
    assert len(world.requests()) == 2
    await world.ledger.mark(made, State.SUCCESS)
    await world.ledger.close_intent(intent, State.SUCCESS, "1 released")
    assert [method for method, _ in world.requests()] == ["POST"] * 4


async def test_an_app_that_is_not_on_the_first_page_is_asked_for_by_its_task(world: GitHubWorld) -> None:
    first = await world.foreign(SERVICES, {"task": "deploy:ITC", "environment": "staging"}, "success")
    newest = (await many(world, 250, sso()))[-1]
    world.cloud.log.clear()
    reading = world.ledger.read("staging", ["SSO", "ITC", "ODB"])
    assert {app: d.id for app, d in (await reading.newest()).items()} == {"SSO": newest, "ITC": first}
    assert len(world.requests()) == 3, "the shared page, then ITC's and ODB's own"
    found = await reading.recorded()
    assert found["ITC"].current is not None
    assert found["ODB"].current is None


async def test_three_pages_of_failures_are_gone_through_back_to_the_success(world: GitHubWorld) -> None:
    good = await world.foreign(SERVICES, sso(), "success")
    bad = await many(world, 220, sso(), "failure")
    world.cloud.log.clear()
    found = (await world.ledger.read("staging", ["SSO"]).recorded())["SSO"]
    assert found.current is not None
    assert found.current.id == good
    assert [d.id for d in found.failed_since] == bad[::-1]
    assert len(world.requests()) <= 220 + 16 + 5
    assert len(await world.ledger.deployments("staging", "SSO", 150)) == 150


async def test_an_open_intent_behind_a_page_of_records_is_found(world: GitHubWorld) -> None:
    intent = await world.ledger.open_intent(new_intent())
    await many(world, 101, sso())
    (found,) = await world.another().read("staging", ["SSO"]).open_intents()
    assert found.id == intent.id


async def test_a_success_behind_a_page_of_statuses_is_found(world: GitHubWorld) -> None:
    await world.foreign(SERVICES, sso(), "success", *["in_progress"] * 120)
    found = (await world.ledger.read("staging", ["SSO"]).recorded())["SSO"]
    assert found.current is not None
    assert (found.current.state, found.current.reached_success) == (State.IN_PROGRESS, True)


# Lost answers, late listings.


async def write_intent(world: GitHubWorld) -> Intent:
    return await world.ledger.open_intent(new_intent())


async def write_record(world: GitHubWorld) -> Deployment:
    intent = await world.ledger.open_intent(new_intent())
    return await world.ledger.record(new_deployment(containers(), intent.id), intent)


async def write_mark(world: GitHubWorld) -> None:
    await world.ledger.mark(await write_record(world), State.SUCCESS, "from dev")


async def write_close(world: GitHubWorld) -> None:
    await world.ledger.close_intent(await write_intent(world), State.SUCCESS, "1 released")


WRITES: list[tuple[Callable[[GitHubWorld], Awaitable[object]], str, int]] = [
    (write_intent, "/deployments$", 0),
    (write_record, "/deployments$", 1),
    (write_mark, "/statuses$", 0),
    (write_close, "/statuses$", 0),
]


@pytest.mark.parametrize(
    "fault", [{"action": "lost"}, {"action": "reset"}, {"action": "status", "status": 502}]
)
@pytest.mark.parametrize(("write", "path", "skip"), WRITES)
async def test_a_write_whose_answer_is_lost_is_made_once(
    world: GitHubWorld,
    write: Callable[[GitHubWorld], Awaitable[object]],
    path: str,
    skip: int,
    fault: dict[str, Any],
) -> None:
    world.fault(method="POST", path=path, skip=skip, times=1, **fault)
    await write(world)
    records = world.records()
    assert len(records) == len({(r["task"], r["environment"]) for r in records}) <= 2
    assert all(len(r["statuses"]) <= 1 for r in records)
    if path == "/statuses$":
        assert sum(len(r["statuses"]) for r in records) == 1


@on_virtual_clock
@pytest.mark.parametrize(("write", "path", "skip"), WRITES)
async def test_a_write_that_hangs_is_looked_up_when_its_time_is_over(
    world: GitHubWorld, write: Callable[[GitHubWorld], Awaitable[object]], path: str, skip: int
) -> None:
    world.fault(method="POST", path=path, skip=skip, times=1, action="hang")
    await write(world)
    records = world.records()
    assert len(records) == len({r["task"] for r in records})


async def test_an_answer_that_cannot_be_read_is_looked_up(world: GitHubWorld) -> None:
    world.fault(method="POST", path="/deployments$", times=1, action="body", body="<html>")
    intent = await write_intent(world)
    assert [str(r["id"]) for r in world.records()] == [intent.id]


async def test_what_stays_lost_is_said(world: GitHubWorld) -> None:
    world.fault(method="POST", path="/deployments$", action="reset")
    with pytest.raises(AnswerLost) as caught:
        await write_intent(world)
    assert "after several looks" in caught.value.hint
    assert world.records() == []
    assert len(world.requests("POST")) == 3


async def test_a_github_that_stays_down_is_said(world: GitHubWorld) -> None:
    world.fault(method="POST", action="status", status=500)
    with pytest.raises(VendorFailure):
        await write_intent(world)
    assert world.records() == []


@pytest.fixture
async def late_world(request: pytest.FixtureRequest) -> AsyncIterator[GitHubWorld]:
    """GitHub lists a new deployment so many seconds late; the ledger looks as long as it does in use."""
    async with github_world(LOOKS_S) as world:
        world.cloud.settings.github_listing_delay_s = request.param
        yield world


@on_virtual_clock
@pytest.mark.parametrize("late_world", [2.0], indirect=True)
@pytest.mark.parametrize(("write", "path", "skip"), WRITES)
async def test_a_lost_write_that_is_listed_late_is_found_by_looking_again(
    late_world: GitHubWorld, write: Callable[[GitHubWorld], Awaitable[object]], path: str, skip: int
) -> None:
    late_world.fault(method="POST", path=path, skip=skip, times=1, action="lost")
    await write(late_world)
    records = late_world.records()
    assert len(records) == len({r["task"] for r in records})


@on_virtual_clock
@pytest.mark.promise("P5")
@pytest.mark.parametrize("late_world", [8.0], indirect=True)
@pytest.mark.parametrize(("write", "path", "skip"), WRITES)
async def test_a_lost_write_that_is_listed_very_late_is_made_once(
    late_world: GitHubWorld, write: Callable[[GitHubWorld], Awaitable[object]], path: str, skip: int
) -> None:
    late_world.fault(method="POST", path=path, skip=skip, times=1, action="lost")
    await write(late_world)
    records = late_world.records()
    assert len(records) == len({r["task"] for r in records})


@on_virtual_clock
@pytest.mark.promise("P5")
@pytest.mark.parametrize("late_world", [0.0], indirect=True)
@pytest.mark.parametrize("refusal", [{"action": "status", "status": 403}, {"action": "reset"}])
async def test_a_lost_write_is_not_repeated_while_nobody_can_look(
    late_world: GitHubWorld, refusal: dict[str, Any]
) -> None:
    """The record was made and its answer lost; then GitHub refuses every look at it."""
    world = late_world
    intent = await world.ledger.open_intent(new_intent())
    new = new_deployment(containers(), intent.id)
    world.fault(method="POST", path="/deployments$", times=1, action="lost")
    world.fault(method="GET", path="/deployments", **refusal)
    with pytest.raises(AnswerLost) as caught:
        await world.ledger.record(new, intent)
    assert "could not be looked at" in caught.value.hint
    world.cloud.faults.delete()
    made = await world.ledger.record(new, intent)
    assert [str(r["id"]) for r in world.records() if r["task"] == "deploy:SSO"] == [made.id]


@on_virtual_clock
@pytest.mark.promise("P5")
@pytest.mark.parametrize("late_world", [0.0], indirect=True)
async def test_some_looks_that_fail_are_only_looks(late_world: GitHubWorld) -> None:
    world = late_world
    intent = await world.ledger.open_intent(new_intent())
    world.fault(method="POST", path="/deployments$", times=1, action="lost")
    world.fault(method="GET", path="/deployments", times=2, action="status", status=403)
    made = await world.ledger.record(new_deployment(containers(), intent.id), intent)
    assert [str(r["id"]) for r in world.records() if r["task"] == "deploy:SSO"] == [made.id]


@on_virtual_clock
@pytest.mark.promise("P5")
@pytest.mark.parametrize("late_world", [0.0], indirect=True)
async def test_a_status_whose_looks_fail_is_written_all_the_same(late_world: GitHubWorld) -> None:
    """A status says the same twice, so it needs no look to be repeated."""
    world = late_world
    intent = await world.ledger.open_intent(new_intent())
    world.fault(method="POST", path="/statuses$", times=1, action="reset")
    world.fault(method="GET", path="/statuses", action="status", status=403)
    await world.ledger.close_intent(intent, State.SUCCESS, "1 released")
    assert [s["state"] for s in world.records()[0]["statuses"]] == ["success"]


@on_virtual_clock
@pytest.mark.parametrize("late_world", [30.0], indirect=True)
async def test_an_intent_that_was_repeated_for_being_listed_too_late_is_one_promotion(
    late_world: GitHubWorld,
) -> None:
    world = late_world
    world.fault(method="POST", path="/deployments$", times=1, action="lost")
    intent = await write_intent(world)
    await anyio.sleep(60)
    assert len(world.records()) == 2
    assert [i.id for i in await world.another().read("staging", ["SSO"]).open_intents()] == [intent.id]
    await world.ledger.close_intent(intent, State.SUCCESS, "done")
    assert await world.another().read("staging", ["SSO"]).open_intents() == []


async def test_a_promotion_that_stands_there_twice_stays_closed_when_newer_ones_come(
    world: GitHubWorld,
) -> None:
    """The one that was closed is the older one: it leaves the newest ones first."""
    first = await world.ledger.open_intent(new_intent())
    payload = intent_payload(new_intent(), "observatory")
    await world.foreign(SERVICES, {"task": INTENT_TASK, "environment": "staging", "payload": payload})
    await world.ledger.close_intent(first, State.SUCCESS, "done")
    for number in range(4):
        later = await world.ledger.open_intent(replace(new_intent(), key=f"later {number}"))
        await world.ledger.close_intent(later, State.SUCCESS, "done")
        assert await world.another().read("staging", ["SSO"]).open_intents() == []


async def test_a_promotion_that_stands_there_twice_is_one(world: GitHubWorld) -> None:
    """The create was lost and listed late, so it was repeated; then both showed."""
    body = {
        "task": INTENT_TASK,
        "environment": "staging",
        "payload": intent_payload(new_intent(), "observatory"),
    }
    await world.foreign(SERVICES, body)
    second = await world.foreign(SERVICES, body)
    (found,) = await world.ledger.read("staging", ["SSO"]).open_intents()
    assert found.id == second
    await world.ledger.close_intent(found, State.SUCCESS, "done")
    assert await world.another().read("staging", ["SSO"]).open_intents() == []
    (closed,) = await world.another().intents("staging", 10)
    assert (closed.id, closed.state) == (second, State.SUCCESS)


async def test_identical_creates_at_once_are_two_to_github_and_one_to_us(world: GitHubWorld) -> None:
    one, other = world.another(), world.another()
    for ledger in (one, other):
        await ledger.read("staging", ["SSO"]).open_intents()
    first, second = await one.open_intent(new_intent()), await other.open_intent(new_intent())
    assert first.id != second.id
    assert len(await world.ledger.intents("staging", 10)) == 1


@on_virtual_clock
@pytest.mark.parametrize("seed", range(25))
async def test_a_promotion_through_a_bad_connection_is_recorded_once(world: GitHubWorld, seed: int) -> None:
    """P5: whatever is lost, running again ends as if nothing had been."""
    for action in (
        {"action": "lost"},
        {"action": "reset"},
        {"action": "hang"},
        {"action": "status", "status": 502},
    ):
        world.fault(probability=0.1, seed=f"{seed}{action}", **action)

    async def lift(ledger: Ledger) -> None:
        await ledger.read("staging", ["SSO", "ODB"]).open_intents()
        intent = await ledger.open_intent(new_intent())
        for app in ("SSO", "ODB"):
            made = await ledger.record(new_deployment(RELEASES[app], intent.id), intent)
            await ledger.mark(made, State.SUCCESS, "from dev")
        await ledger.close_intent(intent, State.SUCCESS, "2 released")

    for attempt in range(10):
        if attempt == 5:
            world.cloud.faults.delete()
        try:
            await lift(world.another())
            break
        except VendorError:
            continue
    world.cloud.faults.delete()
    (intent,) = await world.ledger.intents("staging", 10)
    assert intent.state is State.SUCCESS
    records = [r for r in world.records() if r["task"].startswith("deploy:")]
    assert sorted(r["task"] for r in records) == ["deploy:ODB", "deploy:SSO"]
    found = await world.ledger.read("staging", ["SSO", "ODB"]).recorded()
    assert all(r.current and r.current.release == RELEASES[app] for app, r in found.items())


# Intents.


async def test_an_inactive_of_another_tool_ends_no_promotion(world: GitHubWorld) -> None:
    intent = await world.ledger.open_intent(new_intent())
    path = f"/repos/{SERVICES}/deployments/{intent.id}/statuses"
    await world.http.request("POST", path, json={"state": "inactive"})
    assert [i.id for i in await world.another().read("staging", ["SSO"]).open_intents()] == [intent.id]


async def test_an_intent_that_cannot_be_read_stands_open_all_the_same(world: GitHubWorld) -> None:
    body = {"task": INTENT_TASK, "environment": "staging", "payload": {"liftlock": {"format": 2}}}
    made = await world.foreign(SERVICES, body)
    (found,) = await world.ledger.read("staging", ["SSO"]).open_intents()
    assert (found.id, found.environment, found.releases) == (made, "staging", {})


async def test_another_projects_promotion_in_the_same_repository_is_not_ours(world: GitHubWorld) -> None:
    body = {
        "task": INTENT_TASK,
        "environment": "staging",
        "payload": intent_payload(new_intent(), "planetarium"),
    }
    await world.foreign(SERVICES, body)
    assert await world.ledger.read("staging", ["SSO"]).open_intents() == []
    assert await world.ledger.intents(None, 10) == []


async def test_an_intent_is_of_a_commit_of_the_projects_repository(world: GitHubWorld) -> None:
    await world.ledger.open_intent(new_intent())
    await world.ledger.open_intent(new_intent("2", releases={"Explore": RELEASES["Explore"]}))
    assert [r["ref"] for r in world.records()] == [COMMITS[0], "main"]
    assert [r["task"] for r in world.records()] == [INTENT_TASK] * 2


async def test_an_environment_keeps_githubs_name_in_the_intent(world: GitHubWorld) -> None:
    await world.ledger.open_intent(new_intent(environment="dev"))
    assert world.records()[0]["environment"] == "development"
    (found,) = await world.ledger.intents(None, 1)
    assert found.environment == "dev"


# Refusals.


async def test_a_commit_that_the_repository_lacks_is_named(world: GitHubWorld) -> None:
    intent = await world.ledger.open_intent(new_intent())
    with pytest.raises(Conflict, match="No ref found") as caught:
        await world.ledger.record(new_deployment(containers(commit="f" * 40), intent.id), intent)
    assert SERVICES in caught.value.hint
    assert "f" * 40 in caught.value.hint


async def test_a_merge_in_place_of_a_deployment_is_an_error(world: GitHubWorld) -> None:
    body = {"message": "Auto-merged main into topic on deployment."}
    world.fault(method="POST", path="/deployments$", action="status", status=202, body=body)
    with pytest.raises(Conflict, match=r"made no deployment.*Auto-merged main"):
        await world.ledger.open_intent(new_intent())


async def test_a_repository_that_cannot_be_seen_is_named(world: GitHubWorld) -> None:
    world.fault(
        method="GET", path="example/explore", action="status", status=404, body={"message": "Not Found"}
    )
    with pytest.raises(NotFound, match="no deployments of example/explore"):
        await world.ledger.read("staging", list(OBSERVATORY["apps"])).newest()


async def test_an_app_that_is_not_in_the_environment_is_a_usage_error(world: GitHubWorld) -> None:
    with pytest.raises(UsageError, match="NOBODY has no records in staging"):
        await world.ledger.deployments("staging", "NOBODY", 1)


@pytest.mark.parametrize(
    "body",
    [
        {"message": "surprise"},
        [{"id": "7"}],
        ["deployment"],
        "<html>",
        [{"id": 7, "sha": "a", "task": "deploy:SSO", "environment": "staging", "created_at": "yesterday"}],
        [
            {
                "id": 7,
                "sha": "a",
                "task": "deploy:SSO",
                "environment": "staging",
                "created_at": "2026-11-01T12:00:00",
            }
        ],
        [{"id": True, "sha": "a", "task": "t", "environment": "e", "created_at": "2026-11-01T12:00:00Z"}],
    ],
    ids=str,
)
async def test_a_listing_that_is_not_githubs_is_a_bad_answer(world: GitHubWorld, body: Any) -> None:
    world.fault(method="GET", path="/deployments", action="body", body=body)
    with pytest.raises(BadAnswer):
        await world.ledger.read("staging", ["SSO"]).newest()


@pytest.mark.parametrize(
    "body",
    [{}, [[]], [{"state": "success"}], [{"id": 1, "state": 5, "created_at": "2026-11-01T12:00:00Z"}]],
    ids=str,
)
async def test_statuses_that_are_not_githubs_are_a_bad_answer(world: GitHubWorld, body: Any) -> None:
    await world.foreign(SERVICES, sso())
    world.fault(method="GET", path="/statuses", action="body", body=body)
    with pytest.raises(BadAnswer):
        await world.ledger.read("staging", ["SSO"]).recorded()


async def test_a_state_that_github_adds_later_is_neither_success_nor_end(world: GitHubWorld) -> None:
    intent = await world.ledger.open_intent(new_intent())
    body = [{"id": 1, "state": "waiting", "created_at": "2026-11-01T12:00:00Z"}]
    world.fault(method="GET", path="/statuses", action="body", body=body)
    assert [i.id for i in await world.another().read("staging", ["SSO"]).open_intents()] == [intent.id]


def answering(status: int, body: Any) -> GitHubLedger:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, json=body)

    http = Http("github", BASE, transport=httpx2.MockTransport(answer))
    return GitHubLedger(observatory(), Deployments(lambda: http))


async def test_a_github_app_has_no_login(world: GitHubWorld) -> None:
    assert await answering(403, {"message": "Resource not accessible by integration"}).account() == "app"


async def test_a_wrong_token_is_no_account() -> None:
    with pytest.raises(Unauthorized):
        await answering(401, {"message": "Bad credentials"}).account()


async def test_a_record_is_shown_on_githubs_own_page() -> None:
    entry = {
        "id": 7,
        "sha": COMMITS[0],
        "task": "deploy:SSO",
        "environment": "a/b",
        "created_at": "2026-11-01T12:00:00Z",
        "url": "https://api.github.com/repos/example/services/deployments/7",
    }
    own = httpx2.MockTransport(
        lambda request: httpx2.Response(
            200, json=[entry] if request.url.params["environment"] == "a/b" else []
        )
    )
    project = observatory()
    sso = project.apps["SSO"]
    named = replace(sso, records={"staging": replace(sso.records["staging"], environment="a/b")})
    http = Http("github", "https://api.github.com", transport=own)
    ledger = GitHubLedger(replace(project, apps={"SSO": named}), Deployments(lambda: http))
    (newest,) = (await ledger.read("staging", ["SSO"]).newest()).values()
    assert newest.url == "https://github.com/example/services/deployments/a%2Fb"
    assert newest.creator == ""


def test_a_description_is_one_line_of_140_characters() -> None:
    assert cut("two\nlines") == "two lines"
    assert len(cut("x" * 141)) == 140
    assert cut("x" * 140) == "x" * 140


async def test_what_a_server_did_for_somebody_is_told_as_that(world: GitHubWorld) -> None:
    """GitHub vouches for the server's account alone, so that one stays told too."""
    intent = await world.ledger.open_intent(new_intent(requested_by="ada"))
    record = await world.ledger.record(new_deployment(containers(), intent.id, requested_by="ada"), intent)
    assert (intent.creator, record.creator) == ("ada via owner", "ada via owner")
    (found,) = await world.another().read("staging", ["SSO"]).open_intents()
    assert found.creator == "ada via owner"


async def test_an_approval_is_by_whoever_made_the_deployment_whatever_its_payload_says() -> None:
    async with github_world() as world:
        ours = approval_payload("key", "5" * 64, datetime(2026, 12, 1, tzinfo=UTC))
        claimed = {"liftlock": {**ours["liftlock"], "account": "alice", "creator": {"login": "alice"}}}
        body = {"task": "liftlock:approval", "environment": "staging", "payload": claimed}
        await world.foreign("example/services", body)
        (found,) = await world.ledger.approvals("staging", "5" * 64)
        assert found.account == "owner"


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "approved",
        {"liftlock": {"format": 2, "plan": "5" * 64, "expires": "2026-12-01T00:00:00+00:00"}},
        {"liftlock": {"format": 1, "plan": "5" * 64, "expires": "tomorrow"}},
        {"liftlock": {"format": 1, "plan": "5" * 64, "expires": "2026-12-01T00:00:00"}},
        {"liftlock": {"format": 1, "plan": ["5" * 64], "expires": "2026-12-01T00:00:00+00:00"}},
    ],
)
async def test_an_approval_that_cannot_be_understood_approves_nothing(payload: object) -> None:
    async with github_world() as world:
        body = {"task": "liftlock:approval", "environment": "staging", "payload": payload}
        await world.foreign("example/services", body)
        assert await world.ledger.approvals("staging", "5" * 64) == []


async def test_an_approval_whose_answer_was_lost_is_given_once() -> None:
    async with github_world() as world:
        world.fault(method="POST", path="/deployments$", action="lost", times=1)
        given = await world.ledger.approve("staging", "5" * 64, datetime(2026, 12, 1, tzinfo=UTC))
        assert await world.ledger.approvals("staging", "5" * 64) == [given]
