"""How an adapter tells `doctor` what it needs, and lets it be tried. Trying changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

from liftlock.model import Target


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe came to. `note` says that it could not be tried to the end, or deserves a look."""

    said: str
    note: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """One credential, permission, place or tool that a project needs.

    `run` gives what was found, and raises a `LiftlockError`, with the exact thing to do as its
    hint, when something must be mended.
    """

    group: str
    what: str
    run: Callable[[], Awaitable[Finding]]


def of_targets(
    group: str, targets: Sequence[Target], run: Callable[[Target], Awaitable[Finding]]
) -> list[Probe]:
    """One for each target, by the name that its platform has for it."""
    return [Probe(group, f"{t.name} ({t.app} in {t.environment})", partial(run, t)) for t in targets]


@runtime_checkable
class Probed(Protocol):
    """An adapter that can be tried. Not every one can."""

    def probes(self) -> Sequence[Probe]:
        """Everything that the project needs of it. Asks nobody yet, and reads no credential."""
        ...
