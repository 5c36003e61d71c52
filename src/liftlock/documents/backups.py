"""Backups and what was done with them, for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liftlock.commands.backup_files import Verdict
    from liftlock.commands.backups import Captured, Listed
    from liftlock.commands.restore import Restored


def backup_document(one: Listed) -> dict[str, Any]:
    """A backup, for machines."""
    backup = one.backup
    return {
        "id": backup.id,
        "database": backup.database,
        "apps": list(one.apps),
        "service": backup.service,
        "size_bytes": backup.size_bytes,
        "started_at": backup.started_at.isoformat(),
        "finished_at": backup.finished_at.isoformat(),
    }


def captured_document(one: Captured) -> dict[str, Any]:
    """The backup that was taken, or why none was."""
    from liftlock.commands.backups import Listed

    if one.backup is not None:
        return backup_document(Listed(one.used.apps, one.backup)) | {"note": one.note}
    why = one.error.message if one.error else ""
    return {"database": one.used.database.id, "apps": list(one.used.apps), "error": why}


def restored_document(one: Restored) -> dict[str, Any]:
    """From which backup, and the one of what stood before."""
    from liftlock.commands.backups import Listed

    before = Listed(one.kept.used.apps, one.fresh)
    return {"from": backup_document(one.kept.listed), "before": backup_document(before)}


def verdict_document(verdict: Verdict, *, passed: bool) -> dict[str, Any]:
    """The verdict with every table, for machines."""
    return {
        "backup": backup_document(verdict.kept.listed),
        "passed": passed,
        "tables": dict(verdict.tables),
        "source": None if verdict.source is None else dict(verdict.source),
        "not_compared": verdict.unreached,
        "missing": verdict.missing,
        "empty": verdict.emptied,
        "differing": verdict.differing,
    }
