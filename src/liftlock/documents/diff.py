"""Two environments compared, for machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from liftlock.documents.status import about_document
from liftlock.model import Commit
from liftlock.planning.comparison import AppComparison, Comparison, authors
from liftlock.planning.document import release_document
from liftlock.planning.plan import artifact_text


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where people look at commits, pull requests and ranges; each gives "" where there is no page."""

    commit: Callable[[str, str], str] = lambda repository, sha: ""
    pull_request: Callable[[str, int], str] = lambda repository, number: ""
    compared: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """By repository and the commits of target and source."""


def diff_document(comparison: Comparison, addresses: Addresses) -> dict[str, Any]:
    """The comparison as JSON; docs/reference/diff.md describes every key."""
    return {
        "project": comparison.project,
        "source": comparison.source,
        "target": comparison.target,
        "apps": [_app_document(app, addresses) for app in comparison.apps],
    }


def _app_document(app: AppComparison, addresses: Addresses) -> dict[str, Any]:
    between, sizes = app.between, app.sizes
    return {
        "app": app.app,
        "standing": app.standing.value,
        "source": release_document(app.source.release) if app.source else None,
        "target": release_document(app.target.release) if app.target else None,
        "ahead": between.ahead if between else None,
        "behind": between.behind if between else None,
        "commits": [_commit_document(app, commit, addresses) for commit in app.commits],
        "authors": list(authors(app.commits)),
        "pull_requests": sorted({c.pull_request for c in app.commits if c.pull_request}),
        "changes": [
            {
                "part": change.part,
                "before": artifact_text(change.before) if change.before else None,
                "after": artifact_text(change.after) if change.after else None,
            }
            for change in app.changes
        ],
        "sizes": (
            {
                "before_bytes": sizes.before_bytes,
                "after_bytes": sizes.after_bytes,
                "shared_bytes": sizes.shared_bytes,
            }
            if sizes
            else None
        ),
        "migrations": None if app.migrations is None else list(app.migrations),
        "note": app.note or None,
        "url": addresses.compared.get(app.range) or None,
    }


def _commit_document(app: AppComparison, commit: Commit, addresses: Addresses) -> dict[str, Any]:
    return {
        "sha": commit.sha,
        **(about_document(commit) or {}),
        "told": commit in app.told,
        "url": addresses.commit(app.repository, commit.sha) or None,
    }
