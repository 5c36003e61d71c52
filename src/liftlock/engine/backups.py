"""Finished backups: whether one is worth counting on, and how it is kept in the lease's journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from liftlock import wording
from liftlock.errors import BackupFailed
from liftlock.model import Backup, Database, Intent

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


def judged(backup: Backup, database: Database, *, is_overridden: bool) -> str:
    """What a new backup is called and has, in words. Raises `BackupFailed` when it cannot be counted on.

    `is_overridden` lets one count that has collapsed; nothing lets an empty one.
    """
    if backup.size_bytes <= 0:
        raise BackupFailed(
            f"The backup {backup.id} of {database.app} in {database.environment} is empty.",
            hint="Nothing was switched. Take a backup by hand and look at it before trying again.",
        )
    fell = collapse(backup)
    if fell and not is_overridden:
        raise BackupFailed(
            f"Backup {backup.id} of {database.app} in {database.environment} is complete, and {fell}: "
            "data may have been lost before it was taken.",
            hint="Nothing was switched. Look at the database. To go on all the same, recorded with your "
            f"reason: --override {SIZE_OVERRIDE} --reason TEXT",
        )
    return f"{backup.id}, {wording.size(backup.size_bytes)}{f' (overridden: {fell})' if fell else ''}"


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
