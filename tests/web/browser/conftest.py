"""A real Chromium, and the dashboard of a small world as a server of its own."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import pytest

from liftlock.web.app import create_app
from liftlock.web.live import Changes
from tests.commands.world import World

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium. In its sandbox, unless we are root, whom it refuses.

    For one module: while Playwright is there its event loop counts as running in this thread, and no other
    test could have one.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


SESSIONS: dict[str, tuple[str, str]] = {}
"""By a server's address, the cookie of somebody who is signed in there: its name and value."""


@dataclass
class Served:
    """A dashboard that listens."""

    url: str
    world: World
    portal: anyio.from_thread.BlockingPortal
    changes: Changes
    app: Any

    def promote_elsewhere(self) -> None:
        """As the command line of somebody else would; the server hears of it as by a webhook."""

        async def run() -> None:
            await self.world.run(self.world.plan)
            self.app.state.site.reading.outdate()

        self.portal.call(run)


@contextmanager
def listening(world: World) -> Iterator[Served]:
    """The dashboard of a world, on a free port of loopback, in a thread of its own."""
    import uvicorn

    @asynccontextmanager
    async def opened(account: str) -> Any:
        yield world.adapters

    changes = Changes()
    app = create_app(world.project, opened, changes=changes)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        free.listen(128)
        free.setblocking(False)
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=2)
        )
        with anyio.from_thread.start_blocking_portal() as portal:
            stop = anyio.Event()

            async def serve() -> None:
                # Its signals are the tests' own.
                server.config.load()
                server.lifespan = server.config.lifespan_class(server.config)
                await server.startup(sockets=[free])
                await stop.wait()
                changes.close()
                await server.shutdown(sockets=[free])

            done = portal.start_task_soon(serve)
            wait_until(lambda: server.started, "the server listens")
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
            if hasattr(app.state, "access"):  # else nobody has to sign in
                begin = app.state.access.sessions.begin
                session = portal.call(begin, "requester", "requester", "link")
                SESSIONS[url] = f"liftlock-{free.getsockname()[1]}", session.secret
            yield Served(url, world, portal, changes, app)
            portal.call(stop.set)
            done.result(20)


def wait_until(is_so: Callable[[], object], what: str, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        threading.Event().wait(0.02)


@dataclass
class Visitor:
    """Somebody with a browser, whose console is read: a violated policy and an error of ours stand there."""

    page: Page
    said: list[str] = field(default_factory=list)

    def goes(self, url: str) -> Page:
        for base, (name, secret) in SESSIONS.items():
            if url.startswith(base):
                self.page.context.add_cookies([{"name": name, "value": secret, "url": base}])
        self.page.goto(url)
        return self.page


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors; at the end, their consoles have to be silent."""
    contexts, visitors = [], []

    def make(**options: Any) -> Visitor:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        found = Visitor(context.new_page())
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("pageerror", lambda error: found.said.append(str(error)))
        visitors.append(found)
        return found

    yield make
    for context in contexts:
        context.close()
    assert [line for one in visitors for line in one.said] == []
