"""Vendors' refusals and failures, turned into ours: who said no to what, in the vendor's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liftlock.errors import (
    BadAnswer,
    Conflict,
    NotFound,
    Unauthorized,
    VendorError,
    VendorFailure,
    VendorRefusal,
)
from liftlock.http.answers import Answer, vendor_name

_LONGEST = 300
"""Of a vendor's words, so many characters are passed on."""

_HINTS: Mapping[type[VendorError], str] = {
    Unauthorized: "Check that the credential is valid and may do this.",
    NotFound: "It does not exist, or this credential may not see it: check its name.",
    VendorFailure: "The vendor has a problem: look at its status page, and try again later.",
}


def failure(answer: Answer) -> VendorError:
    """The error for an answer whose status was not expected."""
    kind = _kind(answer.status)
    message, code = (answer.clean(word)[:_LONGEST] for word in vendor_message(answer))
    told = " ".join(word for word in (str(answer.status), code, message) if word)
    verb = "failed at" if answer.status >= 500 else "refused"
    if kind is BadAnswer:
        verb = "answered unexpectedly to"
    return kind(
        answer.clean(f"{vendor_name(answer.vendor)} {verb} {answer.method} {answer.address}: {told}"),
        vendor=answer.vendor,
        method=answer.method,
        address=answer.address,
        status=answer.status,
        code=code,
        hint=_HINTS.get(kind, ""),
    )


def _kind(status: int) -> type[VendorError]:
    if status in {401, 403}:
        return Unauthorized
    if status in {404, 410}:
        return NotFound
    if status in {409, 422}:
        return Conflict
    if 400 <= status < 500:
        return VendorRefusal
    return VendorFailure if status >= 500 else BadAnswer


def vendor_message(answer: Answer) -> tuple[str, str]:
    """(message, code) as the vendor's error body has them; a short excerpt of any other body.

    Knows the bodies of Heroku (`id`, `message`), GitHub (`message`, `errors`), Google
    (`error.message`, `error.status`), OAuth (`error`, `error_description`) and OCI registries
    (`errors[].code`, `errors[].message`).
    """
    try:
        body = answer.json()
    except BadAnswer:
        return answer.excerpt(), ""
    if not isinstance(body, dict):
        return answer.excerpt(), ""
    error = body.get("error")
    if isinstance(error, dict):
        return _text(error.get("message")), _text(error.get("status"))
    if isinstance(error, str):
        return _text(body.get("error_description") or body.get("message")), error
    details = [_detail(one) for one in _list(body.get("errors"))]
    if "message" in body:
        more = "; ".join(text for text, _ in details if text)
        message = _text(body["message"])
        return f"{message} ({more})" if more else message, _text(body.get("id"))
    if details:
        return "; ".join(text for text, _ in details if text), details[0][1]
    return answer.excerpt(), ""


def _detail(error: Any) -> tuple[str, str]:
    if not isinstance(error, dict):
        return _text(error), ""
    code = _text(error.get("code"))
    text = _text(error.get("message"))
    if not text:
        text = " ".join(_text(error.get(key)) for key in ("resource", "field", "code") if error.get(key))
    return text, code


def _list(value: Any) -> list[Any]:
    return value[:5] if isinstance(value, list) else []


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return " ".join(value.split())
