"""Errors as problem documents (RFC 9457), in the words and with the exit codes of the command line."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from liftlock.errors import (
    Busy,
    ConfigurationError,
    LiftlockError,
    NeedsPerson,
    NotFound,
    Refused,
    Unreachable,
    UsageError,
    VendorError,
)
from liftlock.web.access.limits import TooMany
from liftlock.web.access.people import Forbidden, SignInNeeded
from liftlock.web.store.database import StoreUnreachable

MEDIA_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[LiftlockError], int], ...] = (
    (SignInNeeded, 401),
    (Forbidden, 403),
    (TooMany, 429),
    (StoreUnreachable, 503),
    (ConfigurationError, 500),
    (UsageError, 400),
    (Refused, 409),
    (Busy, 409),
    (NeedsPerson, 409),
    (NotFound, 404),
    (Unreachable, 503),
    (VendorError, 502),
)
"""By error: what the answer's status is; the first that fits."""


class NoSuchThing(UsageError):
    """A path names something that does not exist. Answered with 404."""


def status_of(error: LiftlockError) -> int:
    """The status of the answer that tells an error."""
    if isinstance(error, NoSuchThing):
        return 404
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 409)


def document(error: LiftlockError, status: int) -> dict[str, Any]:
    """The problem document of an error."""
    return {
        "type": "about:blank",
        "title": type(error).__name__,
        "status": status,
        "detail": error.message,
        "hint": error.hint or None,
        "exit_code": error.exit_code,
    }


def problem(error: LiftlockError, status: int | None = None) -> Response:
    """The answer that tells an error."""
    status = status or status_of(error)
    headers = {"cache-control": "no-store"}
    if isinstance(error, TooMany):
        headers["retry-after"] = str(error.wait_s)
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="liftlock"'
    body = json.dumps(document(error, status), ensure_ascii=False)
    return Response(body, status, headers, MEDIA_TYPE)
