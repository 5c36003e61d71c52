"""The reference project on hosts of one's own: a swarm of three stacks, PostgreSQL, a registry, a web server's folders.

Everything is real: the installed program, the engine, the registry, PostgreSQL, haproxy, and the project's
own services, sites and migrations. Only GitHub is the sandbox's.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from psycopg import sql

from liftlock.demo.materials import create_workspace
from liftlock.demo.repositories import Repository
from liftlock.demo.workspace import Workspace, prepare, publish
from liftlock.postgresql.address import Address
from tests.e2e.cloud import ELSEWHERE, Cloud, Ran
from tests.postgresql import connected, ledger_of, made_role
from tests.registry.cncf import cncf
from tests.registry.dockerd import NoEngine, OwnEngine
from tests.swarm.real import BUSYBOX, docker, free_port, in_swarm

FILES = Path(__file__).parent / "observatory"
ENVIRONMENTS = ("dev", "staging", "production")
SERVICES = ("sso", "itc", "odb", "odb-calibration", "odb-obscalc", "odb-migrate", "resource")
SITES = {"Explore": "explore", "ResourceUI": "resource-ui", "AdminUI": "admin-ui"}
WITH_DATABASE = ("sso", "odb", "resource")
OWNER = "observatory"
PROXY_IMAGE = "liftlock-test-proxy"
PROXY = f"""
version: "3.8"
services:
  proxy:
    image: {PROXY_IMAGE}
    networks: [net]
    ports: [{{target: 8000, published: PORT, mode: host}}]
    deploy: {{endpoint_mode: dnsrr}}
networks:
  net: {{external: true, name: observatory-staging_net}}
"""
PROXY_LIMIT_S = 120.0
# Waits end with what they wait for; this is for a machine that does much else.
RUN_LIMIT_S = 170.0


@dataclass
class Load:
    """What a client that sends requests all the time was answered."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@dataclass
class House:
    folder: Path
    cloud: Cloud
    engine: OwnEngine
    server: Address
    registry_port: int
    proxy_port: int
    registry: ExitStack | None = None

    @property
    def workspace(self) -> Workspace:
        return self.cloud.workspace

    # The program.

    def run(self, line: str, code: int = 0, folder: str = "services") -> Ran:
        return self.cloud.run(line, code, folder)

    def publish(self) -> None:
        """Push every commit to GitHub."""
        publish(self.cloud.sandbox, self.workspace)

    def deploy(self, *folders: str) -> None:
        """Deploy what these repositories' checkouts hold to dev."""
        self.publish()
        for folder in folders or ("services", "explore", "admin"):
            self.run(f"deploy --yes {'' if folder == 'services' else ELSEWHERE}", folder=folder)

    @contextmanager
    def running(self, line: str) -> Iterator[subprocess.Popen[str]]:
        """The program while it runs, its events to be read from its output."""
        process = self.cloud.start(f"{line} --events")
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=30)

    # The registry and the engine.

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

    def spec(self, service: str) -> Any:
        return json.loads(self.docker("service", "inspect", service))[0]["Spec"]

    def specs(self, environment: str) -> dict[str, Any]:
        """By service, what it is to run now."""
        names = [f"observatory-{environment}_{name}" for name in SERVICES]
        found = json.loads(self.docker("service", "inspect", *names))
        return dict(zip(SERVICES, (each["Spec"] for each in found), strict=True))

    def images(self, environment: str) -> dict[str, str]:
        """By service, the image's digest of what it is to run."""
        return {
            name: spec["TaskTemplate"]["ContainerSpec"]["Image"].partition("@")[2]
            for name, spec in self.specs(environment).items()
        }

    # What the services and the sites left behind.

    def database(self, name: str, environment: str) -> Address:
        return replace(self.server, database=f"observatory-{environment}_{name}", user=OWNER)

    def asked(self, environment: str, statement: str, name: str = "odb") -> list[Any]:
        """The first column of what a service's database answers."""
        with connected(self.database(name, environment)) as db:
            cursor = db.execute(statement)
            return [row[0] for row in cursor.fetchall()] if cursor.description else []

    def schema(self, environment: str) -> str:
        """The newest migration of ODB's database."""
        return str(self.asked(environment, "SELECT max(version) FROM schema_migrations")[0])

    def migrations(self, environment: str) -> int:
        """How often ODB's migration was run there."""
        lines = (self.folder / "data" / "migrations").read_text().splitlines()
        return lines.count(f"observatory-{environment}")

    def shown(self, app: str, environment: str) -> str:
        """The first page of a site, as a web server would serve it; "" when there is none."""
        page = self.folder / "www" / environment / SITES[app] / "current" / "index.html"
        return page.read_text() if page.exists() else ""

    # A change, and taking it back.

    def revert(self, repository: Repository, commits: int) -> None:
        """Commit the tree of before the last commits."""
        git = ["git", "read-tree", "-u", "--reset", f"HEAD~{commits}"]
        subprocess.run(git, cwd=repository.folder, check=True, capture_output=True)
        repository.commit("Take the last change back")

    # Somebody who uses staging's SSO.

    def front(self) -> None:
        """haproxy before staging's SSO, as teams have one that run without a routing mesh."""
        text = PROXY.replace("PORT", str(self.proxy_port))
        self.docker("stack", "deploy", "--resolve-image", "never", "--compose-file", "-", "front", given=text)
        deadline = time.monotonic() + PROXY_LIMIT_S
        said = ""
        while time.monotonic() < deadline:
            try:
                said = self.ask()
                if said.startswith("SSO"):
                    return
            except (OSError, http.client.HTTPException) as error:
                said = repr(error)
            time.sleep(0.1)
        tasks = self.docker("service", "ps", "--no-trunc", "front_proxy", "observatory-staging_sso")
        raise AssertionError(f"{said}\n{tasks}\n{self.docker('service', 'logs', 'front_proxy')}")

    def ask(self) -> str:
        """What answers: the service and its version, or a status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy_port, timeout=10)
        with closing(connection):
            connection.request("GET", "/")
            answer = connection.getresponse()
            content = answer.read()
        if answer.status != 200:
            return f"{answer.status}"
        told = json.loads(content)
        return f"{told['system']} {told['version']}"

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
                if not text.startswith("SSO"):
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


@contextmanager
def open_house(folder: Path, program: Path, engine: OwnEngine, server: Address) -> Iterator[House]:
    """The project in its repositories, with all that it needs around it; nothing is deployed yet.

    Raises `NoEngine` or `NoRegistry` where there can be none.
    """
    if not BUSYBOX.exists():
        raise NoEngine("the health checks are made with /bin/busybox (apt-get install busybox-static)")
    for name in (
        "registry",
        "data",
        "backups",
        *(f"www/{e}/{s}" for e in ENVIRONMENTS for s in SITES.values()),
    ):
        (folder / name).mkdir(parents=True)
    with ExitStack() as stack:
        stack.enter_context(in_swarm(engine.host))
        workspace = create_workspace(folder)
        cloud = stack.enter_context(Cloud(folder, program, limit_s=RUN_LIMIT_S))
        house = House(folder, cloud, engine, server, free_port(), free_port())
        house.open_registry()
        stack.callback(house.close_registry)
        _make_databases(house)
        filled = {
            "REGISTRY": f"127.0.0.1:{house.registry_port}",
            "ENGINE": engine.host,
            "WWW": str(folder / "www"),
            "RUNTIME_PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
            "RUNTIME_VOLUMES": ", ".join(f'"{place}:{place}:ro"' for place in _runtime(server)),
            "DATABASE": _database_template(server),
            "DATA": str(folder / "data"),
        }
        workspace.config.write_text(_filled("liftlock.toml", filled))
        compose = workspace.services.folder / "deploy" / "compose.yml"
        compose.parent.mkdir()
        compose.write_text(_filled("compose.yml", filled))
        workspace.services.commit("Run on a swarm")
        prepare(cloud.sandbox, workspace)
        _import_proxy(house)
        yield house


def _filled(name: str, values: dict[str, str]) -> str:
    text = (FILES / name).read_text()
    for word, value in values.items():
        text = text.replace(f"@{word}@", value)
    return text


def _runtime(server: Address) -> list[str]:
    """The folders of this machine that Python and its libraries are in, and that of the database's socket."""
    places = ["/usr", "/bin", "/lib", "/lib64", sys.base_prefix, sys.prefix, str(server.host)]
    return [
        place for place in dict.fromkeys(places) if Path(place).exists() and not place.startswith("/usr/")
    ]


def _database_template(server: Address) -> str:
    """The address of a service's database, but for the service's name in the middle: the engine fills in the stack."""
    stack = '{{index .Service.Labels "com.docker.stack.namespace"}}'
    return f"host={server.host} port={server.port} user={OWNER} dbname={stack}_"


def _make_databases(house: House) -> None:
    made_role(house.server, OWNER)
    owner = sql.Identifier(OWNER)
    for environment in ENVIRONMENTS:
        for name in WITH_DATABASE:
            address = house.database(name, environment)
            made = sql.Identifier(address.database)
            with connected(house.server) as db:
                db.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(made))
                db.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(made, owner))
            house.cloud.variables[f"{name.upper()}_{environment}"] = ledger_of(address)


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
    shutil.copy(FILES / "haproxy.cfg", root / "etc" / "haproxy.cfg")
    packed = house.folder / "proxy.tar"
    subprocess.run(["tar", "-C", root, "-cf", packed, "."], check=True)
    command = f'CMD ["{program}", "-db", "-f", "/etc/haproxy.cfg"]'
    house.docker("import", "--change", command, str(packed), PROXY_IMAGE)
