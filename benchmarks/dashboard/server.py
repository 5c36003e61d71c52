"""One of the servers that are measured, as a process: `python -m benchmarks.dashboard.server PORT LEDGER`.

With `--bare FILE` in place of a ledger: a Starlette page that answers with the file's bytes and does nothing else.
"""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from benchmarks.dashboard.world import ledger_at, opened, project
from liftlock.ports import Adapters
from liftlock.web.app import create_app


def bare(file: Path) -> Starlette:
    """The same bytes, from nothing."""
    text = file.read_text("utf-8")

    async def page(request: Request) -> Response:
        return HTMLResponse(text)

    return Starlette(routes=[Route("/", page)])


def dashboard(ledger: str) -> Starlette:
    def open_(account: str) -> AbstractAsyncContextManager[Adapters]:
        return opened(ledger_at(ledger))

    return create_app(project(), open_)


class SignedIn:
    """The dashboard as somebody sees it who is signed in: their cookie comes with every request."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self._secret = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and hasattr(self._app.state, "access"):
            if not self._secret:
                session = await self._app.state.access.sessions.begin("ada", "Ada", "link")
                self._secret = session.secret
            cookie = f"liftlock-{scope['server'][1]}={self._secret}".encode()
            scope = {**scope, "headers": [*scope["headers"], (b"cookie", cookie)]}
        await self._app(scope, receive, send)


if __name__ == "__main__":
    app = bare(Path(sys.argv[3])) if sys.argv[2] == "--bare" else SignedIn(dashboard(sys.argv[2]))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
