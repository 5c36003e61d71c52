"""Where the images of process types come from: an engine, a Dockerfile, a file, or a directory."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from liftlock.errors import LiftlockError, UsageError
from liftlock.model import ProcessSource
from liftlock.ports import Progress
from liftlock.programs import run
from liftlock.registry.archives import read_archive, read_layout
from liftlock.registry.engine import BUILD_LIMIT_S, Engine, ending, secrets_of
from liftlock.registry.image_builder import build_image
from liftlock.registry.layers import LayerCache
from liftlock.registry.local_images import LocalImage

T = TypeVar("T")
BUILDS = 4
"""Dockerfiles that are built at once."""


@dataclass(slots=True)
class Sources:
    """Makes images, each distinct one once, however many process types and apps share it."""

    cache: LayerCache
    environ: Mapping[str, str]
    _made: dict[tuple[Path, object], object] = field(default_factory=dict)
    _locks: dict[tuple[Path, object], anyio.Lock] = field(default_factory=dict)
    _builds: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(BUILDS))
    _commands: anyio.Lock = field(default_factory=anyio.Lock)

    async def image(self, source: ProcessSource, checkout: Path, progress: Progress) -> LocalImage:
        """The image of a process type, from the work tree at `checkout`.

        Its `build` command is run before, once for all that name the same one. Raises
        `ArtifactMissing` when an engine does not have it, else `LiftlockError`.
        """
        if source.build:
            command = partial(self._command, source.build, checkout, progress)
            await self._once((checkout, source.build), command)
        bare = replace(source, build=())
        return await self._once((checkout, bare), partial(self._make, bare, checkout, progress))

    async def _make(self, source: ProcessSource, checkout: Path, progress: Progress) -> LocalImage:
        engine = Engine(self.cache, self.environ)
        if source.image:
            return await engine.image(source.image, progress)
        if source.dockerfile:
            async with self._builds:
                return await engine.build(source, checkout, progress)
        if source.archive:
            return await anyio.to_thread.run_sync(read_archive, checkout / source.archive, self.cache)
        if source.layout:
            return await anyio.to_thread.run_sync(read_layout, checkout / source.layout, self.cache)
        if source.directory:
            folder = checkout / source.directory
            return await anyio.to_thread.run_sync(build_image, folder, source.command, self.cache)
        raise UsageError("A process type does not say where its image comes from.")

    async def _command(self, command: tuple[str, ...], checkout: Path, progress: Progress) -> None:
        """Run a build command. One after another: two runs of one tool share its work folders."""
        shown = shlex.join(command)
        async with self._commands:
            progress(f"running {shown}")
            outcome = await run(command, checkout, self.environ, BUILD_LIMIT_S, secrets_of(self.environ))
        log = await anyio.to_thread.run_sync(self.cache.keep_log, command, outcome.lines)
        if outcome.exit_code != 0:
            raise LiftlockError(
                f"The build command failed ({ending(outcome.exit_code)}): {shown}{outcome.tail}",
                hint=f"More of its log is in {log}. Nothing was pushed.",
            )

    async def _once(self, key: tuple[Path, object], make: Callable[[], Awaitable[T]]) -> T:
        """What `make` gives, made once for each key, whoever asks first."""
        async with self._locks.setdefault(key, anyio.Lock()):
            if key not in self._made:
                self._made[key] = await make()
        made: T = self._made[key]  # type: ignore[assignment]  # what `make` gave for this key
        return made
