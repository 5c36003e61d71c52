"""What `doctor` tries on this machine: the programs that liftlock starts, and that it is a checkout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from liftlock.errors import LiftlockError
from liftlock.model import Project
from liftlock.probes import Finding, Probe
from liftlock.programs import PASSED_ON, run

GROUP = "This machine"
LOOK_S = 10.0


def machine_probes(project: Project, environ: Mapping[str, str]) -> Sequence[Probe]:
    """git always; the Docker engine and its builder where an image comes from them."""
    sources = [source for app in project.apps.values() for source in app.processes.values()]
    found = [Probe(GROUP, "git", partial(_git, environ))]
    if any(source.image or source.dockerfile for source in sources):
        found.append(Probe(GROUP, "Docker engine", partial(_docker, environ)))
    if any(source.dockerfile for source in sources):
        found.append(Probe(GROUP, "Docker's builder (buildx)", partial(_buildx, environ)))
    variables = _build_secrets(project)
    return [
        *found,
        *(Probe(GROUP, f"variable {name}", partial(_variable, environ, name)) for name in variables),
    ]


async def _git(environ: Mapping[str, str]) -> Finding:
    said = await _told(environ, "git", "--version")
    if said is None:
        raise LiftlockError("git is not on the PATH.", hint="Install it (Debian: apt install git).")
    return Finding(said)


async def _docker(environ: Mapping[str, str]) -> Finding:
    """A note, no failure: promotions need no engine."""
    needs = "build, push and deploy need it, promotions do not"
    said = await _told(environ, "docker", "version", "--format", "{{.Server.Version}}")
    if said is None:
        return Finding(f"does not answer to `docker version`: {needs}", note=True)
    return Finding(said)


async def _buildx(environ: Mapping[str, str]) -> Finding:
    said = await _told(environ, "docker", "buildx", "version")
    if said is None:
        return Finding("`docker buildx version` fails: build needs it for Dockerfiles", note=True)
    return Finding(said.partition(" ")[2] or said)


async def _variable(environ: Mapping[str, str], name: str) -> Finding:
    if environ.get(name):
        return Finding("set")
    return Finding("not set: a build needs it as a secret, promotions do not", note=True)


async def _told(environ: Mapping[str, str], *argv: str) -> str | None:
    """The last line of a program that succeeded."""
    variables = {
        name: value for name, value in environ.items() if name in PASSED_ON or name.startswith("DOCKER_")
    }
    outcome = await run(argv, Path.cwd(), variables, LOOK_S)
    return outcome.lines[-1].strip() if outcome.exit_code == 0 and outcome.lines else None


def _build_secrets(project: Project) -> list[str]:
    found = {
        reference.partition(":")[2]
        for app in project.apps.values()
        for source in app.processes.values()
        for _, reference in source.secrets
        if reference.startswith("env:")
    }
    return sorted(found)
