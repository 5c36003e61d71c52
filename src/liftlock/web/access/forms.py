"""Forms that only our own pages can send: a token that is derived from the session's cookie."""

from __future__ import annotations

from urllib.parse import parse_qs

from markupsafe import Markup
from starlette.requests import HTTPConnection, Request

from liftlock.web.access.keys import derived, same
from liftlock.web.access.sessions import Session

FIELD = "form_token"
HEADER = b"x-liftlock-form"
SESSION = "liftlock.session"
"""The key of the request's scope where the middleware puts the session, or None."""


def token_of(session: Session) -> str:
    """What a form of this session has to carry."""
    return derived(session.secret, "liftlock: form")


def form_token(request: HTTPConnection) -> Markup:
    """The hidden field that every form needs: `{{ form_token(request) }}`."""
    session = request.scope.get(SESSION)
    value = token_of(session) if isinstance(session, Session) else ""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, value)


def is_ours(session: Session, given: str) -> bool:
    """Whether a form carries what only a page of this session can know."""
    return same(token_of(session), given)


def field(body: bytes, name: str) -> str:
    """A field of a form's body; "" when it has none."""
    try:
        return parse_qs(body.decode(), max_num_fields=1000, keep_blank_values=True).get(name, [""])[0]
    except (ValueError, UnicodeDecodeError):
        return ""


async def form_of(request: Request) -> dict[str, list[str]]:
    """The fields of a form that was sent, each with its values."""
    try:
        return parse_qs((await request.body()).decode(), max_num_fields=1000, keep_blank_values=True)
    except (ValueError, UnicodeDecodeError):
        return {}
