"""Heroku asked as its own client does, every answer held against the published schema where that is present."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2

from tests.contract.vendors import unavailable, validate_answer
from tests.sandbox.images import behaving, push

IMAGES = "application/vnd.heroku+json; version=3.docker-releases"
PLAIN = "application/vnd.heroku+json; version=3"


class Heroku:
    """One app's API, over any HTTP client."""

    def __init__(self, http: httpx2.AsyncClient, app: str = "odb-dev") -> None:
        self.http = http
        self.app = app

    async def ask(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        expect: int = 200,
        accept: str = IMAGES,
        **headers: str,
    ) -> Any:
        """The answer's JSON; `path` beginning with `/` is taken whole, else it is below the app."""
        path = path if path.startswith("/") else f"/apps/{self.app}/{path}".rstrip("/")
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.http.request(method, path, json=json, headers={"accept": accept, **more})
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        if not unavailable("heroku") and path.startswith(("/apps", "/account", "/actions", "/addons")):
            validate_answer("heroku", method, path, answer.status_code, public(answer.json()))
        return answer.json()

    async def create(self, **wish: Any) -> None:
        world = {"heroku": {"apps": [{"name": self.app, **wish}]}}
        answer = await self.http.put("/_sandbox/world", json=world)
        assert answer.status_code == 200, answer.text

    async def pushed(self, type_: str = "web", kind: str = "well", seed: str = "") -> str:
        """The image id of an image that was pushed for a process type."""
        return await push(self.http, f"{self.app}/{type_}", behaving(kind, seed))

    async def release(self, expect: int = 200, **images: Any) -> Any:
        """Release images by process type in one call."""
        updates = [{"type": type_, "docker_image": image} for type_, image in images.items()]
        return await self.ask("PATCH", "formation", {"updates": updates}, expect=expect)

    async def releases(self) -> Any:
        return await self.ask("GET", "releases")

    async def newest(self) -> Any:
        return (await self.releases())[-1]

    async def states(self) -> dict[str, Any]:
        """{dyno: (state, release version)}."""
        return {d["name"]: (d["state"], d["release"]["version"]) for d in await self.ask("GET", "dynos")}

    async def images(self) -> dict[str, str]:
        return {one["type"]: one["docker_image"]["id"] for one in await self.ask("GET", "formation")}

    async def quantities(self) -> dict[str, int]:
        return {one["type"]: one["quantity"] for one in await self.ask("GET", "formation")}

    async def until(self, wanted: Any, limit_s: float = 20.0) -> None:
        """Wait until the dynos are in these states."""
        seen = await self.states()
        with anyio.move_on_after(limit_s):
            while seen != wanted:
                await anyio.sleep(0.02)
                seen = await self.states()
        assert seen == wanted, f"{seen}\n{await self.log()}"

    async def ended(self, limit_s: float = 20.0) -> Any:
        """The newest release, once it is not pending any more."""
        with anyio.fail_after(limit_s):
            while (release := await self.newest())["status"] == "pending":  # noqa: ASYNC110
                await anyio.sleep(0.02)
        return release

    async def get(self, path: str = "/") -> httpx2.Response:
        """Ask the running app."""
        return await self.http.get(f"/_apps/{self.app}{path}")

    async def log(self, **wish: Any) -> str:
        session = await self.ask("POST", "log-sessions", wish, expect=201)
        return (await self.http.get(session["logplex_url"])).text

    async def transfer(self, num: int | str, limit_s: float = 20.0) -> Any:
        """A transfer, once it is over."""
        path = f"/client/v11/apps/{self.app}/transfers/{num}"
        with anyio.fail_after(limit_s):
            while True:
                transfer = await self.ask("GET", f"{path}?verbose=true")
                if transfer["finished_at"]:
                    return transfer
                await anyio.sleep(0.02)

    async def addon(self) -> str:
        (addon,) = await self.ask("GET", "addons")
        return str(addon["id"])

    async def capture(self, limit_s: float = 20.0) -> Any:
        """A new backup, once it is over."""
        path = f"/client/v11/databases/{await self.addon()}/backups"
        return await self.transfer((await self.ask("POST", path, expect=201))["num"], limit_s)


def public(content: Any) -> Any:
    """An answer as Heroku would give it: there, `web_url` is under herokuapp.com."""
    if isinstance(content, list):
        return [public(one) for one in content]
    if isinstance(content, dict) and "web_url" in content:
        return {**content, "web_url": None}
    return content


def client_of(base: str, transport: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
    """An HTTP client with the owner's token."""
    return httpx2.AsyncClient(
        transport=transport, base_url=base, headers={"authorization": "Bearer owner"}, timeout=60
    )
