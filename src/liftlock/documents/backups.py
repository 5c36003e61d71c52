"""Backups and what was done with them, for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liftlock.commands.backup_files import Verdict
    from liftlock.commands.backups import Captured, Kept
    from liftlock.commands.restore import Restored


def backup_document(kept: Kept) -> dict[str, Any]:
    """A backup, for machines."""
    backup = kept.backup
    return {
        "id": backup.id,
        "database": backup.database,
        "apps": list(kept.used.apps),
        "service": backup.service,
        "size_bytes": backup.size_bytes,
        "started_at": backup.started_at.isoformat(),
        "finished_at": backup.finished_at.isoformat(),
    }


def captured_document(one: Captured) -> dict[str, Any]:
    """The backup that was taken, or why none was."""
    from liftlock.commands.backups import Kept

    if one.backup is not None:
        return backup_document(Kept(one.used, one.backup)) | {"note": one.note}
    why = one.error.message if one.error else ""
    return {"database": one.used.database.id, "apps": list(one.used.apps), "error": why}


def restored_document(one: Restored) -> dict[str, Any]:
    """From which backup, and the one of what stood before."""
    from liftlock.commands.backups import Kept

    return {"from": backup_document(one.kept), "before": backup_document(Kept(one.kept.used, one.fresh))}


def verdict_document(verdict: Verdict, *, passed: bool) -> dict[str, Any]:
    """The verdict with every table, for machines."""
    return {
        "backup": backup_document(verdict.kept),
        "passed": passed,
        "tables": dict(verdict.tables),
        "source": None if verdict.source is None else dict(verdict.source),
        "not_compared": verdict.unreached,
        "missing": verdict.missing,
        "empty": verdict.emptied,
        "differing": verdict.differing,
    }
