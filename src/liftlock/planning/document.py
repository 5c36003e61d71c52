"""A plan as a JSON document: what `--json` prints, and what `plan --out` saves.

A saved plan holds the pinned releases and the digest. Its steps are for readers: they are never
read back, the plan is made anew from the pins and runs only if the digests agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from liftlock.errors import UsageError
from liftlock.model import Kind, Known, Release, Running
from liftlock.planning.estimates import Expected, expected_time
from liftlock.planning.plan import (
    AppPlan,
    Plan,
    Verdict,
    artifact_from_text,
    artifacts_as_text,
)

FORMAT = 1


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan for machines; every key is documented in docs/reference/plan.md."""
    return {
        "liftlock_plan": FORMAT,
        "project": plan.project,
        "kind": plan.kind.value,
        "source": plan.source or None,
        "environment": plan.environment,
        "digest": plan.digest,
        "configuration": plan.config_digest,
        "observed_at": plan.observed_at.isoformat(timespec="seconds"),
        "selected": list(plan.selected),
        "reverts": plan.reverts or None,
        "apps": {name: _app_document(app) for name, app in plan.apps.items()},
        "backups": [{"app": d.app, "database": d.id, "service": d.service} for d in plan.databases],
        "gates": [_verdict_document(v) for v in plan.verdicts],
        "notes": list(plan.notes),
        "expected": expected_document(expected_time(plan.steps)),
        "steps": [
            {
                "id": s.id,
                "kind": s.kind.value,
                "app": s.app or None,
                "needs": list(s.needs),
                "expected_s": _rounded(s.expected_s),
            }
            for s in plan.steps
        ],
    }


def expected_document(expected: Expected | None) -> dict[str, Any] | None:
    """How long a plan should take; None when nothing is known."""
    if expected is None:
        return None
    return {"seconds": _rounded(expected.seconds), "is_whole": expected.is_whole}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _app_document(app: AppPlan) -> dict[str, Any]:
    return {
        "action": app.action.value,
        "why": app.why,
        "release": release_document(app.release),
        "where": dict(app.located.where) if app.located else None,
        "running": running_document(app.running),
        "replaces": app.replaces.id if app.replaces else None,
        "source_deployment": app.source_deployment.id if app.source_deployment else None,
        "reversible": app.reversible,
        "removes": list(app.removes),
        "asleep": list(app.asleep),
        "notes": list(app.notes),
    }


def release_document(release: Release | None) -> dict[str, Any] | None:
    if release is None:
        return None
    return {"commit": release.commit, "artifacts": artifacts_as_text(release.artifacts)}


def running_document(running: Running | None) -> dict[str, Any] | None:
    """What runs: its artifacts, or why that is not known."""
    if running is None:
        return None
    if isinstance(running, Known):
        return {
            "known": True,
            "artifacts": artifacts_as_text(running.artifacts),
            "marker": running.marker,
            "note": running.note,
        }
    return {"known": False, "reason": running.reason}


def _verdict_document(verdict: Verdict) -> dict[str, Any]:
    return {
        "gate": verdict.gate,
        "passed": verdict.passed,
        "reason": verdict.reason,
        "passes_at": verdict.passes_at.isoformat(timespec="seconds") if verdict.passes_at else None,
        "overridden": verdict.overridden or None,
        "output": list(verdict.output),
    }


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What of a saved plan is believed: what was asked for, what was pinned, and the digest."""

    project: str
    kind: Kind
    source: str
    environment: str
    selected: tuple[str, ...]
    digest: str
    releases: Mapping[str, Release]
    deployments: Mapping[str, str]
    """By app, the id of the source's record that the release was read from."""
    unreleased: Mapping[str, str]
    """The apps that had no release to pin, each with the reason."""


def saved_plan(document: Any, name: str) -> SavedPlan:
    """Read a saved plan. Raises `UsageError`, naming the file, when it is not one."""
    try:
        if document["liftlock_plan"] != FORMAT:
            raise UsageError(
                f"{name} was saved by another version of liftlock (format {document['liftlock_plan']!r}).",
                hint="Make the plan again with: liftlock plan SOURCE TARGET --out FILE",
            )
        apps: dict[str, dict[str, Any]] = document["apps"]
        pinned = {app: facts for app, facts in apps.items() if facts["release"] is not None}
        return SavedPlan(
            project=str(document["project"]),
            kind=Kind(document["kind"]),
            source=str(document["source"] or ""),
            environment=str(document["environment"]),
            selected=tuple(str(app) for app in document["selected"]),
            digest=str(document["digest"]),
            releases={app: _release(app, facts["release"]) for app, facts in pinned.items()},
            deployments={
                app: str(facts["source_deployment"])
                for app, facts in pinned.items()
                if facts["source_deployment"]
            },
            unreleased={app: str(facts["why"]) for app, facts in apps.items() if app not in pinned},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{name} is not a saved plan: {type(error).__name__} at {error}.",
            hint="Make one with: liftlock plan SOURCE TARGET --out FILE",
        ) from error


def _release(app: str, facts: Mapping[str, Any]) -> Release:
    artifacts = {str(part): artifact_from_text(str(text)) for part, text in facts["artifacts"].items()}
    return Release(app, str(facts["commit"]), artifacts)
