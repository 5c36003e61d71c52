"""Who put what where, and how it ended, for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from liftlock.commands.history import Account, Entry
from liftlock.model import Approval, Deployment, Intent, Unknown
from liftlock.planning.document import release_document


def history_document(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Entries, in the order that they have."""
    return [_entry_document(entry) for entry in entries]


def _entry_document(entry: Entry) -> dict[str, Any]:
    if entry.intent is not None:
        intent = entry.intent
        return {
            "at": entry.at.isoformat(),
            "environment": entry.environment,
            "kind": intent.kind.value,
            "source": intent.source or None,
            "id": intent.id,
            "by": intent.creator,
            "outcome": state_of(intent),
            "finished_at": intent.finished_at.isoformat() if intent.finished_at else None,
            "took_s": took_s(intent),
            "description": intent.description,
            "plan": intent.plan_digest,
            "overrides": dict(intent.overrides),
            "reverts": intent.reverts or None,
            "apps": {app: release_document(release) for app, release in intent.releases.items()},
        }
    deployment = entry.deployment
    if deployment is None:
        raise ValueError("a history entry is an intent or a deployment")
    return {
        "at": entry.at.isoformat(),
        "environment": entry.environment,
        "kind": "record of another tool",
        "id": deployment.id,
        "by": deployment.creator,
        "outcome": deployment.state.value if deployment.state else None,
        "apps": {deployment.app: release_document(deployment.release)},
    }


def account_document(told: Account | Deployment) -> dict[str, Any]:
    """One promotion, or one record of another tool, for `--json`."""
    if isinstance(told, Deployment):
        return _entry_document(Entry(told.created_at, told.environment, deployment=told))
    intent = told.intent
    entry = _entry_document(Entry(intent.created_at, intent.environment, intent=intent))
    apps = {
        app: {
            **(document or {}),
            "before": told.replaced[app].release.commit if app in told.replaced else None,
            "record": told.records[app].id if app in told.records else None,
            "steps": {
                step: {"began_s": time.began_s, "took_s": time.took_s}
                for step, time in (told.records[app].steps if app in told.records else {}).items()
            },
        }
        for app, document in entry["apps"].items()
    }
    return entry | {
        "apps": apps,
        "on_failure": "undo" if intent.undo_on_failure else "stop",
        "approvals": None
        if isinstance(told.approvals, Unknown)
        else [_approval_document(approval) for approval in told.approvals],
        "backups": [
            {
                "app": b.app,
                "id": b.id,
                "database": b.database,
                "size_bytes": b.size_bytes,
                "started_at": b.started_at.isoformat(),
                "finished_at": b.finished_at.isoformat(),
            }
            for b in told.backups
        ],
        "url": intent.url or None,
    }


def _approval_document(approval: Approval) -> dict[str, Any]:
    return {
        "by": approval.account,
        "at": approval.at.isoformat(),
        "expires_at": approval.expires_at.isoformat(),
    }


def state_of(intent: Intent) -> str:
    """How it ended, in a word."""
    return "open" if intent.is_open else intent.state.value


def took_s(intent: Intent) -> float | None:
    """From its record to the last word on it, in seconds; None while it stands open."""
    if intent.finished_at is None:
        return None
    return max((intent.finished_at - intent.created_at).total_seconds(), 0.0)
