"""The reference project's shape on a real swarm: four applications, their databases' backups, three environments.

Everything is real: the installed program, the engine, the registry, PostgreSQL, haproxy. Only the services are
small: one static binary that answers with its version.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.registry.cncf import cncf
from tests.registry.dockerd import NoEngine, OwnEngine
from tests.swarm.real import docker, free_port, make_image

IMAGES = ("sso", "itc", "odb", "obscalc", "resource")
SERVICES = ("sso", "itc", "odb", "odb-obscalc", "resource")
HAPROXY = """
global
  maxconn 500
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
  retries 3
  option redispatch
  retry-on all-retryable-errors
resolvers swarm
  nameserver engine 127.0.0.11:53
  timeout resolve 200ms
  timeout retry 200ms
  hold valid 200ms
  hold obsolete 0s
  hold nx 0s
frontend http
  bind :8000
  default_backend sso
backend sso
  server-template sso 4 sso:8080 check inter 200ms resolvers swarm init-addr none
"""
COMPOSE = """
x-common: &common
  networks: [net]
  stop_grace_period: 2s
  healthcheck: {test: ["CMD", "/check"], interval: 1s, timeout: 10s, retries: 4}
  deploy:
    endpoint_mode: dnsrr
    update_config: {order: start-first, monitor: 500ms}
    rollback_config: {order: start-first, monitor: 500ms}
    restart_policy: {condition: any, delay: 500ms}
services:
  sso: {<<: *common, image: "REGISTRY/sso/web:latest"}
  itc: {<<: *common, image: "REGISTRY/itc/web:latest"}
  resource: {<<: *common, image: "REGISTRY/resource/web:latest"}
  odb: {<<: *common, image: "REGISTRY/odb/web:latest"}
  odb-obscalc: {<<: *common, image: "REGISTRY/odb/obscalc:latest"}
  odb-migrate:
    image: "REGISTRY/odb/release:latest"
    command: [/migrate]
    networks: [net]
    volumes: ["DATA:/data"]
    deploy: {mode: replicated-job, replicas: 0, endpoint_mode: dnsrr}
networks:
  net: {driver: overlay}
"""
PROXY = """
services:
  proxy:
    image: liftlock-test-proxy
    networks: [net]
    ports: [{target: 8000, published: PORT, mode: host}]
    deploy: {endpoint_mode: dnsrr}
networks:
  net: {external: true, name: observatory-staging_net}
"""


def project_file(engine: str, registry: str) -> str:
    apps = {
        "SSO": 'processes.web = { archive = "images/sso.tar", service = "sso" }\n'
        'backup = { url = "env:DATABASE_URL", folder = "../backups/{env}" }',
        "ITC": 'processes.web = { archive = "images/itc.tar", service = "itc" }',
        "RESOURCE": 'processes.web = { archive = "images/resource.tar", service = "resource" }',
        "ODB": 'after = ["SSO"]\nundo = "safe"\n'
        'processes.release = { archive = "images/odb.tar", service = "odb-migrate" }\n'
        'processes.web = { archive = "images/odb.tar", service = "odb" }\n'
        'processes.obscalc = { archive = "images/obscalc.tar", service = "odb-obscalc" }',
    }
    stack = 'swarm = "observatory-{env}"\ncompose = "deploy/compose.yml"\n'
    environments = {"dev": "", "staging": 'from = ["dev"]\n', "production": 'from = ["staging"]\n'}
    return (
        '[project]\nname = "observatory"\nrepository = "example/services"\nledger = "sqlite:///../liftlock.db"\n'
        f'settle = "500ms"\nregistry = "{registry}/observatory"\n'
        + "".join(
            f'[environments.{name}]\n{more}docker = "{engine}"\n' for name, more in environments.items()
        )
        + "".join(f"[apps.{name}]\n{stack}{more}\n" for name, more in apps.items())
    )


@dataclass
class Load:
    """What a client that sends requests all the time was answered."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@dataclass
class House:
    folder: Path
    program: Path
    engine: OwnEngine
    database: str
    stack: ExitStack
    registry_port: int
    proxy_port: int
    registry: ExitStack | None = None

    @property
    def repository(self) -> Path:
        return self.folder / "services"

    def open_registry(self) -> None:
        self.registry = ExitStack()
        self.registry.enter_context(cncf(self.folder / "registry", port=self.registry_port))

    def close_registry(self) -> None:
        if self.registry is not None:
            self.registry.close()
        self.registry = None

    def docker(self, *argv: str, given: str = "") -> str:
        done = docker(self.engine.host, *argv, given=given, folder=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, name: str, text: str) -> None:
        path = self.repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def build(self, version: str, behaviours: Mapping[str, str] = {}) -> str:
        """Commit a version whose images say its name; the commit."""
        for image in IMAGES:
            make_image(
                self.repository / "images" / f"{image}.tar",
                f"{image} {version}",
                behaviours.get(image, ""),
                serves=image != "obscalc",
            )
        return self.commit(version)

    def commit(self, message: str) -> str:
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", message)
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *argv: str) -> str:
        author = {
            f"GIT_{who}_{what}": "someone@example.com"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        done = subprocess.run(
            ["git", *argv],
            cwd=self.repository,
            env=os.environ | author,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "GITHUB_API_URL": "http://127.0.0.1:9",
            "DATABASE_URL": self.database,
            "NO_COLOR": "1",
        }

    def run(self, line: str, code: int = 0) -> str:
        """Run the program; all that it says."""
        done = subprocess.run(
            [self.program, *line.split()],
            cwd=self.repository,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=170,
        )
        assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def read(self, line: str) -> Any:
        """The document that the program prints."""
        done = subprocess.run(
            [self.program, *line.split(), "--json"],
            cwd=self.repository,
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout)

    @contextmanager
    def running(self, line: str) -> Iterator[subprocess.Popen[str]]:
        """The program while it runs, its events to be read from its output."""
        process = subprocess.Popen(
            [self.program, *line.split(), "--events"],
            cwd=self.repository,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=30)

    def spec(self, service: str) -> Any:
        return json.loads(self.docker("service", "inspect", service))[0]["Spec"]

    def specs(self, environment: str) -> dict[str, Any]:
        """By service, what it is to run now."""
        names = (*SERVICES, "odb-migrate")
        return {name: self.spec(f"observatory-{environment}_{name}") for name in names}

    def migrations(self) -> list[str]:
        """What the migrations that ran left behind, in their order."""
        return (self.folder / "data" / "migrations").read_text().splitlines()

    def front(self) -> None:
        """haproxy before staging's SSO, as teams have one that run without a routing mesh."""
        text = PROXY.replace("PORT", str(self.proxy_port))
        self.docker("stack", "deploy", "--resolve-image", "never", "--compose-file", "-", "front", given=text)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if self.ask().startswith("sso"):
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(self.docker("service", "logs", "front_proxy"))

    def ask(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy_port, timeout=10)
        with closing(connection):
            connection.request("GET", "/")
            answer = connection.getresponse()
            text = answer.read().decode().strip()
        return text if answer.status == 200 else f"{answer.status}"

    @contextmanager
    def load(self) -> Iterator[Load]:
        """A client that asks all the time."""
        load, stop = Load(), threading.Event()

        def ask() -> None:
            while not stop.is_set():
                try:
                    text = self.ask()
                except (OSError, http.client.HTTPException) as error:
                    load.failures.append(repr(error))
                    continue
                load.answers[text] += 1
                time.sleep(0.01)  # the machine is there for the promotion as well
                if not text.startswith("sso"):
                    load.failures.append(text)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)


def make_house(folder: Path, program: Path, engine: OwnEngine, database: str, stack: ExitStack) -> House:
    """The project's repository, its registry and the proxy's image; nothing is deployed yet."""
    house = House(folder, program, engine, database, stack, free_port(), free_port())
    for name in ("registry", "home", "data", "services/images", "backups"):
        (folder / name).mkdir(parents=True)
    house.open_registry()
    stack.callback(house.close_registry)
    registry = f"127.0.0.1:{house.registry_port}"
    house.write("liftlock.toml", project_file(engine.host, registry))
    text = COMPOSE.replace("REGISTRY", f"{registry}/observatory").replace("DATA", str(folder / "data"))
    house.write("deploy/compose.yml", text)
    house.write(".gitignore", "images/\n")
    house._git("init", "-q", "-b", "main")
    house._git("remote", "add", "origin", "https://github.com/example/services.git")
    _import_proxy(house)
    return house


def _import_proxy(house: House) -> None:
    """An image of this machine's haproxy, with the libraries that it is linked to."""
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise NoEngine("haproxy is not installed (apt-get install haproxy)")
    root = house.folder / "proxy"
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.split()
    for file in {program, *(word for word in linked if word.startswith("/"))}:
        place = root / file.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "haproxy.cfg").write_text(HAPROXY)
    packed = house.folder / "proxy.tar"
    subprocess.run(["tar", "-C", root, "-cf", packed, "."], check=True)
    command = f'CMD ["{program}", "-db", "-f", "/etc/haproxy.cfg"]'
    house.docker("import", "--change", command, str(packed), "liftlock-test-proxy")
