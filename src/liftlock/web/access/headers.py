"""What every answer says about itself: what its page may do, and that nobody may frame or keep it."""

from __future__ import annotations

from collections.abc import Sequence

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing of anybody else's, no frames around us."""
HEADERS: Sequence[tuple[bytes, bytes]] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")
NO_STORE = (b"cache-control", b"no-store")


def with_headers(headers: Sequence[tuple[bytes, bytes]], *, is_https: bool) -> list[tuple[bytes, bytes]]:
    """An answer's headers with ours. One that says nothing of being kept must not be kept."""
    names = {name.lower() for name, _ in headers}
    more = [each for each in HEADERS if each[0] not in names]
    if is_https:
        more.append(STRICT_TRANSPORT)
    if b"cache-control" not in names:
        more.append(NO_STORE)
    return [*headers, *more]
