"""Heroku Postgres: the databases of Heroku apps, backed up by Heroku itself.

Source: no published schema; the requests are those of Heroku's CLI (`pg:backups`), which also
gives the names of backups (`b007`) and what the fields of a transfer mean.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio

from liftlock.databases.heroku_transfers import Transfer, checksum_told, read_transfer
from liftlock.errors import (
    AnswerLost,
    BackupFailed,
    LiftlockError,
    NeedsPerson,
    NotFound,
    VendorError,
    VendorFailure,
    VendorRefusal,
)
from liftlock.http import Answer, field, optional
from liftlock.model import Backup, Database, Target
from liftlock.plugins import Context, Plugin
from liftlock.polling import gap_s, wait_for
from liftlock.ports import Content, Progress
from liftlock.probes import Finding, Probe
from liftlock.tasks import together

ACCEPT = {"Accept": "application/vnd.heroku+json; version=3"}
BACKUP_LIMIT_S = 6 * 3600.0
_REPEATS = 2
_LOST_S = 2.0
FRESH_S = 5.0
_LOG_LINES = 10
_EARLIER = 10

Look = Callable[[], Awaitable[list[Transfer]]]


class HerokuPostgres:
    """Captures and lists backups. An app's database is what its DATABASE_URL is attached to."""

    name = "heroku"
    concurrency = 64

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names: dict[str, frozenset[str]] = {}
        """By add-on, under which names its backups may say that they are of it."""
        self._payers: dict[str, str] = {}
        """By add-on, the id of the app that is billed for it."""
        self._seen: dict[str, tuple[float, list[Transfer]]] = {}
        """By add-on, the last list of transfers, and when it was asked for."""

    def probes(self) -> Sequence[Probe]:
        """See `probes.Probed`. Each database that a plan backs up, and the list of its backups."""
        return [
            Probe("Heroku Postgres", f"{target.app} in {target.environment}", partial(self._probe, target))
            for app in self._context.project.apps.values()
            if app.backup and app.platform == self.name and app.databases in ("", self.name)
            for target in app.targets.values()
        ]

    async def _probe(self, target: Target) -> Finding:
        databases = await self.databases(target)
        if not databases:
            said = f"{target.name} has no DATABASE_URL: with `backup = true`, nothing would be backed up"
            return Finding(said, note=True)
        return Finding("its backups can be listed")

    async def databases(self, target: Target) -> Sequence[Database]:
        """The add-on behind the app's DATABASE_URL; none when nothing is attached there.

        Two round trips: a capture that follows soon needs the list of backups, and takes this one.
        Changes nothing, though the first is a POST.
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
            self._payers[addon_id] = optional(attachment, "addon.app.id", str) or account
            self._names[addon_id] = self._names.get(addon_id, frozenset()) | _names(attachment)
            found[addon_id] = Database(addon_id, target.app, target.environment, self.name, account)
        for database in found.values():
            asked = anyio.current_time()
            self._seen[database.id] = asked, await self._listed(database)
        return list(found.values())

    async def capture(
        self, database: Database, not_before: datetime | None, progress: Progress, promotion: str = ""
    ) -> Backup:
        """See `ports.DatabaseService`. A look at the list, one capture, and looks at it until it ends.

        Heroku's times are one clock's, and nothing can be written to a backup: they decide.
        """
        listed = await self._transfers(database, seen=self._fresh(database))
        transfer = _adopted(listed, not_before) if not_before else None
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
        return replace(_backup(database, ended), earlier_bytes=_earlier(listed, ended))

    async def backups(self, target: Target, *, gone: bool = False) -> Sequence[Backup]:
        """See `ports.DatabaseService`. Two round trips."""
        found: list[Backup] = []
        for database in await self.databases(target):
            transfers = await self._transfers(database)
            found += [_backup(database, t) for t in transfers if t.complete and (gone or t.gone_at is None)]
        return sorted(found, key=lambda backup: backup.started_at, reverse=True)

    @asynccontextmanager
    async def content(self, database: Database, backup: Backup) -> AsyncIterator[Content]:
        """From the public address that Heroku makes for it, which is asked for without our credential."""
        transfer = await self._transfer_of(database, backup)
        answer = await self._context.http("heroku_data").request(
            "POST",
            f"/client/v11/apps/{database.account}/transfers/{transfer.number}/actions/public-url",
            headers=ACCEPT,
            repeat=True,
        )
        address = field(answer.object(), "url", str)
        http, url = self._context.http_at("heroku_data", address), urlsplit(address)
        async with http.stream("GET", f"{url.path}?{url.query}" if url.query else url.path) as download:
            yield Content(download.chunks(), transfer.size_bytes, checksum_told(download.headers))

    async def restore(self, database: Database, backup: Backup, progress: Progress) -> None:
        """See `ports.DatabaseService`. Heroku empties the database first, so a failed restore leaves
        nobody knows what."""
        transfer = await self._transfer_of(database, backup)
        listed = await self._restores(database)
        begun = await self._begin_restore(database, transfer, {each.uuid for each in listed}, progress)
        try:
            ended = await self._ended(database, begun, progress, self._payer(database), "restore")
        except LiftlockError as error:
            raise _half_restored(database, backup, error.message) from error
        if ended.failed:
            lines = "".join(f"\n    {line}" for line in await self._last_words(database, ended))
            raise _half_restored(database, backup, f"Heroku's restore {ended.name} did not succeed.{lines}")

    async def delete(self, database: Database, backup: Backup) -> None:
        """See `ports.DatabaseService`. Two round trips."""
        try:
            transfer = await self._transfer_of(database, backup)
            path = f"/client/v11/apps/{database.account}/transfers/{transfer.number}"
            await self._context.http("heroku_data").request("DELETE", path, headers=ACCEPT)
        except NotFound:
            return

    async def address(self, database: Database) -> str:
        """What the app is given as DATABASE_URL. One round trip."""
        app = self._context.project.apps[database.app].targets[database.environment].name
        path = f"/apps/{app}/config-vars"
        answer = await self._context.http("heroku").request("GET", path, headers=ACCEPT)
        return field(answer.object(), "DATABASE_URL", str)

    async def _transfer_of(self, database: Database, backup: Backup) -> Transfer:
        """Raises `NotFound` when Heroku does not list it, or its content is no more."""
        for transfer in await self._transfers(database):
            if transfer.name == backup.id and transfer.complete:
                if transfer.gone_at is None:
                    return transfer
                raise NotFound(
                    f"The content of backup {backup.id} of {_where(database)} is gone since "
                    f"{transfer.gone_at:%Y-%m-%d %H:%M} UTC.",
                    vendor="heroku_data",
                )
        raise NotFound(f"Heroku lists no backup {backup.id} of {_where(database)}.", vendor="heroku_data")

    def _fresh(self, database: Database) -> list[Transfer] | None:
        """The list that planning asked for, once, while nobody can have begun a backup for us since."""
        asked, listed = self._seen.pop(database.id, (0.0, None))
        return listed if anyio.current_time() - asked < FRESH_S else None

    async def _transfers(self, database: Database, seen: list[Transfer] | None = None) -> list[Transfer]:
        """The database's backups, whatever became of them."""
        if seen is None:
            listed, names = await together(lambda: self._listed(database), lambda: self._names_of(database))
        else:
            listed, names = seen, await self._names_of(database)
        return [t for t in listed if t.is_backup and t.database_name.upper() in names]

    async def _restores(self, database: Database) -> list[Transfer]:
        return [transfer for transfer in await self._listed(database) if transfer.is_restore]

    async def _listed(self, database: Database) -> list[Transfer]:
        path = f"/client/v11/apps/{database.account}/transfers"
        answer = await self._context.http("heroku_data").request("GET", path, headers=ACCEPT)
        return [read_transfer(entry) for entry in _objects(answer)]

    def _payer(self, database: Database) -> str:
        """Where a restore is polled: by the billing app's id, as Heroku's CLI does."""
        return self._payers.get(database.id, database.account)

    async def _names_of(self, database: Database) -> frozenset[str]:
        """One billing app may pay for several databases, and its list names them by attachment."""
        if database.id not in self._names:
            path = f"/addons/{database.id}"
            answer = await self._context.http("heroku").request("GET", path, headers=ACCEPT)
            self._names[database.id] = _addon_names(answer.object())
        return self._names[database.id]

    async def _begin(self, database: Database, known: Collection[str], progress: Progress) -> Transfer:
        """Ask for a backup: again only when the list shows that the last attempt made none."""

        async def ask() -> Answer:
            path = f"/client/v11/databases/{database.id}/backups"
            return await self._context.http("heroku_data").request("POST", path, headers=ACCEPT)

        try:
            return await self._begun(ask, lambda: self._transfers(database), known, progress)
        except VendorRefusal as error:
            raise BackupFailed(
                f"Heroku refused to back {_where(database)} up: {error.message}",
                hint=f"Nothing was released. {error.hint}".strip(),
            ) from error
        except (AnswerLost, VendorFailure) as error:
            raise BackupFailed(
                f"Heroku began no backup of {_where(database)} in {_REPEATS + 1} attempts: {error.message}",
                hint="Nothing was released. Try again later.",
            ) from error

    async def _begin_restore(
        self, database: Database, transfer: Transfer, known: Collection[str], progress: Progress
    ) -> Transfer:
        async def ask() -> Answer:
            return await self._context.http("heroku_data").request(
                "POST",
                f"/client/v11/databases/{database.id}/restores",
                json={"backup_url": transfer.content_url},
                headers=ACCEPT,
            )

        try:
            return await self._begun(ask, lambda: self._restores(database), known, progress)
        except (VendorRefusal, VendorFailure) as error:
            raise BackupFailed(
                f"Heroku did not begin to restore {transfer.name} into {_where(database)}: {error.message}",
                hint=f"The database stands as before. {error.hint}".strip(),
            ) from error

    async def _begun(
        self,
        ask: Callable[[], Awaitable[Answer]],
        look: Look,
        known: Collection[str],
        progress: Progress,
    ) -> Transfer:
        """The transfer that is asked for, whatever becomes of the answer."""
        for attempt in range(_REPEATS + 1):
            try:
                return read_transfer((await ask()).object())
            except (AnswerLost, VendorFailure):
                progress("the answer was lost, looking at the list")
                found = await _appeared(look, known)
                if found is not None:
                    return found
                if attempt == _REPEATS:
                    raise
        raise AssertionError("unreachable")

    async def _ended(
        self,
        database: Database,
        transfer: Transfer,
        progress: Progress,
        at: str = "",
        what: str = "backup",
    ) -> Transfer:
        """Polled at the billing app, as Heroku's CLI does; `at` names it in another way."""
        if transfer.complete or transfer.failed:
            return transfer
        path = f"/client/v11/apps/{at or database.account}/transfers/{transfer.uuid}"

        async def ended() -> Transfer | None:
            answer = await self._context.http("heroku_data").request("GET", path, headers=ACCEPT)
            now = read_transfer(answer.object())
            if now.complete or now.failed:
                return now
            progress(f"{what} {now.name} runs, {now.size_bytes:,} bytes so far")
            return None

        def endless() -> Exception:
            return BackupFailed(
                f"{what.capitalize()} {transfer.name} of {_where(database)} runs for over "
                f"{BACKUP_LIMIT_S / 3600:.0f} h.",
                hint="Nothing was released. A later promotion takes a new backup.",
            )

        return await wait_for(ended, limit_s=BACKUP_LIMIT_S, timed_out=endless)

    async def _failure(self, database: Database, transfer: Transfer) -> BackupFailed:
        how = "was canceled" if transfer.canceled_at else "failed"
        log = "".join(f"\n    {line}" for line in await self._last_words(database, transfer))
        return BackupFailed(
            f"Backup {transfer.name} of {_where(database)} {how}.{log}",
            hint="Nothing was released. See it with: "
            f"heroku pg:backups:info {transfer.name} --app {database.account}",
        )

    async def _last_words(self, database: Database, transfer: Transfer) -> Sequence[str]:
        lines = transfer.logs or await self._log_lines(database, transfer)
        return lines[-_LOG_LINES:]

    async def _log_lines(self, database: Database, transfer: Transfer) -> tuple[str, ...]:
        path = f"/client/v11/apps/{database.account}/transfers/{transfer.uuid}"
        try:
            answer = await self._context.http("heroku_data").request(
                "GET", path, params={"verbose": "true"}, headers=ACCEPT
            )
            return read_transfer(answer.object()).logs
        except VendorError as error:
            return (f"(its log could not be read: {error.message})",)


async def _appeared(look: Look, known: Collection[str]) -> Transfer | None:
    """The transfer that a request of unknown fate began after all."""
    began = anyio.current_time()
    while True:
        found = [each for each in await look() if each.uuid not in known]
        elapsed = anyio.current_time() - began
        if found or elapsed >= _LOST_S:
            return found[-1] if found else None
        await anyio.sleep(gap_s(elapsed))


def _earlier(listed: Sequence[Transfer], transfer: Transfer) -> tuple[int, ...]:
    """The sizes of the last complete ones that began before `transfer`, newest first."""
    before = [
        (each.since, each.size_bytes)
        for each in listed
        if each.complete and each.size_bytes > 0 and each.uuid != transfer.uuid and each.since
        if transfer.since and each.since <= transfer.since
    ]
    return tuple(size for _, size in sorted(before, reverse=True)[:_EARLIER])


def _half_restored(database: Database, backup: Backup, why: str) -> NeedsPerson:
    return NeedsPerson(
        f"{_where(database)} was to be restored from {backup.id}, and nobody knows what it holds now: {why}",
        hint="Look at it, then restore it from that or from a later backup: "
        f"liftlock backups restore {database.environment} {database.app} ID",
    )


def _adopted(listed: Sequence[Transfer], not_before: datetime) -> Transfer | None:
    """The newest backup that began late enough and has not failed, whoever asked for it.

    Heroku's times are whole seconds. One that began in the second of `not_before` counts only if it
    ended later than that: an earlier promotion's backup, from before its releases, must never count.
    """
    late = [
        (start, each)
        for each in listed
        if not each.failed
        and (start := each.since)
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


def _backup(database: Database, transfer: Transfer) -> Backup:
    started = transfer.since
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
        gone_at=transfer.gone_at,
    )


def _where(database: Database) -> str:
    return f"{database.app}'s database in {database.environment} ({database.account})"


plugin = Plugin("heroku", HerokuPostgres)
