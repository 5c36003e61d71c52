"""What `doctor` tries at the registries of a platform's images: each one's login."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from liftlock.errors import Unauthorized
from liftlock.model import Target
from liftlock.platform_images.images import LATEST, PlatformImages
from liftlock.probes import Finding, Probe


def probes(platform_images: PlatformImages, targets: Sequence[Target], group: str) -> Sequence[Probe]:
    """One for each registry that the targets' images are in, and one for the archive."""
    if not targets:
        return []
    by_host: dict[str, str] = {}
    for target in targets:
        repository = platform_images.repository(target, _process(target))
        by_host.setdefault(repository.partition("/")[0], repository)
    what = [f"registry {host}" for host in by_host] if len(by_host) > 1 else ["registry"]
    found = [
        Probe(group, name, partial(_registry, platform_images, repository))
        for name, repository in zip(what, by_host.values(), strict=True)
    ]
    if platform_images.archived:
        found.append(Probe(group, "archive", partial(_archive, platform_images, targets[0])))
    return found


async def _registry(platform_images: PlatformImages, repository: str) -> Finding:
    """Log in and look a tag up; whether it is there does not matter."""
    try:
        await platform_images.images.look_up(repository, LATEST)
    except Unauthorized as error:
        error.hint = error.hint or _log_in(repository)
        raise
    return Finding("login works")


async def _archive(platform_images: PlatformImages, target: Target) -> Finding:
    repository = platform_images.archive(target, _process(target))
    try:
        await platform_images.images.look_up(repository, LATEST)
    except Unauthorized as error:
        error.hint = _log_in(repository)
        raise
    return Finding(f"{repository} can be read; only a push shows that it can be written", note=True)


def _process(target: Target) -> str:
    return target.processes[0] if target.processes else "web"


def _log_in(repository: str) -> str:
    return f"Log in: docker login {repository.partition('/')[0]}. On ghcr.io a GITHUB_TOKEN does, too."
