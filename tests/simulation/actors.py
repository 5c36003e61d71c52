"""Who acts: people with a terminal that can lose its network, be suspended, or be killed at any await."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio
import httpx2
import trio
import trio.lowlevel
from starlette.types import ASGIApp, Receive, Scope, Send

from liftlock.sandbox.clock import EPOCH
from liftlock.sandbox.inprocess import InProcess
from tests.simulation.weather import Weather

BEGUN = "x-simulation-begun"
"""When a request was begun on its actor's machine: it may leave only after a suspension."""
CURRENT: ContextVar[Actor | None] = ContextVar("actor", default=None)


class Killed(Exception):
    """What a dead actor's requests end with."""


@dataclass
class Kill:
    """When an actor is killed: at its n-th request (before it is sent, or once it was answered), its n-th await, or
    once the n-th deployment that it made stands in the ledger."""

    what: str
    n: int


@dataclass
class Suspension:
    """At its n-th request, the machine is suspended."""

    what: str
    n: int
    lasts_s: float


@dataclass
class Actor:
    """One process: its credential, its clock, and what befalls it."""

    name: str
    skew_s: float = 0.0
    kill: Kill | None = None
    suspension: Suspension | None = None
    dead: bool = False
    awaits: int = 0
    requests: int = 0
    made: int = 0
    """How many deployments of its stand in the ledger."""
    asleep: list[tuple[float, float]] = field(default_factory=list)
    blind_at: float = -1e9
    """When a request of its to whoever keeps the leases was hit last."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    tell: Callable[[str], None] = lambda text: None

    @property
    def token(self) -> str:
        return f"user-{self.name}-t0k3n"

    @property
    def login(self) -> str:
        return f"{self.name}-t0k3n"

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.token, base64.b64encode(f"_:{self.token}".encode()).decode()

    def die(self) -> None:
        """kill -9: nothing of it reaches anybody from now on."""
        if not self.dead:
            self.dead = True
            self.tell(f"{self.name} is killed at request {self.requests}, await {self.awaits}")
            self.scope.cancel()

    def is_hit(self, vendor: str) -> None:
        """Something befell a request of its."""
        if vendor == "github":
            self.blind_at = trio.current_time()

    def slept_between(self, since: float, until: float) -> float:
        """How long it was suspended within that time."""
        return sum(max(0.0, min(until, end) - max(since, start)) for start, end in self.asleep)

    # A `ports.Clock`, as this machine has it.

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=anyio.current_time() + self.skew_s)

    def boottime(self) -> float:
        return anyio.current_time()

    async def _awake(self) -> None:
        """Its machine is suspended once in its life at most."""
        if self.asleep and trio.current_time() < self.asleep[-1][1]:
            await trio.sleep_until(self.asleep[-1][1])

    def has_made(self) -> None:
        """Something that it wrote stands in the ledger."""
        self.made += 1
        if self.kill and (self.kill.what, self.kill.n) == ("made", self.made):
            self.die()

    def begin_request(self) -> int:
        """Begin a request; gives its number, as others may begin before this one is answered."""
        self.requests += 1
        return self.requests

    def _befalls(self, what: str, request: int) -> None:
        if self.kill and (self.kill.what, self.kill.n) == (what, request):
            self.die()
        if self.suspension and (self.suspension.what, self.suspension.n) == (what, request):
            now = trio.current_time()
            self.asleep.append((now, now + self.suspension.lasts_s))
            self.tell(f"{self.name} is suspended for {self.suspension.lasts_s:.0f} s at request {request}")


class Line(httpx2.AsyncBaseTransport):
    """An actor's line to the cloud."""

    def __init__(
        self, actor: Actor, cloud: InProcess, weather: Weather, vendor_of: Callable[[str], str]
    ) -> None:
        self._actor = actor
        self._cloud = cloud
        self._weather = weather
        self._vendor_of = vendor_of

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        actor = self._actor
        number = actor.begin_request()
        request.headers[BEGUN] = repr(trio.current_time())
        actor._befalls("before", number)
        await actor._awake()
        if actor.dead:
            raise httpx2.ConnectError("it is dead")
        vendor = self._vendor_of(request.url.path)
        if actor.name != "operator" and self._weather.refuses(vendor, trio.current_time()):
            actor.is_hit(vendor)
            await trio.lowlevel.checkpoint()
            raise httpx2.ConnectError("connection refused")
        response = await self._cloud.handle_async_request(request)
        actor._befalls("after", number)
        await actor._awake()
        if actor.dead:
            raise httpx2.ReadError("it is dead")
        return response


class Marked:
    """Tells the cloud whose request it is."""

    def __init__(self, actor: Actor, app: ASGIApp) -> None:
        self._actor = actor
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["simulation.actor"] = self._actor
        await self._app(scope, receive, send)


class Awaits(trio.abc.Instrument):
    """Counts the awaits of every actor, and kills one at its n-th."""

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        actor = task.context.get(CURRENT)
        if actor is not None and not actor.dead:
            actor.awaits += 1
            if actor.kill and actor.kill.what == "await" and actor.awaits >= actor.kill.n:
                actor.die()
