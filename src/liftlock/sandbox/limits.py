"""The rate limits of GitHub and Heroku, per account, in force while `settings.limits` is on.

Sources: GitHub docs, "Rate limits for the REST API" (5,000 an hour; 80 content-creating requests a
minute and 500 an hour); Heroku Dev Center, "Platform API reference: rate limits" (4,500 at most,
refilled by 75 a minute).
"""

from __future__ import annotations

import math
from collections import deque

from liftlock.sandbox.answers import Json
from liftlock.sandbox.clock import Clock

HOUR = 3600.0
MINUTE = 60.0
GITHUB_PRIMARY = 5000
GITHUB_CREATING = ((80, MINUTE), (500, HOUR))
HEROKU_BUCKET = 4500
HEROKU_REFILL = 75 / MINUTE

Headers = list[tuple[bytes, bytes]]


class GitHubBudget:
    """What one account has used: a fixed hour for all requests, sliding windows for writes."""

    def __init__(self) -> None:
        self.used = 0
        self.reset = 0.0
        self._writes: deque[float] = deque()

    def turn(self, now: float) -> None:
        """Begin a new hour when the last one is over."""
        if now >= self.reset:
            self.used = 0
            self.reset = now + HOUR

    def wait_for_write(self, now: float) -> float:
        """Seconds until the account may create content again; 0 when it may now."""
        while self._writes and self._writes[0] <= now - HOUR:
            self._writes.popleft()
        wait = 0.0
        for most, window in GITHUB_CREATING:
            if len(self._writes) >= most:
                wait = max(wait, self._writes[-most] + window - now)
        return wait

    def write(self, now: float) -> None:
        """Count one content-creating request."""
        self._writes.append(now)

    def document(self) -> dict[str, int]:
        """As `GET /rate_limit` shows it."""
        return {
            "limit": GITHUB_PRIMARY,
            "used": self.used,
            "remaining": GITHUB_PRIMARY - self.used,
            "reset": math.ceil(self.reset),
        }

    def headers(self) -> dict[str, str]:
        """As every answer of GitHub advertises it."""
        return {f"x-ratelimit-{key}": str(value) for key, value in self.document().items()} | {
            "x-ratelimit-resource": "core"
        }


class HerokuBudget:
    """One account's token bucket."""

    def __init__(self) -> None:
        self.tokens = float(HEROKU_BUCKET)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Whether there was a token to take."""
        if self._at is not None:
            self.tokens = min(HEROKU_BUCKET, self.tokens + (now - self._at) * HEROKU_REFILL)
        self._at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Limits:
    """Every account's budgets; they are forgotten on restart."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._github: dict[str, GitHubBudget] = {}
        self._heroku: dict[str, HerokuBudget] = {}

    def github(self, login: str) -> GitHubBudget:
        """One account's budget at GitHub, in its current hour."""
        budget = self._github.setdefault(login, GitHubBudget())
        budget.turn(self._clock.now().timestamp())
        return budget

    def heroku(self, login: str) -> int:
        """How many requests one account has left at Heroku."""
        return int(self._heroku.setdefault(login, HerokuBudget()).tokens)

    def count(self, vendor: str, method: str, path: str, login: str) -> tuple[Json | None, Headers]:
        """Count one request: the refusal that it meets, if any, and the headers to advertise."""
        if vendor == "github":
            return self._count_github(method, path, login)
        if vendor == "heroku":
            return self._count_heroku(login)
        return None, []

    def _count_github(self, method: str, path: str, login: str) -> tuple[Json | None, Headers]:
        now = self._clock.now().timestamp()
        budget = self.github(login)
        if path == "/rate_limit":
            return None, _encoded(budget.headers())
        if budget.used >= GITHUB_PRIMARY:
            return _github_refusal(f"API rate limit exceeded for user {login}.", budget.headers()), []
        if method not in ("GET", "HEAD"):
            wait = budget.wait_for_write(now)
            if wait > 0:
                headers = budget.headers() | {"retry-after": str(math.ceil(wait))}
                return _github_refusal(SECONDARY, headers), []
            budget.write(now)
        budget.used += 1
        return None, _encoded(budget.headers())

    def _count_heroku(self, login: str) -> tuple[Json | None, Headers]:
        budget = self._heroku.setdefault(login, HerokuBudget())
        allowed = budget.take(self._clock.now().timestamp())
        remaining = {"ratelimit-remaining": str(int(budget.tokens))}
        if allowed:
            return None, _encoded(remaining)
        message = (
            "Your account reached the API rate limit.\nPlease wait a few minutes before making new requests."
        )
        return Json({"id": "rate_limit", "message": message}, 429, remaining), []


SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. "
    "If you reach out to GitHub Support for help, please include the request ID."
)


def _github_refusal(message: str, headers: dict[str, str]) -> Json:
    page = "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api"
    return Json({"message": message, "documentation_url": page}, 403, headers)


def _encoded(headers: dict[str, str]) -> Headers:
    return [(key.encode(), value.encode()) for key, value in headers.items()]
