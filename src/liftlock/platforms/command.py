"""Commands as a platform: a migration, a set-up of somebody else's server, run at a recorded commit.

The command app's own `status`, `apply` and `undo` run in a checkout of the commit, never in the
operator's work tree, with only the environment variables that the configuration lists. They are
argument lists: no shell reads them.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from liftlock.changes import may_begin
from liftlock.errors import Conflict, NotFound, NotHealthy, ReleaseFailed, UsageError
from liftlock.model import (
    App,
    CommitId,
    Known,
    Located,
    Missing,
    Release,
    Running,
    Target,
    Unknown,
)
from liftlock.plugins import Context, Plugin
from liftlock.ports import PUBLICATION, BuiltImage, Progress, Publication, Switch
from liftlock.probes import Finding, Probe
from liftlock.programs import PASSED_ON, Outcome, run

COMMIT = "commit"
NOTHING_TO_DO = 0
WORK_TO_DO = 10
TIME_LIMIT_S = 600.0


class Command:
    """Runs command apps. A checkout is kept while the process lives, one for each commit."""

    name = "command"
    concurrency = 4

    def __init__(self, context: Context) -> None:
        self._context = context
        self._checkouts: dict[tuple[str, str], Path] = {}
        self._released: dict[tuple[str, str], Release] = {}
        self._undone: set[tuple[str, str]] = set()
        self._lock = anyio.Lock()

    def probes(self) -> Sequence[Probe]:
        """See `probes.Probed`. Nothing is run: a status command may do what it likes."""
        return [
            Probe("Commands", f"{target.app} in {target.environment}", partial(self._probe, target))
            for target in self._context.project.targets_on(self.name)
        ]

    async def _probe(self, target: Target) -> Finding:
        self._environment(target)
        program = str(target.options["status"][0])
        if "/" in program:
            return Finding(f"its variables are set; {program} is looked for in the commit when it is run")
        if shutil.which(program, path=self._context.environ.get("PATH", "")) is None:
            raise UsageError(
                f"{program}, the status command of {target.app}, is not on the PATH.",
                hint=f"Install it, or mend `status` in [apps.{target.app}] command.",
            )
        return Finding(f"its variables are set, and {program} is on the PATH")

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        """Whether there is work to do at the first expected release's commit, as `status` says."""
        if not expected:
            return Known({}, note="no commit is recorded", compared_with={})
        release = self._applied(target, expected) or expected[0]
        compared = {COMMIT: CommitId(_commit(release))}
        try:
            outcome = await self._run(target, release, "status")
        except UsageError as error:
            return Unknown(error.message)
        if outcome.exit_code == NOTHING_TO_DO:
            return Known(compared, marker=_commit(release)[:7], compared_with=compared)
        if outcome.exit_code == WORK_TO_DO:
            return Known({}, note="work to do", compared_with=compared)
        return Unknown(f"its status command {_ended(outcome)}{outcome.tail}")

    async def locate(self, target: Target, release: Release, source: Target | None) -> Located | Missing:
        """See `ports.Platform`. The commit has to be in the repository, and every variable set.

        The commit is found by fetching its checkout, which its status command needs next.
        """
        self._environment(target)
        try:
            await self._checkout(target, _commit(release))
        except (NotFound, Conflict):  # GitHub's 404, and its 422 of a sha that is no commit
            return Missing(
                f"The commit {release.commit} of {release.app} is not in {self._repository(target)}.",
                hint="It may have been rewritten since: deploy the app again.",
            )
        return Located(release, {COMMIT: "target"})

    async def pin(self, source: Target, release: Release) -> Release:
        """A command's artifact is the commit itself."""
        return Release(release.app, release.commit, {COMMIT: CommitId(release.commit)})

    async def stage(
        self, target: Target, located: Located, source: Target | None, progress: Progress
    ) -> Release:
        """Fetch the checkout ahead of the switch, so that nothing is missing then."""
        self._environment(target)
        progress(f"checking {located.release.short_commit} out")
        await self._checkout(target, located.release.commit)
        return located.release

    async def release(
        self, target: Target, release: Release, progress: Progress, promotion: str = ""
    ) -> Switch:
        """Run `apply`, unless `status` says that there is nothing to do."""
        before = await self._run(target, release, "status")
        if before.exit_code == NOTHING_TO_DO:
            return Switch(release.short_commit, changed=False)
        if before.exit_code != WORK_TO_DO:
            raise self._failed(target, release, "status", before, "Nothing was applied.")
        await may_begin(0.0)  # its status may have taken long
        key = (target.environment, target.app)
        self._released[key] = release
        self._undone.discard(key)
        progress("apply runs")
        outcome = await self._run(target, release, "apply")
        if outcome.exit_code != 0:
            raise self._failed(
                target, release, "apply", outcome, "It may have done a part of its work: ask its status."
            )
        return Switch(release.short_commit)

    async def settle(
        self, target: Target, release: Release, switch: Switch, settle_s: float, progress: Progress
    ) -> None:
        """`status` has to say that nothing is left to do. A command does not run on, so nothing is waited for."""
        outcome = await self._run(target, release, "status")
        if outcome.exit_code != NOTHING_TO_DO:
            said = "says that work is left" if outcome.exit_code == WORK_TO_DO else _ended(outcome)
            raise NotHealthy(
                f"{target.app} in {target.environment}: after apply, its status command {said} "
                f"at {release.short_commit}.{outcome.tail}",
                hint="Run it by hand in a checkout of that commit to see why.",
            )

    async def restore(
        self, target: Target, before: Known, progress: Progress, released: Release | None = None
    ) -> None:
        """Run `undo` at the commit that was applied.

        Raises `ReleaseFailed` for an app without `undo`, and where nobody says which commit was
        applied: which commit's `undo` is the right one cannot be told then.
        """
        key = (target.environment, target.app)
        if key in self._undone:
            return
        released = self._released.get(key, released)
        if released is None:
            if COMMIT in before.artifacts:
                return  # we applied nothing, and nothing was left to do before
            raise self._cannot_undo(target, "it is not known at which commit it was applied")
        if (await self._run(target, released, "status")).exit_code == WORK_TO_DO:
            self._take_back(key)
            return
        if not target.options.get("undo"):
            raise self._cannot_undo(target, "it has no undo command")
        await may_begin(0.0)
        progress("undo runs")
        outcome = await self._run(target, released, "undo")
        if outcome.exit_code != 0:
            raise self._failed(target, released, "undo", outcome, "It may have done a part of its work.")
        self._take_back(key)

    async def build(self, app: App, checkout: Path, progress: Progress) -> Mapping[str, BuiltImage]:
        """See `ports.Platform`."""
        return {}

    async def publish(
        self,
        app: App,
        commit: str,
        checkout: Path,
        progress: Progress,
        publication: Publication = PUBLICATION,
    ) -> Release:
        """There is nothing to build: the commit is the artifact."""
        return Release(app.name, commit, {COMMIT: CommitId(commit)})

    def _take_back(self, key: tuple[str, str]) -> None:
        self._released.pop(key, None)
        self._undone.add(key)

    def _applied(self, target: Target, expected: Sequence[Release]) -> Release | None:
        """What this process applied and did not undo: an older commit's status says nothing of it."""
        applied = self._released.get((target.environment, target.app))
        commits = [_commit(release) for release in expected]
        return applied if applied is not None and _commit(applied) in commits else None

    def _cannot_undo(self, target: Target, why: str) -> ReleaseFailed:
        return ReleaseFailed(
            f"{target.app} in {target.environment} cannot be taken back: {why}.",
            hint="Take back by hand what it changed, or go on to the new release.",
        )

    def _failed(
        self, target: Target, release: Release, verb: str, outcome: Outcome, then: str
    ) -> ReleaseFailed:
        return ReleaseFailed(
            f"{target.app} in {target.environment}: its {verb} command {_ended(outcome)} "
            f"at {release.short_commit}.{outcome.tail}",
            hint=then,
        )

    async def _run(self, target: Target, release: Release, verb: str) -> Outcome:
        """Run one of the app's commands in the commit's checkout, within the app's time limit."""
        argv = [str(each) for each in target.options.get(verb) or ()]
        if not argv:
            raise UsageError(
                f"{target.app} has no {verb} command.",
                hint=f'Set it in [apps.{target.app}]: command = {{ {verb} = ["…"] }}',
            )
        variables = self._environment(target)
        folder = await self._checkout(target, _commit(release)) / str(target.options.get("folder", "."))
        limit_s = float(target.options.get("timeout_s", TIME_LIMIT_S))
        secrets = [variables[name] for name in _listed(target)]
        return await run(argv, folder, variables, limit_s, secrets)

    def _environment(self, target: Target) -> dict[str, str]:
        """The listed variables, and what every program needs. Raises `UsageError` for a missing one."""
        given = self._context.environ
        missing = [name for name in _listed(target) if name not in given]
        if missing:
            raise UsageError(
                f"{target.app} needs the environment variable {' and '.join(missing)}, which is not set.",
                hint=f"Set it, or take it out of `env` in [apps.{target.app}].",
            )
        return {name: given[name] for name in (*PASSED_ON, *_listed(target)) if name in given}

    def _repository(self, target: Target) -> str:
        return target.repository or self._context.project.apps[target.app].repository

    async def _checkout(self, target: Target, commit: str) -> Path:
        """The commit's files, fetched once in this process and removed when it ends."""
        key = (self._repository(target), commit)
        async with self._lock:
            if key not in self._checkouts:
                kept = Path(tempfile.mkdtemp(prefix="liftlock-"))
                weakref.finalize(self, shutil.rmtree, kept, ignore_errors=True)
                async with self._context.source_code.checkout(*key) as folder:
                    await to_thread.run_sync(_copy, folder, kept)
                self._checkouts[key] = kept
        return self._checkouts[key]


def _commit(release: Release) -> str:
    """The commit to run at: the artifact, which what ran before may have without a release's commit."""
    artifact = release.artifacts.get(COMMIT)
    return artifact.value if isinstance(artifact, CommitId) else release.commit


def _listed(target: Target) -> Sequence[str]:
    return [str(name) for name in target.options.get("env") or ()]


def _copy(folder: Path, to: Path) -> None:
    shutil.copytree(folder, to, symlinks=True, dirs_exist_ok=True)


def _ended(outcome: Outcome) -> str:
    return "ran out of time" if outcome.exit_code is None else f"ended with exit code {outcome.exit_code}"


plugin = Plugin("command", Command)
