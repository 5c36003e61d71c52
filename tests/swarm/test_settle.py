"""What counts as up, by answers as an engine 26.1 gave them, where only luck makes a real one give them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from liftlock.http import Http
from liftlock.model import Digest, Target
from liftlock.platforms.swarm.api import Swarm
from liftlock.platforms.swarm.settle import Settling

DIGEST = f"sha256:{'a' * 64}"
IMAGE = f"127.0.0.1:5000/observatory/odb/web@{DIGEST}"
SERVICE = {
    "ID": "b7vkjfoghs1q",
    "Version": {"Index": 188},
    "Spec": {
        "Name": "observatory-dev_web",
        "TaskTemplate": {"ContainerSpec": {"Image": IMAGE}},
        "Mode": {"Replicated": {"Replicas": 1}},
    },
    "UpdateStatus": {"State": "rollback_completed", "Message": "rollback completed"},
}


def task(name: str, state: str, desired: str) -> dict[str, Any]:
    return {
        "ID": name,
        "ServiceID": SERVICE["ID"],
        "Slot": 1,
        "Spec": {"ContainerSpec": {"Image": IMAGE}},
        "Status": {"Timestamp": "2026-11-27T15:14:00.1Z", "State": state},
        "DesiredState": desired,
    }


@pytest.mark.anyio
async def test_a_place_with_two_tasks_is_waited_for_until_the_engine_has_chosen() -> None:
    """A crash and a roll-back at once start a task each, and the engine ends one: here the one that was up."""
    looks = [
        [task("53e4j", "running", "running"), task("dgiqc", "starting", "running")],
        [task("53e4j", "running", "shutdown"), task("dgiqc", "starting", "running")],
        [task("53e4j", "shutdown", "shutdown"), task("dgiqc", "running", "running")],
    ]
    told: list[str] = []
    left = iter(looks)
    http = Http("docker", "http://localhost", transport=httpx2.MockTransport(lambda each: answer(each, left)))
    target = Target("ODB", "dev", "swarm", "observatory-dev", processes=("web",))
    await Settling(Swarm(http), target, {"web": Digest(DIGEST)}, told.append).run(0.0)
    assert told == ["web has a task too many", "0 of 1 tasks of web are up"]
    await http.aclose()


def answer(request: httpx2.Request, looks: Iterator[Any]) -> httpx2.Response:
    name = request.url.path.rpartition("/")[2]
    if name == "version":
        return httpx2.Response(200, json={"ApiVersion": "1.45", "MinAPIVersion": "1.24", "Version": "26.1.5"})
    return httpx2.Response(200, json=[SERVICE] if name == "services" else next(looks))
