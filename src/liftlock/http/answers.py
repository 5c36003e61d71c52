"""Vendors' answers, and how their payloads are read: a wrong shape is a `BadAnswer`, never a KeyError."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

from liftlock.errors import BadAnswer
from liftlock.http.redaction import redact, safe_address

T = TypeVar("T")

_MISSING = object()
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_EXCERPT = 120
_LOOKED_AT = 16 * 1024

VENDORS = {
    "github": "GitHub",
    "docker": "Docker",
    "heroku": "Heroku",
    "heroku_data": "Heroku Postgres",
    "heroku_registry": "Heroku's registry",
    "firebase": "Firebase",
    "slack": "Slack",
}


def vendor_name(vendor: str) -> str:
    """A vendor's key as people write it."""
    return VENDORS.get(vendor, vendor)


class Payload(dict[str, Any]):
    """A JSON object that remembers which answer it came from, so that `field` can say it."""

    __slots__ = ("answer",)
    answer: Answer


class Answer:
    """A whole answer of a vendor.

    `headers` are looked up without regard to case.
    """

    __slots__ = ("clean", "content", "headers", "method", "status", "url", "vendor")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        content: bytes,
        *,
        vendor: str = "",
        method: str = "",
        url: str = "",
        clean: Callable[[str], str] = redact,
    ) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        self.vendor = vendor
        self.method = method
        self.url = url
        self.clean = clean
        """Takes the secrets that its client knows out of a text."""

    @property
    def address(self) -> str:
        """Where it came from, as it may be shown."""
        return self.clean(safe_address(self.url))

    def json(self) -> Any:
        """The body as JSON. Raises `BadAnswer` for HTML, broken UTF-8 and anything else."""
        try:
            text = self.content.decode()
            if _HALF.search(text):
                text = _whole(text)
            return json.loads(text, object_hook=self._payload, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise self.bad(f"is not JSON: {self.excerpt()!r}") from error

    def object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `BadAnswer`."""
        value = self.json()
        if not isinstance(value, dict):
            raise self.bad(f"is {_kind(value)} where an object was expected")
        return value

    def array(self) -> list[Any]:
        """The body as a JSON array. Raises `BadAnswer`."""
        value = self.json()
        if not isinstance(value, list):
            raise self.bad(f"is {_kind(value)} where an array was expected")
        return value

    def objects(self) -> list[dict[str, Any]]:
        """The body as a JSON array of objects. Raises `BadAnswer`."""
        entries = self.array()
        if not all(isinstance(entry, dict) for entry in entries):
            raise self.bad("lists something that is not an object")
        return entries

    def excerpt(self) -> str:
        """The beginning of the body on one line, for an error; without the secrets that are known."""
        # Cleaned before it is cut: half a secret is no longer found.
        text = self.clean(self.content[:_LOOKED_AT].decode(errors="replace"))
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"

    def bad(self, what: str) -> BadAnswer:
        """An error about this answer: "GitHub's answer to GET … (200) `what`"."""
        request = f"{self.method} {self.address} ({self.status})"
        return BadAnswer(
            self.clean(f"The answer of {vendor_name(self.vendor)} to {request} {what}."),
            vendor=self.vendor,
            method=self.method,
            address=self.address,
            status=self.status,
            hint="Check that the address is the vendor's own, and that no proxy answers in its place.",
        )

    def _payload(self, value: dict[str, Any]) -> Payload:
        payload = Payload(value)
        payload.answer = self
        return payload


class Download:
    """An answer whose body is read piece by piece, as it was sent (no decompression)."""

    __slots__ = ("_chunks", "address", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        address: str,
        chunks: Callable[[], AsyncIterator[bytes]],
    ) -> None:
        self.status = status
        self.headers = headers
        self.address = address
        self._chunks = chunks

    def chunks(self) -> AsyncIterator[bytes]:
        """The body's pieces, once. Raises `Unreachable` when it breaks off."""
        return self._chunks()


def field(payload: Mapping[str, Any], path: str, kind: type[T]) -> T:
    """The value at `path` (names joined by dots) of a vendor's payload.

    Raises `BadAnswer`, with the vendor and the path, when it is missing, null or of another type.
    An integer is taken where a float is asked for; a boolean is never an integer.
    """
    value = _lookup(payload, path)
    if value is _MISSING:
        raise wrong_field(payload, f"has no {path!r}")
    return _typed(payload, path, value, kind)


def optional(payload: Mapping[str, Any], path: str, kind: type[T]) -> T | None:
    """As `field`, but None when the value, or anything above it, is missing or null."""
    value = _lookup(payload, path)
    if value is _MISSING or value is None:
        return None
    return _typed(payload, path, value, kind)


def _lookup(payload: Mapping[str, Any], path: str) -> Any:
    if path in payload:
        return payload[path]
    value: Any = payload
    for name in path.split("."):
        if value is None:
            return _MISSING
        if not isinstance(value, Mapping):
            raise wrong_field(payload, f"has {_kind(value)} above {path!r} where an object was expected")
        value = value.get(name, _MISSING)
        if value is _MISSING:
            return _MISSING
    return value


def _typed(payload: Mapping[str, Any], path: str, value: Any, kind: type[T]) -> T:
    if kind is float and type(value) in {int, float}:
        value = _finite(payload, path, value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool and kind is not object):
        raise wrong_field(
            payload, f"has {_kind(value)} as {path!r} where {_NAMES.get(kind, kind)} was expected"
        )
    return value


def _finite(payload: Mapping[str, Any], path: str, value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise wrong_field(payload, f"has a number without bounds as {path!r}")
    return number


def _whole(text: str) -> str:
    """JSON in which half a character, which no encoding can carry on, stands as "?"."""
    return json.dumps(json.loads(text), ensure_ascii=False).encode(errors="replace").decode()


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON's")


def wrong_field(payload: Mapping[str, Any], what: str) -> BadAnswer:
    """An error about an object in an answer: "GitHub's answer to GET … (200) `what`"."""
    if isinstance(payload, Payload) and hasattr(payload, "answer"):
        return payload.answer.bad(what)
    return BadAnswer(f"A vendor's answer {what}.", vendor="")


_NAMES: dict[Any, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    dict: "an object",
    list: "an array",
}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    return _NAMES.get(type(value), type(value).__name__)
