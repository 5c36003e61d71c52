"""Polls are frequent at first, then back off, and add less than a tenth to a wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import anyio
import pytest
import trio
from trio.testing import MockClock

from liftlock.errors import AnswerLost, NotFound, Unreachable
from liftlock.polling import MOST_LOOKS_PER_S, PATIENCE_S, gap_s, holds, wait_for


def on_virtual_clock(story: Callable[[], Awaitable[Any]]) -> Any:
    return trio.run(story, clock=MockClock(autojump_threshold=0.0))


def never() -> Exception:
    return TimeoutError("it never came")


@pytest.mark.parametrize("lasts_s", [0.5, 1.0, 7.0, 60.0, 300.0, 3600.0])
@pytest.mark.parametrize("answer_s", [0.0, 0.05, 0.2])
def test_waiting_adds_less_than_a_tenth_and_one_answer(lasts_s: float, answer_s: float) -> None:
    looks = 0

    async def story() -> float:
        began = anyio.current_time()

        async def look() -> bool | None:
            nonlocal looks
            looks += 1
            is_done = anyio.current_time() - began >= lasts_s
            await anyio.sleep(answer_s)
            return is_done or None

        await wait_for(look, limit_s=7200.0, timed_out=never)
        return anyio.current_time() - began

    assert on_virtual_clock(story) <= lasts_s * 1.1 + answer_s + 1e-6
    assert looks < 130 + lasts_s / 30  # the gap ends at 30 s


def test_gaps_grow_with_the_time_waited() -> None:
    assert [gap_s(elapsed) for elapsed in (0.0, 0.5, 10.0, 100.0, 10_000.0)] == [0.05, 0.05, 0.8, 8.0, 30.0]


def test_first_look_is_at_once() -> None:
    async def story() -> float:
        async def look() -> int:
            return 1

        await wait_for(look, limit_s=1.0, timed_out=never)
        return anyio.current_time()

    assert on_virtual_clock(story) == pytest.approx(0.0, abs=0.001)


def test_time_limit_ends_the_wait() -> None:
    async def story() -> None:
        async def look() -> None:
            return None

        with pytest.raises(TimeoutError, match="it never came"):
            await wait_for(look, limit_s=5.0, timed_out=never)
        assert anyio.current_time() == pytest.approx(5.0, abs=0.1)

    on_virtual_clock(story)


def test_look_that_never_returns_does_not_stop_the_others() -> None:
    async def story() -> None:
        count = 0

        async def look() -> bool | None:
            nonlocal count
            count += 1
            if count == 1:
                await anyio.sleep_forever()
            return count > 3 or None

        assert await wait_for(look, limit_s=60.0, timed_out=never)
        assert anyio.current_time() < 1.0

    on_virtual_clock(story)


@pytest.mark.parametrize("failure", [Unreachable, AnswerLost])
def test_passing_failures_are_no_news_until_patience_ends(failure: type[Unreachable | AnswerLost]) -> None:
    async def story() -> None:
        async def look() -> None:
            raise failure("no answer", vendor="x")

        with pytest.raises(failure):
            await wait_for(look, limit_s=3600.0, timed_out=never)
        assert PATIENCE_S <= anyio.current_time() < PATIENCE_S * 1.1

    on_virtual_clock(story)


@pytest.mark.parametrize("failure", [NotFound("gone", vendor="x"), ValueError("a bug")])
def test_other_failures_end_the_wait_as_they_are(failure: Exception) -> None:
    async def story() -> None:
        async def look() -> None:
            raise failure

        with pytest.raises(type(failure)) as caught:
            await wait_for(look, limit_s=60.0, timed_out=never)
        assert caught.value is failure

    on_virtual_clock(story)


def test_cancellation_passes() -> None:
    async def story() -> None:
        async def look() -> None:
            return None

        with anyio.move_on_after(1.0) as scope:
            await wait_for(look, limit_s=60.0, timed_out=never)
        assert scope.cancelled_caught

    on_virtual_clock(story)


def test_many_waits_share_a_budget_of_looks() -> None:
    looks = 0

    async def story() -> None:
        async def look() -> bool | None:
            nonlocal looks
            looks += 1
            return anyio.current_time() >= 1.0 or None

        async def wait() -> None:
            await wait_for(look, limit_s=60.0, timed_out=never)

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(wait)

    on_virtual_clock(story)
    assert looks <= 1.25 * MOST_LOOKS_PER_S + 100


def held(look: Callable[[float], bool], lasts_s: float) -> tuple[bool, float, list[float]]:
    """Whether a condition held, how long that took to tell, and when it was looked at."""

    async def story() -> tuple[bool, float, list[float]]:
        began = anyio.current_time()
        looks: list[float] = []

        async def is_so() -> bool:
            looks.append(anyio.current_time() - began)
            return look(looks[-1])

        answer = await holds(is_so, lasts_s, lambda _: None)
        return answer, anyio.current_time() - began, looks

    found: tuple[bool, float, list[float]] = on_virtual_clock(story)
    return found


@pytest.mark.parametrize("lasts_s", [0.01, 1.0, 30.0, 600.0])
def test_what_holds_is_looked_at_until_its_very_end(lasts_s: float) -> None:
    answer, took_s, looks = held(lambda _: True, lasts_s)
    assert answer
    assert took_s == looks[-1] == pytest.approx(lasts_s)
    gaps = [later - earlier for earlier, later in pairwise([0.0, *looks])]
    assert max(gaps) <= 5.0 + 1e-6


def test_what_is_to_hold_for_no_time_is_not_looked_at() -> None:
    assert held(lambda _: False, 0.0) == (True, 0.0, [])


def test_what_ceases_to_hold_is_told_at_the_next_look() -> None:
    answer, took_s, _ = held(lambda at: at < 12.0, 600.0)
    assert not answer
    assert 12.0 <= took_s <= 17.0


def test_a_look_without_an_answer_says_nothing_of_what_holds() -> None:
    def unreachable_at_the_end(at: float) -> bool:
        if 20.0 < at < 40.0:
            raise Unreachable("no answer", vendor="heroku")
        return True

    answer, took_s, looks = held(unreachable_at_the_end, 30.0)
    assert answer
    assert 40.0 <= took_s == looks[-1] <= 45.0


def test_silence_ends_the_wait_for_what_holds() -> None:
    def silent(at: float) -> bool:
        raise Unreachable("no answer", vendor="heroku")

    with pytest.raises(Unreachable):
        held(silent, PATIENCE_S * 2)


def test_what_no_retry_mends_ends_the_wait_for_what_holds() -> None:
    def gone(at: float) -> bool:
        raise NotFound("it is gone", vendor="heroku")

    with pytest.raises(NotFound):
        held(gone, 30.0)
