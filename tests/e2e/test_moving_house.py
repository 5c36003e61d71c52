"""One app of the reference project moves from Heroku to a real swarm while the others stay, as the how-to says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from liftlock.demo.materials import change_one_app
from liftlock.demo.workspace import publish
from tests.e2e.cloud import Cloud
from tests.registry.cncf import NoRegistry, cncf
from tests.registry.dockerd import NoEngine, dockerd

# A real engine's tasks take their time; the world, the swarm and the registry are made here too.
pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.timeout(400)]

COMPOSE = """\
services:
  itc:
    image: itc
    command: ["./busybox", "sleep", "1000"]
    networks: [host]
    deploy:
      replicas: 1
      update_config: { order: start-first, monitor: 1s, delay: 0s }
networks:
  host: { external: true, name: host }
version: "3.8"
"""


@dataclass
class House:
    """The sandbox's cloud, and the swarm and the registry that an app moves to."""

    cloud: Cloud
    docker: str
    registry: str

    def swarm(self, environment: str) -> str:
        """The image id that the app's tasks really run; "" when there is no service."""
        shown = self.ask(
            "service",
            "ps",
            "--filter",
            "desired-state=running",
            "--format",
            "{{.ID}}",
            f"observatory-{environment}_itc",
        )
        ids = set()
        for task in shown.split():
            container = json.loads(self.ask("inspect", task))[0]["Status"].get("ContainerStatus") or {}
            if container.get("ContainerID"):
                ids.add(self.image_id(json.loads(self.ask("inspect", container["ContainerID"]))[0]["Image"]))
        assert len(ids) <= 1, ids
        return ids.pop() if ids else ""

    def image_id(self, named: str) -> str:
        """The image id of what the engine calls its image: with containerd's store a manifest's digest."""
        address = f"http://{self.registry}/v2/observatory/itc/web/manifests/{named}"
        accept = "application/vnd.docker.distribution.manifest.v2+json"
        asked = urllib.request.Request(address, headers={"accept": accept})
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return str(json.load(answer)["config"]["digest"])
        except urllib.error.HTTPError:  # no manifest has this digest: it is the config's
            return named

    def ask(self, *arguments: str) -> str:
        asked = subprocess.run(
            ["docker", "--host", self.docker, *arguments], capture_output=True, text=True, check=False
        )
        return asked.stdout

    def move(self) -> None:
        """What the how-to changes in `liftlock.toml`."""
        text = self.cloud.workspace.config.read_text()
        old = re.search(r"\[apps\.ITC\]\n(?:.+\n)+", text)
        assert old
        self.cloud.configure(
            old[0],
            '[apps.ITC]\nswarm = "observatory-{env}"\ncompose = "compose.yml"\n'
            f'registry = "{self.registry}/observatory"\n'
            'processes.web = { directory = "itc", command = ["./busybox", "sleep", "1000"], service = "itc" }\n',
        )
        for environment in ("dev", "staging", "production"):
            self.cloud.configure(
                f"[environments.{environment}]\n", f'[environments.{environment}]\ndocker = "{self.docker}"\n'
            )
        (self.cloud.workspace.config.parent / "compose.yml").write_text(COMPOSE)
        self.cloud.workspace.services.commit("Move ITC to the swarm")
        publish(self.cloud.sandbox, self.cloud.workspace)

    def move_back(self) -> None:
        self.cloud.workspace.config.write_text(self.before)

    before: str = ""


@pytest.fixture(scope="module")
def swarm() -> Iterator[str]:
    """The DOCKER_HOST of a one-node swarm that this module runs for itself."""
    try:
        with dockerd() as host:
            init = [
                "docker",
                "--host",
                host,
                "swarm",
                "init",
                "--advertise-addr",
                "127.0.0.1",
                "--listen-addr",
                "127.0.0.1:0",
            ]
            made = subprocess.run(init, capture_output=True, text=True, check=False)
            if made.returncode:
                pytest.skip(f"no swarm: {made.stderr.strip()}")
            yield host
    except NoEngine as reason:
        pytest.skip(str(reason))


@pytest.fixture
def house(fresh: Cloud, swarm: str, tmp_path: Path) -> Iterator[House]:
    """ITC has a shell of its own in its image, so that it runs anywhere; version 1 runs in dev and staging."""
    if not Path("/bin/busybox").exists():
        pytest.skip("busybox is not installed (apt-get install busybox-static)")
    (tmp_path / "registry").mkdir()
    try:
        with cncf(tmp_path / "registry") as host:
            folder = fresh.workspace.services.folder
            shutil.copy("/bin/busybox", folder / "itc" / "busybox")
            fresh.configure('settle = "50ms"', f'settle = "50ms"\narchive = "{host}/observatory"')
            fresh.workspace.services.commit("Keep every image in our registry too")
            publish(fresh.sandbox, fresh.workspace)
            fresh.run("deploy dev --yes")
            fresh.run("promote dev staging --yes")
            yield House(fresh, swarm, host, fresh.workspace.config.read_text())
    except NoRegistry as reason:
        pytest.skip(str(reason))


@pytest.mark.promise("P6")
def test_an_app_moves_and_is_promoted_and_rolled_back_over_the_border(house: House) -> None:
    """P6. What Heroku ran is what the swarm runs, image by image, and the other way about."""
    cloud = house.cloud
    on_heroku = cloud.images("ITC", "staging")["web"]
    last = cloud.run("history staging --json").document[0]["id"]
    house.move()

    said = cloud.run("status staging --check", code=5).said
    assert "ITC" in said
    # The environment's own state, once more: only ITC does not run it yet.
    cloud.run(f"rollback staging ITC --to {last} --accept-drift --yes")
    assert house.swarm("staging") == on_heroku
    cloud.run("status staging --check")

    change_one_app(cloud.workspace, "ITC", "1.12.4")
    change_one_app(cloud.workspace, "SSO", "2.7.2")
    publish(cloud.sandbox, cloud.workspace)
    cloud.run("deploy dev --yes")
    sso = cloud.images("SSO", "staging")
    cloud.run("promote dev staging --yes")
    newer = house.swarm("staging")
    assert newer == house.swarm("dev") != on_heroku
    assert cloud.images("SSO", "staging") == cloud.images("SSO", "dev") != sso
    cloud.run("status staging --check")

    cloud.run("rollback staging --yes")
    assert (house.swarm("staging"), cloud.images("SSO", "staging")) == (on_heroku, sso)
    cloud.run("status staging --check")

    house.move_back()
    assert cloud.images("ITC", "staging") == {"web": on_heroku}, "nobody touched what Heroku runs"
    cloud.run("status staging --check")
    cloud.run("promote dev staging ITC --accept-drift --yes")
    assert cloud.images("ITC", "staging") == {"web": newer}, "from the archive, by its id"


@pytest.mark.promise("P4")
def test_what_fails_on_one_platform_goes_back_on_both(house: House) -> None:
    cloud = house.cloud
    house.move()
    cloud.run("deploy dev --yes")
    cloud.run("promote dev staging --accept-drift --yes")
    ran, sso = house.swarm("staging"), cloud.images("SSO", "staging")
    assert ran
    change_one_app(cloud.workspace, "ITC", "1.12.4")
    publish(cloud.sandbox, cloud.workspace)
    cloud.run("deploy dev --yes")
    cloud.publish("ODB", behaviour="crash")
    said = cloud.run("promote dev staging --yes", code=1).said
    assert "staging runs what it ran before" in said
    assert (house.swarm("staging"), cloud.images("SSO", "staging")) == (ran, sso)
    cloud.run("status staging --check")
