"""Leases on GitHub: what is asked of it, whose time counts, and what lost answers do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import anyio
import pytest

from liftlock.errors import (
    BadAnswer,
    Busy,
    Conflict,
    LeaseLost,
    LiftlockError,
    NotFound,
    Unauthorized,
    UsageError,
    VendorError,
    VendorFailure,
)
from liftlock.http import Http
from liftlock.leases import github as module
from liftlock.leases.github import GitHubKeeper
from liftlock.leases.numbered import KEPT, NumberedLeases
from liftlock.leases.record import FREE, MARGIN_S, Record, Standing
from liftlock.ports import Lease
from tests.leases.worlds import REFS, REPOSITORY, TTL_S, GitHubWorld, Machine, github_world

pytestmark = [pytest.mark.anyio, pytest.mark.promise("P3")]

NUMBER_1 = "observatory/staging/000001"
NUMBER_2 = "observatory/staging/000002"
LIST = ("GET", "matching-refs/liftlock/observatory/staging/")
TAG = ("POST", "tags")


@pytest.fixture
async def world() -> AsyncIterator[GitHubWorld]:
    async with github_world() as made:
        yield made


@pytest.fixture
async def used(world: GitHubWorld) -> GitHubWorld:
    """A repository that has kept a lease before."""
    await (await world.leases("owner").take("staging", "the first")).free()
    world.requests()
    return world


def unordered(asked: list[tuple[str, str]], *wanted: tuple[str, str]) -> bool:
    return sorted(asked) == sorted(wanted)


# What is asked.


async def test_a_life_in_requests(used: GitHubWorld) -> None:
    lease = await used.leases().take("staging", "a promotion")
    asked = used.requests()
    assert unordered(asked[:2], LIST, TAG)
    assert asked[2:] == [("POST", "refs")], "a lease that is free is known by its name, and not read"
    for again in (lease.renew(), lease.write({"promotion": "17"})):
        await again
        asked = used.requests()
        assert asked[0] == TAG
        assert unordered(asked[1:], ("PATCH", f"refs/liftlock/{NUMBER_2}"), LIST)
    await lease.free()
    assert used.requests() == [("PATCH", f"refs/liftlock/{NUMBER_2}")]


async def test_the_loser_creates_nothing_that_counts(used: GitHubWorld) -> None:
    await used.leases().take("staging", "a promotion")
    refs = await used.refs()
    used.requests()
    with pytest.raises(Busy):
        await used.leases("ben").take("staging", "a rollback")
    asked = used.requests()
    assert unordered(asked[:2], LIST, TAG)
    assert asked[2:] == [("GET", f"tags/{refs[NUMBER_2]}")]
    assert await used.refs() == refs


async def test_the_first_lease_of_a_repository_makes_what_tags_are_about(world: GitHubWorld) -> None:
    lease = await world.leases().take("staging", "a promotion")
    asked = world.requests()
    assert unordered(asked, LIST, TAG, ("POST", "blobs"), TAG, ("POST", "refs"))
    await lease.free()
    freed = ("PATCH", f"refs/liftlock/{NUMBER_1}")
    assert world.requests() == [freed, TAG, freed]


async def test_what_stands_on_github(world: GitHubWorld) -> None:
    lease = await world.leases("anna").take("staging", "a promotion")
    await lease.write({"promotion": "17"})
    tag = await world.tag(NUMBER_1)
    assert tag["tagger"]["name"] == "anna"
    assert tag["object"]["type"] == "blob"
    message = json.loads(tag["message"])
    hashed = hashlib.sha256(b'\n{"promotion":"17"}').hexdigest()
    assert message.pop("nonce")
    assert message == {
        "liftlock": 1,
        "standing": "held",
        "purpose": "a promotion",
        "ttl_s": TTL_S,
        "since": lease.holding.since.isoformat(),
        "journal": [{"entry": {"promotion": "17"}, "hash": hashed}],
    }
    await lease.free()
    tag = await world.tag(NUMBER_1)
    assert tag["sha"] == module._FREE_SHA, "reckoned without asking"
    assert json.loads(tag["message"]) == {"liftlock": 1, "standing": "free"}


async def test_a_free_lease_that_github_names_otherwise_is_read_once(
    used: GitHubWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed = (await used.refs())[NUMBER_1]
    monkeypatch.setattr(module, "_FREE_SHA", "f" * 40)
    leases = used.leases()
    used.requests()
    lease = await leases.take("staging", "a promotion")
    assert ("GET", f"tags/{freed}") in used.requests()
    await lease.free()
    assert used.requests() == [("PATCH", f"refs/liftlock/{NUMBER_2}")], "its name was learnt"
    await leases.take("staging", "a promotion")
    assert not [path for method, path in used.requests() if method == "GET" and path.startswith("tags/")]


async def test_old_numbers_go_and_the_newest_stays(world: GitHubWorld) -> None:
    for _ in range(KEPT + 5):
        await (await world.leases().take("staging", "a promotion")).free()
    numbers = [int(name.rpartition("/")[2]) for name in await world.refs()]
    assert max(numbers) == KEPT + 5
    assert KEPT < len(numbers) <= KEPT + 3


async def test_old_numbers_that_cannot_be_removed_harm_nothing(world: GitHubWorld) -> None:
    world.fault(method="DELETE", path="/git/refs/", action="status", status=500)
    for number in range(1, KEPT + 6):
        lease = await world.leases().take("staging", "a promotion")
        assert lease.holding.token == number
        await lease.free()
    assert len(await world.refs()) == KEPT + 5


async def test_all_pages_of_a_listing_count(used: GitHubWorld) -> None:
    """GitHub may hand a listing out in pages: the highest number is on the last one."""
    lease = await used.leases().take("staging", "a promotion")
    refs = await used.refs()
    path = f"{REFS}/matching-refs/liftlock/observatory/staging/"
    first = [{"ref": f"refs/liftlock/{NUMBER_1}", "object": {"sha": refs[NUMBER_1], "type": "tag"}}]
    used.fault(
        method="GET",
        path="matching-refs",
        action="body",
        body=first,
        headers={"link": f'<http://127.0.0.1:1{path}?page=2>; rel="next"'},
        times=1,
    )
    assert await used.leases().holding("staging") == lease.holding


# Whose time counts.


@pytest.mark.parametrize("hours", [-5, 5])
async def test_our_own_clock_decides_nothing(world: GitHubWorld, hours: int) -> None:
    wrong = Machine(timedelta(hours=hours))
    lease = await world.leases("anna", wrong).take("staging", "a promotion")
    assert lease.lasts_s() > TTL_S - 5
    await lease.renew()
    other = world.leases("ben", Machine(timedelta(hours=-hours)))
    with pytest.raises(Busy):
        await other.take("staging", "a rollback")
    world.let_pass(TTL_S + MARGIN_S - 5)
    with pytest.raises(Busy):
        await other.take("staging", "a rollback")
    world.let_pass(10)
    assert (await other.take("staging", "a rollback")).holding.token == 2


async def test_time_counts_from_when_the_request_was_sent(used: GitHubWorld) -> None:
    machine = Machine()
    leases = used.leases("anna", machine)
    used.fault(method="POST", path="/git/tags$", action="delay", delay_s=3.0, times=1)
    used.fault(method="POST", path="/git/refs$", action="delay", delay_s=2.0, times=1)
    began = machine.boottime()
    lease = await leases.take("staging", "a promotion")
    assert lease.lasts_s() == pytest.approx(began + TTL_S - machine.boottime())


async def test_a_renewal_that_takes_too_long_is_made_sure_of(used: GitHubWorld) -> None:
    """Its time ended while GitHub answered: somebody may have seen it as run out, so the next number decides."""
    machine = Machine()
    lease = await used.leases("anna", machine).take("staging", "a promotion")
    keeper: Any = lease._keeper  # type: ignore[attr-defined]
    move = keeper.move

    async def slow(*arguments: Any) -> Any:
        moved = await move(*arguments)
        machine.passed_s += TTL_S + 1
        keeper.move = move
        return moved

    keeper.move = slow
    await lease.renew()
    assert lease.holding.token == 3
    assert lease.lasts_s() > TTL_S - 5


async def test_a_holder_whose_time_is_over_leaves_its_number_as_it_is(used: GitHubWorld) -> None:
    machine = Machine()
    lease = await used.leases("anna", machine).take("staging", "a promotion")
    machine.passed_s += TTL_S
    used.requests()
    await lease.renew()
    asked = used.requests()
    assert unordered(asked[:2], LIST, TAG)
    assert asked[2:] == [("POST", "refs")]


async def test_a_listing_without_a_date_decides_nothing(used: GitHubWorld) -> None:
    await used.leases().take("staging", "a promotion")
    used.fault(method="GET", path="matching-refs", action="body", body=[], headers={"date": "soon"})
    with pytest.raises(BadAnswer, match="no Date header"):
        await used.leases("ben").take("staging", "a rollback")


# Lost answers.

LIFE = ["matching-refs", "tags$", "refs$", "refs/liftlock", "tags/"]


@pytest.mark.parametrize("action", ["lost", "reset", "status"])
@pytest.mark.parametrize("path", LIFE)
@pytest.mark.parametrize("skip", [0, 1, 2])
async def test_any_request_may_fail_once(used: GitHubWorld, action: str, path: str, skip: int) -> None:
    """Its answer lost, its connection reset, a 502: the lease lives the same life, and is held by one."""
    used.fault(path=f"/git/{path}", action=action, status=502, times=1, skip=skip)
    lease = await used.leases("anna").take("staging", "a promotion")
    assert lease.holding.token == 2
    await lease.write({"promotion": "17"})
    with pytest.raises(Busy):
        await used.leases("ben").take("staging", "a rollback")
    await lease.renew()
    assert lease.holding.token == 2
    assert list(lease.journal) == [{"promotion": "17"}]
    await lease.free()
    after = await used.leases("ben").take("staging", "a rollback")
    assert after.holding.token == 3
    await used.leases("carla").break_("staging", "for the test")
    with pytest.raises(LeaseLost, match="broken by carla"):
        await after.renew()


async def test_a_creation_that_is_never_answered_is_told(used: GitHubWorld) -> None:
    used.fault(method="POST", path="/git/refs$", action="status", status=502)
    with pytest.raises(VendorFailure) as failed:
        await used.leases().take("staging", "a promotion")
    assert failed.value.hint.startswith("Nothing was changed.")
    assert await used.leases().holding("staging") is None


async def test_a_lost_creation_that_somebody_else_had_made_is_no_win(used: GitHubWorld) -> None:
    """Our answer was lost, and the number is another's: same account, same purpose, same second."""
    keeper = used.keeper("anna", Machine())
    records = [Record(Standing.HELD, "a promotion", TTL_S, nonce=nonce) for nonce in ("a", "b")]
    winner, loser = [await keeper.write(record) for record in records]
    assert winner.handle != loser.handle
    assert await keeper.create("staging", 2, winner)
    used.fault(method="POST", path="/git/refs$", action="lost", times=1)
    assert not await keeper.create("staging", 2, loser)
    used.fault(method="POST", path="/git/refs$", action="lost", times=1)
    assert await keeper.create("staging", 3, loser)


async def test_a_creation_that_shows_late_is_ours_all_the_same(used: GitHubWorld) -> None:
    """Its answer is lost, a look does not show it yet, and the next try is told that it exists."""
    used.fault(method="POST", path="/git/refs$", action="lost", times=1)
    used.fault(
        method="GET", path="/git/ref/", action="status", status=404, body={"message": "Not Found"}, times=1
    )
    lease = await used.leases().take("staging", "a promotion")
    assert lease.holding.token == 2
    assert sorted(await used.refs()) == [NUMBER_1, NUMBER_2]


@pytest.mark.parametrize("seed", range(10))
async def test_eight_takers_through_a_bad_connection(used: GitHubWorld, seed: int) -> None:
    for action in ("lost", "reset", "status"):
        used.fault(path="/git/", action=action, status=502, probability=0.1, seed=f"{seed}{action}")
    won: list[Lease] = []

    async def take(number: int) -> None:
        try:
            won.append(await used.leases(f"taker{number}").take("staging", "a promotion"))
        except (Busy, VendorError):
            return

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(take, number)
    assert len(won) <= 1
    used.cloud.faults.delete()
    holding = await used.leases().holding("staging")
    assert holding == (won[0].holding if won else holding)


# What is not as it should be.


async def test_a_journal_that_was_changed_is_named(used: GitHubWorld) -> None:
    keeper = used.keeper("anna", Machine())
    lease = await used.leases("anna").take("staging", "a promotion")
    await lease.write({"backups": ["b001"]})
    await lease.write({"more": 1})
    await point(used, NUMBER_2, (await used.tag(NUMBER_2))["message"].replace("b001", "b002"))
    with pytest.raises(
        LiftlockError, match=r"refs/liftlock/observatory/staging/000002 of example/services"
    ) as e:
        await used.leases().holding("staging")
    assert "broken at entry 1 of 2" in e.value.message
    with pytest.raises(LiftlockError, match="broken at entry 1 of 2"):
        await used.leases("ben").take("staging", "a resume")
    assert not await keeper.create("staging", 2, await keeper.write(FREE))


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Version 1.0", "cannot be read"),
        ('{"liftlock":1}', "cannot be read"),
        ('{"liftlock":1,"standing":"lent"}', "cannot be read"),
        ('{"liftlock":1,"standing":"held","journal":[{"entry":3}]}', "cannot be read"),
        ('{"liftlock":1,"standing":"held","since":"2026-01-01T00:00:00"}', "cannot be read"),
        ('{"liftlock":2,"standing":"held"}', "another version of liftlock"),
        ("[]", "cannot be read"),
    ],
)
async def test_what_is_no_lease_is_refused_and_named(used: GitHubWorld, message: str, told: str) -> None:
    await point(used, NUMBER_1, message)
    with pytest.raises(LiftlockError, match=told) as refused:
        await used.leases().take("staging", "a promotion")
    assert NUMBER_1 in refused.value.message
    assert refused.value.hint


async def test_a_ref_on_a_commit_is_no_lease(used: GitHubWorld) -> None:
    await used.http.request(
        "PATCH", f"{REFS}/refs/liftlock/{NUMBER_1}", json={"sha": "1" * 40, "force": True}
    )
    with pytest.raises(NotFound) as refused:
        await used.leases().take("staging", "a promotion")
    assert NUMBER_1 in refused.value.hint


async def test_a_number_that_was_removed_by_hand_is_lost(used: GitHubWorld) -> None:
    lease = await used.leases().take("staging", "a promotion")
    await used.http.request("DELETE", f"{REFS}/refs/liftlock/{NUMBER_2}")
    with pytest.raises(LeaseLost, match="is gone"):
        await lease.renew()
    await lease.free()


async def test_giving_back_a_number_that_is_gone_is_silent(used: GitHubWorld) -> None:
    lease = await used.leases().take("staging", "a promotion")
    await used.http.request("DELETE", f"{REFS}/refs/liftlock/{NUMBER_2}")
    await lease.free()
    assert lease.lasts_s() == 0


async def test_giving_back_may_be_tried_again(used: GitHubWorld) -> None:
    lease = await used.leases().take("staging", "a promotion")
    used.fault(method="PATCH", action="status", status=503, times=4)
    with pytest.raises(VendorFailure):
        await lease.free()
    assert lease.lasts_s() == 0
    await lease.free()
    assert await used.leases().holding("staging") is None


async def test_a_cancelled_renewal_is_over_before_it_is_given_back(used: GitHubWorld) -> None:
    """GitHub would apply what it was sent, and hold again what was given back."""
    lease = await used.leases().take("staging", "a promotion")
    keeper: Any = lease._keeper  # type: ignore[attr-defined]
    move = keeper.move
    moved: list[bool] = []

    async def slow(*arguments: Any) -> Any:
        await anyio.sleep(0.2)
        moved.append(await move(*arguments))
        return moved[-1]

    keeper.move = slow
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lease.renew)
        await anyio.sleep(0.1)
        tasks.cancel_scope.cancel()
    assert moved == [True]
    await lease.free()
    assert await used.leases().holding("staging") is None


@pytest.mark.parametrize(("status", "error"), [(403, Unauthorized), (404, NotFound)])
async def test_a_token_that_may_not_write_is_told_what_it_needs(
    world: GitHubWorld, status: int, error: type[VendorError]
) -> None:
    world.fault(method="POST", action="status", status=status, body={"message": "Resource not accessible"})
    with pytest.raises(error) as refused:
        await world.leases().take("staging", "a promotion")
    assert "contents: write" in refused.value.hint
    assert "[project] lease" in refused.value.hint


async def test_an_empty_repository_is_told_to_need_a_commit(world: GitHubWorld) -> None:
    await world.http.request("PUT", "/_sandbox/world", json={"github": {"repositories": ["example/empty"]}})
    keeper = GitHubKeeper(lambda: world.http, "example/empty", "observatory")
    world.fault(path="/git/", action="status", status=409, body={"message": "Git Repository is empty."})
    with pytest.raises(Conflict) as refused:
        await NumberedLeases(keeper, Machine().boottime).take("staging", "a promotion")
    assert "must have a commit" in refused.value.hint


async def test_another_refusal_of_a_ref_is_told_as_it_is(used: GitHubWorld) -> None:
    used.fault(
        method="POST",
        path="/git/refs$",
        action="status",
        status=422,
        body={"message": "Reference update failed"},
    )
    with pytest.raises(Conflict, match="Reference update failed"):
        await used.leases().take("staging", "a promotion")


async def test_breaking_while_the_holder_gives_it_back_is_refused(used: GitHubWorld) -> None:
    """The breaker saw it held; its number was created, and there is nothing wrong with that."""
    lease = await used.leases("anna").take("staging", "a promotion")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lease.free)
        tasks.start_soon(_break, used.leases("carla"))
    assert await used.leases().holding("staging") is None
    assert (await used.leases("ben").take("staging", "a rollback")).holding.token in {3, 4}


async def _break(leases: NumberedLeases) -> None:
    try:
        await leases.break_("staging", "it hangs")
    except LiftlockError:
        return


async def point(world: GitHubWorld, name: str, message: str) -> None:
    """Have a number say something else, as somebody with a token might."""
    http: Http = world.http
    body = {"tag": "t", "message": message, "object": "1" * 40, "type": "commit"}
    sha = (await http.request("POST", f"{REFS}/tags", json=body)).object()["sha"]
    await http.request("PATCH", f"{REFS}/refs/liftlock/{name}", json={"sha": sha, "force": True})


def test_the_plugin_keeps_leases_where_the_project_says() -> None:
    from tests.ledgers.test_plugins import context

    assert module.plugin.name == "github"
    made: Any = module.plugin.build(context(lease="example/leases"))
    assert made._keeper._repository == "example/leases"
    other: Any = module.plugin.build(context())
    assert other._keeper._repository == REPOSITORY
    with pytest.raises(UsageError, match="names none"):
        module.plugin.build(context(repository=""))
