"""Finished backups in the lease's journal: what a resumed run finds and does not take again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from liftlock.model import Backup, Intent


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
        for written in entry.get("backups") or ():
            try:
                backup = Backup(
                    id=str(written["id"]),
                    database=str(written["database"]),
                    app=str(written["app"]),
                    service=str(written["service"]),
                    size_bytes=int(written["size_bytes"]),
                    started_at=datetime.fromisoformat(written["started_at"]),
                    finished_at=datetime.fromisoformat(written["finished_at"]),
                )
            except (KeyError, TypeError, ValueError):
                continue
            found[backup.database] = backup
    return list(found.values())
