"""The tasks of a modelled swarm: one container each, told of and never started.

How a container behaves is written in its image's label `io.liftlock.sandbox`: `crash` (it ends at start),
`unhealthy` (its health check never passes), `release-fails` (it ends with an error when it is run as a job).
The states and their order are those that an engine 20.10 showed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import anyio

from liftlock.sandbox.clock import micros_iso
from liftlock.sandbox.images import hex_of, load_image
from liftlock.sandbox.store import Document, Table

if TYPE_CHECKING:
    from liftlock.sandbox.cloud import Cloud

TICK_S = 0.02
"""Between two states of a task, so that somebody who looks sees each."""
HISTORY = 5
"""Of each slot so many tasks are remembered. Source: `TaskHistoryRetentionLimit` of a new swarm."""
UNHEALTHY_S = 2.0
"""How long a health check that never passes is tried."""
ENDED = frozenset({"complete", "failed", "rejected", "shutdown"})
_DIGESTED = re.compile(r"(?P<host>[^/]+)/(?P<repository>[^:@]+)(:[^@]+)?@(?P<digest>sha256:[0-9a-f]{64})")
_NS = 1e9


def tasks(cloud: Cloud) -> Table:
    """Every task of every swarm, by id."""
    return cloud.store.table("swarm.tasks")


def tasks_of(cloud: Cloud, service: Document) -> list[Document]:
    """A service's tasks, the oldest first."""
    return [task for task in tasks(cloud).values() if task["service"] == service["id"]]


def is_live(task: Document) -> bool:
    """Whether it is to run, and has not ended."""
    return task["desired"] in {"ready", "running", "complete"} and task["state"] not in ENDED


def is_up(task: Document) -> bool:
    return bool(task["state"] == "running" and task["desired"] == "running")


def make_task(cloud: Cloud, service: Document, slot: int, desired: str = "running") -> Document:
    """A new task of a service, not run yet."""
    number = cloud.store.next("swarm.task")
    now = micros_iso(cloud.clock.now())
    task: Document = {
        "id": f"task{number:021d}",
        "swarm": service["swarm"],
        "service": service["id"],
        "slot": slot,
        "iteration": service["iteration"],
        "desired": desired,
        "state": "new",
        "error": "",
        "spec": service["spec"]["TaskTemplate"],
        "created_at": now,
        "changed_at": now,
        "log": [],
    }
    tasks(cloud).put(task["id"], task)
    _forget(cloud, service, slot)
    return task


def _forget(cloud: Cloud, service: Document, slot: int) -> None:
    own = [task for task in tasks_of(cloud, service) if task["slot"] == slot]
    for task in [task for task in own if task["state"] in ENDED][: max(0, len(own) - HISTORY)]:
        tasks(cloud).delete(task["id"])


async def run_task(cloud: Cloud, task: Document, *, as_job: bool) -> bool:
    """Run a task until it is up, or to its end; whether it came up (a job: whether it succeeded)."""
    for state in ("assigned", "preparing"):
        await _become(cloud, task, state)
    found = find_image(cloud, task["spec"]["ContainerSpec"]["Image"])
    if found is None:
        image = task["spec"]["ContainerSpec"]["Image"]
        return await _become(cloud, task, "rejected", f"No such image: {image}")
    await _become(cloud, task, "starting")
    behaviour = load_image(cloud, found[1]).behaviour
    await anyio.sleep(cloud.settings.release_s if as_job else cloud.settings.boot_s)
    if task["state"] == "shutdown":
        return False
    if as_job:
        fails = behaviour in {"release-fails", "crash"}
        task["log"].append("the migration fails" if fails else "the migration succeeds")
        if fails:
            return await _become(cloud, task, "failed", "task: non-zero exit (1)")
        await _become(cloud, task, "complete")
        return True
    if behaviour == "crash":
        task["log"].append("this image crashes at start")
        return await _become(cloud, task, "failed", "task: non-zero exit (1)")
    if behaviour == "unhealthy":
        await anyio.sleep(UNHEALTHY_S)
        task["log"].append("the health check fails")
        return await _become(
            cloud, task, "failed", "task: non-zero exit (137): dockerexec: unhealthy container"
        )
    await _become(cloud, task, "running")
    return bool(task["state"] == "running")


async def end_task(cloud: Cloud, task: Document) -> None:
    """Ask a task to end; one that has ended stays what it is."""
    task["desired"] = "shutdown"
    if task["state"] not in ENDED:
        task["state"], task["changed_at"] = "shutdown", micros_iso(cloud.clock.now())
    tasks(cloud).put(task["id"], task)


def fail_task(cloud: Cloud, task: Document, error: str) -> None:
    """Let a task that is up end by itself, as a process does that runs into an error."""
    task["state"], task["desired"], task["error"] = "failed", "shutdown", error
    task["changed_at"] = micros_iso(cloud.clock.now())
    task["log"].append("this container crashes")
    tasks(cloud).put(task["id"], task)


async def _become(cloud: Cloud, task: Document, state: str, error: str = "") -> bool:
    """Change a task's state, a moment later; gives whether that is one of those that go on."""
    await anyio.sleep(TICK_S)
    if task["state"] == "shutdown" or task["id"] not in tasks(cloud):
        return False
    task["state"], task["error"], task["changed_at"] = state, error, micros_iso(cloud.clock.now())
    if state in {"failed", "rejected"}:
        task["desired"] = "shutdown"
    tasks(cloud).put(task["id"], task)
    return state not in {"failed", "rejected"}


def find_image(cloud: Cloud, reference: str) -> tuple[str, str] | None:
    """(manifest's digest, image id) of `host/repository[:tag]@sha256:…` in the cloud's own registry."""
    named = _DIGESTED.fullmatch(reference)
    if named is None:
        return None
    key = f"{named['repository']}@{named['digest']}"
    content = cloud.store.blobs.get(hex_of(named["digest"]))
    if key not in cloud.store.table("registry.manifests") or content is None:
        return None
    return named["digest"], str(json.loads(content)["config"]["digest"])


def pause_s(policy: dict[str, Any], name: str, default_s: float) -> float:
    """A length of time of a specification, which are in nanoseconds."""
    given = policy.get(name)
    return default_s if given is None else given / _NS
