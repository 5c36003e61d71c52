"""Images in containers, where a Docker engine answers."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

from liftlock.sandbox import Cloud
from liftlock.sandbox.backings.docker import DockerRuntime
from liftlock.sandbox.backings.watchdog import Watchdog
from tests.sandbox.heroku_client import Heroku, client_of
from tests.sandbox.images import Built, behaving, build, push
from tests.sandbox.serving_real import program

BUSYBOX = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if Path(path).exists()), None)


def no_engine() -> str:
    """Why these tests cannot run here; "" when they can."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address.removeprefix("unix://"))
        except OSError as error:
            return f"no Docker engine answers: {error}"
    return "" if BUSYBOX else "no static busybox to make an image of"


pytestmark = [
    pytest.mark.anyio,
    pytest.mark.docker,
    pytest.mark.skipif(bool(no_engine()), reason=no_engine() or "-"),
]

SCRIPT = b"""#!/bin/busybox sh
echo "$DYNO starts"
case "$DYNO" in release.*) echo "release phase succeeds"; exit 0;; esac
mkdir -p /www && echo "$COLOUR from $HOSTNAME" > /www/index.html
test -n "$PORT" || exec /bin/busybox sleep 3600
exec /bin/busybox httpd -f -p "127.0.0.1:$PORT" -h /www
"""


def busybox() -> Built:
    """An image that is complete in itself: its command lies inside."""
    return build(
        cmd=["/start"],
        files={
            "bin/busybox": Path(str(BUSYBOX)).read_bytes(),
            "start": SCRIPT.replace(b"mkdir", b"/bin/busybox mkdir"),
        },
    )


async def left(state: Path) -> list[Any]:
    """The containers of the sandbox whose state that is."""
    runtime = DockerRuntime(Cloud(state, modelled=True), Watchdog())
    _, found = await runtime.call("GET", "/containers/json?all=1")
    return [one for one in found if one["Labels"].get("io.liftlock.sandbox.instance") == runtime._instance]


@pytest.mark.parametrize("runtime", ["auto", "docker"])
async def test_complete_image_runs_in_a_container(tmp_path: Path, runtime: str) -> None:
    state = tmp_path / "state"
    with program(state, runtime) as (process, base):
        async with client_of(base) as client:
            heroku = Heroku(client)
            await heroku.create(config_vars={"COLOUR": "red"}, formation={"worker": 1})
            image = busybox()
            images: dict[str, Any] = {
                t: await push(client, f"odb-dev/{t}", image) for t in ("web", "worker", "release")
            }
            await heroku.release(**images)
            release = await heroku.ended(60)
            assert release["status"] == "succeeded", release
            assert "release phase succeeds" in (await client.get(release["output_stream_url"])).text
            await heroku.until({"web.1": ("up", 2), "worker.1": ("up", 2)}, 60)
            assert (await heroku.get()).text.startswith("red from ")
            assert "web.1 starts" in await heroku.log(lines=100)
        assert len(await left(state)) == 2
        process.terminate()
        process.wait(60)
    assert await left(state) == []


async def test_killed_sandbox_leaves_no_container(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with program(state, "docker") as (process, base):
        async with client_of(base) as client:
            heroku = Heroku(client)
            await heroku.create()
            await heroku.release(web=await push(client, "odb-dev/web", busybox()))
            await heroku.until({"web.1": ("up", 2)}, 60)
        process.kill()
        process.wait(60)
        with anyio.move_on_after(30):
            while await left(state):  # noqa: ASYNC110
                await anyio.sleep(0.1)
    assert await left(state) == []


async def test_image_without_its_command_is_a_plain_process(tmp_path: Path) -> None:
    """`auto`: python3 is not inside the image, so the sandbox's own is meant."""
    state = tmp_path / "state"
    with program(state, "auto") as (process, base):
        async with client_of(base) as client:
            heroku = Heroku(client)
            await heroku.create()
            await heroku.release(web=await push(client, "odb-dev/web", behaving()))
            await heroku.until({"web.1": ("up", 2)}, 60)
            assert (await heroku.get()).status_code == 200
        assert await left(state) == []
        process.terminate()
        process.wait(60)
    shutil.rmtree(state)
