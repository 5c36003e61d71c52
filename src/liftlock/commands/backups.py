"""The databases of an environment and their backups: list, take, and delete what is no longer needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from liftlock.commands.names import check_names
from liftlock.engine.backups import collapse
from liftlock.errors import LiftlockError, UsageError
from liftlock.model import App, Backup, Database, Project
from liftlock.ports import Adapters, DatabaseService
from liftlock.tasks import each

RECORDS = 1000
"""How many of an app's records, and how many promotions, are looked through for backups that they name."""

Tell = Callable[[str, str], None]
"""Hears (app, what happens)."""


@dataclass(frozen=True, slots=True)
class Used:
    """A database, and the apps that use it in one environment."""

    database: Database
    apps: tuple[str, ...]
    service: DatabaseService

    @property
    def whose(self) -> str:
        apps = " and ".join(self.apps)
        return f"the database of {apps} in {self.database.environment}"


@dataclass(frozen=True, slots=True)
class Listed:
    """A backup, and the apps whose it is: all that is shown of it, also where its database cannot be reached."""

    apps: tuple[str, ...]
    backup: Backup


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup, and whose it is."""

    used: Used
    backup: Backup

    @property
    def listed(self) -> Listed:
        return Listed(self.used.apps, self.backup)


@dataclass(frozen=True, slots=True)
class Captured:
    """How the backup of one database went."""

    used: Used
    backup: Backup | None = None
    note: str = ""
    """What is strange about a backup that was taken."""
    error: LiftlockError | None = None


async def databases_of(
    project: Project,
    adapters: Adapters,
    environment: str,
    apps: Collection[str] = (),
    *,
    all_apps: bool = False,
) -> list[Used]:
    """The databases of these apps, each once; without names of all that say `backup`, or of `all_apps`.

    Raises `UsageError` for unknown names, and when there is no database.
    """
    check_names(project, (environment,), apps)
    chosen = [
        app
        for app in project.apps.values()
        if (app.name in apps if apps else app.backup or all_apps) and adapters.databases_of(app)
    ]
    strangers = [name for name in apps if adapters.databases_of(project.apps[name]) is None]
    if strangers:
        raise UsageError(
            f"{' and '.join(strangers)} has no database that liftlock knows of.",
            hint="Name one in liftlock.toml: backup = { url = …, folder = … }, or leave the app out.",
        )
    found = await each(
        [app.name for app in chosen], lambda name: _of_app(project.apps[name], adapters, environment)
    )
    used: dict[str, Used] = {}
    for name, databases in found.items():
        for database, service in databases:
            known = used.get(database.id)
            users = (*known.apps, name) if known else (name,)
            used[database.id] = Used(known.database if known else database, users, service)
    if not used:
        raise UsageError(
            f"No database of {' or '.join(apps) or project.name} is known in {environment}.",
            hint='Write backup = true, or backup = { url = "env:NAME", folder = "backups" }, in [apps.NAME].',
        )
    return list(used.values())


async def _of_app(app: App, adapters: Adapters, environment: str) -> list[tuple[Database, DatabaseService]]:
    service = adapters.databases_of(app)
    if service is None:
        return []
    return [(database, service) for database in await service.databases(app.targets[environment])]


async def list_backups(
    project: Project, adapters: Adapters, environment: str, apps: Collection[str] = (), *, gone: bool = False
) -> list[Kept]:
    """The complete backups of these apps' databases, newest first. Changes nothing."""
    used = {one.database.id: one for one in await databases_of(project, adapters, environment, apps)}
    found = await each(used, lambda name: _backups_of(project, used[name], gone=gone))
    kept = [Kept(used[name], backup) for name, backups in found.items() for backup in backups]
    return sorted(kept, key=lambda one: one.backup.started_at, reverse=True)


async def _backups_of(project: Project, used: Used, *, gone: bool) -> list[Backup]:
    target = project.apps[used.database.app].targets[used.database.environment]
    listed = await used.service.backups(target, gone=gone)
    return [backup for backup in listed if backup.database == used.database.id]


async def find_backup(
    project: Project, adapters: Adapters, environment: str, app: str, backup_id: str = ""
) -> Kept:
    """A backup by its id, or the newest. Raises `LiftlockError` when there is none, or it is gone."""
    listed = await list_backups(project, adapters, environment, [app], gone=True)
    hint = f"See those that there are: liftlock backups list {environment} {app}"
    named = [one for one in listed if not backup_id or one.backup.id == backup_id]
    there = [one for one in named if one.backup.gone_at is None]
    if there:
        return there[0]
    if named and backup_id:
        raise LiftlockError(f"{told_gone(named[0])}.", hint=hint)
    what = f"no backup {backup_id}" if backup_id else "no backup"
    raise LiftlockError(f"There is {what} of {app}'s database in {environment}.", hint=hint)


def told_gone(kept: Kept) -> str:
    """In words, that a backup's content is no more."""
    since = kept.backup.gone_at
    taken = kept.backup.started_at
    return (
        f"Backup {kept.backup.id} of {kept.used.whose}, taken {taken:%Y-%m-%d %H:%M} UTC, is gone"
        + (f" since {since:%Y-%m-%d %H:%M} UTC" if since else "")
        + ": it was deleted, or its time is over"
    )


async def capture_backups(
    project: Project, adapters: Adapters, environment: str, apps: Collection[str], tell: Tell
) -> list[Captured]:
    """Back up these apps' databases, all at once. One that fails does not stop the others."""
    used = {one.database.id: one for one in await databases_of(project, adapters, environment, apps)}

    async def capture(name: str) -> Captured:
        one = used[name]
        try:
            backup = await one.service.capture(one.database, None, lambda text: tell(one.apps[0], text))
        except LiftlockError as error:
            return Captured(one, error=error)
        return Captured(one, backup, collapse(backup))

    return list((await each(used, capture)).values())


@dataclass(frozen=True, slots=True)
class Pruning:
    """What `prune` would delete, and what it keeps although it is old."""

    delete: tuple[Kept, ...]
    named: tuple[Kept, ...]


async def plan_prune(
    project: Project,
    adapters: Adapters,
    environment: str,
    keep: int,
    journal: Sequence[Mapping[str, Any]] = (),
) -> Pruning:
    """All but the newest `keep` of each database, without those that a record or the journal names.

    Where the ledger has more records than are looked through, what is older than those counts as named.
    """
    if keep < 1:
        raise UsageError("--keep is 1 or more: the newest backup is never deleted.")
    listed = await list_backups(project, adapters, environment)
    named = await _named(project, adapters, environment, journal)
    seen: dict[str, int] = {}
    delete: list[Kept] = []
    held: list[Kept] = []
    for one in listed:
        seen[one.used.database.id] = seen.get(one.used.database.id, 0) + 1
        if seen[one.used.database.id] <= keep:
            continue
        (held if named(one.backup) else delete).append(one)
    return Pruning(tuple(delete), tuple(held))


async def prune(pruning: Pruning) -> None:
    """Delete, oldest first: what an interruption leaves is a shorter list of the same kind."""
    for one in reversed(pruning.delete):
        await one.used.service.delete(one.used.database, one.backup)


async def _named(
    project: Project, adapters: Adapters, environment: str, journal: Sequence[Mapping[str, Any]]
) -> Callable[[Backup], bool]:
    records = await each(project.apps, lambda app: adapters.ledger.deployments(environment, app, RECORDS))
    intents = await adapters.ledger.intents(environment, RECORDS)
    names = {(b.database, b.id) for found in records.values() for d in found for b in d.backups}
    names |= {(b.database, b.id) for intent in intents for b in intent.backups}
    written = [one for entry in journal for one in entry.get("backups") or () if isinstance(one, Mapping)]
    names |= {(str(one.get("database")), str(one.get("id"))) for one in written}
    times = [[d.created_at for d in found] for found in records.values()] + [[i.created_at for i in intents]]
    cut = [min(found) for found in times if len(found) >= RECORDS]
    horizon = max(cut) if cut else None

    def is_named(backup: Backup) -> bool:
        unseen = horizon is not None and backup.started_at <= horizon
        return unseen or (backup.database, backup.id) in names

    return is_named
