"""Worlds to begin from: made once with the program itself, then copied for every test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liftlock.demo.materials import create_workspace
from liftlock.demo.workspace import prepare
from tests.e2e.cloud import ELSEWHERE, Cloud

Make = Callable[..., Cloud]


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Path:
    """A world where version 1 runs in dev, and nothing anywhere else."""
    folder = tmp_path_factory.mktemp("deployed")
    workspace = create_workspace(folder)
    text = workspace.config.read_text()
    workspace.config.write_text(text.replace('settle = "500ms"', 'settle = "50ms"'))
    workspace.services.commit("Settle soon")
    with Cloud(folder, program) as cloud:
        prepare(cloud.sandbox, workspace)
        cloud.run("deploy dev --yes")
        cloud.run(f"deploy dev --yes {ELSEWHERE}", folder="explore")
        cloud.run(f"deploy dev --yes {ELSEWHERE}", folder="admin")
    return folder


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory, program: Path, deployed: Path) -> Path:
    """A world where version 1 runs in dev and in staging, and nothing in production."""
    folder = tmp_path_factory.mktemp("staged")
    shutil.copytree(deployed, folder, dirs_exist_ok=True)
    with Cloud(folder, program) as cloud:
        cloud.run("promote dev staging --yes")
    return folder


@pytest.fixture(scope="module")
def make_cloud(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Iterator[Make]:
    """Makes sandboxes that begin from a world; they are stopped at the end of the module."""
    made: list[Cloud] = []

    def make(world: Path) -> Cloud:
        folder = tmp_path_factory.mktemp("cloud")
        shutil.copytree(world, folder, dirs_exist_ok=True)
        cloud = Cloud(folder, program)
        cloud.clear_log()
        made.append(cloud)
        return cloud

    yield make
    for cloud in made:
        cloud.sandbox.stop()


@pytest.fixture
def cloud(make_cloud: Make, staged: Path) -> Iterator[Cloud]:
    """A sandbox of one's own: version 1 in dev and in staging, nothing in production."""
    with make_cloud(staged) as cloud:
        yield cloud


@pytest.fixture
def fresh(make_cloud: Make, deployed: Path) -> Iterator[Cloud]:
    """A sandbox of one's own: version 1 in dev, nothing elsewhere."""
    with make_cloud(deployed) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def shared(make_cloud: Make, staged: Path) -> Cloud:
    """One sandbox for the module's tests that change nothing: version 1 in dev and in staging."""
    return make_cloud(staged)
