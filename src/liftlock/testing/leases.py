"""What every kind of leases owes the core, whoever keeps them, as tests: see `ports.Leases`."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import anyio
import pytest

from liftlock.errors import Busy, LeaseLost, LiftlockError
from liftlock.ports import Lease, Leases
from liftlock.testing.clock import Machine

MANY = 25
"""So many leases that whatever is kept of earlier ones has been tidied away."""


class LeasesWorld(Protocol):
    """One place where your leases are kept, and takers on machines of their own."""

    ttl_s: float
    """How long a lease lasts without being renewed."""
    gone_s: float
    """After how long it is over for everybody, the margin for clocks that differ included; a little more
    than 32 seconds beyond `ttl_s`."""

    def leases(self, account: str = "anna", machine: Machine | None = None) -> Leases:
        """Leases as another process of `account` has them, on a machine with clocks of its own."""
        ...

    def let_pass(self, seconds: float) -> None:
        """Let time pass for the keeper of leases alone: whoever sleeps meanwhile is suspended."""
        ...


class LeasesContract:
    """Inherit from it and give it the fixture `world`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> object:
        return "asyncio"

    async def test_the_loser_is_told_who_holds_it_for_what_and_until_when(self, world: LeasesWorld) -> None:
        lease = await world.leases("anna").take("staging", "a promotion from dev")
        assert lease.lasts_s() > world.ttl_s - 5
        with pytest.raises(Busy) as refused:
            await world.leases("ben").take("staging", "a rollback")
        assert refused.value.exit_code == 4
        assert "anna holds staging for a promotion from dev, since 20" in refused.value.message
        assert f"until {lease.holding.until:%Y-%m-%d %H:%M:%S} UTC" in refused.value.message
        assert "--wait 10m" in refused.value.hint
        assert "liftlock lease break staging --reason" in refused.value.hint

    async def test_one_environment_does_not_hold_another(self, world: LeasesWorld) -> None:
        leases = world.leases()
        for environment in ("staging", "staging2", "production"):
            assert (await leases.take(environment, "a promotion")).holding.token == 1

    async def test_the_token_grows_by_one_with_every_lease(self, world: LeasesWorld) -> None:
        for number in range(1, MANY):
            lease = await world.leases().take("staging", "a promotion")
            assert lease.holding.token == number
            await lease.renew()
            assert lease.holding.token == number
            await lease.free()

    @pytest.mark.parametrize("how", ["free", "broken", "run out"])
    async def test_eight_at_once_and_one_wins(self, world: LeasesWorld, how: str) -> None:
        first = await world.leases().take("staging", "the first")
        if how == "free":
            await first.free()
        elif how == "broken":
            await world.leases("carla").break_("staging", "it hangs")
        else:
            run_out(world)
        ends: Counter[str] = Counter()
        refusals: list[Busy] = []

        async def take(number: int) -> None:
            try:
                lease = await world.leases(f"taker{number}").take("staging", "a promotion")
            except Busy as busy:
                refusals.append(busy)
                ends["busy"] += 1
            else:
                ends["taken"] += 1
                assert lease.holding.token == (3 if how == "broken" else 2)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(take, number)
        assert ends == {"taken": 1, "busy": 7}
        assert all("taker" in busy.message for busy in refusals)

    async def test_who_holds_it_can_be_asked(self, world: LeasesWorld) -> None:
        leases = world.leases("anna")
        assert await leases.holding("staging") is None
        lease = await leases.take("staging", "a promotion")
        holding = await world.leases("ben").holding("staging")
        assert holding == lease.holding
        assert holding is not None
        assert (holding.holder, holding.purpose, holding.token) == ("anna", "a promotion", 1)
        await lease.free()
        assert await leases.holding("staging") is None

    async def test_it_may_be_taken_again_once_it_is_free(self, world: LeasesWorld) -> None:
        lease = await world.leases("anna").take("staging", "a promotion")
        await lease.write({"promotion": "17"})
        await lease.free()
        assert lease.lasts_s() == 0
        await lease.free()
        with pytest.raises(LeaseLost, match="was given back"):
            await lease.renew()
        again = await world.leases("ben").take("staging", "a rollback")
        assert list(again.journal) == []

    async def test_the_journal_is_kept_and_handed_on_after_a_crash(self, world: LeasesWorld) -> None:
        """A holder that never gave it back: whoever comes after its time reads what it had journaled."""
        machine = Machine()
        lease = await world.leases("anna", machine).take("staging", "a promotion")
        await lease.write({"promotion": "17", "backups": [{"id": "b001", "size_bytes": 5}]})
        await lease.write({"promotion": "17", "note": "née"})
        journal = list(lease.journal)
        assert len(journal) == 2
        world.let_pass(world.gone_s - 32)
        with pytest.raises(Busy):
            await world.leases("ben").take("staging", "a resume")
        world.let_pass(35)
        assert await world.leases("ben").holding("staging") is None
        after = await world.leases("ben").take("staging", "a resume")
        assert after.holding.token == 2
        assert list(after.journal) == journal
        await after.write({"more": True})
        assert list(after.journal) == [*journal, {"more": True}]
        with pytest.raises(LeaseLost, match=r"ran out, and ben took it at .* for a resume"):
            await lease.renew()
        assert lease.lasts_s() == 0
        await lease.free()
        assert await world.leases().holding("staging") == after.holding

    async def test_renewing_makes_it_last_its_whole_time_again(self, world: LeasesWorld) -> None:
        machine = Machine()
        lease = await world.leases("anna", machine).take("staging", "a promotion")
        since = lease.holding.since
        for _ in range(3):
            world.let_pass(500)
            machine.passed_s += 500
            assert lease.lasts_s() < world.ttl_s - 499
            await lease.renew()
            assert lease.lasts_s() > world.ttl_s - 5
            assert lease.holding.since == since
        with pytest.raises(Busy):
            await world.leases("ben").take("staging", "a rollback")
        assert lease.holding.until > since

    async def test_it_can_be_broken_and_both_sides_learn_of_it(self, world: LeasesWorld) -> None:
        lease = await world.leases("anna").take("staging", "a promotion")
        await lease.write({"promotion": "17"})
        broken = await world.leases("carla").break_("staging", "anna's laptop is at the bottom of the lake")
        assert (broken.holder, broken.purpose, broken.token) == ("anna", "a promotion", 1)
        assert broken.broken == "anna's laptop is at the bottom of the lake"
        assert await world.leases().holding("staging") is None
        with pytest.raises(
            LeaseLost, match=r"broken by carla at .*: anna's laptop is at the bottom of the lake"
        ):
            await lease.renew()
        with pytest.raises(LeaseLost, match="broken by carla"):
            await lease.write({"too": "late"})
        assert lease.lasts_s() == 0
        after = await world.leases("ben").take("staging", "a resume")
        assert after.holding.token == 3
        assert list(after.journal) == [{"promotion": "17"}]

    async def test_a_look_tells_whether_it_is_still_ours(self, world: LeasesWorld) -> None:
        machine = Machine()
        lease = await world.leases("anna", machine).take("staging", "a promotion")
        assert lease.seen_s() < 2
        machine.passed_s += 100  # suspended
        assert lease.seen_s() >= 100
        await lease.look()
        assert lease.seen_s() < 2
        await world.leases("carla").break_("staging", "it seems to hang")
        with pytest.raises(LeaseLost, match="broken by carla"):
            await lease.look()
        with pytest.raises(LeaseLost, match="broken by carla"):
            await lease.look()

    async def test_one_that_was_given_back_is_not_looked_at(self, world: LeasesWorld) -> None:
        lease = await world.leases("anna").take("staging", "a promotion")
        await lease.free()
        with pytest.raises(LeaseLost, match="was given back"):
            await lease.look()

    async def test_a_holder_learns_how_long_it_had_been_nobodys(self, world: LeasesWorld) -> None:
        """What the last holder had begun may arrive yet, unless it gave its lease back."""
        first = await world.leases("anna").take("staging", "a promotion")
        assert first.vacant_s() is None
        await first.free()
        assert (await world.leases("ben").take("staging", "a promotion")).vacant_s() is None
        await world.leases("carla").break_("staging", "it was killed")
        machine = Machine()
        world.let_pass(3)
        after = await world.leases("dan", machine).take("staging", "a resume")
        vacant_s = after.vacant_s()
        assert vacant_s is not None
        assert 2 <= vacant_s <= 5
        machine.passed_s += 10
        assert after.vacant_s() == pytest.approx(vacant_s + 10, abs=1)
        run_out(world)
        vacant_s = (await world.leases("eve").take("staging", "a resume")).vacant_s()
        assert vacant_s is not None
        assert vacant_s >= 30

    async def test_a_journal_that_was_inherited_may_be_handed_on(self, world: LeasesWorld) -> None:
        """Whoever only looked leaves what a killed promotion journaled to its resume."""
        await (await world.leases("anna").take("staging", "a promotion")).write({"promotion": "17"})
        await world.leases("carla").break_("staging", "it was killed")
        await (await world.leases("ben").take("staging", "a promotion")).free(hand_on=True)
        assert await world.leases().holding("staging") is None
        assert list(await world.leases().journal("staging")) == [{"promotion": "17"}]
        resumed = await world.leases("dan").take("staging", "a resume")
        assert list(resumed.journal) == [{"promotion": "17"}]
        assert resumed.vacant_s() is None
        await resumed.free()
        own = await world.leases("eve").take("staging", "a promotion")
        assert list(own.journal) == []
        await own.write({"promotion": "18"})
        await own.free(hand_on=True)
        assert list(await world.leases().journal("staging")) == []

    async def test_a_lease_that_nobody_holds_cannot_be_broken(self, world: LeasesWorld) -> None:
        leases = world.leases()
        with pytest.raises(LiftlockError, match="Nobody holds staging") as refused:
            await leases.break_("staging", "why not")
        assert refused.value.exit_code == 1
        await leases.take("staging", "a promotion")
        await leases.break_("staging", "it hangs")
        with pytest.raises(LiftlockError, match="Nobody holds staging"):
            await leases.break_("staging", "again")

    async def test_eight_break_it_at_once_and_one_reason_is_recorded(self, world: LeasesWorld) -> None:
        lease = await world.leases("anna").take("staging", "a promotion")
        done: list[int] = []
        refusals: list[str] = []

        async def break_(number: int) -> None:
            try:
                await world.leases(f"breaker{number}").break_("staging", f"reason {number}")
            except LiftlockError as error:
                refusals.append(error.message)
            else:
                done.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(break_, number)
        assert len(done) == 1
        assert all("Nobody holds" in message for message in refusals)
        with pytest.raises(LeaseLost, match=f"broken by breaker{done[0]} .*: reason {done[0]}"):
            await lease.renew()

    async def test_suspend_ends_it_for_the_holder_before_anybody_may_take_over(
        self, world: LeasesWorld
    ) -> None:
        machine = Machine()
        lease = await world.leases("anna", machine).take("staging", "a promotion")
        world.let_pass(world.ttl_s + 1)
        machine.passed_s += world.ttl_s + 1
        assert lease.lasts_s() == 0
        with pytest.raises(Busy):
            await world.leases("ben").take("staging", "a rollback")

    async def test_a_holder_whose_time_is_over_takes_the_next_number(self, world: LeasesWorld) -> None:
        """After suspend nobody else was there: it goes on, under another token, its journal whole."""
        machine = Machine()
        lease = await world.leases("anna", machine).take("staging", "a promotion")
        await lease.write({"promotion": "17"})
        run_out(world, machine)
        await lease.write({"awake": True})
        assert lease.holding.token == 2
        assert lease.lasts_s() > world.ttl_s - 5
        assert list(lease.journal) == [{"promotion": "17"}, {"awake": True}]
        with pytest.raises(Busy):
            await world.leases("ben").take("staging", "a rollback")

    async def test_a_late_holder_does_not_win_an_old_number(self, world: LeasesWorld) -> None:
        """While it slept, so many leases came and went that its next number was given out and removed."""
        machine = Machine()
        lease = await world.leases("anna", machine).take("staging", "a promotion")
        run_out(world, machine)
        for _ in range(MANY):
            await (await world.leases("ben").take("staging", "a promotion")).free()
        last = await world.leases("ben").take("staging", "the last")
        with pytest.raises(LeaseLost):
            await lease.renew()
        assert lease.lasts_s() == 0
        await last.renew()
        assert await world.leases().holding("staging") == last.holding

    async def test_of_the_late_holder_and_a_taker_one_wins(self, world: LeasesWorld) -> None:
        """Both see that the time is over, at the same moment."""
        for environment in ("a", "b", "c", "d", "e", "f", "g", "h"):
            machine = Machine()
            lease = await world.leases("anna", machine).take(environment, "a promotion")
            run_out(world, machine)
            ends: list[str] = []
            await _both(lease, world.leases("ben"), environment, ends)
            assert sorted(ends) in (["anna", "ben: busy"], ["anna: lost", "ben"])

    async def test_renewals_and_the_journal_at_once_lose_nothing(self, world: LeasesWorld) -> None:
        lease = await world.leases().take("staging", "a promotion")
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(lease.write, {"number": number})
                tasks.start_soon(lease.renew)
        assert sorted(entry["number"] for entry in lease.journal) == [0, 1, 2, 3, 4]
        await lease.renew()
        assert len(lease.journal) == 5

    async def test_an_entry_that_is_no_json_is_refused_before_anything_is_written(
        self, world: LeasesWorld
    ) -> None:
        lease = await world.leases().take("staging", "a promotion")
        with pytest.raises((TypeError, ValueError)):
            await lease.write({"size": float("nan")})
        assert list(lease.journal) == []


def run_out(world: LeasesWorld, *machines: Machine) -> None:
    """Let a lease's whole time and its margin pass, for the machines too."""
    world.let_pass(world.gone_s)
    for machine in machines:
        machine.passed_s += world.gone_s


async def _both(lease: Lease, leases: Leases, environment: str, ends: list[str]) -> None:
    async def renew() -> None:
        try:
            await lease.renew()
            ends.append("anna")
        except LeaseLost:
            ends.append("anna: lost")

    async def take() -> None:
        try:
            await leases.take(environment, "a rollback")
            ends.append("ben")
        except Busy:
            ends.append("ben: busy")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(renew)
        tasks.start_soon(take)
