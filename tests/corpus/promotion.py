"""One whole promotion against the sandbox in-process, in which one vendor says something that it never should.

The engine and the adapters are the real ones. What is judged is the sandbox's own state, not what
liftlock says of it.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2
import trio
from trio.testing import MockClock

from liftlock.commands.promote import plan_promotion
from liftlock.commands.run import Terms, run_under_lease
from liftlock.engine.events import Event, Notice, StepFinished
from liftlock.engine.execute import StopRequest
from liftlock.errors import LiftlockError, ungrouped
from liftlock.sandbox.app import create_app
from liftlock.sandbox.clock import EPOCH
from liftlock.sandbox.cloud import Cloud
from liftlock.sandbox.inprocess import InProcess
from liftlock.wiring import open_project
from tests.simulation.machine import VersionedCode
from tests.simulation.project import make_project
from tests.simulation.shape import Shape
from tests.simulation.world import ADDRESS, WEBHOOK_SECRET, World, furnish

SHAPE = Shape(
    apps=("SSO", "ODB"),
    environments=("dev", "staging"),
    ledger="github",
    undo_never=False,
    settle_s=0.0,
    site=True,
)
LIMIT_S = 4 * 3600.0
"""What waits for longer than that, by the virtual clock, hangs."""


@dataclass(frozen=True, slots=True)
class Saying:
    """What is said in a vendor's place, to the requests that it is said to."""

    at: str
    """METHOD and a regular expression of the path, as in `GET /apps/odb-staging/formation$`."""
    content: bytes
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    skip: int = 0

    def takes(self, request: httpx2.Request) -> bool:
        method, _, path = self.at.partition(" ")
        return request.method == method and re.search(path, request.url.path) is not None


@dataclass
class Ended:
    """How it ended, by what liftlock says and by what the vendors have."""

    exit_code: int
    error: str
    """The error's class; "" when there is none."""
    said: str
    unchanged: bool
    """Whether staging runs what it ran, everywhere."""
    new_records: Sequence[str]
    """The apps that were recorded in staging."""
    met: Mapping[str, int]
    """How many requests each saying was said to."""


class Mouth(httpx2.AsyncBaseTransport):
    """The line to the cloud, on which some answers are exchanged for others once they were applied."""

    def __init__(self, cloud: InProcess, sayings: Sequence[Saying]) -> None:
        self._cloud = cloud
        self._sayings = sayings
        self.met: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._cloud.handle_async_request(request)
        saying = next((each for each in self._sayings if each.takes(request)), None)
        if saying is None:
            return response
        self.met[saying.at] += 1
        if self.met[saying.at] <= saying.skip:
            return response
        await response.aread()
        kept = {"date", "content-type", "link", "location", "docker-content-digest"}
        headers = {name: value for name, value in response.headers.items() if name in kept}
        status = response.status_code if saying.status is None else saying.status
        return httpx2.Response(status, headers={**headers, **saying.headers}, stream=_Body(saying.content))


class _Body(httpx2.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 65536):
            yield self._content[start : start + 65536]


class _Calm(random.Random):
    """A world without surprises: nothing is rare enough to happen."""

    def random(self) -> float:
        return 0.999

    def choice(self, seq: Any) -> Any:
        return seq[0]


class _Clock:
    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=anyio.current_time())

    def boottime(self) -> float:
        return anyio.current_time()


def promote(folder: Path, sayings: Sequence[Saying] = (), payload: object = None) -> Ended:
    """Promote dev to staging. `payload` stands in the newest record of ODB in dev."""
    ended: list[Ended] = []

    async def main() -> None:
        cloud = Cloud(modelled=True)
        app = create_app(cloud)
        async with cloud.running():
            world = await furnish(cloud, make_project(SHAPE, folder), SHAPE, _Calm())
            if payload is not None:
                _replace_payload(world, payload)
            await trio.sleep(1)  # what was released at once is up by now
            with trio.fail_after(LIMIT_S):
                ended.append(await _told(world, Mouth(InProcess(cloud, app), sayings)))

    trio.run(main, clock=MockClock(autojump_threshold=0.0))
    return ended[0]


async def _told(world: World, mouth: Mouth) -> Ended:
    before, records = _running(world), _records(world)
    told: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, Notice):
            told.append(event.text)
        elif isinstance(event, StepFinished) and event.outcome == "failed":
            told.append(event.detail)

    try:
        with ungrouped():
            code, error = await _promoted(world, mouth, told, hear)
    except LiftlockError as refused:
        code, error = refused.exit_code, type(refused).__name__
        told += [refused.message, refused.hint]
    new = [app for app, count in _records(world).items() if count > records[app]]
    return Ended(code, error, "\n".join(told), _running(world) == before, new, mouth.met)


async def _promoted(world: World, mouth: Mouth, told: list[str], hear: Any) -> tuple[int, str]:
    environ = {
        "LIFTLOCK_SANDBOX_TOKEN": "user-ana",
        "SLACK_WEBHOOK_URL": f"{ADDRESS}/services/T0/B0/{WEBHOOK_SECRET}",
    }
    async with open_project(world.project, clock=_Clock(), environ=environ, transport=mouth) as opened:
        adapters = dataclasses.replace(opened, source_code=VersionedCode())
        _, result = await run_under_lease(
            world.project,
            adapters,
            "staging",
            lambda: plan_promotion(world.project, adapters, "dev", "staging"),
            Terms("promotion from dev"),
            show=lambda plan: None,
            agree=None,
            emit=hear,
            stop=StopRequest(),
        )
    told += result.notes
    if result.cause is not None:
        told += [result.cause.message, result.cause.hint]
    return result.exit_code, type(result.cause).__name__ if result.cause else ""


def _running(world: World) -> dict[str, Mapping[str, str]]:
    return {app: world.running(app, "staging") for app in world.project.apps}


def _records(world: World) -> dict[str, int]:
    rows = [row for row in world.repository.deployments.values() if row["environment"] == "staging"]
    return {app: sum(row["task"] == f"deploy:{app}" for row in rows) for app in world.project.apps}


def _replace_payload(world: World, payload: object) -> None:
    for row in world.repository.deployments.values():
        if row["task"] == "deploy:ODB" and row["environment"] == "dev":
            world.repository.deployments.put(str(row["id"]), {**row, "payload": payload})
