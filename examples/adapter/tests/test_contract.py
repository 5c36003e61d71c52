"""The platform keeps liftlock's contract, on a real supervisord."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from liftlock_supervisor.server import Server

from liftlock.errors import ArtifactMissing, NotHealthy, Unreachable, UsageError
from liftlock.model import BundleId, Known, Located, Project, Release, Unknown
from liftlock.plugins import Context, load
from liftlock.ports import Platform
from liftlock.probes import Probed
from liftlock.testing import PlatformContract, open_context, project_from

PROJECT = """
[project]
name = "shop"
ledger = "sqlite:///liftlock.db"
single_machine = true

[environments.staging]
[environments.production]
from = ["staging"]

[apps.Shop]
supervisor = "shop-{{env}}"
processes.web = {{ directory = "service", command = ["{python}", "app.py", "web"] }}
processes.worker = {{ directory = "service", command = ["{python}", "app.py", "worker"] }}
options = {{ socket = "{folder}/sock", conf = "{folder}/conf", store = "{folder}/store", startsecs = 0 }}
"""
SUPERVISORD = """
[supervisord]
nodaemon = true
logfile = {folder}/log
pidfile = {folder}/pid
childlogdir = {folder}/logs
[unix_http_server]
file = {folder}/sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[include]
files = {folder}/conf/*.ini
"""
APP = "import sys, time\nprint('version {version} of', sys.argv[1], flush=True)\n{then}\n"


@dataclass
class World:
    folder: Path
    project: Project
    context: Context
    settle_s: float = 0.5

    def platform(self) -> Platform:
        made: Platform = load("platforms", "supervisor").build(self.context)
        return made

    async def built(self, version: str, then: str = "time.sleep(3600)") -> Release:
        service = self.folder / "checkout" / version / "service"
        service.mkdir(parents=True, exist_ok=True)
        (service / "app.py").write_text(APP.format(version=version, then=then))
        app = self.project.apps["Shop"]
        return await self.platform().publish(app, f"{version:0<40}", service.parent, print)

    async def broken(self) -> Release:
        return await self.built("bad", then="sys.exit('no database')")

    async def absent(self) -> Release:
        nowhere = BundleId("sha256:" + "0" * 64)
        return Release("Shop", "a" * 40, {"web": nowhere, "worker": nowhere})


@pytest.fixture
def supervisord(tmp_path: Path) -> Iterator[Path]:
    """A folder with a supervisord in it that runs."""
    for name in ("conf", "logs", "store"):
        (tmp_path / name).mkdir()
    (tmp_path / "supervisord.conf").write_text(SUPERVISORD.format(folder=tmp_path))
    program = [sys.executable, "-m", "supervisor.supervisord", "-c", str(tmp_path / "supervisord.conf")]
    with (tmp_path / "out").open("w") as out, subprocess.Popen(program, stdout=out, stderr=out) as server:
        try:
            until = time.monotonic() + 30
            while not (tmp_path / "sock").exists():
                assert server.poll() is None, (tmp_path / "out").read_text()
                assert time.monotonic() < until, "supervisord does not open its socket"
                time.sleep(0.02)
            yield tmp_path
        finally:
            server.terminate()  # and with it everything that it runs


@pytest.fixture
async def world(supervisord: Path) -> AsyncIterator[World]:
    project = project_from(PROJECT.format(folder=supervisord, python=sys.executable), supervisord)
    async with open_context(project, environ={}) as context:
        yield World(supervisord, project, context)


class TestSupervisor(PlatformContract):
    """Every test of the contract; `world` says on what. What is supervisord's own follows."""

    async def test_a_bundle_that_somebody_changed_is_not_released(self, world: World) -> None:
        release = await world.built("1")
        bundle = release.artifacts["web"]
        assert isinstance(bundle, BundleId)
        file = world.folder / "store" / bundle.value.removeprefix("sha256:") / "files" / "app.py"
        file.write_text("print('something else')")
        target = world.project.apps["Shop"].targets["staging"]
        with pytest.raises(ArtifactMissing, match="is not what was released before"):
            await world.platform().stage(target, Located(release, {}), None, print)

    async def test_a_file_that_was_written_and_not_loaded_is_no_release(self, world: World) -> None:
        """What runs is asked of supervisord: a crash between the two changes nothing that runs."""
        target = world.project.apps["Shop"].targets["staging"]
        old, new = await world.built("1"), await world.built("2")
        await world.platform().release(target, old, print)
        file = world.folder / "conf" / "shop-staging.ini"
        file.write_text(file.read_text().replace(old.artifacts["web"].short, new.artifacts["web"].short))
        await Server(f"{world.folder}/sock").call("reloadConfig")
        running = await world.platform().running(target, ())
        assert isinstance(running, Known)
        assert running.artifacts == old.artifacts
        assert (await world.platform().release(target, new, print)).changed

    async def test_a_program_of_somebody_else_is_unknown(self, world: World) -> None:
        (world.folder / "conf" / "other.ini").write_text("[program:shop-staging]\ncommand = sleep 3600\n")
        await Server(f"{world.folder}/sock").load("shop-staging", is_wanted=True)
        target = world.project.apps["Shop"].targets["staging"]
        running = await world.platform().running(target, ())
        assert isinstance(running, Unknown)
        assert "shop-staging:shop-staging is no program of a bundle" in running.reason

    async def test_a_process_that_does_not_stay_up_shows_its_last_words(self, world: World) -> None:
        target, release = world.project.apps["Shop"].targets["staging"], await world.broken()
        switch = await world.platform().release(target, release, print)
        with pytest.raises(NotHealthy, match="no database"):
            await world.platform().settle(target, release, switch, 2.0, print)

    async def test_no_supervisord_is_said_with_what_to_do(self, world: World) -> None:
        with pytest.raises(Unreachable, match="does not answer at /nowhere") as refused:
            await Server("/nowhere").call("getState")
        assert "Is it running" in refused.value.hint

    async def test_doctor_tries_it(self, world: World) -> None:
        platform = world.platform()
        assert isinstance(platform, Probed)
        for probe in platform.probes():
            assert "answers" in (await probe.run()).said

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ('processes.web = { image = "shop/web" }', "without `directory`"),
            ("options = { socket = 's', conf = 'c', store = 's', strat = 1 }", "there is no strat"),
            ("options = { socket = 's', conf = 'c' }", "store is missing"),
            ('health = "/health"', "no address to ask"),
        ],
    )
    async def test_what_it_cannot_do_is_refused_before_anything_is_tried(
        self, tmp_path: Path, line: str, why: str
    ) -> None:
        text = PROJECT.format(folder=tmp_path, python=sys.executable)
        key = line.partition(" = ")[0]
        lines = [each for each in text.splitlines() if not each.startswith(f"{key} = ")]
        project = project_from("\n".join([*lines, line]), tmp_path)
        async with open_context(project, environ={}) as context:
            with pytest.raises(UsageError, match=why):
                load("platforms", "supervisor").build(context)
