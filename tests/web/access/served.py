"""A small server behind the guard, and browsers and programs that ask it, each from an address of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from liftlock.errors import LiftlockError
from liftlock.model import Environment, GitHubSignIn, OpenIdSignIn, Project, Serve
from liftlock.web.access import sign_in
from liftlock.web.access.access import Access
from liftlock.web.access.forms import form_token
from liftlock.web.access.guard import Guard
from liftlock.web.access.people import Right, person_of, require
from liftlock.web.api.problem import problem
from liftlock.web.store import open_store
from tests.web.access.providers import CLIENT, ISSUER, SECRET, Provider

URL = "https://liftlock.example.com"
ROLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "dev": {"see": ("*",), "promote": ("*",)},
    "production": {
        "see": ("ada", "grace@example.com"),
        "promote": ("team:example/releases", "group:leads"),
        "approve": ("grace",),
        "administer": ("root",),
    },
}
GITHUB = GitHubSignIn(CLIENT, "env:CLIENT_SECRET")
OIDC = OpenIdSignIn(ISSUER, CLIENT, "env:CLIENT_SECRET")


def a_project(serve: Serve, ledger: str = "github") -> Project:
    environments = {"dev": Environment("dev"), "production": Environment("production", ("dev",))}
    return Project(
        "shop", "example/shop", ledger, 0, environments, {}, {"github": "https://api.github.com"}, serve=serve
    )


def with_github(**more: object) -> Serve:
    return Serve(**{"url": URL, "github": GITHUB, "roles": ROLES, **more})  # type: ignore[arg-type]


def with_oidc(**more: object) -> Serve:
    return Serve(**{"url": URL, "oidc": OIDC, "roles": ROLES, **more})  # type: ignore[arg-type]


@dataclass
class Clock:
    """A clock that is turned by hand."""

    at: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Server:
    """The server, and what it is made of."""

    app: Starlette
    access: Access
    provider: Provider
    clock: Clock
    said: list[str] = field(default_factory=list)

    def client(self, address: str = "203.0.113.7", base: str = URL, **headers: str) -> httpx2.AsyncClient:
        """A browser or a program at an address."""
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False, client=(address, 5))
        return httpx2.AsyncClient(transport=transport, base_url=base, headers=headers)

    async def signed_in(self, client: httpx2.AsyncClient, next_: str = "/") -> httpx2.Response:
        """Sign in as whoever the provider says; the answer to coming back."""
        begun = await client.get("/sign-in/start", params={"next": next_})
        assert begun.status_code == 303, begun.text
        return await client.get(f"/sign-in/callback?{self.provider.authorized(begun.headers['location'])}")


async def who(request: Request) -> Response:
    person = person_of(request)
    return JSONResponse(
        {
            "account": person.account,
            "via": person.via,
            "address": person.address,
            "rights": {e: sorted(r) for e, r in person.rights.items()},
        }
    )


async def change(request: Request) -> Response:
    environment = request.path_params["environment"]
    person = require(request, Right.PROMOTE, environment)
    return PlainTextResponse(f"{person.account} changed {environment}: {len(await request.body())}")


async def form(request: Request) -> Response:
    return PlainTextResponse(form_token(request))


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, LiftlockError)
    return problem(error)


@asynccontextmanager
async def serving(
    serve: Serve, *, database: str = "sqlite://", ledger: str = "github"
) -> AsyncIterator[Server]:
    """A server with these settings, in-process."""
    provider, clock = Provider(), Clock()
    project = a_project(serve, ledger)
    app = Starlette(
        routes=[
            *sign_in.routes(),
            Route("/who", who),
            Route("/form", form),
            Route("/change/{environment}", change, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, project=project)],
        exception_handlers={LiftlockError: _told},
    )
    async with open_store(database) as store:
        access = Access(
            project,
            store,
            environ={"CLIENT_SECRET": SECRET},
            transport=httpx2.ASGITransport(provider.app()),
            now=clock,
        )
        app.state.access = access
        yield Server(app, access, provider, clock)


def token_in(html: str) -> str:
    """The form's token in a page."""
    return html.partition('value="')[2].partition('"')[0]


def host_of(address: str) -> str:
    return urlsplit(address).netloc
