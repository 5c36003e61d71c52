"""Making services that are not there yet, from the team's own Compose file, by docker itself.

What a Compose file means is docker's to say: the file, cut down to the services that are missing, is given to
`docker stack deploy`. Services that are there are never given to it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from liftlock.docker_hosts import docker_environ
from liftlock.errors import ReleaseFailed, UsageError
from liftlock.model import Target
from liftlock.platforms.swarm.marks import Mark, reference
from liftlock.platforms.swarm.observe import service_name
from liftlock.ports import RegistryImage
from liftlock.programs import run

_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Compose:
    """The Compose file of one app."""

    target: Target
    root: Path
    environ: Mapping[str, str]
    turn: anyio.Lock
    """The stack's: docker makes its networks, and two at once would stumble over each other."""

    @property
    def path(self) -> Path | None:
        """Where it is; None where the app names none."""
        named = self.target.options.get("compose", "")
        return self.root / named if named else None

    def check(self, missing: Collection[str]) -> None:
        """Raises `ReleaseFailed`, before anything is changed, when these services cannot be made."""
        if not missing:
            return
        names = ", ".join(service_name(self.target, each) for each in sorted(missing))
        if self.path is None:
            raise ReleaseFailed(
                f"There is no service {names} on the swarm, and {self.target.app} names no Compose file.",
                hint=f'Make it with docker stack deploy, or write compose = "…" in [apps.{self.target.app}].',
            )
        described = self._read(self.path).get("services") or {}
        lacking = [each for each in sorted(missing) if self._own(each) not in described]
        if lacking:
            raise ReleaseFailed(
                f"{self.path} describes no service {', '.join(map(self._own, lacking))}, and the swarm has none.",
                hint=f"Add it there, or say with processes.{lacking[0]}.service what it is called.",
            )

    async def make(self, target: Target, missing: Mapping[str, RegistryImage], mark: Mark | None) -> None:
        """Make these services, with their images by digest. Raises `ReleaseFailed` in docker's own words."""
        if self.path is None:
            self.check(missing)
            return
        document = await anyio.to_thread.run_sync(self._read, self.path)
        text = self._cut(document, missing, mark)
        environ = docker_environ(target.options.get("docker", ""), self.environ)
        argv = ["docker", "stack", "deploy", "--with-registry-auth", "--resolve-image", "never"]
        argv += ["--compose-file", "-", target.name]
        async with self.turn:
            outcome = await run(argv, self.path.parent, environ, _LIMIT_S, _secrets(environ), given=text)
        if outcome.exit_code == 127:
            raise ReleaseFailed(
                f"docker is not installed, and only it can make {', '.join(sorted(missing))} of {target.name}.",
                hint="Install the docker command, or make the services yourself with docker stack deploy.",
            )
        if outcome.exit_code != 0:
            raise ReleaseFailed(
                f"docker did not make {', '.join(sorted(missing))} of {target.name}:{outcome.tail}",
                hint=f"Try it yourself: docker stack deploy --compose-file {self.path} {target.name}",
            )

    def images(self, missing: Collection[str]) -> dict[str, str]:
        """What the file calls the images of these process types; without those that it fills in from variables."""
        if self.path is None:
            return {}
        described = self._read(self.path)["services"]
        found = {each: str(described[self._own(each)].get("image") or "") for each in missing}
        return {each: text for each, text in found.items() if text and "$" not in text}

    def _cut(
        self, document: Mapping[str, Any], missing: Mapping[str, RegistryImage], mark: Mark | None
    ) -> str:
        """The file with the missing services alone, their images by digest, and our labels."""
        services: dict[str, Any] = {}
        for process_type, image in missing.items():
            service = dict(document["services"][self._own(process_type)])
            service["image"] = reference(image, mark.release.commit if mark else "")
            service.pop("depends_on", None)  # a swarm takes no notice of it, and it may name what was cut
            deploy = dict(service.get("deploy") or {})
            if mark is not None:
                deploy["labels"] = _labels(deploy.get("labels")) | mark.labels(image)
            service["deploy"] = deploy
            services[self._own(process_type)] = service
        import yaml

        return str(yaml.safe_dump({**document, "services": services}, sort_keys=False))

    def _own(self, process_type: str) -> str:
        """A process type's service, as the Compose file calls it."""
        return service_name(self.target, process_type).removeprefix(f"{self.target.name}_")

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            import yaml
        except ImportError as error:
            raise UsageError(
                "Reading a Compose file takes a package that is not installed.",
                hint="pip install 'liftlock[swarm]'",
            ) from error
        try:
            document = yaml.safe_load(path.read_text())
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read: {error.strerror or error}.",
                hint=f"Check `compose` of [apps.{self.target.app}]: it begins where liftlock.toml is.",
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(document, dict) or not isinstance(document.get("services"), dict):
            raise UsageError(f"{path} describes no services.", hint="Is it a Compose file?")
        return document


def _labels(given: Any) -> dict[str, Any]:
    """Labels as a mapping: a Compose file may list them as NAME=VALUE."""
    if isinstance(given, list):
        return {name: value for name, _, value in (str(each).partition("=") for each in given)}
    return dict(given or {})


def _secrets(environ: Mapping[str, str]) -> list[str]:
    """Values that docker's output must not show: the file may be filled in from variables."""
    words = ("TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL")
    return [
        value
        for name, value in environ.items()
        if len(value) >= 8 and not value.startswith(os.sep) and any(word in name.upper() for word in words)
    ]
