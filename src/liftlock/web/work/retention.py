"""Forgets what was asked for, once it has been over for long enough.

Only the server's own rows go: an order, what its run told, who took it back, and its place in the queue.
Records are the ledger's, the audit log cannot be deleted from, and what stands open is left alone.
"""

from __future__ import annotations

from datetime import datetime

from dbos import DBOSClient

from liftlock.model import Project
from liftlock.web.work import queue
from liftlock.web.work.kept import Kept
from liftlock.web.work.perform import Open

AT_ONCE = 200
"""How many orders are forgotten in one change of the database."""
OVER = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


async def forget(project: Project, open_: Open, client: DBOSClient, kept: Kept, before: datetime) -> int:
    """Forget the orders that were over before that moment; returns how many.

    Safe to repeat, and for several workers at once. Raises `LiftlockError` where the ledger does not say what
    stands open: then nothing more is forgotten.
    """
    forgotten = spared = 0
    stand_open: dict[str, frozenset[str]] = {}
    while True:
        found = await client.list_workflows_async(
            name=queue.WORKFLOW,
            status=OVER,
            completed_before=before.isoformat(),
            limit=AT_ONCE,
            offset=spared,
            load_input=False,
            load_output=False,
        )
        if not found:
            return forgotten
        places = {each.workflow_id: each.queue_partition_key or "" for each in found}
        for environment in set(places.values()) - stand_open.keys():
            stand_open[environment] = await _open_in(project, open_, environment)
        ids = [id_ for id_, environment in places.items() if id_ not in stand_open[environment]]
        spared += len(places) - len(ids)
        if ids:
            # The queue's own rows last: it is they that are found again if this is cut off in between.
            await kept.forget(ids)
            await client.delete_workflows_async(ids)
            forgotten += len(ids)


async def _open_in(project: Project, open_: Open, environment: str) -> frozenset[str]:
    """The orders whose promotions stand open there. None do in an environment that left the project."""
    if environment not in project.environments:
        return frozenset()
    async with open_("") as adapters:
        intents = await adapters.ledger.read(environment, list(project.apps)).open_intents()
    return frozenset(intent.key for intent in intents)
