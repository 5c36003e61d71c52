"""What was seen before planning: records, and what runs. Pure data, gathered by `commands.observe`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from liftlock.model import (
    EMPTY,
    Artifacts,
    Database,
    Deployment,
    Intent,
    Known,
    Located,
    Missing,
    Recorded,
    RecordedId,
    Release,
    Running,
    Unknown,
    same_artifact,
    same_artifacts,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The release that an app should run after the plan, and where it was read from."""

    release: Release
    deployment: Deployment | None = None
    source_running: Running | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AppObservation:
    """Everything that planning needs to know about one app."""

    app: str
    wanted: Wanted | Missing
    located: Located | Missing | None
    recorded: Recorded
    recorded_artifacts: Artifacts
    """The current record's artifacts, with ids of other tools resolved where that was possible."""
    running: Running
    databases: tuple[Database, ...] = ()
    out_of_reach: tuple[str, ...] = ()
    """What is to be said of its last states that could not be gone back to any more."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one environment, and of the releases that shall go there."""

    at: datetime
    apps: Mapping[str, AppObservation]
    open_intents: tuple[Intent, ...] = ()
    earlier: Mapping[str, Sequence[Deployment]] = field(default_factory=lambda: EMPTY)
    """By app, its newest records there, newest first: how long its steps took before."""
    undeployed: Mapping[str, str] = field(default_factory=lambda: EMPTY)


class Drift(StrEnum):
    """Running compared with recorded. Unknown is neither drift nor agreement."""

    NONE = "none"
    DRIFT = "drift"
    UNKNOWN = "unknown"
    UNRECORDED = "unrecorded"


def types_awake(release: Release, running: Running | None) -> tuple[str, ...]:
    """The process types of `release` that have processes where this runs; a release leaves their numbers alone."""
    scale = running.scale if isinstance(running, Known) else EMPTY
    return tuple(sorted(part for part in release.artifacts if scale.get(part, 0) > 0))


def put_to_sleep(recorded: Collection[str], running: Running) -> tuple[str, ...]:
    """Which process types that were awake when they were `recorded` are scaled to zero by now."""
    scale = running.scale if isinstance(running, Known) else EMPTY
    return tuple(part for part in recorded if scale.get(part) == 0)


def drift_of(recorded: Artifacts | None, running: Running, awake: Collection[str] = ()) -> Drift:
    """How what runs compares with what is recorded: its artifacts, and the process types `awake` by the record.

    A record of another tool may hold a manifest's digest where the platform tells a config's: as
    long as no registry could resolve it, a difference is *unknown*, not drift.
    """
    if isinstance(running, Unknown):
        return Drift.UNKNOWN
    if recorded is None:
        return Drift.UNRECORDED if running.artifacts else Drift.NONE
    if same_artifacts(recorded, running.artifacts):
        return Drift.DRIFT if put_to_sleep(awake, running) else Drift.NONE
    if running.compared_with is not None and not same_artifacts(recorded, running.compared_with):
        return Drift.UNKNOWN
    if any(isinstance(a, RecordedId) for a in recorded.values()):
        return Drift.UNKNOWN
    return Drift.DRIFT


def nothing_runs(running: Running) -> bool:
    """Whether the platform is sure that nothing was ever released."""
    return isinstance(running, Known) and not running.artifacts


def drift_in_words(recorded: Artifacts, running: Running, awake: Collection[str] = ()) -> str:
    """How what runs differs from what is recorded, part by part."""
    if isinstance(running, Unknown):
        return running.reason
    if nothing_runs(running):
        return running.note or "nothing runs"
    ours = running.artifacts
    said = []
    for part in sorted(ours.keys() | recorded.keys()):
        if part not in ours:
            said.append(f"{part} is missing")
        elif part not in recorded:
            said.append(f"{part} runs and is not recorded")
        elif not same_artifact(ours[part], recorded[part]):
            said.append(f"{part} runs {ours[part].short}, recorded {recorded[part].short}")
    said += [f"{part} is scaled to zero" for part in put_to_sleep(awake, running)]
    return ", ".join(said)
