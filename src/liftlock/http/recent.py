"""The last requests of this process, for the report of `--debug`: no bodies, no headers."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from liftlock.http.redaction import redact, safe_address

MOST = 200


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was sent, and what came of it."""

    at: float
    """Seconds since the epoch, by this machine's clock."""
    vendor: str
    method: str
    url: str
    outcome: str
    """The status, or why there was no answer."""
    seconds: float


ATTEMPTS: deque[Attempt] = deque(maxlen=MOST)
_SECRETS: list[Collection[str]] = []


def know(secrets: Collection[str]) -> None:
    """Remember a client's secrets, which grow while it runs: the report must hold none of them."""
    if not any(one is secrets for one in _SECRETS):
        _SECRETS.append(secrets)


def known_secrets() -> set[str]:
    """Every secret that a client of this process has met."""
    return {secret for some in _SECRETS for secret in some}


def told() -> Iterator[tuple[float, str]]:
    """When each request was sent, and a line about it, as it may be shown."""
    secrets = known_secrets()
    for one in ATTEMPTS:
        address = redact(safe_address(one.url), secrets)
        yield one.at, redact(f"{one.method} {address} {one.outcome} {one.seconds * 1000:.0f} ms", secrets)
