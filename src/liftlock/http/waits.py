"""When a client may send its next request: waiting for limits, visibly, and giving up in time."""

from __future__ import annotations

import anyio

from liftlock.errors import RateLimited
from liftlock.http.answers import Answer, vendor_name
from liftlock.http.limits import Pause, pause_when_nearly_spent
from liftlock.http.pace import Pace
from liftlock.http.redaction import safe_address
from liftlock.ports import WaitNotice

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Waits:
    """What holds one vendor's requests back: a limit that it told us of, or our own pace."""

    def __init__(self, vendor: str, pace: Pace | None, on_wait: WaitNotice | None, max_wait_s: float) -> None:
        self.vendor = vendor
        self.max_wait_s = max_wait_s
        self._pace = pace
        self._on_wait = on_wait
        self._resume_at = 0.0

    async def turn(self, method: str, url: str) -> float:
        """Wait until a request may be sent; returns the seconds that it took.

        Raises `RateLimited` at once when it would take longer than `max_wait_s`.
        """
        paced = self._pace is not None and method in _WRITES
        if not self._resume_at and not paced:
            return 0.0
        began = anyio.current_time()
        while (now := anyio.current_time()) < self._resume_at:  # noqa: ASYNC110 - it may be put off
            await anyio.sleep(self._resume_at - now)
        if paced and self._pace is not None:
            await self._slot(self._pace, now, method, url)
        return anyio.current_time() - began

    def heed(self, answer: Answer) -> None:
        """Take notice of what an answer says of limits that are not spent yet."""
        if self._pace is not None and not self._pace.on and "x-ratelimit-limit" in answer.headers:
            self._pace.on = True
        pause = pause_when_nearly_spent(answer)
        if pause is not None and answer.status != 429:
            self._hold(pause)

    def pause(self, pause: Pause, waited: float, answer: Answer) -> None:
        """Hold every next request back. Raises `RateLimited` when `waited` and this are too much."""
        if waited + pause.seconds > self.max_wait_s:
            raise self.spent(pause, answer.method, answer.address, answer.status)
        self._hold(pause)

    async def _slot(self, pace: Pace, now: float, method: str, url: str) -> None:
        pause = Pause(pace.peek(now) - now, f"{vendor_name(self.vendor)} limits how fast records are written")
        if pause.seconds > self.max_wait_s:
            raise self.spent(pause, method, safe_address(url), None)
        slot = pace.reserve(now)
        if slot <= now:
            return
        try:
            self._tell(pause)
            await anyio.sleep(slot - now)
        except BaseException:
            pace.give_back(slot)
            raise

    def _hold(self, pause: Pause) -> None:
        now = anyio.current_time()
        until = now + pause.seconds
        # Sixty requests that meet the same limit are one piece of news.
        news = self._resume_at <= now or until > self._resume_at + 1.0
        self._resume_at = max(self._resume_at, until)
        if news and pause.seconds > 0:
            self._tell(pause)

    def _tell(self, pause: Pause) -> None:
        if self._on_wait is not None:
            self._on_wait(vendor_name(self.vendor), pause.seconds, pause.why)

    def spent(self, pause: Pause, method: str, address: str, status: int | None) -> RateLimited:
        """The error for a limit that is not waited for."""
        return RateLimited(
            f"{pause.why}: {method} {address} has to wait {pause.seconds:.0f} s "
            f"(liftlock itself waits at most {self.max_wait_s:.0f} s).",
            vendor=self.vendor,
            method=method,
            address=address,
            status=status,
            hint=f"Try again in {max(1, round(pause.seconds / 60))} min.",
        )
