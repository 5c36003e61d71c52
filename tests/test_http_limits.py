"""Waiting for vendors' limits: long enough, visibly, once for all, and not for ever. On a virtual clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
import trio
import trio.testing

from liftlock.errors import RateLimited, Unauthorized
from liftlock.http import Http, Pace
from liftlock.http.pace import Window

NOW = 1_800_000_000.0
Reply = Callable[[], httpx2.Response]


def reply(status: int = 200, body: Any = None, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: httpx2.Response(status, json=body if body is not None else {}, headers=named)


class Run:
    """A client and a server on a clock that jumps; `waits` is what people were told."""

    def __init__(
        self, *replies: Reply, vendor: str = "github", latency_s: float = 0.0, **options: Any
    ) -> None:
        self.latency_s = latency_s
        self.replies = list(replies)
        self.waits: list[tuple[str, float, str]] = []
        self.sent_at: list[float] = []
        self.http = Http(
            vendor,
            "https://api.example.com",
            transport=httpx2.MockTransport(self.serve),
            on_wait=lambda *notice: self.waits.append(notice),
            now=lambda: NOW + anyio.current_time(),
            **options,
        )

    async def serve(self, request: httpx2.Request) -> httpx2.Response:
        self.sent_at.append(anyio.current_time())
        await anyio.sleep(self.latency_s)
        return (self.replies.pop(0) if len(self.replies) > 1 else self.replies[0])()

    def __call__(self, story: Callable[[], Awaitable[Any]]) -> Any:
        clock = trio.testing.MockClock(autojump_threshold=0)

        async def timed() -> Any:
            began = anyio.current_time()
            result = await story()
            self.sent_at = [at - began for at in self.sent_at]
            return result

        return trio.run(timed, clock=clock)


def test_retry_after_is_honoured_for_a_post_too() -> None:
    run = Run(reply(429, retry_after="7"), reply(201))
    run(lambda: run.http.request("POST", "/x", json={}))
    assert run.sent_at == [0.0, pytest.approx(7.0)]
    assert run.waits == [("GitHub", 7.0, "GitHub asks to wait (Retry-After)")]


def test_retry_after_may_be_a_date() -> None:
    run = Run(
        reply(429, retry_after="Sun, 22 Nov 2026 20:00:30 GMT", date="Sun, 22 Nov 2026 20:00:00 GMT"), reply()
    )
    run(lambda: run.http.request("GET", "/x"))
    assert run.sent_at[1] == pytest.approx(30.0)


def test_a_spent_github_budget_waits_for_its_reset_by_githubs_clock() -> None:
    spent = reply(
        403,
        {"message": "API rate limit exceeded"},
        x_ratelimit_remaining="0",
        x_ratelimit_reset=str(int(NOW) + 100),
    )
    run = Run(spent, reply())
    run(lambda: run.http.request("GET", "/x"))
    assert run.sent_at[1] == pytest.approx(101.0, abs=1.0)
    assert run.waits[0][2] == "GitHub's hourly budget is spent"


def test_the_secondary_limit_waits_a_minute_then_two() -> None:
    limited = reply(403, {"message": "You have exceeded a secondary rate limit."})
    run = Run(limited, limited, reply(201))
    run(lambda: run.http.request("POST", "/x", json={}))
    assert run.sent_at == [0.0, pytest.approx(60.0), pytest.approx(180.0)]
    assert [seconds for _, seconds, _ in run.waits] == [60.0, 120.0]


def test_an_ordinary_403_is_no_limit() -> None:
    run = Run(reply(403, {"message": "Resource not accessible by integration"}))
    with pytest.raises(Unauthorized):
        run(lambda: run.http.request("POST", "/x", json={}))
    assert run.waits == []


def test_too_long_a_wait_is_given_up_at_once_and_says_when_to_come_back() -> None:
    run = Run(
        reply(
            403, {"message": "rate limit"}, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(NOW) + 1800)
        )
    )
    with pytest.raises(RateLimited) as caught:
        run(lambda: run.http.request("GET", "/x"))
    assert caught.value.hint == "Try again in 30 min."
    assert len(run.sent_at) == 1


def test_a_server_that_always_says_wait_is_given_up() -> None:
    run = Run(reply(429, retry_after="20"))
    with pytest.raises(RateLimited):
        run(lambda: run.http.request("GET", "/x"))
    assert len(run.sent_at) == 16
    zero = Run(reply(429, retry_after="0"), *[reply(429, retry_after="0")] * 20, reply())
    zero(lambda: zero.http.request("GET", "/x"))
    assert zero.sent_at[-1] > 1.0


def test_sixty_four_requests_that_meet_one_limit_are_one_notice() -> None:
    run = Run(*[reply(429, retry_after="5")] * 64, reply(), vendor="heroku", latency_s=0.1)

    async def story() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(run.http.request, "GET", "/x")

    run(story)
    assert len(run.waits) == 1
    assert len(run.sent_at) == 128


def test_heroku_without_retry_after_backs_off_in_seconds() -> None:
    run = Run(reply(429, {"id": "rate_limit"}), reply(429), reply(), vendor="heroku")
    run(lambda: run.http.request("POST", "/x", json={}))
    assert run.sent_at == [0.0, pytest.approx(1.0), pytest.approx(3.0)]


def test_a_nearly_spent_heroku_budget_refills_before_the_next_request() -> None:
    run = Run(reply(ratelimit_remaining="5"), reply(ratelimit_remaining="4000"), vendor="heroku")

    async def story() -> None:
        for _ in range(3):
            await run.http.request("GET", "/x")

    run(story)
    assert run.sent_at == [0.0, pytest.approx(20.0), pytest.approx(20.0)]
    assert "nearly spent (5 left)" in run.waits[0][2]


def test_an_unavailable_vendor_may_say_for_how_long() -> None:
    run = Run(reply(503, retry_after="4"), reply())
    run(lambda: run.http.request("GET", "/x"))
    assert run.sent_at[1] == pytest.approx(4.0)


async def writes(run: Run, count: int) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(run.http.request, "POST", "/x")
            await anyio.lowlevel.checkpoint()


def test_writes_keep_within_githubs_windows_without_a_needless_pause() -> None:
    run = Run(reply(201, x_ratelimit_limit="5000"), pace=Pace([Window(8, 60.0), Window(20, 3600.0)]))

    async def story() -> None:
        await run.http.request("GET", "/x")
        await writes(run, 20)

    run(story)
    times = sorted(run.sent_at[1:])
    assert times[7] == pytest.approx(0.0)
    assert times[8] == pytest.approx(61.0)
    assert times[19] == pytest.approx(122.0)
    assert all(later - earlier > 60 for earlier, later in zip(times, times[8:], strict=False))
    assert {seconds for _, seconds, _ in run.waits} == {61.0, 122.0}


def test_the_hourly_window_is_given_up_rather_than_waited_for() -> None:
    run = Run(reply(201, x_ratelimit_limit="5000"), pace=Pace([Window(3, 3600.0)]))

    async def story() -> None:
        for _ in range(4):
            await run.http.request("POST", "/x")

    with pytest.raises(RateLimited, match="limits how fast records are written"):
        run(story)
    assert len(run.sent_at) == 3


def test_a_server_without_limits_is_not_paced() -> None:
    run = Run(reply(201), pace=Pace())

    async def story() -> None:
        await writes(run, 300)

    run(story)
    assert set(run.sent_at) == {0.0}
    assert run.waits == []


def test_reading_is_never_paced() -> None:
    run = Run(reply(x_ratelimit_limit="5000"), pace=Pace([Window(2, 60.0)]))

    async def story() -> None:
        for _ in range(10):
            await run.http.request("GET", "/x")

    run(story)
    assert set(run.sent_at) == {0.0}


def test_a_cancelled_write_gives_its_slot_back() -> None:
    run = Run(reply(201, x_ratelimit_limit="5000"), pace=Pace([Window(2, 60.0)]))

    async def story() -> None:
        await run.http.request("POST", "/x")
        await run.http.request("POST", "/x")
        with anyio.move_on_after(1.0):
            await run.http.request("POST", "/x")
        await run.http.request("POST", "/x")

    run(story)
    assert run.sent_at[2] == pytest.approx(61.0)
