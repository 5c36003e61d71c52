"""What changes, told to browsers as server-sent events.

An event says only that something of a topic is new. The page that hears it asks for itself again, so
that what somebody may see is decided in one place, and a page that missed an event is mended by the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection

import anyio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from liftlock.web.access.people import person_of

PROJECT = "project"
"""The topic of everything but a single run: what is recorded, what runs, who holds what."""
BEAT_S = 15.0
"""How often a stream without news says that it lives: proxies close those that are silent."""
TOGETHER_S = 0.05
"""Changes within so many seconds are told as one."""
MOST_TOPICS = 8
"""How many topics one stream may follow."""
RETRY_MS = 2000
"""How long a browser waits before it asks again, once a stream broke off."""


def topic_of_run(id_: str) -> str:
    """The topic of one run's events."""
    return f"run:{id_}"


class Changes:
    """Counts the changes of each topic, and wakes who waits for them. Belongs to one event loop."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._next = anyio.Event()
        self.watchers: Counter[str] = Counter()
        """By topic, how many streams follow it now."""
        self.is_closed = False

    def tell(self, topic: str) -> None:
        """Something of `topic` is new."""
        self._counts[topic] += 1
        self._wake()

    def version(self, topics: Collection[str]) -> int:
        """A number that differs after every change of one of the topics."""
        return sum(self._counts[topic] for topic in topics)

    def close(self) -> None:
        """End every stream: the server stops."""
        self.is_closed = True
        self._wake()

    async def closed(self) -> None:
        """Wait until the server stops."""
        while not self.is_closed:
            await self._next.wait()

    async def after(self, topics: Collection[str], version: int) -> int:
        """Wait until the topics are past `version`, or the server stops; returns their version then."""
        while (now := self.version(topics)) == version and not self.is_closed:
            await self._next.wait()
        return now

    def _wake(self) -> None:
        self._next.set()
        self._next = anyio.Event()


async def stream(changes: Changes, topics: Collection[str], version: int) -> AsyncIterator[bytes]:
    """The stream of a page that shows `version` of the topics."""
    yield f"retry: {RETRY_MS}\n\n".encode()
    changes.watchers.update(topics)
    try:
        while not changes.is_closed:
            now = version
            with anyio.move_on_after(BEAT_S):
                now = await changes.after(topics, version)
            if now == version:
                yield b": still here\n\n"
                continue
            yield f"event: changed\nid: {now}\ndata: {now}\n\n".encode()
            version = now
            await anyio.sleep(TOGETHER_S)
    finally:
        changes.watchers.subtract(topics)


async def live(request: Request) -> Response:
    """`GET /live?topic=…&version=…`: tells when the topics are past the version that a page shows."""
    person_of(request)
    changes: Changes = request.app.state.site.changes
    topics = list(dict.fromkeys(request.query_params.getlist("topic")))[:MOST_TOPICS] or [PROJECT]
    # A browser that lost its stream says itself which event it heard last.
    said = request.headers.get("last-event-id") or request.query_params.get("version", "")
    version = int(said) if said.isdecimal() and len(said) < 16 else changes.version(topics)
    return StreamingResponse(
        stream(changes, topics, version),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )
