"""What only the real backing can show: processes, their environment and end, PostgreSQL, restarts of the sandbox."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import psycopg
import pytest

from tests.sandbox.heroku_client import Heroku, client_of
from tests.sandbox.images import PROGRAM, behaving, build, push, tarred
from tests.sandbox.serving_real import program, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
async def heroku(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Heroku]:
    monkeypatch.setenv("LIFTLOCK_SANDBOX_RUNTIME", "process")
    with serving(tmp_path / "state") as base:
        async with client_of(base) as client:
            yield Heroku(client)


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        # A zombie of a killed parent has ended, even where nobody reaps it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def gone(*pids: int, limit_s: float = 15) -> bool:
    with anyio.move_on_after(limit_s):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110
            await anyio.sleep(0.02)
    return not any(alive(pid) for pid in pids)


CHILDREN = b"""
import json, os, subprocess, sys, signal, http.server
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            os._exit(3)
        content = json.dumps([os.getpid(), child.pid]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
print("ready")
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


async def release_children(heroku: Heroku, *words: str) -> list[int]:
    """An app whose process has a child; gives both process ids."""
    image = build(cmd=["python3", "program.py", *words], files={"program.py": CHILDREN})
    await heroku.release(web=await push(heroku.http, f"{heroku.app}/web", image))
    return list((await heroku.get()).json())


async def test_process_gets_what_heroku_gives(heroku: Heroku, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_MACHINE", "x")
    await heroku.create(config_vars={"COLOUR": "red", "GREETING": "from the app"})
    await heroku.release(web=await heroku.pushed())
    told = (await heroku.get()).json()
    environ = told["environ"]
    assert (environ["DYNO"], environ["COLOUR"], environ["GREETING"]) == ("web.1", "red", "from the app")
    assert environ["PORT"].isdecimal()
    assert "SECRET_OF_THE_MACHINE" not in environ
    assert told["directory"].endswith("/srv")


async def test_process_that_ends_later_is_started_again(heroku: Heroku) -> None:
    await heroku.create()
    first, _ = await release_children(heroku)
    with suppress(Exception):
        await heroku.get("/die")
    with anyio.fail_after(20):
        while (pids := (await heroku.get())).status_code != 200:  # noqa: ASYNC110
            await anyio.sleep(0.05)
    assert pids.json()[0] != first
    assert "Process exited with status 3" in await heroku.log(lines=1500)


async def test_release_ends_the_old_process_and_its_children(heroku: Heroku) -> None:
    await heroku.create()
    pids = await release_children(heroku)
    await heroku.release(web=await heroku.pushed())
    await heroku.until({"web.1": ("up", 3)})
    assert await gone(*pids)


async def test_process_that_ignores_sigterm_is_killed(
    heroku: Heroku, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liftlock.sandbox.backings.processes.STOP_LIMIT_S", 0.2)
    await heroku.create()
    pids = await release_children(heroku, "stubborn")
    await heroku.ask("PATCH", "formation/web", {"quantity": 0})
    assert await gone(*pids)


async def test_web_that_never_binds_is_crashed(heroku: Heroku, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liftlock.sandbox.backings.processes.accepts.__defaults__", (0.3,))
    await heroku.create()
    image = build(cmd=["python3", "-c", "import time; time.sleep(3600)"])
    await heroku.release(web=await push(heroku.http, "odb-dev/web", image))
    await heroku.until({"web.1": ("crashed", 2)})
    assert "R10" in await heroku.log(lines=100)


@pytest.mark.parametrize(("cmd", "reason"), [([], "has no command"), (["nowhere"], "not found in the image")])
async def test_image_that_cannot_start_says_why(heroku: Heroku, cmd: Sequence[str], reason: str) -> None:
    await heroku.create()
    await heroku.release(web=await push(heroku.http, "odb-dev/web", build(cmd=cmd)))
    await heroku.until({"web.1": ("crashed", 2)})
    assert reason in await heroku.log(lines=100)


async def test_layer_that_is_no_archive_crashes_the_dyno_alone(heroku: Heroku) -> None:
    await heroku.create()
    await heroku.release(web=await push(heroku.http, "odb-dev/web", build(cmd=["x"], layers=[b"no tar"])))
    await heroku.until({"web.1": ("crashed", 2)})
    assert "cannot be unpacked" in await heroku.log(lines=100)


async def test_layers_lie_over_each_other(heroku: Heroku) -> None:
    layers = [
        tarred(("srv/program.py", b"raise SystemExit(1)"), ("srv/gone", b"x")),
        tarred(("srv/program.py", PROGRAM), ("srv/.wh.gone", b"")),
    ]
    image = build(cmd=["python3", "program.py"], layers=layers, directory="/srv")
    await heroku.create()
    await heroku.release(web=await push(heroku.http, "odb-dev/web", image))
    await heroku.until({"web.1": ("up", 2)})
    assert os.listdir((await heroku.get()).json()["directory"]) == ["program.py"]  # noqa: PTH208


async def test_restore_brings_back_what_was_there(heroku: Heroku) -> None:
    await heroku.create(database=True)
    url = (await heroku.ask("GET", "config-vars"))["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
        database.execute("CREATE SCHEMA own; CREATE TABLE own.u AS SELECT 2 AS x")
        transfer = await heroku.capture()
        assert transfer["succeeded"], transfer["logs"]
        database.execute("INSERT INTO t VALUES (2); CREATE TABLE later (x int); DROP SCHEMA own CASCADE")
        restores = f"/client/v11/databases/{await heroku.addon()}/restores"
        begun = await heroku.ask("POST", restores, {"backup_url": transfer["to_url"]}, expect=201)
        restored = await heroku.transfer(begun["num"])
        assert restored["succeeded"], restored["logs"]
        # The app's own session goes on.
        assert database.execute("SELECT x FROM t").fetchall() == [(1,)]
        assert database.execute("SELECT x FROM own.u").fetchall() == [(2,)]
        with pytest.raises(psycopg.errors.UndefinedTable):
            database.execute("SELECT * FROM later")
    # A second backup and restore of a restored database works too.
    assert (await heroku.capture())["succeeded"]


async def test_apps_do_not_see_each_other_s_databases(heroku: Heroku) -> None:
    await heroku.create(database=True)
    other = Heroku(heroku.http, "odb-staging")
    await other.create(database=True)
    mine = (await heroku.ask("GET", "config-vars"))["DATABASE_URL"]
    theirs = (await other.ask("GET", "config-vars"))["DATABASE_URL"]
    assert mine != theirs
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(mine.rpartition("/")[0] + "/odb_staging").close()


def server_pid(state: Path) -> int:
    return int((state / "postgres" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])


async def make_world(base: str) -> list[int]:
    """An app with a database, a row in it, a backup and a running process with a child."""
    async with client_of(base) as client:
        heroku = Heroku(client)
        await heroku.create(database=True, config_vars={"COLOUR": "red"})
        pids = await release_children(heroku)
        url = (await heroku.ask("GET", "config-vars"))["DATABASE_URL"]
        with psycopg.connect(url, autocommit=True) as database:
            database.execute("CREATE TABLE t AS SELECT 1 AS x")
        assert (await heroku.capture())["succeeded"]
        return pids


async def check_world(base: str) -> list[int]:
    """It is all there again, and the process is a new one that runs."""
    async with client_of(base) as client:
        heroku = Heroku(client)
        await heroku.until({"web.1": ("up", 3)})
        config_vars = await heroku.ask("GET", "config-vars")
        assert config_vars["COLOUR"] == "red"
        with psycopg.connect(config_vars["DATABASE_URL"]) as database:
            assert database.execute("SELECT x FROM t").fetchone() == (1,)
        transfer = await heroku.ask("GET", "/client/v11/apps/odb-dev/transfers/1")
        assert transfer["succeeded"]
        public = await heroku.ask(
            "POST", "/client/v11/apps/odb-dev/transfers/1/actions/public-url", expect=201
        )
        assert (await client.get(public["url"])).content.startswith(b"PGDMP")
        return list((await heroku.get()).json())


async def test_state_survives_a_stop_and_nothing_is_left_running(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with program(state) as (process, base):
        pids = [*await make_world(base), server_pid(state)]
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert not any(alive(pid) for pid in pids)
    with program(state) as (process, base):
        pids = [*await check_world(base), server_pid(state)]
        process.send_signal(signal.SIGINT)
        process.wait(30)
        assert not any(alive(pid) for pid in pids)


async def test_state_survives_a_kill_and_nothing_is_left_running(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with program(state) as (process, base):
        pids = [*await make_world(base), server_pid(state)]
        process.kill()
        process.wait(30)
        assert await gone(*pids)
    with program(state) as (process, base):
        await check_world(base)
        process.terminate()
        process.wait(30)


async def test_server_that_a_killed_sandbox_left_is_ended_at_the_next_start(tmp_path: Path) -> None:
    """Even the watchdog was killed: the next sandbox meets a live server in its folder."""
    state = tmp_path / "state"
    with program(state) as (process, base):
        pids = await make_world(base)
        server = server_pid(state)
        for watchdog in children(process.pid):
            if watchdog not in (server, pids[0]):
                os.kill(watchdog, signal.SIGKILL)
        process.kill()
        process.wait(30)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    await anyio.sleep(0.2)
    assert alive(server)
    with program(state) as (process, base):
        await check_world(base)
        assert not alive(server)
        process.terminate()
        process.wait(30)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_interrupted_release_phase_has_failed_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state"
    slow = build(cmd=["python3", "-c", "import time; time.sleep(3600)"])
    with program(state) as (process, base):
        async with client_of(base) as client:
            heroku = Heroku(client)
            await heroku.create()
            await heroku.release(web=await push(client, "odb-dev/web", behaving()))
            await heroku.until({"web.1": ("up", 2)})
            await heroku.release(release=await push(client, "odb-dev/release", slow))
            assert (await heroku.newest())["status"] == "pending"
        process.kill()
        process.wait(30)
    with program(state) as (process, base):
        async with client_of(base) as client:
            heroku = Heroku(client)
            assert (await heroku.newest())["status"] == "failed"
            await heroku.until({"web.1": ("up", 2)})
        process.terminate()
        process.wait(30)
