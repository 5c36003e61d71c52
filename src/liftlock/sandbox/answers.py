"""Answers and refusals, as cheap as they can be made: a promotion asks some fifteen hundred times."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class Json(Response):
    """A JSON answer."""

    def __init__(
        self,
        content: Any,
        status: int = 200,
        headers: dict[str, str] | None = None,
        media_type: str = "application/json; charset=utf-8",
    ) -> None:
        self.status_code = status
        self.background = None
        self.body = json.dumps(content, separators=(",", ":")).encode()
        self.raw_headers = [
            (b"content-length", str(len(self.body)).encode()),
            (b"content-type", media_type.encode()),
        ]
        if headers:
            self.raw_headers += [
                (k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()
            ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


class Refusal(Exception):
    """The vendor says no: raised anywhere in a handler, answered as it stands.

    `content` is the whole body in the vendor's own format.
    """

    def __init__(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {content}")
        self.answer = Json(content, status, headers)


class Unreadable(Exception):
    """The request's body is not a JSON object; the application answers 400 in the vendor's format."""


async def body_object(request: Request) -> dict[str, Any]:
    """The request's JSON object; an empty body counts as {}. Raises `Unreadable`."""
    raw = await request.body()
    if not raw:
        return {}
    try:
        content = json.loads(raw)
    except ValueError as error:
        raise Unreadable("the body is not JSON") from error
    if not isinstance(content, dict):
        raise Unreadable("the body is not a JSON object")
    return content


def login_of(request: Request) -> str:
    """Who asks: "owner", or NAME for the token `user-NAME`."""
    login: str = request.scope["liftlock.login"]
    return login
