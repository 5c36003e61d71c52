"""The cloud as every request reaches it: through the weather, and before the judge's eyes."""

from __future__ import annotations

import re
from collections.abc import Callable

import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from liftlock.sandbox.app import Application
from liftlock.sandbox.disturb import disturbed
from tests.simulation.actors import BEGUN, Actor
from tests.simulation.promises import Promises
from tests.simulation.weather import Weather

_BEGUN = BEGUN.encode()
_TOLD = re.compile(r"formation|/releases|backups$|restores$|deployments$|refs$|statuses$|/services/")


class Cloudside:
    """One for a story, whoever asks."""

    def __init__(
        self, app: ASGIApp, promises: Promises, weather: Weather, tell: Callable[[str], None]
    ) -> None:
        self._app = app
        self._promises = promises
        self._weather = weather
        self._tell = tell
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        actor: Actor = scope["simulation.actor"]
        self.requests += 1
        rule = None
        if actor.name != "operator":
            vendor = self.vendor_of(scope["path"])
            rule = self._weather.fault(vendor, trio.current_time())
        if rule is None:
            await self._applied(scope, receive, send)
            return
        actor.is_hit(vendor)
        if scope["method"] != "GET":
            self._tell(
                f"{actor.name}: {scope['method']} {scope['path']} meets {rule.action} {rule.status or ''}"
            )
        if rule.action == "late":
            await self._late(rule.delay_s, scope, receive, send)
            return
        await disturbed(rule, self._applied)(scope, receive, send)

    async def _late(self, delay_s: float, scope: Scope, receive: Receive, send: Send) -> None:
        """Something on the way keeps it until whoever sent it has given up, and delivers it then."""
        await trio.sleep(delay_s)
        scope["simulation.late"] = True
        await self._applied(scope, receive, send)

    async def _applied(self, scope: Scope, receive: Receive, send: Send) -> None:
        actor: Actor = scope["simulation.actor"]
        method, path = scope["method"], scope["path"]
        address = f"{path}?{scope['query_string'].decode()}" if scope["query_string"] else path
        if method == "GET":
            self._promises.before(actor, method, address, b"", 0.0)
            await self._app(scope, receive, send)
            return
        message = await receive()
        body = message.get("body", b"")
        begun = float(next(v for k, v in scope["headers"] if k == _BEGUN))
        late = bool(scope.get("simulation.late"))
        change = self._promises.before(actor, method, address, body, begun, late=late)
        status = 0

        async def replay() -> Message:
            nonlocal message
            if message:
                first, message = message, {}
                return first
            return await receive()

        async def noting(out: Message) -> None:
            nonlocal status
            if out["type"] == "http.response.start":
                status = out["status"]
                self._promises.after(actor, method, path, status, body, change)
                if _TOLD.search(path):
                    self._tell(f"{actor.name}: {method} {path} -> {status}")
            await send(out)

        await self._app(scope, replay, noting)

    def vendor_of(self, path: str) -> str:
        application = self._app
        assert isinstance(application, Application)
        return application._owner(path).name
