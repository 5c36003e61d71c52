"""Which of an app's records is current, and which entries are of a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from liftlock.model import Deployment, Intent, Recorded, State
from liftlock.ports import Ledger, PromotionRecords
from liftlock.tasks import each


def judged(newest_first: Sequence[Deployment]) -> Recorded:
    """Which of an app's records is current, by the design's rule."""
    for number, deployment in enumerate(newest_first):
        if deployment.counts:
            return Recorded(deployment, tuple(newest_first[:number]))
    return Recorded(None, tuple(newest_first))


def is_within(entry: Intent | Deployment, since: datetime | None, until: datetime | None) -> bool:
    """Whether it was made at `since` or later, and before `until`."""
    return (since is None or entry.created_at >= since) and (until is None or entry.created_at < until)


async def walked_to(ledger: Ledger, intent: Intent, apps: Sequence[str]) -> PromotionRecords:
    """The records of a promotion, for a ledger that has no index: each app's are walked back to them."""

    async def look(app: str) -> Sequence[Deployment]:
        """The record that it made and the one before; without success it may have made none."""
        before = intent.replaced.get(app)
        return await ledger.deployments(
            intent.environment,
            app,
            2 if before and intent.state is State.SUCCESS else 1,
            since=None if before else intent.created_at,
            where=lambda d: d.promotion == intent.id or d.id == before,
        )

    found = await each(apps, look)
    made = {app: d for app, records in found.items() for d in records if d.promotion == intent.id}
    before = {app: d for app, records in found.items() for d in records if d.promotion != intent.id}
    return PromotionRecords(made, before)
