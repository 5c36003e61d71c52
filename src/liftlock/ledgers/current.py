"""Which of an app's records is current, and which entries are of a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from liftlock.model import Deployment, Intent, Recorded


def judged(newest_first: Sequence[Deployment]) -> Recorded:
    """Which of an app's records is current, by the design's rule."""
    for number, deployment in enumerate(newest_first):
        if deployment.counts:
            return Recorded(deployment, tuple(newest_first[:number]))
    return Recorded(None, tuple(newest_first))


def is_within(entry: Intent | Deployment, since: datetime | None, until: datetime | None) -> bool:
    """Whether it was made at `since` or later, and before `until`."""
    return (since is None or entry.created_at >= since) and (until is None or entry.created_at < until)
