"""The Docker engine, through its command line: images looked up, saved and built.

What an engine calls an image's `Id` is its config's digest or, with the containerd image store, its
manifest's or index's: here it is only ever a name to ask for, and the image id is computed from the
config that the engine hands out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread

from liftlock.errors import ArtifactMissing, LiftlockError, UsageError
from liftlock.model import ProcessSource
from liftlock.ports import Progress
from liftlock.programs import run
from liftlock.registry.archives import read_archive
from liftlock.registry.layers import LayerCache
from liftlock.registry.local_images import LocalImage, diff_ids, packed_image
from liftlock.registry.manifests import is_sha256

BUILD_LIMIT_S = 3600.0
LOOK_LIMIT_S = 60.0
_ID, _METADATA = "id", "metadata.json"
"""The files in which a builder says what it built."""
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL")


class Engine:
    """One Docker engine, the one that `docker` itself would use."""

    def __init__(self, cache: LayerCache, environ: Mapping[str, str]) -> None:
        self._cache = cache
        self._environ = environ
        self._has_buildx: bool | None = None

    async def image(self, name: str, progress: Progress) -> LocalImage:
        """An image of the engine; saved once, and taken from the cache as long as it is the same.

        Raises `ArtifactMissing` when the engine does not have it.
        """
        engine_id = await self._id(name)
        known = await anyio.to_thread.run_sync(self._known, engine_id)
        if known is not None:
            return known
        progress(f"reading {name} from the Docker engine")
        async with anyio.TemporaryDirectory(prefix="liftlock-save-") as folder:
            file = Path(folder) / "image.tar"
            await self._docker(("image", "save", "--output", str(file), engine_id), f"{name} cannot be saved")
            image = await anyio.to_thread.run_sync(read_archive, file, self._cache)
        config = image.blobs[image.image_id.value]
        assert isinstance(config, bytes)  # noqa: S101 - `packed_image` keeps it so
        await anyio.to_thread.run_sync(self._cache.keep_config, engine_id, config)
        return image

    def _known(self, engine_id: str) -> LocalImage | None:
        config = self._cache.config(engine_id)
        if config is None:
            return None
        layers = [self._cache.find(each) for each in diff_ids(config, engine_id)]
        found = [layer for layer in layers if layer is not None]
        return packed_image(config, found, self._cache.drop) if len(found) == len(layers) else None

    async def _id(self, name: str) -> str:
        try:
            told = await self._docker(
                ("image", "inspect", "--format", "{{json .Id}}", name), f"{name} cannot be looked up"
            )
        except LiftlockError as error:
            if "no such image" not in error.message.lower():
                raise
            raise ArtifactMissing(
                f"The Docker engine has no image {name}.",
                hint="Build it first, or name the command that builds it: "
                f'processes.X = {{ image = "{name}", build = "…" }}.',
            ) from error
        try:
            engine_id = json.loads(told[-1])
        except (ValueError, IndexError) as error:
            raise LiftlockError(f"What docker says of {name} is not understood: {' '.join(told)}") from error
        return str(engine_id)

    async def build(self, source: ProcessSource, checkout: Path, progress: Progress) -> LocalImage:
        """Build a Dockerfile, and return its image. The engine's own cache is used.

        Secrets are mounted (`RUN --mount=type=secret`), never arguments. Raises `LiftlockError` with
        the end of the log.
        """
        async with anyio.TemporaryDirectory(prefix="liftlock-build-") as name:
            folder = Path(name)
            arguments = await self._build_arguments(source, checkout, folder)
            progress(f"building {source.dockerfile}")
            await self._docker(arguments, f"{source.dockerfile} does not build", checkout, BUILD_LIMIT_S)
            told = (folder / _ID).read_text().strip()
            manifest = await anyio.to_thread.run_sync(_manifest_of, folder / _METADATA)
        # BuildKit calls its image by the config's digest, by which containerd's store does not know it; and what
        # it calls the manifest's digest is unknown where an image came from a builder elsewhere into Docker's own.
        if manifest:
            with suppress(ArtifactMissing):
                return await self.image(manifest, progress)
        return await self.image(told, progress)

    async def _build_arguments(self, source: ProcessSource, checkout: Path, folder: Path) -> Sequence[str]:
        dockerfile = checkout / source.dockerfile
        if not dockerfile.is_file():
            raise UsageError(
                f"There is no Dockerfile {dockerfile}.",
                hint="Check `dockerfile` in the app's processes: it is relative to the repository's root.",
            )
        buildx = await self._buildx()
        if source.secrets and not buildx:
            raise UsageError(
                f"{source.dockerfile} mounts secrets, and this Docker has no BuildKit.",
                hint="Install the plugin docker-buildx.",
            )
        # Heroku takes neither attestations nor the index that would list them.
        arguments = (
            ["buildx", "build", "--load", "--provenance=false", "--sbom=false"] if buildx else ["build"]
        )
        arguments += ["--file", str(dockerfile), "--iidfile", str(folder / _ID)]
        arguments += ["--metadata-file", str(folder / _METADATA)] if buildx else []
        # Without BuildKit, old engines know no platform but their own.
        arguments += ["--platform", source.platform or "linux/amd64"] if buildx or source.platform else []
        arguments += ["--target", source.target] if source.target else []
        for name, value in source.args:
            arguments += ["--build-arg", f"{name}={value}"]
        for name, place in source.secrets:
            variable = place.removeprefix("env:")
            if variable not in self._environ:
                raise UsageError(f"The secret {name} of {source.dockerfile} is in no variable {variable}.")
            arguments += ["--secret", f"id={name},env={variable}"]
        return [*arguments, str(checkout / (source.context or "."))]

    async def _buildx(self) -> bool:
        if self._has_buildx is None:
            outcome = await run(("docker", "buildx", "version"), Path("/"), self._environ, LOOK_LIMIT_S)
            self._has_buildx = outcome.exit_code == 0
        return self._has_buildx

    async def _docker(
        self, arguments: Sequence[str], what: str, folder: Path | None = None, limit_s: float = BUILD_LIMIT_S
    ) -> Sequence[str]:
        """The lines that docker writes. Raises `LiftlockError` with its log when it fails."""
        environ = self._environ
        if arguments[0] == "build":
            environ = {**environ, "DOCKER_BUILDKIT": "0"}  # asked for without its plugin, it is an error
        argv = ("docker", *arguments)
        outcome = await run(argv, folder or Path("/"), environ, limit_s, secrets_of(environ))
        if outcome.exit_code == 0:
            return outcome.lines
        if outcome.exit_code == 127:
            raise LiftlockError(
                f"{what}: docker is not installed.",
                hint="Install it, or use `archive`, `layout` or `directory`, which need no Docker.",
            )
        if any("cannot connect to the docker daemon" in line.lower() for line in outcome.lines):
            raise LiftlockError(
                f"{what}: no Docker engine answers.{outcome.tail}",
                hint="Start it, or set DOCKER_HOST; `archive`, `layout` and `directory` need none.",
            )
        raise LiftlockError(f"{what} ({ending(outcome.exit_code)}):{outcome.tail}")


def _manifest_of(metadata: Path) -> str:
    """What BuildKit says that the manifest's digest of its image is; "" where nothing does.

    Source: docker/buildx, `docs/reference/buildx_build.md`, "--metadata-file".
    """
    try:
        told = json.loads(metadata.read_text())["containerimage.digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return told if isinstance(told, str) and is_sha256(told) else ""


def ending(exit_code: int | None) -> str:
    """How a program ended, in words."""
    return "it ran out of time" if exit_code is None else f"exit code {exit_code}"


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """The values that a build's output must not show: those of variables that are named like secrets."""
    return [
        value
        for name, value in environ.items()
        if len(value) >= 8
        and any(word in name.upper() for word in _SECRET_WORDS)
        and not value.startswith("/")
    ]
