"""What lies between two releases of an app in one environment that going back does not take back."""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.model import App, Backup, Deployment, Release, same_artifact

RELEASE_PHASE = "release"
COMMAND = "command"


def first_migration(app: App, wanted: Release, newer: Sequence[Deployment]) -> Deployment | None:
    """The oldest of the `newer` records (newest first) that migrated a database since `wanted`.

    A release phase migrates when its image changes; a command, when its commit does.
    """
    migrated = [record for record in newer if record.counts and _migrates(app, wanted, record.release)]
    return migrated[-1] if migrated else None


def _migrates(app: App, wanted: Release, release: Release) -> bool:
    if app.platform == COMMAND:
        return release.commit != wanted.commit
    before, after = wanted.artifacts.get(RELEASE_PHASE), release.artifacts.get(RELEASE_PHASE)
    if after is None:
        return False
    return before is None or not same_artifact(before, after)


def backup_before(migration: Deployment, backups: Sequence[Backup]) -> Backup | None:
    """The newest of `backups` from before a migration; None when there is none (any more).

    The ones that its own promotion took are surely from before; another one counts if it was complete
    before they began, or, where there are none, before the release was recorded at all.
    """
    own = {backup.id for backup in migration.backups}
    until = min((b.started_at for b in migration.backups), default=migration.created_at)
    before = [b for b in backups if b.id in own or b.finished_at <= until]
    return max(before, key=lambda b: b.finished_at, default=None)


def warning(migration: Deployment, backup: Backup | None, *, is_backed_up: bool) -> str:
    """What a person has to know before going back beyond a migration."""
    said = (
        f"going back beyond the migration that {migration.release.short_commit} made, recorded"
        f" {migration.created_at:%Y-%m-%d %H:%M} UTC: the code goes back, the database's schema does not"
    )
    if backup is not None:
        return f"{said}; newest backup from before it: {backup.id} of {backup.finished_at:%Y-%m-%d %H:%M} UTC"
    return f"{said}; no backup from before it exists any more" if is_backed_up else said
