"""Under which names a repository's deployment records stand, whoever wrote them: for `init`."""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.accounts import RecordSeen
from liftlock.http import Http
from liftlock.ledgers.github_deployments import Deployments, Entry
from liftlock.ledgers.payload import OURS, read_record
from liftlock.model import ImageId, RecordedId

MOST_PAGES = 5
"""How many pages of 100 records are looked through: a team's systems all show in its last 500."""


async def read_names(http: Http, repository: str) -> Sequence[RecordSeen]:
    """One entry for each task and environment, newest first; liftlock's own intents are left out."""
    api = Deployments(lambda: http)
    seen: dict[tuple[str, str], RecordSeen] = {}
    page = await api.page(repository)
    for _ in range(MOST_PAGES):
        for entry in page.entries:
            if not entry.task.startswith(f"{OURS}:"):
                seen.setdefault((entry.task, entry.environment), _seen(repository, entry))
        if not page.next:
            break
        page = await api.after(repository, page)
    return list(seen.values())


def _seen(repository: str, entry: Entry) -> RecordSeen:
    data = read_record(entry.payload)
    processes = tuple(part for part, one in data.artifacts.items() if isinstance(one, ImageId | RecordedId))
    return RecordSeen(repository, entry.task, entry.environment, data.app, processes)
