"""How often `status` waits for its vendors, on a virtual clock where every answer takes a second."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import trio
from trio.testing import MockClock

from liftlock.commands.status import Status, look_at
from liftlock.config import parse
from liftlock.config.endpoints import ENDPOINTS
from liftlock.http import Http
from liftlock.ledgers.payload import record_payload
from liftlock.model import Between, Commit, ImageId, Kind, Project, Relation, Release
from liftlock.planning.observation import Drift
from liftlock.ports import Adapters, NewDeployment
from liftlock.sandbox import Cloud, create_app
from liftlock.sandbox.inprocess import InProcess
from liftlock.source_code import Commits, GitHubCommits, LocalGit
from liftlock.wiring import open_project

BASE = "http://127.0.0.1:1"
UNBOUNDED = 1000
"""So many requests at once that none waits for another but those that need its answer."""
OWNER = {"authorization": "Bearer owner"}
COMMITS = [f"{number:040x}" for number in range(1, 200)]
LEVELS = '[environments.dev]\n[environments.staging]\nfrom = ["dev"]\n[environments.production]\nfrom = ["staging"]\n'


class NoCheckout(LocalGit):
    """A machine without a checkout: everything has to be asked."""

    async def has(self, sha: str) -> bool:
        return False

    async def distance(self, base: str, head: str) -> Between | None:
        return None


@dataclass
class World:
    """A project of many Heroku apps, each at a commit of its own in each environment."""

    project: Project
    adapters: Adapters
    cloud: Cloud
    client: httpx2.AsyncClient

    async def ask(self, method: str, path: str, document: object) -> Mapping[str, str]:
        answer = await self.client.request(method, path, json=document, headers=OWNER)
        assert answer.is_success, answer.text
        found: Mapping[str, str] = answer.json()
        return found

    async def run(self, app: str, environment: str, commit: str, *, about: bool) -> None:
        """Release an image, and record it as liftlock does."""
        name = self.project.apps[app].targets[environment].name
        image = {"repository": f"{name}/web", "tags": [commit], "seed": f"{app} {commit}"}
        image_id = (await self.ask("POST", "/_sandbox/images", image))["image_id"]
        answer = await self.client.patch(
            f"/apps/{name}/formation",
            json={"updates": [{"type": "web", "docker_image": image_id}]},
            headers={**OWNER, "accept": "application/vnd.heroku+json; version=3.docker-releases"},
        )
        assert answer.is_success, answer.text
        told = Commit(commit, f"Change {int(commit, 16)}", "A. Stronomer") if about else None
        new = NewDeployment(
            app, environment, Release(app, commit, {"web": ImageId(image_id)}, told), "1", Kind.DEPLOY
        )
        root = "/repos/example/many/deployments"
        body = {"ref": commit, "task": f"deploy:{app}", "environment": environment, "auto_merge": False}
        body |= {"required_contexts": [], "payload": record_payload(new)}
        number = (await self.ask("POST", root, body))["id"]
        await self.ask("POST", f"{root}/{number}/statuses", {"state": "success", "auto_inactive": False})

    async def look(self) -> tuple[Status, float]:
        """What `status` finds, and for how many seconds it waits when every answer takes one."""
        self.cloud.log.clear()
        for vendor in ("github", "heroku", "registry"):
            self.cloud.faults.add({"vendor": vendor, "action": "delay", "delay_s": 1.0})
        began = trio.current_time()
        seen = await look_at(self.project, self.adapters, list(self.project.environments))
        return seen, trio.current_time() - began


class Checkout(NoCheckout):
    """A machine with a checkout that has every commit."""

    async def has(self, sha: str) -> bool:
        return True

    async def distance(self, base: str, head: str) -> Between | None:
        return Between(Relation.AHEAD, None, int(head, 16) - int(base, 16), 0)


@asynccontextmanager
async def world(
    folder: Path, count: int, at_once: int | None = UNBOUNDED, git: type[NoCheckout] = NoCheckout
) -> AsyncIterator[World]:
    head = '[project]\nname = "many"\nrepository = "example/many"\n'
    apps = "".join(
        f'[apps.S{i:02}]\nheroku = "s{i:02}-{{env}}"\nprocesses.web = {{ image = "x" }}\n'
        for i in range(count)
    )
    environ = {variable: BASE for variable, _ in ENDPOINTS.values()}
    project = parse(head + LEVELS + apps, folder / "liftlock.toml", environ)
    cloud = Cloud(modelled=True)
    transport = InProcess(cloud, create_app(cloud))

    async def owner() -> str | None:
        return "Bearer owner"

    http = Http("github", BASE, authorization=owner, transport=transport, concurrency=UNBOUNDED)
    async with (
        cloud.running(),
        httpx2.AsyncClient(transport=transport, base_url=BASE) as client,
        open_project(project, transport=transport, environ={}, concurrency=at_once) as adapters,
    ):
        source_code = Commits(git(folder), GitHubCommits(lambda: http))
        here = World(project, replace(adapters, source_code=source_code), cloud, client)
        names = [target.name for app in project.apps.values() for target in app.targets.values()]
        heroku = {"apps": [{"name": name} for name in names]}
        await here.ask(
            "PUT", "/_sandbox/world", {"github": {"repositories": ["example/many"]}, "heroku": heroku}
        )
        commits = [
            {"sha": sha, "parents": COMMITS[:i][-1:], "message": f"Change {i + 1}"}
            for i, sha in enumerate(COMMITS)
        ]
        await here.ask("PUT", "/_sandbox/github/example/many/commits", commits)
        yield here


def test_status_of_64_apps_in_three_environments_waits_three_times(tmp_path: Path) -> None:
    """Every app is at a commit of its own everywhere: 192 commits, of which 128 are compared."""

    async def story() -> None:
        async with world(tmp_path, 64) as here:
            for number, app in enumerate(here.project.apps):
                for level, environment in enumerate(("production", "staging", "dev")):
                    await here.run(app, environment, COMMITS[3 * number + level], about=True)
            seen, waited_s = await here.look()
            cells = [seen.cells[app, "staging"] for app in here.project.apps]
            assert {cell.drift for cell in cells} == {Drift.NONE}
            assert {cell.behind for cell in cells} == {"dev"}
            assert {cell.distance for cell in cells} == {Between(Relation.AHEAD, None, 1, 0)}
            assert {cell.commit.author for cell in cells if cell.commit} == {"A. Stronomer"}
            asked = [entry.path for entry in here.cloud.log.since(0, "github")]
            assert sum("/compare/" in path for path in asked) == 128
            assert not any("/commits/" in path for path in asked), "the records say what the commits are"
            assert waited_s <= 3.01

    trio.run(story, clock=MockClock(autojump_threshold=0.0))


def test_with_a_checkout_it_waits_three_times_with_as_many_requests_at_once_as_vendors_allow(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with world(tmp_path, 64, None, Checkout) as here:
            for number, app in enumerate(here.project.apps):
                for level, environment in enumerate(("production", "staging", "dev")):
                    await here.run(app, environment, COMMITS[3 * number + level], about=True)
            seen, waited_s = await here.look()
            assert {seen.cells[app, "staging"].distance for app in here.project.apps} == {
                Between(Relation.AHEAD, None, 1, 0)
            }
            assert waited_s <= 3.01

    trio.run(story, clock=MockClock(autojump_threshold=0.0))


def test_what_a_record_does_not_say_of_its_commit_is_asked_without_a_further_wait(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(tmp_path, 2) as here:
            await here.run("S00", "dev", COMMITS[7], about=False)
            await here.run("S00", "staging", COMMITS[4], about=False)
            seen, waited_s = await here.look()
            told = seen.cells["S00", "dev"].commit
            assert told is not None
            assert told.subject == "Change 8"
            assert seen.cells["S00", "staging"].distance == Between(Relation.AHEAD, None, 3, 0)
            assert waited_s <= 3.01

    trio.run(story, clock=MockClock(autojump_threshold=0.0))


def test_status_does_without_what_github_does_not_say_of_commits(tmp_path: Path) -> None:
    async def story() -> None:
        async with world(tmp_path, 1) as here:
            await here.run("S00", "dev", COMMITS[7], about=True)
            await here.run("S00", "staging", COMMITS[4], about=False)
            here.cloud.faults.add({"vendor": "github", "path": "/(compare|commits)/", "action": "hang"})
            seen, waited_s = await here.look()
            staging = seen.cells["S00", "staging"]
            assert (staging.behind, staging.distance, staging.commit) == ("dev", None, None)
            assert waited_s <= 8

    trio.run(story, clock=MockClock(autojump_threshold=0.0))
