"""The swarm's platform keeps the contract that every platform is held to, and makes its services from a Compose file."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from liftlock.model import ImageId, Project, Release
from liftlock.platform_images import id_tag
from liftlock.plugins import Context, load
from liftlock.ports import Platform
from liftlock.testing import PlatformContract, open_context
from tests.sandbox.serving import served
from tests.swarm.world import project_of

TYPES = ("release", "web", "worker")
COMMITS = {"1": "1" * 40, "2": "2" * 40, "bad": "b" * 40}
COMPOSE = """
services:
  release: {image: "observatory/release", deploy: {mode: replicated-job, replicas: 0}}
  web: {image: "observatory/web", depends_on: [worker]}
  worker: {image: "observatory/worker"}
  other: {image: "somebody/else"}
"""


@dataclass
class SwarmWorld:
    project: Project
    context: Context
    sandbox: httpx2.Client
    settle_s: float = 0.3

    def platform(self) -> Platform:
        platform: Platform = load("platforms", "swarm").build(self.context)
        return platform

    async def built(self, version: str, **behaviour: str) -> Release:
        images = {each: self._push(each, version, behaviour.get(each, "")) for each in TYPES}
        return Release("ODB", COMMITS[version], images)

    async def broken(self) -> Release | None:
        return await self.built("bad", web="crash")

    async def absent(self) -> Release:
        return Release("ODB", "a" * 40, dict.fromkeys(TYPES, ImageId("sha256:" + "a" * 64)))

    def _push(self, process_type: str, version: str, behaviour: str) -> ImageId:
        wish = {
            "repository": f"observatory/odb/{process_type}",
            "tags": [COMMITS[version]],
            "seed": f"{process_type} {version}",
            "labels": {"io.liftlock.sandbox": behaviour} if behaviour else {},
        }
        image_id = ImageId(self.sandbox.post("/_sandbox/images", json=wish).json()["image_id"])
        self.sandbox.post("/_sandbox/images", json={**wish, "tags": [id_tag(image_id)]}).raise_for_status()
        return image_id


class TestSwarm(PlatformContract):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[SwarmWorld]:
        (tmp_path / "compose.yml").write_text(COMPOSE)
        docker = tmp_path / "bin" / "docker"
        docker.parent.mkdir()
        docker.write_text(
            f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("stand_in_docker.py")} "$@"\n'
        )
        docker.chmod(0o755)
        with served() as sandbox:
            base = str(sandbox.base_url).rstrip("/")
            host = base.removeprefix("http://")
            project = project_of(
                f"{host}/observatory",
                f"tcp://{host}/_docker/main",
                types=TYPES,
                compose="compose.yml",
                endpoint=base,
                root=str(tmp_path),
            )
            environ = {"PATH": f"{docker.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
            async with open_context(project, environ=environ) as context:
                yield SwarmWorld(project, context, sandbox)
