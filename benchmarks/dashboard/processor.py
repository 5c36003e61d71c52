"""What a page, and a look behind it, take of the processor: the same on a busy machine as on an idle one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from starlette.types import ASGIApp, Message

from benchmarks.dashboard.server import SignedIn, bare, dashboard
from benchmarks.dashboard.world import ENVIRONMENTS, ledger_at, opened, project
from liftlock.commands.history import account_of, read_history
from liftlock.commands.status import look_at
from liftlock.web.gathering import Gathering

PAGES = ("/", "/history", "/numbers")
TIMES = 200
SETTLES_S = 1.0


async def ask(app: ASGIApp, path: str) -> bytes:
    """One request, without a network and without a client."""
    answer: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    return b"".join(message.get("body", b"") for message in answer)


async def _per_request_ms(app: ASGIApp, path: str) -> float:
    await ask(app, path)
    began = time.process_time()
    for _ in range(TIMES):
        await ask(app, path)
    return (time.process_time() - began) / TIMES * 1000


async def _taken_ms(work: Callable[[], Awaitable[object]]) -> float:
    await work()
    began = time.process_time()
    await work()
    await work()
    return (time.process_time() - began) / 2 * 1000


async def processor(title: str, ledger: str, folder: Path) -> None:
    """Print a line for each page, and for each look at the ledger."""
    dashboard_, file, whole = dashboard(ledger), folder / "page.html", project()
    app = SignedIn(dashboard_)
    async with dashboard_.router.lifespan_context(dashboard_):
        for path in PAGES:
            while b"loading" in (text := await ask(app, path)):  # noqa: ASYNC110 - as a reader would
                await anyio.sleep(SETTLES_S)
            file.write_bytes(text)
            ours, other = await _per_request_ms(app, path), await _per_request_ms(bare(file), "/")
            print(
                f"| {title} | `{path}` | {len(text) // 1000} kB | {ours:.2f} ms | {other:.2f} ms |",
                flush=True,
            )
    async with opened(ledger_at(ledger)) as adapters:
        clock = adapters.clock
        gathering = Gathering(whole, adapters, clock.now)
        looks: dict[str, Callable[[], Awaitable[object]]] = {
            "the board": lambda: look_at(whole, adapters, ENVIRONMENTS),
            "the history": lambda: read_history(whole, adapters, None, 50),
            "the oldest promotion": lambda: account_of(whole, adapters, "1"),
            "the numbers' 90 days, the first one": lambda: Gathering(whole, adapters, clock.now).within(90),
            "the numbers' 90 days, a further one": lambda: gathering.within(90),
        }
        for name, look in looks.items():
            print(f"| {title} | a look at {name} | | {await _taken_ms(look):.1f} ms | |", flush=True)
