"""A small company: two sources, many environments, a sandbox, and workers that are processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liftlock.config import load
from liftlock.demo.sandbox_process import Sandbox, addresses, start_sandbox
from liftlock.demo.workspace import world
from liftlock.model import Project
from liftlock.web.store import address_of, open_store
from liftlock.web.work.durable import DurableWork, open_work
from liftlock.web.work.orders import Order, OrderKind, WorkItem

ROOT = Path(__file__).parents[3]
SOURCES = ("one", "two")
APPS = ("A", "B")
READY_S = 60.0


@dataclass
class Company:
    """A project that everybody uses, where every source runs another version of all apps."""

    config: Path
    project: Project
    sandbox: Sandbox
    variables: Mapping[str, str]
    environments: tuple[str, ...]
    images: Mapping[tuple[str, str], str]
    """By source and app, the id of the image that runs there."""
    workers: list[subprocess.Popen[str]] = field(default_factory=list)

    def start_worker(self, package: Path | None = None) -> None:
        """Another worker, of the liftlock in a folder if need be; whether it is ready is not waited for."""
        self.workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.web.work.worker", str(self.config)],
                cwd=ROOT,
                env=self._environ(package),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
        )

    def asks(self, package: Path, environment: str, source: str) -> str:
        """Ask for a promotion as the liftlock in a folder does: its id."""
        return subprocess.run(
            [sys.executable, "-m", "tests.web.work.asking", str(self.config), environment, source],
            cwd=ROOT,
            env=self._environ(package),
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def _environ(self, package: Path | None) -> dict[str, str]:
        path = {"PYTHONPATH": str(package)} if package else {}
        return {**os.environ, **self.variables, **path}

    def ready(self, worker: subprocess.Popen[str]) -> None:
        assert worker.stdout is not None
        assert "works for" in worker.stdout.readline()

    def kill(self, index: int) -> None:
        """kill -9, and nobody notices but by its silence."""
        worker = self.workers.pop(index)
        worker.kill()
        worker.communicate()

    def stop(self) -> None:
        """Ask all workers to end, and wait."""
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.communicate(timeout=60)
        assert [worker.returncode for worker in self.workers] == [0] * len(self.workers)
        self.workers.clear()

    def heroku(self, app: str, environment: str) -> dict[str, Any]:
        found: dict[str, Any] = self.sandbox.observe()["heroku"]["apps"][f"{app.lower()}-{environment}"]
        return found

    def running(self, app: str, environment: str) -> dict[str, str]:
        return {one["type"]: one["image_id"] for one in self.heroku(app, environment)["formation"]}


@contextmanager
def company(folder: Path, ledger: str, database: str, count: int) -> Iterator[Company]:
    """A company of `count` environments, whose sandbox and workers end with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "liftlock.toml"
    names = tuple(f"e{number}" for number in range(1, count + 1))
    text = (
        f'[project]\nname = "company"\nrepository = "example/company"\nledger = "{ledger}"\nsettle = "0s"\n'
    )
    text += f'[serve]\ndatabase = "{database}"\nurl = "http://127.0.0.1:8420"\n'
    text += 'sign_in.github = { client_id = "company", client_secret = "env:CLIENT_SECRET" }\n'
    text += "".join(f"[environments.{source}]\n" for source in SOURCES)
    text += "".join(f'[environments.{name}]\nfrom = ["one", "two"]\n' for name in names)
    for app in APPS:
        backup = "backup = true\n" if app == "A" else 'after = ["A"]\n'
        text += f'[apps.{app}]\nheroku = "{app.lower()}-{{env}}"\n{backup}'
        text += f'processes.web = {{ image = "{app.lower()}" }}\n'
    config.write_text(text)
    (folder / ".gitignore").write_text("*.db*\nstate\n")
    with start_sandbox(folder / "state", modelled=True) as sandbox:
        variables = addresses(sandbox)
        project = load(config, variables)
        sandbox.request("PUT", "/_sandbox/world", world(project, sandbox.base))
        images = _deployed(folder, sandbox, variables, names)
        sandbox.request("PUT", "/_sandbox/settings", {"release_s": 0.2, "backup_s": 0.2, "boot_s": 0.1})
        made = Company(config, project, sandbox, variables, names, images)
        try:
            yield made
        finally:
            for worker in made.workers:
                worker.kill()
                worker.communicate()


def _deployed(
    folder: Path, sandbox: Sandbox, variables: Mapping[str, str], names: tuple[str, ...]
) -> Mapping[tuple[str, str], str]:
    images = {}
    for source in SOURCES:
        sha = _commit(folder, sandbox, source)
        for app in APPS:
            for environment in (*SOURCES, *names):
                repository = f"{app.lower()}-{environment}/web"
                image = {"repository": repository, "tags": [sha], "seed": f"{app} {source}"}
                images[source, app] = sandbox.request("POST", "/_sandbox/images", image)["image_id"]
        done = subprocess.run(
            [
                Path(sys.executable).parent / "liftlock",
                "deploy",
                source,
                "--yes",
                "--config",
                "liftlock.toml",
            ],
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    return images


def _commit(folder: Path, sandbox: Sandbox, message: str) -> str:
    if not (folder / ".git").exists():
        _git(folder, "init", "-q", "-b", "main")
        _git(folder, "remote", "add", "origin", "https://github.com/example/company.git")
    (folder / "version.txt").write_text(message)
    _git(folder, "add", ".gitignore", "liftlock.toml", "version.txt")
    _git(folder, "-c", "user.name=ana", "-c", "user.email=ana@example.com", "commit", "-qm", message)
    shas = _git(folder, "rev-list", "HEAD").split()
    commit = {
        "sha": shas[0],
        "parents": shas[1:2],
        "message": message,
        "author": "ana",
        "email": "ana@example.com",
        "date": "2026-11-20T12:00:00Z",
    }
    sandbox.request("PUT", "/_sandbox/github/example/company/commits", [commit])
    return shas[0]


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@asynccontextmanager
async def at_work(crowd: Company) -> AsyncIterator[DurableWork]:
    """The queue, as a process without a worker has it."""
    async with open_store(address_of(crowd.project)) as store, open_work(store) as work:
        yield work


def promotion(environment: str, source: str = "one") -> Order:
    return Order(OrderKind.PROMOTION, environment, "ana", source=source)


async def ended(work: DurableWork, id_: str) -> WorkItem:
    async for _ in work.events(id_):
        pass
    item = await work.item(id_)
    assert item is not None
    return item


async def told(work: DurableWork, id_: str, event: str) -> None:
    """Wait until a run has told that, or has ended."""
    async for _, document in work.events(id_):
        if document["event"] == event:
            return
