"""What runs and what is recorded, for machines."""

from __future__ import annotations

from typing import Any

from liftlock.commands.status import Status
from liftlock.model import Commit
from liftlock.planning.document import release_document, running_document


def status_document(status: Status) -> dict[str, Any]:
    return {
        "apps": [
            {
                "app": c.app,
                "environment": c.environment,
                "recorded": (
                    {
                        **(release_document(c.recorded.current.release) or {}),
                        "record": c.recorded.current.id,
                        "at": c.recorded.current.created_at.isoformat(),
                        "by": c.recorded.current.creator,
                        "promotion": c.recorded.current.promotion or None,
                        "about": about_document(c.commit),
                    }
                    if c.recorded.current
                    else None
                ),
                "running": running_document(c.running),
                "drift": c.drift.value,
                "difference": c.difference or None,
                "note": c.note or None,
                "behind": c.behind or None,
                "distance": (
                    {
                        "relation": c.distance.relation.value,
                        "ahead": c.distance.ahead,
                        "behind": c.distance.behind,
                    }
                    if c.distance
                    else None
                ),
                "links": {
                    "commit": c.links.commit or None,
                    "pull_request": c.links.pull_request or None,
                    "target": c.links.target or None,
                },
            }
            for c in status.cells.values()
        ],
        "open": {e: [i.id for i in intents] for e, intents in status.open_intents.items() if intents},
    }


def about_document(commit: Commit | None) -> dict[str, Any] | None:
    """What is known of a commit, for machines; None where nothing is."""
    if commit is None:
        return None
    return {
        "subject": commit.subject,
        "author": commit.author or None,
        "login": commit.login or None,
        "committed_at": commit.committed_at.isoformat() if commit.committed_at else None,
        "pull_request": commit.pull_request,
    }
