"""The dashboard of the small world that the use cases are tested in, served in-process."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape

import httpx2

from liftlock.ports import Adapters
from liftlock.web.access.access import Access
from liftlock.web.access.forms import FIELD, token_of
from liftlock.web.app import create_app
from liftlock.web.live import Changes
from liftlock.web.reading import Reading
from liftlock.web.work.orders import Work
from tests.commands.world import World

BASE = "http://127.0.0.1"


@dataclass(frozen=True)
class Browser:
    """Asks for pages, and reads them as somebody without scripts would."""

    client: httpx2.AsyncClient
    reading: Reading
    changes: Changes
    work: Work
    form_token: str
    access: Access

    async def get(self, path: str, status: int = 200) -> str:
        answer = await self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    async def post(self, path: str, fields: Mapping[str, str]) -> httpx2.Response:
        """Send a form of the page itself."""
        sent = {**fields, FIELD: self.form_token}
        return await self.client.post(path, data=sent, headers={"origin": BASE})

    async def text(self, path: str, status: int = 200) -> str:
        return words(await self.get(path, status))


def words(html: str) -> str:
    """What a page says, in one line; of what is only for the ears as well."""
    body = html.partition("<main")[2].partition("</main>")[0].partition(">")[2]
    said = " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())
    return re.sub(r" (?=[:,.;])", "", said)


@asynccontextmanager
async def served(
    world: World, adapters: Callable[[Adapters], Adapters] = lambda found: found, account: str = ""
) -> AsyncIterator[Browser]:
    """The dashboard of `world`; `adapters` may put others in the place of some.

    With an account, they are signed in by name; without, they came by the one-time link.
    """

    @asynccontextmanager
    async def opened(account: str) -> AsyncIterator[Adapters]:
        yield adapters(world.adapters)

    app = create_app(world.project, opened)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
            site = app.state.site
            name = account or "requester"
            session = await app.state.access.sessions.begin(name, name, "session" if account else "link")
            client.cookies.set("liftlock-0", session.secret)
            yield Browser(client, site.reading, site.changes, site.work, token_of(session), app.state.access)
