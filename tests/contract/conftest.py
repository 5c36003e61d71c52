"""The real adapters, wired as in production, before a modelled cloud in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from liftlock.config import parse
from liftlock.config.endpoints import ENDPOINTS
from liftlock.demo.workspace import world
from liftlock.model import Project, Target
from liftlock.ports import Adapters
from liftlock.sandbox import Cloud, create_app
from liftlock.sandbox.inprocess import InProcess
from liftlock.wiring import open_project
from tests.contract.exchanges import Recorder

BASE = "http://127.0.0.1:1"
"""Never connected to: the transport carries every request to the cloud in this process."""

COMMITS = [f"{number:040x}" for number in range(1, 4)]

CONFIGURATION = """
[project]
name = "observatory"
repository = "example/services"
settle = "100ms"

[environments.dev]
github = "development"
[environments.staging]
from = ["dev"]
firebase = "stage"

[apps.SSO]
heroku = "lucuma-sso-{env}"
backup = true
processes.web = { image = "noirlab/lucuma-sso-service" }
processes.worker = { image = "noirlab/lucuma-sso-worker" }

[apps.Explore]
firebase = "explore-gemini-{env}"

[notify]
slack = { webhook = "env:SLACK_WEBHOOK_URL" }
"""


@dataclass
class Stage:
    """Everything that a test drives."""

    project: Project
    adapters: Adapters
    cloud: Cloud
    client: httpx2.AsyncClient
    recorder: Recorder

    async def tell(self, method: str, path: str, document: Any = None) -> Any:
        """Ask the sandbox's administration."""
        answer = await self.client.request(method, f"/_sandbox{path}", json=document)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def target(self, app: str, environment: str) -> Target:
        return self.project.apps[app].targets[environment]

    async def push_image(self, app: str, process: str, seed: str, **options: Any) -> Mapping[str, str]:
        """Put an image into a Heroku app's repository; its `image_id` and `digest`."""
        image: Mapping[str, str] = await self.tell(
            "POST",
            "/images",
            {"repository": f"{app}/{process}", "tags": ["latest", COMMITS[0]], "seed": seed, **options},
        )
        return image


@pytest.fixture
def project(tmp_path: Path) -> Project:
    environ = {variable: BASE for variable, _ in ENDPOINTS.values()}
    return parse(CONFIGURATION, tmp_path / "liftlock.toml", environ)


@pytest.fixture
async def stage(project: Project) -> AsyncIterator[Stage]:
    """What is said while the test runs is held against the vendors' descriptions at its end."""
    cloud = Cloud(modelled=True)
    recorder = Recorder(create_app(cloud))
    transport = InProcess(cloud, recorder)
    environ = {
        "SLACK_WEBHOOK_URL": f"{BASE}/services/T00000000/B00000000/secret",
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": "example/services",
        "GITHUB_RUN_ID": "42",
    }
    async with (
        cloud.running(),
        httpx2.AsyncClient(transport=transport, base_url=BASE) as client,
        open_project(project, environ=environ, transport=transport) as adapters,
    ):
        made = Stage(project, adapters, cloud, client, recorder)
        await made.tell("PUT", "/world", world(project, BASE))
        commits = [
            {
                "sha": sha,
                "parents": COMMITS[:number][-1:],
                "message": f"Change {number}",
                "author": "Ada Lovelace",
                "email": "ada@example.org",
                "date": f"2026-11-20T12:0{number}:00Z",
            }
            for number, sha in enumerate(COMMITS)
        ]
        await made.tell("PUT", "/github/example/services/commits", commits)
        yield made
    recorder.check()
