"""Process types as programs under supervisord.

A target is a group of supervisord; its programs are one file, `CONF/TARGET.ini`, that supervisord
includes. A program is named for its process type and its bundle, `web-1f0c9d…`, and supervisord keeps a
running program's name until the group is made anew: so its list of processes says what really
runs, whatever the file says by now.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from pydantic import BaseModel, ConfigDict

from liftlock.changes import may_begin
from liftlock.errors import ArtifactMissing, LiftlockError, NotHealthy, UsageError, VendorError
from liftlock.model import (
    App,
    BundleId,
    Known,
    Located,
    Missing,
    Release,
    Running,
    Target,
    Unknown,
    same_artifacts,
)
from liftlock.plugins import Context, options_of
from liftlock.ports import PUBLICATION, Platform, Progress, Publication, Switch
from liftlock.probes import Finding, Probe
from liftlock_supervisor.bundles import SHORT, Store
from liftlock_supervisor.server import TIME_LIMIT_S, VENDOR, Server

NAME = "supervisor"
UP, STARTING = "RUNNING", ("STARTING", "STOPPED", "STOPPING")
START_LIMIT_S = 60.0
LOOK_S = 0.1
_PROGRAM = re.compile(rf"(.+)-([0-9a-f]{{{SHORT}}})")


class Options(BaseModel):
    """`options` of an app."""

    model_config = ConfigDict(extra="forbid", strict=True)

    socket: str
    """The socket of supervisord's `[unix_http_server]`."""
    conf: str
    """A folder whose `*.ini` files supervisord includes."""
    store: str
    """A folder for the bundles, of all environments on this machine."""
    address: str = ""
    """Where the app answers, such as http://127.0.0.1:8000, for its `health` path."""
    startsecs: int = 1
    """How many seconds a program has to stay up to count as started."""


class Supervisor(Platform):
    """`ports.Platform` on the supervisords of this machine."""

    name = NAME
    concurrency = 4

    def __init__(self, context: Context) -> None:
        self._context = context
        for app in context.project.apps.values():
            for target in app.targets.values():
                if target.platform == NAME:
                    _check(app, target)

    def probes(self) -> Sequence[Probe]:
        """See `probes.Probed`."""
        return [
            Probe("supervisord", f"{target.app} in {target.environment}", partial(self._probe, target))
            for app in self._context.project.apps.values()
            for target in app.targets.values()
            if target.platform == NAME
        ]

    async def _probe(self, target: Target) -> Finding:
        options = options_of(target, Options)
        version = await Server(options.socket).call("getSupervisorVersion")
        for key, folder in (("conf", options.conf), ("store", options.store)):
            if not os.access(folder, os.W_OK):
                raise UsageError(
                    f"{folder} cannot be written to.",
                    hint=f"Make the folder, let this account write to it, or mend `{key}` in the options"
                    f" of [apps.{target.app}].",
                )
        return Finding(f"supervisord {version} answers, and its folders can be written to")

    # Looking

    async def running(self, target: Target, expected: Sequence[Release]) -> Running:
        """What the group's processes are named for, and whether all are up."""
        options = options_of(target, Options)
        store = Store(Path(options.store))
        artifacts: dict[str, BundleId] = {}
        states: list[str] = []
        for process in await Server(options.socket).processes(target.name):
            found = _PROGRAM.fullmatch(process["name"])
            bundle = await to_thread.run_sync(store.find, found[2]) if found else None
            if found is None or bundle is None:
                return Unknown(
                    f"{process['group']}:{process['name']} is no program of a bundle in {store.folder}"
                )
            artifacts[found[1]] = bundle
            if process["statename"] != UP:
                states.append(f"{found[1]} is {process['statename'].lower()}")
        if not artifacts:
            return Known({})
        scale = dict.fromkeys(artifacts, 1)
        return Known(artifacts, scale, _marker(artifacts), not states, ", ".join(states))

    async def locate(self, target: Target, release: Release, source: Target | None) -> Located | Missing:
        """Every bundle is in the store, which all environments share, or nowhere."""
        store = Store(Path(options_of(target, Options).store))
        bundles = _bundles(release)
        missing = [part for part, bundle in bundles.items() if not store.holds(bundle)]
        if missing or not bundles:
            what = f"The bundle of {' and '.join(missing)}" if missing else "Any bundle"
            return Missing(
                f"{what} of {release.app} at {release.short_commit} is not in {store.folder}.",
                hint="Deploy the commit again.",
            )
        return Located(release, dict.fromkeys(bundles, "target"))

    async def stage(
        self, target: Target, located: Located, source: Target | None, progress: Progress
    ) -> Release:
        """Sum every bundle again: what is switched to is what was proved."""
        store = Store(Path(options_of(target, Options).store))
        for part, bundle in _bundles(located.release).items():
            progress(f"proving {part} {bundle.short}")
            await to_thread.run_sync(store.prove, bundle)
        return located.release

    # Switching

    async def release(
        self, target: Target, release: Release, progress: Progress, promotion: str = ""
    ) -> Switch:
        """Write the group's file and make the group anew: all process types in one go."""
        bundles = _bundles(release)
        before = await self.running(target, ())
        if isinstance(before, Known) and same_artifacts(before.artifacts, bundles) and before.healthy:
            return Switch(before.marker, changed=False)
        progress(f"switching to {_marker(bundles)}")
        await self._switch(target, bundles)
        return Switch(_marker(bundles))

    async def settle(
        self, target: Target, release: Release, switch: Switch, settle_s: float, progress: Progress
    ) -> None:
        """Wait until every process is up, and stays up as the same process."""
        with anyio.move_on_after(START_LIMIT_S) as waiting:
            processes = await self._up(target, progress)
        if waiting.cancelled_caught:
            raise NotHealthy(
                f"{target.app} in {target.environment} did not start within {START_LIMIT_S:.0f} s.",
                hint=f"See why: supervisorctl tail {target.name}:*",
            )
        began = anyio.current_time()
        while (left_s := began + settle_s - anyio.current_time()) > 0:
            progress(f"up, and watched for {left_s:.0f} s more")
            await anyio.sleep(min(LOOK_S * 5, left_s))
            now = await Server(options_of(target, Options).socket).processes(target.name)
            if [one["pid"] for one in now] != [one["pid"] for one in processes]:
                await self._refuse(target, now)
        await self._answers(target)

    async def restore(
        self, target: Target, before: Known, progress: Progress, released: Release | None = None
    ) -> None:
        """Run the bundles of before, or nothing."""
        bundles = {part: one for part, one in before.artifacts.items() if isinstance(one, BundleId)}
        now = await self.running(target, ())
        if not isinstance(now, Known) or not same_artifacts(now.artifacts, bundles) or now.healthy is False:
            progress(f"going back to {_marker(bundles)}" if bundles else "removing what runs")
            await self._switch(target, bundles)
        if bundles:
            await self._up(target, progress)

    # Publishing

    async def publish(
        self,
        app: App,
        commit: str,
        checkout: Path,
        progress: Progress,
        publication: Publication = PUBLICATION,
    ) -> Release:
        """Copy each process type's folder into the store."""
        bundles: dict[str, BundleId] = {}
        for target in app.targets.values():
            store = Store(Path(options_of(target, Options).store))
            for part, source in app.processes.items():
                progress(f"keeping {part} in {store.folder}")
                bundles[part] = await to_thread.run_sync(
                    store.add, checkout / source.directory, source.command
                )
        await publication.before_tags()
        return Release(app.name, commit, bundles)

    # Within

    async def _switch(self, target: Target, bundles: Mapping[str, BundleId]) -> None:
        options = options_of(target, Options)
        await may_begin(TIME_LIMIT_S)
        await to_thread.run_sync(_write, target.name, options, bundles)
        await Server(options.socket).load(target.name, is_wanted=bool(bundles))

    async def _up(self, target: Target, progress: Progress) -> list[dict[str, Any]]:
        """The processes, once all of them are up."""
        server = Server(options_of(target, Options).socket)
        while True:
            processes: list[dict[str, Any]] = await server.processes(target.name)
            if any(one["statename"] not in {UP, *STARTING} for one in processes):
                await self._refuse(target, processes)
            up = sum(one["statename"] == UP for one in processes)
            if processes and up == len(processes):
                return processes
            progress(f"{up} of {len(processes)} processes are up")
            await anyio.sleep(LOOK_S)

    async def _refuse(self, target: Target, processes: Sequence[dict[str, Any]]) -> None:
        """Raises `NotHealthy` with the last lines of whatever does not stay up."""
        server = Server(options_of(target, Options).socket)
        down = [one for one in processes if one["statename"] != UP] or list(processes)
        said = [f"{one['name']} does not stay up ({one['description'] or one['statename']})" for one in down]
        log = "\n".join([await server.log(one) for one in down]).strip()
        lines = "".join(f"\n    {line}" for line in log.splitlines()[-10:])
        raise NotHealthy(
            f"{target.app} in {target.environment}: {', '.join(said)}.{lines}",
            hint=f"See more: supervisorctl tail {target.name}:*",
        )

    async def _answers(self, target: Target) -> None:
        options = options_of(target, Options)
        if not target.health:
            return
        try:
            await self._context.plain_http(VENDOR, options.address).request("GET", target.health)
        except VendorError as error:
            raise NotHealthy(
                f"{target.app} in {target.environment} is up, and does not answer: {error.message}",
                hint=f"See why: supervisorctl tail {target.name}:*",
            ) from error


def _check(app: App, target: Target) -> None:
    """Raises `UsageError` for what this platform cannot do, before anything is tried."""
    options = options_of(target, Options)
    wrong = ""
    if target.health and not options.address:
        wrong = "has a health path, and its options no address to ask"
    for process, source in app.processes.items():
        if not source.directory:
            wrong = f"has a process type {process} without `directory`, and supervisord runs folders alone"
    if not app.processes:
        wrong = "has no process types"
    if "release" in app.processes:
        wrong = "has a release phase, which supervisord does not know: make it an app with `command`"
    if not re.fullmatch(r"[A-Za-z0-9._-]+", target.name):
        wrong = f"is called {target.name!r}, and supervisord's groups have letters, digits, '.', '_' and '-'"
    if wrong:
        raise UsageError(f"{app.name} {wrong}.", hint=f"Mend [apps.{app.name}] in liftlock.toml.")


def _bundles(release: Release) -> dict[str, BundleId]:
    """What it releases. Raises `ArtifactMissing` for a record of something else."""
    bundles = {part: one for part, one in release.artifacts.items() if isinstance(one, BundleId)}
    if len(bundles) < len(release.artifacts):
        raise ArtifactMissing(
            f"The record of {release.app} at {release.short_commit} names no bundles.",
            hint="Deploy the commit again.",
        )
    return bundles


def _marker(bundles: Mapping[str, BundleId]) -> str:
    """One name for all of a group's bundles."""
    if len(bundles) == 1:
        return next(iter(bundles.values())).short
    return hashlib.sha256("".join(f"{p}={b}\n" for p, b in sorted(bundles.items())).encode()).hexdigest()[
        :SHORT
    ]


def _write(group: str, options: Options, bundles: Mapping[str, BundleId]) -> None:
    """The group's file, whole or not at all; none for a group that is to run nothing."""
    path = Path(options.conf, f"{group}.ini")
    if not bundles:
        path.unlink(missing_ok=True)
        return
    store = Store(Path(options.store).absolute())
    for bundle in bundles.values():
        if not store.holds(bundle):
            raise LiftlockError(
                f"The bundle {bundle.short} left {store.folder} since it was proved.", hint="Deploy again."
            )
    lines = ["; Written by liftlock: what runs is changed with `liftlock promote`.", f"[group:{group}]"]
    lines.append("programs = " + ",".join(f"{group}.{part}" for part in sorted(bundles)))
    for part, bundle in sorted(bundles.items()):
        run = str(store.path(bundle) / "run").replace("%", "%%")
        lines += [
            "",
            f"[program:{group}.{part}]",
            f"process_name = {part}-{bundle.short}",
            f"command = {run}",
            f"startsecs = {options.startsecs}",
            "stopasgroup = true",
            "killasgroup = true",
            "redirect_stderr = true",
        ]
    new = path.with_suffix(".new")
    new.write_text("\n".join(lines) + "\n")
    new.replace(path)
