"""How long a vendor's answer asks us to wait, and why. Reads answers; never sleeps itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from liftlock.http.answers import Answer, vendor_name

GITHUB_SECONDARY_S = 60.0
"""GitHub asks for one minute at least when it does not say how long, then doubling.
Source: GitHub REST, "Best practices", "Handle rate limit errors appropriately"."""

HEROKU_RESERVE = 30
HEROKU_REFILL_S = 0.8
"""Heroku refills about 75 requests a minute. Source: Platform API Reference, "Rate Limits"."""


_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]*)?")


@dataclass(frozen=True, slots=True)
class Pause:
    """So many seconds without a request, and why."""

    seconds: float
    why: str


def is_limit(answer: Answer) -> bool:
    """Whether the answer says that a limit is spent; then the request surely was not applied."""
    if answer.status == 429:
        return True
    if answer.status != 403 or answer.vendor != "github":
        return False
    headers = answer.headers
    return (
        headers.get("x-ratelimit-remaining") == "0"
        or "retry-after" in headers
        or b"rate limit" in answer.content.lower()
    )


def pause_for_limit(answer: Answer, times: int, now: float) -> Pause:
    """The wait after an answer for which `is_limit` holds.

    `times` counts the limits met in a row by this request, from 0; `now` is the wall clock in
    epoch seconds, used where the answer has no `Date` of its own.
    """
    name = vendor_name(answer.vendor)
    asked = retry_after(answer, now)
    if asked is not None:
        return Pause(asked, f"{name} asks to wait (Retry-After)")
    headers = answer.headers
    reset = _number(headers.get("x-ratelimit-reset", ""))
    if headers.get("x-ratelimit-remaining") == "0" and reset is not None:
        return Pause(max(0.0, reset - (_date(answer) or now)) + 1.0, f"{name}'s hourly budget is spent")
    if answer.vendor == "github":
        return Pause(GITHUB_SECONDARY_S * 2**times, f"{name}'s secondary rate limit was met")
    return Pause(2.0**times, f"{name}'s rate limit was met")


def pause_when_nearly_spent(answer: Answer) -> Pause | None:
    """A wait that lets Heroku's budget refill before it is spent; None for everybody else."""
    text = answer.headers.get("ratelimit-remaining", "")
    left = _number(text)
    if left is None or left >= HEROKU_RESERVE:
        return None
    seconds = (HEROKU_RESERVE - left) * HEROKU_REFILL_S
    return Pause(seconds, f"{vendor_name(answer.vendor)}'s request budget is nearly spent ({text} left)")


def retry_after(answer: Answer, now: float) -> float | None:
    """Seconds of a `Retry-After` header (a number or a date); None when there is none that reads."""
    text = answer.headers.get("retry-after", "").strip()
    if not text:
        return None
    seconds = _number(text)
    if seconds is not None:
        return seconds
    until = _epoch(text)
    return None if until is None else max(0.0, until - (_date(answer) or now))


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _date(answer: Answer) -> float | None:
    return _epoch(answer.headers.get("date", ""))


def _epoch(text: str) -> float | None:
    from email.utils import parsedate_to_datetime  # only met with a limit: not worth every start

    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
