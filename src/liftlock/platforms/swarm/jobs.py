"""The release phase on a swarm: a job of the process type `release`, run once and to its end.

The team's own service is the template of the job, and never runs: an engine starts a job anew with every
update of it, whatever was changed, so that putting an old image back would run the old migration again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from liftlock.errors import AnswerLost, Conflict, ReleaseFailed, VendorError
from liftlock.model import Target
from liftlock.platforms.swarm.api import Service, Swarm, Task
from liftlock.platforms.swarm.marks import JOB, PROMOTION, Mark, reference
from liftlock.polling import wait_for
from liftlock.ports import Progress, RegistryImage

LIMIT_S = 3900.0
"""As long as a release phase may take elsewhere: an hour, and some minutes for the engine's own work."""
_LOG_LINES = 20
_LONGEST_NAME = 63
_ENDED = frozenset({"complete", "failed", "rejected", "orphaned", "shutdown", "remove"})


@dataclass(frozen=True, slots=True)
class Phase:
    """One run of one target's migration. Safe to repeat: it is found again by its promotion."""

    swarm: Swarm
    target: Target
    progress: Progress

    async def run(
        self,
        template: Service,
        image: RegistryImage,
        mark: Mark,
        auth: Mapping[str, str],
        jobs: Sequence[Service],
    ) -> Service:
        """Run the job to its end, or wait for the end of the one that a crash has left; the job, which stays.

        Raises `ReleaseFailed`, with the end of its log. No service has been changed then.
        """
        spec = job_spec(template, image, mark)
        for stale in jobs:
            if stale.name != spec["Name"]:
                await self._clear(stale)
        job = next((each for each in jobs if each.name == spec["Name"]), None)
        if job is None:
            job = await self._start(spec, auth)
        self.progress(f"{self._what} runs")
        attempts = 1 + int(spec["TaskTemplate"]["RestartPolicy"].get("MaxAttempts") or 0)
        last = await wait_for(lambda: self._ended(job, attempts), limit_s=LIMIT_S, timed_out=self._endless)
        if last.state == "complete":
            return job
        log = await self._log(last)
        await self.swarm.remove(job.id)
        raise ReleaseFailed(
            f"{self._what} failed: {last.error or last.state}.{log}",
            hint="None of its services was changed. What a migration changed in a database stays changed.",
        )

    async def ended(self, job: Service) -> None:
        """Wait until a job runs no more, however it ends: one that is cut off leaves a half of it behind."""

        async def look() -> bool | None:
            return None if await self.is_running(job) else True

        if await self.is_running(job):
            self.progress(f"{self._what} still runs: waiting for its end")
            await wait_for(look, limit_s=LIMIT_S, timed_out=self._endless)

    async def is_running(self, job: Service) -> bool:
        """Whether any task of a job has not ended."""
        return any(task.state not in _ENDED for task in await self.swarm.tasks_of(job.id))

    async def _start(self, spec: Mapping[str, Any], auth: Mapping[str, str]) -> Service:
        try:
            await self.swarm.create(spec, auth)
        except (AnswerLost, Conflict) as error:
            job = await self.swarm.service(spec["Name"])
            if job is None:
                raise ReleaseFailed(
                    f"{self._what} could not be started: {error.message}",
                    hint="Nothing was changed there. Try again.",
                ) from error
            return job
        except VendorError as error:
            raise ReleaseFailed(
                f"{self._what} could not be started: {error.message}",
                hint="Nothing was changed there.",
            ) from error
        job = await self.swarm.service(spec["Name"])
        if job is None:
            raise ReleaseFailed(f"{self._what} was removed by somebody else as soon as it was started.")
        return job

    async def _ended(self, job: Service, attempts: int) -> Task | None:
        """The task that decides: a complete one, or the last of those that failed when no other comes."""
        tasks = await self.swarm.tasks_of(job.id)
        if not tasks and await self.swarm.service(job.id) is None:
            raise ReleaseFailed(
                f"{self._what} was removed by somebody else before it had ended.",
                hint="None of its services was changed. What it changed in a database stays changed.",
            )
        for task in tasks:
            if task.state == "complete":
                return task
        going_on = [task for task in tasks if task.state not in _ENDED]
        if going_on and going_on[0].error:
            self.progress(f"{self._what}: {going_on[0].error}")
        ended = sorted((task for task in tasks if task.has_failed), key=lambda task: task.changed_at)
        return ended[-1] if len(ended) >= attempts and not going_on else None

    async def _clear(self, stale: Service) -> None:
        """Take away a job of another promotion; one that still runs must not be overtaken."""
        if await self.is_running(stale):
            raise ReleaseFailed(
                f"A migration of another promotion ({stale.labels.get(PROMOTION, 'unknown')}) still runs: "
                f"{stale.name}.",
                hint=f"Nothing was changed there. Wait for its end, or stop it: docker service rm {stale.name}",
            )
        await self.swarm.remove(stale.id)

    async def _log(self, task: Task) -> str:
        try:
            lines = await self.swarm.log(task, _LOG_LINES)
        except VendorError as error:
            lines = [f"(its log could not be read: {error.message})"]
        return "".join(f"\n    {line}" for line in lines)

    def _endless(self) -> ReleaseFailed:
        return ReleaseFailed(
            f"{self._what} has not ended after {LIMIT_S / 60:.0f} min.",
            hint=f"None of its services was changed. Look at it with: docker stack ps {self.target.name}",
        )

    @property
    def _what(self) -> str:
        return f"The migration of {self.target.app} in {self.target.environment} ({self.target.name})"


def job_spec(template: Service, image: RegistryImage, mark: Mark) -> dict[str, Any]:
    """The job that a template stands for: the same container, networks, secrets and places, run once.

    It is not repeated when it fails, unless the team says how often. It takes no ports and no virtual address.
    """
    spec = deepcopy(dict(template.spec))
    task = spec["TaskTemplate"]
    task["ContainerSpec"]["Image"] = reference(image, mark.release.commit)
    if not (task.get("RestartPolicy") or {}).get("MaxAttempts"):
        task["RestartPolicy"] = {"Condition": "none"}
    named = hashlib.sha256(f"{mark.promotion} {image.digest}".encode()).hexdigest()[:12]
    kept = {k: v for k, v in (spec.get("Labels") or {}).items() if not k.startswith("io.liftlock.")}
    return {
        "Name": f"{template.name[: _LONGEST_NAME - 13]}-{named}",
        "Labels": kept | mark.labels(image) | {JOB: template.name},
        "TaskTemplate": task,
        "Mode": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}},
        "EndpointSpec": {"Mode": "dnsrr"},
    }
