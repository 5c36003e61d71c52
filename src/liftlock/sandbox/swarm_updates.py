"""What a modelled swarm does to make its tasks what its services say: creation, updates, roll-backs, jobs.

A model of swarmkit's orchestrators (`manager/orchestrator`), as far as somebody who promotes can see it:
order, parallelism, monitoring, what happens on a failure, and which specification stands afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from liftlock.sandbox.clock import micros_iso
from liftlock.sandbox.store import Document, Table
from liftlock.sandbox.swarm_tasks import (
    end_task,
    fail_task,
    is_live,
    is_up,
    make_task,
    pause_s,
    run_task,
    tasks_of,
)

if TYPE_CHECKING:
    from liftlock.sandbox.cloud import Cloud

DEFAULT_MONITOR_S = 5.0
DEFAULT_DELAY_S = 5.0
"""Between a task's failure and its successor."""


def services(cloud: Cloud) -> Table:
    """Every service of every swarm, by id."""
    return cloud.store.table("swarm.services")


def touch(cloud: Cloud, service: Document) -> None:
    """Keep a service under a new version: whoever read it before has to read it again."""
    service["version"] = cloud.store.next("swarm.version")
    service["updated_at"] = micros_iso(cloud.clock.now())
    services(cloud).put(service["id"], service)


def is_job(service: Document) -> bool:
    return "ReplicatedJob" in service["spec"]["Mode"]


def replicas(service: Document) -> int:
    mode = service["spec"]["Mode"]
    if is_job(service):
        return int(mode["ReplicatedJob"].get("TotalCompletions", 1))
    return int((mode.get("Replicated") or {}).get("Replicas", 1))


async def begin(cloud: Cloud, service: Document) -> None:
    """Bring up the tasks of a new service, or what an update of it asks for."""
    service["turn"] += 1
    touch(cloud, service)
    cloud.start_soon(_job if is_job(service) else _update, cloud, service, service["turn"])


def crash(cloud: Cloud, service: Document, task: Document) -> None:
    """Let a task that is up crash. The engine starts another in its place; an update that made it may fail by it."""
    fail_task(cloud, task, "task: non-zero exit (1)")
    cloud.start_soon(_restart, cloud, service, task["slot"], service["spec"]["TaskTemplate"])


async def _job(cloud: Cloud, service: Document, turn: int) -> None:
    for task in tasks_of(cloud, service):
        if is_live(task):
            await end_task(cloud, task)
    policy = service["spec"]["TaskTemplate"].get("RestartPolicy") or {}
    most = 1 if policy.get("Condition") == "none" else 1 + (policy.get("MaxAttempts") or 1000)
    for slot in range(1, replicas(service) + 1):
        for _ in range(most):
            if not _is_mine(cloud, service, turn):
                return
            if await run_task(cloud, make_task(cloud, service, slot, "complete"), as_job=True):
                break
            await anyio.sleep(pause_s(policy, "Delay", DEFAULT_DELAY_S))


async def _update(cloud: Cloud, service: Document, turn: int) -> None:
    """Replace the tasks that are not as the specification says, some at a time."""
    while True:
        slots = _to_change(cloud, service)
        if not slots:
            _finish(cloud, service)
            return
        rolls_back = (service["update"] or {}).get("State", "").startswith("rollback")
        is_first = not any(task["state"] != "new" for task in tasks_of(cloud, service))
        policy = service["spec"].get("RollbackConfig" if rolls_back else "UpdateConfig") or {}
        if not is_first and not rolls_back:
            _tell(cloud, service, "updating", "update in progress")
        size = policy.get("Parallelism", 1) or len(slots)
        made: list[Document] = []
        for at in range(0, len(slots), size):
            async with anyio.create_task_group() as group:
                for slot in slots[at : at + size]:
                    group.start_soon(_change, cloud, service, slot, policy, turn, made)
            is_last = at + size >= len(slots)
            pause = ("Monitor", DEFAULT_MONITOR_S) if is_last else ("Delay", 0.0)
            if not is_first and not _any_failed(made):
                await anyio.sleep(pause_s(policy, *pause))
            if not _is_mine(cloud, service, turn):
                return
            if not is_first and _any_failed(made):
                action = policy.get("FailureAction") or "pause"
                if not _fail(cloud, service, action, rolls_back=rolls_back):
                    return
                if action == "rollback" and not rolls_back:
                    break
        else:
            _finish(cloud, service)
            return


def _any_failed(made: list[Document]) -> bool:
    return any(task["state"] in {"failed", "rejected"} for task in made)


def _to_change(cloud: Cloud, service: Document) -> list[int]:
    """The slots that have no task of the service's specification, and those that are too many."""
    own = [task for task in tasks_of(cloud, service) if is_live(task)]
    right = _right(cloud, service)
    wanted = set(range(1, replicas(service) + 1))
    stale = {task["slot"] for task in own if task["spec"] != service["spec"]["TaskTemplate"]}
    return sorted((wanted - right) | stale | {task["slot"] for task in own if task["slot"] not in wanted})


def _right(cloud: Cloud, service: Document) -> set[int]:
    """The slots that have a task of the service's specification, up or on its way."""
    wanted = service["spec"]["TaskTemplate"]
    return {t["slot"] for t in tasks_of(cloud, service) if is_live(t) and t["spec"] == wanted}


async def _change(
    cloud: Cloud, service: Document, slot: int, policy: dict[str, Any], turn: int, made: list[Document]
) -> None:
    """Give one slot a task of the specification. Its predecessor ends before or after, by the order."""
    wanted = service["spec"]["TaskTemplate"]
    earlier = [
        t for t in tasks_of(cloud, service) if t["slot"] == slot and is_live(t) and t["spec"] != wanted
    ]
    if slot <= replicas(service) and slot in _right(cloud, service):
        # A roll-back goes on with the task that its update had not yet ended; what crashed meanwhile was made anew.
        for task in earlier:
            await end_task(cloud, task)
        return
    starts_first = policy.get("Order") == "start-first"
    if not starts_first or slot > replicas(service):
        for task in earlier:
            await end_task(cloud, task)
    if slot > replicas(service):
        for task in tasks_of(cloud, service):
            if task["slot"] == slot:
                await end_task(cloud, task)
        return
    task = make_task(cloud, service, slot)
    made.append(task)
    is_good = await run_task(cloud, task, as_job=False)
    if not _is_mine(cloud, service, turn):
        if not is_good:  # a later change may have left this task alone, and counts on it
            cloud.start_soon(_restart, cloud, service, slot, wanted)
        return
    if is_good:
        for each in earlier:
            await end_task(cloud, each)
        return
    still = [each for each in earlier if is_up(each)]
    if not still:
        cloud.start_soon(_restart, cloud, service, slot, wanted)


async def _restart(cloud: Cloud, service: Document, slot: int, wanted: Document) -> None:
    """Go on trying where nothing is left, as the restart policy says, while the tasks are to be as `wanted`."""
    policy = wanted.get("RestartPolicy") or {}
    if policy.get("Condition") == "none":
        return
    while True:
        await anyio.sleep(pause_s(policy, "Delay", DEFAULT_DELAY_S))
        is_wanted = service["id"] in services(cloud) and service["spec"]["TaskTemplate"] == wanted
        is_wanted = is_wanted and slot <= replicas(service)
        if not is_wanted or any(is_live(t) and t["slot"] == slot for t in tasks_of(cloud, service)):
            return
        if await run_task(cloud, make_task(cloud, service, slot), as_job=False):
            return


def _fail(cloud: Cloud, service: Document, action: str, *, rolls_back: bool) -> bool:
    """What a failed update comes to; whether anything is to be done further."""
    why = "due to failure or early termination of a task"
    if action == "continue":
        return True
    if rolls_back:
        _tell(cloud, service, "rollback_paused", f"rollback paused {why}")
        return False
    if action == "rollback" and service["previous"] is not None:
        service["spec"], service["previous"] = service["previous"], None
        _tell(cloud, service, "rollback_started", f"update rolled back {why}")
        return True
    _tell(cloud, service, "paused", f"update paused {why}")
    return False


def _finish(cloud: Cloud, service: Document) -> None:
    state = (service["update"] or {}).get("State", "")
    if state == "updating":
        _tell(cloud, service, "completed", "update completed")
    elif state == "rollback_started":
        _tell(cloud, service, "rollback_completed", "rollback completed")


def _tell(cloud: Cloud, service: Document, state: str, message: str) -> None:
    now = micros_iso(cloud.clock.now())
    before = service["update"] or {}
    if before.get("State") == state:
        return
    service["update"] = {"State": state, "StartedAt": before.get("StartedAt", now), "Message": message}
    if state.endswith("completed"):
        service["update"]["CompletedAt"] = now
    touch(cloud, service)


def _is_mine(cloud: Cloud, service: Document, turn: int) -> bool:
    """Whether no later change has taken the service over, and it is still there."""
    return service["turn"] == turn and service["id"] in services(cloud)
