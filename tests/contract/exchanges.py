"""Records what adapters and the sandbox say to each other, and holds all of it against the descriptions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.contract.schemas import BrokenContractError
from tests.contract.vendors import unavailable, validate_answer, validate_request, vendor_of
from tests.sandbox.heroku_client import public


@dataclass
class Exchange:
    """One request and its answer. A body that is not JSON is None."""

    method: str
    path: str
    query: tuple[str, ...]
    sent: Any = None
    status: int = 0
    answered: Any = None

    @property
    def vendor(self) -> str:
        return vendor_of(self.path)

    def problems(self) -> list[str]:
        """Every way in which it is not as the vendor describes."""
        found = []
        try:
            # What the sandbox refuses may be wrong on purpose; what it takes has to be right.
            if self.status < 400:
                validate_request(self.vendor, self.method, self.path, self.sent, self.query)
        except BrokenContractError as error:
            found.append(str(error))
        try:
            answered = public(self.answered) if self.vendor == "heroku" else self.answered
            validate_answer(self.vendor, self.method, self.path, self.status, answered)
        except BrokenContractError as error:
            found.append(str(error))
        return found


@dataclass
class Recorder:
    """An ASGI application around the sandbox's that remembers every exchange with a vendor."""

    app: ASGIApp
    exchanges: list[Exchange] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not vendor_of(scope["path"]):
            await self.app(scope, receive, send)
            return
        query = tuple(name for name, _ in parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        exchange = Exchange(scope["method"], scope["path"], query)
        sent, answered = bytearray(), bytearray()
        kinds = {"sent": _content_type(scope["headers"]), "answered": ""}

        async def hear(wrapped: Receive = receive) -> Message:
            message = await wrapped()
            sent.extend(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                kinds["answered"] = _content_type(message.get("headers", ()))
            else:
                answered.extend(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, hear, say)
        finally:
            exchange.sent = _body(bytes(sent), kinds["sent"])
            exchange.answered = _body(bytes(answered), kinds["answered"])
            if exchange.status:
                self.exchanges.append(exchange)

    def check(self) -> None:
        """Raise `BrokenContractError` with everything that went over the wire and is not described."""
        wrong = dict.fromkeys(
            problem
            for exchange in self.exchanges
            if not unavailable(exchange.vendor)
            for problem in exchange.problems()
        )
        if wrong:
            raise BrokenContractError("\n".join(wrong))

    def seen(self, vendor: str) -> set[tuple[str, str]]:
        """The methods and paths of the exchanges with a vendor."""
        return {(e.method, e.path) for e in self.exchanges if e.vendor == vendor}


def _content_type(headers: Any) -> str:
    return next((value.decode() for name, value in headers if name.lower() == b"content-type"), "")


def _body(content: bytes, content_type: str) -> Any:
    if not content:
        return None
    if "json" in content_type or content[:1] in (b"{", b"["):
        try:
            return json.loads(content)
        except ValueError:
            return content.decode("utf-8", "replace")
    return content.decode("utf-8", "replace") if content_type.startswith("text/") else None
