"""What a fault's rule does to one request, on the level of ASGI messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from liftlock.sandbox.faults import ConnectionDropped, Rule

RESET = "liftlock.reset"
"""The server's ASGI extension: {"abort": function that closes the TCP connection with a reset}."""


def disturbed(rule: Rule, app: ASGIApp) -> ASGIApp:
    """`app` with the fault of `rule`."""

    async def request(scope: Scope, receive: Receive, send: Send) -> None:
        match rule.action:
            case "reset":
                await drop(scope, receive)
            case "status":
                await _answer(send, rule.status or 500, rule.headers, rule.body or b"")
            case "hang":
                await _hang(rule, app, scope, receive, send)
            case "lost":
                await app(scope, receive, _Kept().send)
                await drop(scope, receive)
            case "delay":
                kept = _Kept()
                await app(scope, receive, kept.send)
                await anyio.sleep(rule.delay_s)
                await kept.replay(send)
            case "body":
                kept = _Kept()
                await app(scope, receive, kept.send)
                await kept.replay(_replacing(rule, send))

    return request


async def drop(scope: Scope, receive: Receive) -> None:
    """Close the connection without an answer: a TCP reset where there is a server, else `ConnectionDropped`."""
    extension = (scope.get("extensions") or {}).get(RESET)
    if extension is None:
        raise ConnectionDropped("the connection was closed by a fault of the sandbox")
    extension["abort"]()
    # The server takes a handler that returns without an answer for a mistake, unless it knows of the loss.
    while (await receive())["type"] != "http.disconnect":
        pass


async def _hang(rule: Rule, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Wait for the rule's end or the client's leaving; the body is kept for the application."""
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
    left = messages[-1]["type"] == "http.disconnect"

    async def watch(stop: Callable[[], None]) -> None:
        nonlocal left
        left = (await receive())["type"] == "http.disconnect"
        stop()

    if not left:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, tasks.cancel_scope.cancel)
            await rule.deleted.wait()
            tasks.cancel_scope.cancel()
    if left:
        return

    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    await app(scope, replayed, send)


class _Kept:
    """An answer that is kept back."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    async def replay(self, send: Send) -> None:
        for message in self.messages:
            await send(message)


def _replacing(rule: Rule, send: Send) -> Callable[[Message], Awaitable[None]]:
    async def replacing(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = {
                k: v for k, v in message["headers"] if k not in (b"content-length", b"content-encoding")
            }
            given = {k.lower().encode(): v.encode() for k, v in rule.headers.items()}
            message["headers"] = list({**headers, **given}.items())
            message["status"] = rule.status or message["status"]
            await send(message)
        elif not message.get("more_body"):
            await send({"type": "http.response.body", "body": rule.body or b""})

    return replacing


async def _answer(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    given = {k.lower(): v for k, v in headers.items()}
    given.setdefault(
        "content-type", "application/json" if body[:1] in (b"{", b"[") else "text/plain; charset=utf-8"
    )
    given.setdefault("content-length", str(len(body)))
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in given.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
