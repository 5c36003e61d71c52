"""The server's image, built and used: `packaging/try-image` with a sandbox."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from liftlock.demo.materials import create_workspace
from liftlock.demo.workspace import prepare
from tests.e2e.cloud import Cloud
from tests.registry.dockerd import NoEngine, dockerd

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[3]
APPS = ("SSO", "ITC")


@pytest.fixture
def engine() -> Iterator[str]:
    """The DOCKER_HOST of this machine's engine, or of one of our own."""
    if shutil.which("debootstrap") is None or shutil.which("curl") is None or os.geteuid() != 0:
        pytest.skip("a base for the image wants debootstrap and root, and asking it wants curl")
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    asked = subprocess.run(["docker", "--host", host, "version"], capture_output=True, check=False)
    if asked.returncode == 0:
        yield host
        return
    try:
        with dockerd() as own:
            yield own
    except NoEngine as reason:
        pytest.skip(str(reason))


def test_the_image_serves_promotes_and_stops(tmp_path: Path, program: Path, engine: str) -> None:
    workspace = create_workspace(tmp_path)
    with Cloud(tmp_path, program) as cloud:
        prepare(cloud.sandbox, workspace)
        cloud.run("deploy dev --yes")
        variables = tmp_path / "variables"
        own = {"PATH", "HOME", "TMPDIR", "LANG", "COVERAGE_PROCESS_START"}
        said = {name: value for name, value in cloud.variables.items() if name not in own}
        variables.write_text("".join(f"{name}={value}\n" for name, value in said.items()))
        done = subprocess.run(
            [ROOT / "packaging" / "try-image", workspace.config.parent, variables, "dev", "staging", *APPS],
            env={**os.environ, "DOCKER_HOST": engine, "LIFTLOCK_PROGRAM": str(program)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 77:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stdout + done.stderr
        assert "with 0" in done.stdout
        for app in APPS:
            assert cloud.images(app, "staging") == cloud.images(app, "dev")
            assert cloud.images(app, "staging")
