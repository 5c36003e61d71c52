"""Heroku Postgres: the databases of Heroku apps, backed up by Heroku itself.

Source: no published schema; the requests are those of Heroku's CLI (`pg:backups`), which also
gives the names of backups (`b007`) and what the fields of a transfer mean.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio

from liftlock.errors import (
    AnswerLost,
    BackupFailed,
    BadAnswer,
    NotFound,
    VendorError,
    VendorFailure,
    VendorRefusal,
)
from liftlock.http import Answer, field, optional
from liftlock.model import Backup, Database, Target
from liftlock.plugins import Context, Plugin
from liftlock.polling import gap_s, wait_for
from liftlock.ports import Progress
from liftlock.together import together

ACCEPT = {"Accept": "application/vnd.heroku+json; version=3"}
BACKUP_LIMIT_S = 6 * 3600.0
_REPEATS = 2
_LOST_S = 2.0
_LOG_LINES = 10


@dataclass(frozen=True, slots=True)
class Transfer:
    """A backup, restore or copy, as Heroku lists them together."""

    uuid: str
    name: str
    database_name: str
    is_backup: bool
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    canceled_at: datetime | None
    gone_at: datetime | None
    succeeded: bool
    size_bytes: int
    logs: tuple[str, ...]

    @property
    def failed(self) -> bool:
        return self.canceled_at is not None or (self.finished_at is not None and not self.succeeded)

    @property
    def complete(self) -> bool:
        """`succeeded` means something only once `finished_at` is set."""
        return self.finished_at is not None and self.succeeded and self.canceled_at is None


class HerokuPostgres:
    """Captures and lists backups. An app's database is what its DATABASE_URL is attached to."""

    name = "heroku"
    concurrency = 64

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names: dict[str, frozenset[str]] = {}
        """By add-on, under which names its backups may say that they are of it."""

    async def databases(self, target: Target) -> Sequence[Database]:
        """The add-on behind the app's DATABASE_URL; none when nothing is attached there.

        One round trip. Changes nothing, though it is a POST.
        """
        try:
            answer = await self._context.http("heroku").request(
                "POST",
                "/actions/addon-attachments/resolve",
                json={"addon_attachment": "DATABASE_URL", "app": target.name},
                headers=ACCEPT | {"Accept-Inclusion": "addon:plan,config_vars"},
                repeat=True,
            )
        except NotFound:
            return []
        found: dict[str, Database] = {}
        for attachment in _objects(answer):
            addon_id = field(attachment, "addon.id", str)
            account = field(attachment, "addon.app.name", str)
            self._names[addon_id] = self._names.get(addon_id, frozenset()) | _names(attachment)
            found[addon_id] = Database(addon_id, target.app, target.environment, self.name, account)
        return list(found.values())

    async def capture(self, database: Database, not_before: datetime, progress: Progress) -> Backup:
        """See `ports.DatabaseService`. A look at the list, one capture, and looks at it until it ends."""
        listed = await self._transfers(database)
        transfer = _adopted(listed, not_before)
        if transfer is None:
            transfer = await self._begin(database, {each.uuid for each in listed}, progress)
        ended = await self._ended(database, transfer, progress)
        if ended.failed:
            raise await self._failure(database, ended)
        if ended.size_bytes <= 0:
            raise BackupFailed(
                f"Backup {ended.name} of {_where(database)} is complete, and its size is 0 bytes.",
                hint="An empty backup is no backup: nothing was released. Look at it with: "
                f"heroku pg:backups:info {ended.name} --app {database.account}",
            )
        return _backup(database, ended)

    async def backups(self, target: Target) -> Sequence[Backup]:
        """The complete backups that still exist, newest first. Two round trips."""
        found: list[Backup] = []
        for database in await self.databases(target):
            transfers = await self._transfers(database)
            found += [_backup(database, t) for t in transfers if t.complete and t.gone_at is None]
        return sorted(found, key=lambda backup: backup.started_at, reverse=True)

    async def _transfers(self, database: Database) -> list[Transfer]:
        """The database's backups, whatever became of them."""
        path = f"/client/v11/apps/{database.account}/transfers"
        answer, names = await together(
            lambda: self._context.http("heroku_data").request("GET", path, headers=ACCEPT),
            lambda: self._names_of(database),
        )
        transfers = [_transfer(entry) for entry in _objects(answer)]
        return [t for t in transfers if t.is_backup and t.database_name.upper() in names]

    async def _names_of(self, database: Database) -> frozenset[str]:
        """One billing app may pay for several databases, and its list names them by attachment."""
        if database.id not in self._names:
            path = f"/addons/{database.id}"
            answer = await self._context.http("heroku").request("GET", path, headers=ACCEPT)
            self._names[database.id] = _addon_names(answer.object())
        return self._names[database.id]

    async def _begin(self, database: Database, known: Collection[str], progress: Progress) -> Transfer:
        """Ask for a backup: again only when the list shows that the last attempt made none."""
        path = f"/client/v11/databases/{database.id}/backups"
        for attempt in range(_REPEATS + 1):
            try:
                answer = await self._context.http("heroku_data").request("POST", path, headers=ACCEPT)
                return _transfer(answer.object())
            except VendorRefusal as error:
                raise BackupFailed(
                    f"Heroku refused to back {_where(database)} up: {error.message}",
                    hint=f"Nothing was released. {error.hint}".strip(),
                ) from error
            except (AnswerLost, VendorFailure) as error:
                progress("the answer was lost, looking at the list of backups")
                found = await self._appeared(database, known)
                if found is not None:
                    return found
                if attempt == _REPEATS:
                    raise BackupFailed(
                        f"Heroku began no backup of {_where(database)} in {attempt + 1} attempts: "
                        f"{error.message}",
                        hint="Nothing was released. Try again later.",
                    ) from error
        raise AssertionError("unreachable")

    async def _appeared(self, database: Database, known: Collection[str]) -> Transfer | None:
        """The backup that a capture of unknown fate began after all."""
        began = anyio.current_time()
        while True:
            found = [each for each in await self._transfers(database) if each.uuid not in known]
            elapsed = anyio.current_time() - began
            if found or elapsed >= _LOST_S:
                return found[-1] if found else None
            await anyio.sleep(gap_s(elapsed))

    async def _ended(self, database: Database, transfer: Transfer, progress: Progress) -> Transfer:
        """Polled at the billing app, as Heroku's CLI does."""
        if transfer.complete or transfer.failed:
            return transfer
        path = f"/client/v11/apps/{database.account}/transfers/{transfer.uuid}"

        async def ended() -> Transfer | None:
            answer = await self._context.http("heroku_data").request("GET", path, headers=ACCEPT)
            now = _transfer(answer.object())
            if now.complete or now.failed:
                return now
            progress(f"backup {now.name} runs, {now.size_bytes:,} bytes so far")
            return None

        def endless() -> Exception:
            return BackupFailed(
                f"Backup {transfer.name} of {_where(database)} runs for over {BACKUP_LIMIT_S / 3600:.0f} h.",
                hint="Nothing was released. A later promotion takes a new one.",
            )

        return await wait_for(ended, limit_s=BACKUP_LIMIT_S, timed_out=endless)

    async def _failure(self, database: Database, transfer: Transfer) -> BackupFailed:
        lines = transfer.logs or await self._log_lines(database, transfer)
        how = "was canceled" if transfer.canceled_at else "failed"
        log = "".join(f"\n    {line}" for line in lines[-_LOG_LINES:])
        return BackupFailed(
            f"Backup {transfer.name} of {_where(database)} {how}.{log}",
            hint="Nothing was released. See it with: "
            f"heroku pg:backups:info {transfer.name} --app {database.account}",
        )

    async def _log_lines(self, database: Database, transfer: Transfer) -> tuple[str, ...]:
        path = f"/client/v11/apps/{database.account}/transfers/{transfer.uuid}"
        try:
            answer = await self._context.http("heroku_data").request(
                "GET", path, params={"verbose": "true"}, headers=ACCEPT
            )
            return _transfer(answer.object()).logs
        except VendorError as error:
            return (f"(its log could not be read: {error.message})",)


def _adopted(listed: Sequence[Transfer], not_before: datetime) -> Transfer | None:
    """The newest backup that began late enough and has not failed, whoever asked for it.

    Heroku's times are whole seconds. One that began in the second of `not_before` counts only if it
    ended later than that: an earlier promotion's backup, from before its releases, must never count.
    """
    late = [
        (start, each)
        for each in listed
        if not each.failed
        and (start := each.started_at or each.created_at)
        and start >= not_before.replace(microsecond=0)
        and (start >= not_before or each.finished_at is None or each.finished_at > not_before)
    ]
    return max(late, key=lambda pair: pair[0])[1] if late else None


def _objects(answer: Answer) -> list[dict[str, Any]]:
    entries = answer.array()
    if not all(isinstance(entry, dict) for entry in entries):
        raise answer.bad("lists something that is not an object")
    return entries


def _names(attachment: Mapping[str, Any]) -> frozenset[str]:
    """What a list of backups may call this attachment's database."""
    return _addon_names(field(attachment, "addon", dict)) | {field(attachment, "name", str).upper()}


def _addon_names(addon: Mapping[str, Any]) -> frozenset[str]:
    variables = optional(addon, "config_vars", list) or ()
    names = {optional(addon, "name", str) or "", *(str(each).removesuffix("_URL") for each in variables)}
    return frozenset(name.upper() for name in names if name)


def _transfer(entry: Mapping[str, Any]) -> Transfer:
    number = optional(entry, "num", int) or 0
    old_name = optional(entry, "options.pgbackups_name", str)
    letter = "a" if entry.get("schedule") else "b"
    logs = [line for line in optional(entry, "logs", list) or () if isinstance(line, dict)]
    return Transfer(
        uuid=field(entry, "uuid", str),
        name=f"o{old_name}" if old_name else f"{letter}{number:03}",
        database_name=optional(entry, "from_name", str) or "",
        is_backup=entry.get("from_type") == "pg_dump" and entry.get("to_type") == "gof3r",
        created_at=_time(entry, "created_at"),
        started_at=_time(entry, "started_at"),
        finished_at=_time(entry, "finished_at"),
        canceled_at=_time(entry, "canceled_at"),
        gone_at=_time(entry, "deleted_at") or _time(entry, "purged_at"),
        succeeded=optional(entry, "succeeded", bool) or False,
        size_bytes=optional(entry, "processed_bytes", int) or 0,
        logs=tuple(str(line.get("message", "")) for line in logs),
    )


def _time(entry: Mapping[str, Any], name: str) -> datetime | None:
    text = optional(entry, name, str)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" +", "+").replace(" UTC", "+00:00"))
    except ValueError as error:
        raise BadAnswer(
            f"Heroku Postgres names {text!r} as {name!r} of a transfer, which is no time.",
            vendor="heroku_data",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _backup(database: Database, transfer: Transfer) -> Backup:
    started = transfer.started_at or transfer.created_at
    if started is None or transfer.finished_at is None:
        raise BackupFailed(
            f"Backup {transfer.name} of {_where(database)} is complete, and Heroku does not say since when.",
            hint="Nothing was released. Try again.",
        )
    return Backup(
        id=transfer.name,
        database=database.id,
        app=database.app,
        service=database.service,
        size_bytes=transfer.size_bytes,
        started_at=started,
        finished_at=transfer.finished_at,
    )


def _where(database: Database) -> str:
    return f"{database.app}'s database in {database.environment} ({database.account})"


plugin = Plugin("heroku", HerokuPostgres)
