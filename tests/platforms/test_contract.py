"""The built-in platforms keep the contract that every platform is held to."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from trio.testing import MockClock

from liftlock.errors import NotFound
from liftlock.model import CommitId, ImageId, Project, Release, SiteVersion
from liftlock.plugins import Context, load
from liftlock.ports import Clock, Platform
from liftlock.sandbox.inprocess import InProcess
from liftlock.testing import FakeClock, NoSourceCode, PlatformContract, open_context, project_from
from tests.platforms import world as sandboxes
from tests.platforms.test_firebase_sandbox import site

COMMITS = {"1": "1" * 40, "2": "2" * 40, "bad": "b" * 40, "absent": "a" * 40}


class OnSandbox(PlatformContract):
    """On the sandbox in this process, and on trio's virtual clock: an hour of waiting costs nothing."""

    @pytest.fixture
    def anyio_backend(self) -> object:
        return "trio", {"clock": MockClock(autojump_threshold=0)}

    @pytest.fixture
    def clock(self) -> Clock:
        return FakeClock()


@dataclass
class HerokuWorld:
    here: sandboxes.World
    context: Context
    settle_s: float = 30.0

    @property
    def project(self) -> Project:
        return self.here.project

    def platform(self) -> Platform:
        return made("heroku", self.context)

    async def built(self, version: str) -> Release:
        return self.here.built(version, commit=COMMITS[version])

    async def broken(self) -> Release | None:
        return self.here.built("bad", {"web": "crash"}, commit=COMMITS["bad"])

    async def absent(self) -> Release:
        nowhere = ImageId("sha256:" + "a" * 64)
        return Release("ODB", COMMITS["absent"], dict.fromkeys(sandboxes.TYPES, nowhere))


class TestHeroku(OnSandbox):
    @pytest.fixture
    async def world(self) -> AsyncIterator[HerokuWorld]:
        project = sandboxes.project_of(sandboxes.container_app())
        async with (
            sandboxes.opened(project) as here,
            open_context(project, transport=InProcess(here.cloud), environ={}) as context,
        ):
            yield HerokuWorld(here, context)


@dataclass
class FirebaseWorld:
    here: sandboxes.World
    context: Context
    folder: Path
    settle_s: float = 0.0

    @property
    def project(self) -> Project:
        return self.here.project

    def platform(self) -> Platform:
        return made("firebase", self.context)

    async def built(self, version: str) -> Release:
        checkout = site(self.folder / version, f"version {version}")
        app = self.project.apps["Explore"]
        return await self.platform().publish(app, COMMITS[version], checkout, self.here.progress)

    async def broken(self) -> Release | None:
        return None  # files are served as they are

    async def absent(self) -> Release:
        nowhere = SiteVersion("sites/explore-dev/versions/0123456789abcdef", "0" * 64)
        return Release("Explore", COMMITS["absent"], {"site": nowhere})


class TestFirebase(OnSandbox):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[FirebaseWorld]:
        project = sandboxes.project_of(sandboxes.site_app())
        async with (
            sandboxes.opened(project) as here,
            open_context(project, transport=InProcess(here.cloud), environ={}) as context,
        ):
            yield FirebaseWorld(here, context, tmp_path)


MIGRATE = """
import os, pathlib, sys
verb, environment = sys.argv[1:]
version = pathlib.Path("version").read_text()
state = pathlib.Path(os.environ["STATE"], environment)
applied = state.read_text().split() if state.exists() else []
if verb == "status":
    sys.exit(0 if version in applied[-1:] else 10)
if verb == "apply" and version != "bad":
    applied.append(version)
if verb == "undo":
    applied.remove(version)
state.write_text(" ".join(applied))
"""
SHOP = f"""
project = {{ name = "shop", repository = "example/shop", ledger = "sqlite:///liftlock.db" }}
environments = {{ dev = {{}}, staging = {{ from = ["dev"] }} }}
[apps.preferences.command]
status = [{sys.executable!r}, "migrate.py", "status", "{{env}}"]
apply = [{sys.executable!r}, "migrate.py", "apply", "{{env}}"]
undo = [{sys.executable!r}, "migrate.py", "undo", "{{env}}"]
env = ["STATE"]
"""


@dataclass
class Repository(NoSourceCode):
    """A folder for every commit."""

    root: Path

    @asynccontextmanager
    async def checkout(self, repository: str, sha: str) -> AsyncIterator[Path]:
        version = next(version for version, commit in COMMITS.items() if commit == sha)
        if version == "absent":
            raise NotFound(f"{repository} has no commit {sha}.", vendor="github", status=404)
        folder = self.root / version
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "version").write_text(version)
        (folder / "migrate.py").write_text(MIGRATE)
        yield folder


@dataclass
class CommandWorld:
    project: Project
    context: Context
    settle_s: float = 0.0

    def platform(self) -> Platform:
        return made("command", self.context)

    async def built(self, version: str) -> Release:
        return Release("preferences", COMMITS[version], {"commit": CommitId(COMMITS[version])})

    async def broken(self) -> Release | None:
        return await self.built("bad")

    async def absent(self) -> Release:
        return await self.built("absent")


class TestCommand(PlatformContract):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[CommandWorld]:
        (tmp_path / "state").mkdir()
        project = project_from(SHOP, tmp_path)
        environ = {"PATH": os.environ["PATH"], "STATE": str(tmp_path / "state")}
        async with open_context(project, environ=environ) as context:
            yield CommandWorld(project, replace(context, source_code=Repository(tmp_path / "commits")))


SITE = """
project = { name = "shop", repository = "example/shop", ledger = "sqlite:///liftlock.db" }
environments = { dev = {}, staging = { from = ["dev"] } }
[apps.Shop]
directory = "www/{env}/shop"
health = "/"
url = "http://127.0.0.1:%d/{env}"
"""


@dataclass
class DirectoryWorld:
    """`www/ENV/shop` for each environment, and a web server whose pages fail where they say `bad`."""

    project: Project
    context: Context
    folder: Path
    settle_s: float = 0.3

    def platform(self) -> Platform:
        return made("directory", self.context)

    async def built(self, version: str) -> Release:
        public = self.folder / version / "public"
        public.mkdir(parents=True, exist_ok=True)
        (public / "index.html").write_text(f"version {version}")
        checkout = self.folder / version
        app = self.project.apps["Shop"]
        return await self.platform().publish(app, COMMITS[version], checkout, lambda text: None)

    async def broken(self) -> Release | None:
        return await self.built("bad")

    async def absent(self) -> Release:
        nowhere = SiteVersion(f"versions/{'a' * 64}", "a" * 64)
        return Release("Shop", COMMITS["absent"], {"site": nowhere})


class TestDirectory(PlatformContract):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[DirectoryWorld]:
        with serving_sites(tmp_path / "www") as port:
            project = project_from(SITE % port, tmp_path)
            app = project.apps["Shop"]
            targets = {  # a page that fails is not waited for as long as a cache before it would be
                name: replace(target, options={**target.options, "health_s": 5.0})
                for name, target in app.targets.items()
            }
            for target in targets.values():
                (tmp_path / target.name).mkdir(parents=True)
            project = replace(project, apps={"Shop": replace(app, targets=targets)})
            async with open_context(project, environ={}) as context:
                yield DirectoryWorld(project, context, tmp_path / "checkouts")


@contextmanager
def serving_sites(root: Path) -> Iterator[int]:
    """A web server for `ENV/shop/current` below a folder; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = root / self.path.strip("/") / "shop" / "current" / "index.html"
            is_well = page.exists() and "bad" not in page.read_text()
            self.send_response(200 if is_well else 500)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def made(name: str, context: Context) -> Platform:
    platform: Platform = load("platforms", name).build(context)
    return platform
