"""A plan: the steps that take an environment from what it runs to what it should run. Pure data.

A plan is a directed acyclic graph. *Barriers* are steps without work of their own: they join many
steps into one, so that the number of edges grows with the number of apps and not with its square.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from liftlock.model import (
    EMPTY,
    Artifact,
    Artifacts,
    BundleId,
    CommitId,
    Database,
    Deployment,
    Digest,
    ImageId,
    Kind,
    Known,
    Located,
    RecordedId,
    Release,
    Running,
    SiteVersion,
)


class StepKind(StrEnum):
    """What a step does. `READY`, `NO_RETURN` and `VERIFIED` are barriers."""

    INTENT = "intent"
    STAGE = "stage"
    BACKUP = "backup"
    JOURNAL = "journal"
    READY = "ready"
    RELEASE = "release"
    VERIFY = "verify"
    NO_RETURN = "point of no return"
    VERIFIED = "verified"
    RECORD = "record"
    MARK = "mark"
    CLOSE = "close"
    FREE = "free"
    RETIRE = "retire"
    NOTIFY = "notify"


TIMED = (StepKind.STAGE, StepKind.BACKUP, StepKind.RELEASE, StepKind.VERIFY)
"""The steps whose times an app's record keeps: those that take long. The others are requests to the ledger."""
BARRIERS = frozenset({StepKind.READY, StepKind.NO_RETURN, StepKind.VERIFIED})


@dataclass(frozen=True, slots=True)
class Step:
    """One idempotent action, after all of `needs`."""

    id: str
    kind: StepKind
    needs: tuple[str, ...] = ()
    app: str = ""
    lane: str = ""
    """Whose limit of concurrent steps it counts against: a platform's, the ledger's, …"""
    expected_s: float | None = field(default=None, compare=False)
    """How many seconds it should take; None when that is not known (see `planning.estimates`)."""


class Action(StrEnum):
    """What a plan does with an app."""

    RELEASE = "release"
    RECORD = "record"
    """The artifacts run already; only the record moves forward."""
    UNCHANGED = "unchanged"
    LEFT_BEHIND = "left behind"
    """Differs, and was not selected."""
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class AppPlan:
    """What a plan does with one app, and why."""

    app: str
    action: Action
    why: str
    release: Release | None = None
    """What it should run, pinned by content, as it stands at the source."""
    located: Located | None = None
    before: Known | None = None
    """What ran before, as far as an undo can rely on it; None when nothing is known."""
    running: Running | None = None
    replaces: Deployment | None = None
    source_deployment: Deployment | None = None
    reversible: bool = True
    has_release_phase: bool = False
    removes: tuple[str, ...] = ()
    """Process types that the release no longer has."""
    asleep: tuple[str, ...] = ()
    """Process types that are scaled to zero in the target, and stay so."""
    notes: tuple[str, ...] = ()
    hint: str = ""
    """For a blocked app: what to do about it."""

    @property
    def changes(self) -> bool:
        return self.action in {Action.RELEASE, Action.RECORD}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says of a plan."""

    gate: str
    passed: bool
    reason: str
    passes_at: datetime | None = None
    """When it could pass by itself; None when time alone does not help."""
    overridden: str = ""
    """The reason that was given for overriding it; "" when it was not."""
    output: tuple[str, ...] = ()
    """The last lines of a gate's program."""

    @property
    def holds(self) -> bool:
        return self.passed or bool(self.overridden)


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done to `environment`, and everything that a person wants to know before."""

    kind: Kind
    project: str
    environment: str
    source: str
    apps: Mapping[str, AppPlan]
    steps: tuple[Step, ...]
    databases: tuple[Database, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    config_digest: str
    digest: str
    observed_at: datetime
    selected: tuple[str, ...] = ()
    """The apps that were asked for by name; empty for all."""
    reverts: str = ""
    """For a rollback: the id of the intent that it takes back."""

    @property
    def changes(self) -> tuple[AppPlan, ...]:
        return tuple(a for a in self.apps.values() if a.changes)

    @property
    def releases(self) -> tuple[AppPlan, ...]:
        return tuple(a for a in self.apps.values() if a.action is Action.RELEASE)

    @property
    def blocked(self) -> tuple[AppPlan, ...]:
        return tuple(a for a in self.apps.values() if a.action is Action.BLOCKED)

    @property
    def overrides(self) -> dict[str, str]:
        """The gates that hold only because somebody said so, each with the reason that was given."""
        return {v.gate: v.overridden for v in self.verdicts if v.overridden}

    @property
    def refusals(self) -> tuple[Verdict, ...]:
        return tuple(v for v in self.verdicts if not v.holds)


def artifact_text(artifact: object) -> str:
    """An artifact as text that says its type, for digests, saved plans and JSON output."""
    match artifact:
        case ImageId(value):
            return f"image:{value}"
        case RecordedId(value):
            return f"recorded:{value}"
        case Digest(value):
            return f"manifest:{value}"
        case SiteVersion(name, content):
            return f"site:{name}#{content}" if content else f"site:{name}"
        case CommitId(value):
            return f"commit:{value}"
        case BundleId(value):
            return f"bundle:{value}"
    raise TypeError(f"not an artifact: {artifact!r}")


def artifact_from_text(text: str) -> Artifact:
    """The inverse of `artifact_text`. Raises ValueError for anything else."""
    kind, _, value = text.partition(":")
    match kind:
        case "image":
            return ImageId(value)
        case "recorded":
            return RecordedId(value)
        case "site":
            name, _, content = value.partition("#")
            return SiteVersion(name, content)
        case "commit":
            return CommitId(value)
        case "bundle":
            return BundleId(value)
    raise ValueError(f"not an artifact: {text!r}")


def artifacts_as_text(artifacts: Artifacts) -> dict[str, str]:
    return {part: artifact_text(artifact) for part, artifact in sorted(artifacts.items())}


@dataclass(frozen=True, slots=True)
class Pinned:
    """The releases that a saved plan holds on to, each with the record that it was read from."""

    releases: Mapping[str, Release] = field(default_factory=lambda: EMPTY)
    deployments: Mapping[str, str] = field(default_factory=lambda: EMPTY)


def plan_digest(
    *,
    kind: Kind,
    environment: str,
    source: str,
    config_digest: str,
    apps: Mapping[str, AppPlan],
    steps: tuple[Step, ...],
    databases: tuple[Database, ...],
    reverts: str,
) -> str:
    """SHA-256 over the steps, the artifacts, the target's state and the configuration.

    Times, estimates and gates' verdicts are left out: they change while the plan stands.
    """
    meaning = {
        "kind": kind,
        "environment": environment,
        "source": source,
        "configuration": config_digest,
        "reverts": reverts,
        "databases": sorted(d.id for d in databases),
        "steps": [[s.id, sorted(s.needs)] for s in steps],
        "apps": {
            name: {
                "action": a.action,
                "commit": a.release.commit if a.release else None,
                "artifacts": artifacts_as_text(
                    a.located.release.artifacts if a.located else a.release.artifacts
                )
                if a.release
                else None,
                "running": _running_text(a.running),
                "replaces": a.replaces.id if a.replaces else None,
                "reversible": a.reversible,
            }
            for name, a in sorted(apps.items())
        },
    }
    text = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _running_text(running: Running | None) -> object:
    if isinstance(running, Known):
        return artifacts_as_text(running.artifacts)
    return None
