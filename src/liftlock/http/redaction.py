"""What may be shown of an address or a text, and what may not (promise P7)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

MASK = "***"

_SECRET_KEY = re.compile(
    r"token|secret|passw|signature|credential|assertion|api_?key|^(key|sig|code|_state|auth.*|x-amz-.*|x-goog-.*)$",
    re.IGNORECASE,
)
_WEBHOOK = re.compile(r"/services/T[^/\s?]*/B[^/\s?]*/[^\s?\"'<>]+")
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without any of `secrets`, without authorization headers and without webhooks' paths.

    Secrets of fewer than 4 characters are left: they occur in ordinary words.
    """
    for secret in sorted((s for s in secrets if len(s) >= 4), key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _WEBHOOK.sub(f"/services/{MASK}", text)
    return _BEARER.sub(rf"\1 {MASK}", text)


def safe_address(url: str) -> str:
    """An address as it may be shown: no user and password, no fragment, no secret in the query."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no address: nothing of it can be told to be harmless
        return MASK
    address = parts.netloc.rpartition("@")[2] + _WEBHOOK.sub(f"/services/{MASK}", parts.path)
    if parts.scheme:
        address = f"{parts.scheme}://{address}"
    if not parts.query:
        return address
    shown = []
    for pair in parts.query.split("&"):
        key, equals, _ = pair.partition("=")
        shown.append(f"{key}={MASK}" if equals and _SECRET_KEY.search(key) else pair)
    return f"{address}?{'&'.join(shown)}"
