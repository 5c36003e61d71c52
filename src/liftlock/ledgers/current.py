"""Which of an app's records is current."""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.model import Deployment, Recorded


def judged(newest_first: Sequence[Deployment]) -> Recorded:
    """Which of an app's records is current, by the design's rule."""
    for number, deployment in enumerate(newest_first):
        if deployment.counts:
            return Recorded(deployment, tuple(newest_first[:number]))
    return Recorded(None, tuple(newest_first))
