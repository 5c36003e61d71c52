"""Proving that a stack runs a release, is healthy, and stays so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio

from liftlock.errors import NotHealthy, VendorError
from liftlock.model import Digest, Target
from liftlock.platforms.swarm.api import Service, Swarm, Task, digest_of
from liftlock.platforms.swarm.observe import State, look, service_name, told_update
from liftlock.polling import holds, wait_for
from liftlock.ports import Progress

STILL_S = 300.0
"""How long nothing at all may change while a release is not up yet."""
_LONGEST_S = 6 * 3600.0
_CRASHES = 3
"""So many tasks of a release that failed in one place: where a team lets an update go on whatever happens,
the engine would try for ever."""
_SETBACKS = 2
_LOG_LINES = 20


class _Ill(Exception):
    """It will not become healthy by waiting."""


@dataclass(slots=True)
class Settling:
    """One wait for one release at one target."""

    swarm: Swarm
    target: Target
    wanted: Mapping[str, Digest]
    progress: Progress
    failed_before: frozenset[str] = frozenset()
    """Tasks that had failed before the switch."""
    _waiting_for: str = "its first answer"
    _changed_at: float = 0.0
    _seen: object = None
    _failed: list[Task] = field(default_factory=list)
    """The release's own tasks that failed, the last one last."""

    async def run(self, settle_s: float) -> None:
        """Wait until all is well and has been for `settle_s`. Raises `NotHealthy`."""
        try:
            good = await self._first_good()
            await self._stays(good, settle_s)
        except _Ill as illness:
            raise NotHealthy(
                f"{self.target.app} in {self.target.environment} ({self.target.name}) is not healthy: "
                f"{illness}.{await self._log()}",
                hint=f"See its tasks with: docker stack ps --no-trunc {self.target.name}",
            ) from None

    async def _first_good(self) -> State:
        self._changed_at = anyio.current_time()

        async def good() -> State | None:
            state = await look(self.swarm, self.target)
            return state if self._is_good(state) else None

        return await wait_for(good, limit_s=_LONGEST_S, timed_out=lambda: _Ill(self._waiting_for))

    async def _stays(self, good: State, settle_s: float) -> None:
        """See it stay good, with the same tasks, for `settle_s`; one setback is forgiven."""

        async def is_the_same() -> bool:
            state = await look(self.swarm, self.target)
            return self._is_good(state) and _tasks(state) == _tasks(good)

        setbacks = 0
        while not await holds(is_the_same, settle_s, self.progress):
            setbacks += 1
            if setbacks == _SETBACKS:
                why = self._waiting_for or "its tasks were replaced"
                raise _Ill(f"it did not stay healthy for {settle_s:g} s: {why}")
            good = await self._first_good()

    def _is_good(self, state: State) -> bool:
        """Whether everything is as it has to be; else `_waiting_for` says what is not, yet. Raises `_Ill`."""
        seen = [(t.id, t.state, t.desired) for tasks in state.tasks.values() for t in tasks]
        if seen != self._seen:
            self._seen, self._changed_at = seen, anyio.current_time()
        self._failed = [
            task
            for process_type, tasks in state.tasks.items()
            for task in sorted(tasks, key=lambda each: each.changed_at)
            if task.has_ended
            and task.id not in self.failed_before
            and digest_of(task.image) == self.wanted.get(process_type)
        ]
        self._waiting_for = next(
            filter(None, (self._lacking(state, each) for each in sorted(self.wanted))), ""
        )
        if self._waiting_for:
            self.progress(self._waiting_for)
            if anyio.current_time() - self._changed_at > STILL_S:
                raise _Ill(f"{self._waiting_for}, and nothing has changed for {STILL_S:.0f} s")
        return not self._waiting_for

    def _lacking(self, state: State, process_type: str) -> str:
        service = state.services.get(process_type)
        if service is None:
            raise _Ill(f"there is no service {service_name(self.target, process_type)} any more")
        self._check(service, process_type)
        if service.is_job:
            return ""
        tasks = state.tasks[process_type]
        up = [task for task in tasks if task.is_up and digest_of(task.image) == self.wanted[process_type]]
        others = [task for task in tasks if task.is_up and task not in up]
        coming = [task for task in tasks if task.desired == "running" and not task.is_up]
        wanted = service.replicas if service.replicas is not None else len(up) + len(coming)
        if len(up) < wanted:
            self._check_crashes(service, process_type)
            why = next((f": {task.error}" for task in coming if task.error), "")
            return f"{len(up)} of {wanted} tasks of {process_type} are up{why}"
        if others or len(up) > wanted:
            return f"earlier tasks of {process_type} are still up"
        if len(up) + len(coming) > wanted:
            # A crashed task's successor meets that of the roll-back: the engine may keep the one that is not up yet.
            return f"{process_type} has a task too many"
        return f"the update of {process_type} goes on" if service.is_updating else ""

    def _check(self, service: Service, process_type: str) -> None:
        """Raises `_Ill` for what the engine or somebody else did to the service meanwhile."""
        state = service.update.state if service.update is not None else ""
        if digest_of(service.image) != self.wanted[process_type]:
            if state.startswith("rollback"):
                raise _Ill(f"{told_update(service)}: {process_type} does not run the release")
            raise _Ill(f"{process_type} was given another image meanwhile: {service.image}")
        if state in {"paused", "rollback_paused"}:
            raise _Ill(f"{process_type}: {told_update(service)}")

    def _check_crashes(self, service: Service, process_type: str) -> None:
        own = [task for task in self._failed if task.service == service.id]
        if any(n >= _CRASHES for n in Counter(task.slot for task in own).values()):
            raise _Ill(f"{process_type} does not come up: {own[-1].end}")

    async def _log(self) -> str:
        """What the last of the failed tasks said, and why the engine says that it ended."""
        if not self._failed:
            return ""
        task = self._failed[-1]
        try:
            lines = await self.swarm.log(task, _LOG_LINES)
        except VendorError as error:
            lines = [f"(its log could not be read: {error.message})"]
        told = [f"task {task.id[:12]}: {task.end}", *lines]
        return "".join(f"\n    {line}" for line in told)


def _tasks(state: State) -> frozenset[str]:
    return frozenset(task.id for tasks in state.tasks.values() for task in tasks if task.is_up)
