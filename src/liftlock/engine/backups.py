"""Finished backups: whether one is worth counting on, and how it is kept in the lease's journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from liftlock import wording
from liftlock.model import Backup, Intent

COMPARED = 5
"""With how many of the last backups of its database a new one's size is compared."""
COLLAPSE = 0.5
"""Below this part of their median size it has collapsed."""
SIZE_OVERRIDE = "backup-size"
"""What `--override` calls the comparison."""


def collapse(backup: Backup) -> str:
    """How far a backup's size fell below what its database's last ones had, in words; "" when it did not."""
    earlier = backup.earlier_bytes[:COMPARED]
    if not earlier or backup.size_bytes >= COLLAPSE * median(earlier):
        return ""
    usual = wording.size(round(median(earlier)))
    before = f"the last one has {usual}" if len(earlier) == 1 else f"the last {len(earlier)} have {usual}"
    return f"it has {wording.size(backup.size_bytes)}, and {before}"


def journal_entry(intent: Intent, backups: Sequence[Backup]) -> dict[str, Any]:
    """The journal's entry that says which backups a promotion counts on."""
    return {
        "promotion": intent.id,
        "backups": [
            {
                "id": b.id,
                "database": b.database,
                "app": b.app,
                "service": b.service,
                "size_bytes": b.size_bytes,
                "started_at": b.started_at.isoformat(),
                "finished_at": b.finished_at.isoformat(),
            }
            for b in sorted(backups, key=lambda b: b.database)
        ],
    }


def journaled_backups(intent: Intent, journal: Sequence[Mapping[str, Any]]) -> list[Backup]:
    """The backups that were journaled for this promotion. An entry that cannot be read counts as none."""
    found: dict[str, Backup] = {}
    for entry in journal:
        if entry.get("promotion") != intent.id:
            continue
        listed = entry.get("backups")
        for written in listed if isinstance(listed, list) else ():
            try:
                backup = Backup(
                    id=str(written["id"]),
                    database=str(written["database"]),
                    app=str(written["app"]),
                    service=str(written["service"]),
                    size_bytes=int(written["size_bytes"]),
                    started_at=wording.read_moment(written["started_at"]),
                    finished_at=wording.read_moment(written["finished_at"]),
                )
            except (KeyError, TypeError, ValueError, OverflowError):
                continue
            found[backup.database] = backup
    return list(found.values())
