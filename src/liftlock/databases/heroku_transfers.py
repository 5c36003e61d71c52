"""Heroku's transfers: backups, restores and copies, as its data API lists them together.

Source: no published schema; the names (`b007`, `r007`) and what the fields mean are those of Heroku's
CLI (`src/lib/pg/backups.ts`, `src/lib/pg/types.ts`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from liftlock.errors import BadAnswer
from liftlock.http import field as required
from liftlock.http import optional
from liftlock.wording import read_moment


@dataclass(frozen=True, slots=True)
class Transfer:
    """A backup, restore or copy, as Heroku lists them together."""

    uuid: str
    number: int
    name: str
    database_name: str
    is_backup: bool
    is_restore: bool
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    canceled_at: datetime | None
    gone_at: datetime | None
    succeeded: bool
    size_bytes: int
    content_url: str = field(repr=False)
    """Where a backup's content is, for Heroku's own restores. It opens it: a secret."""
    logs: tuple[str, ...]

    @property
    def since(self) -> datetime | None:
        return self.started_at or self.created_at

    @property
    def failed(self) -> bool:
        return self.canceled_at is not None or (self.finished_at is not None and not self.succeeded)

    @property
    def complete(self) -> bool:
        """`succeeded` means something only once `finished_at` is set."""
        return self.finished_at is not None and self.succeeded and self.canceled_at is None


def read_transfer(entry: Mapping[str, Any]) -> Transfer:
    number = optional(entry, "num", int) or 0
    old_name = optional(entry, "options.pgbackups_name", str)
    letter = "a" if entry.get("schedule") else "r" if entry.get("to_type") == "pg_restore" else "b"
    logs = [line for line in optional(entry, "logs", list) or () if isinstance(line, dict)]
    return Transfer(
        uuid=required(entry, "uuid", str),
        number=number,
        name=f"o{old_name}" if old_name else f"{letter}{number:03}",
        database_name=optional(entry, "from_name", str) or "",
        is_backup=entry.get("from_type") == "pg_dump" and entry.get("to_type") == "gof3r",
        is_restore=entry.get("from_type") != "pg_dump" and entry.get("to_type") == "pg_restore",
        created_at=_time(entry, "created_at"),
        started_at=_time(entry, "started_at"),
        finished_at=_time(entry, "finished_at"),
        canceled_at=_time(entry, "canceled_at"),
        gone_at=_time(entry, "deleted_at") or _time(entry, "purged_at"),
        succeeded=optional(entry, "succeeded", bool) or False,
        size_bytes=optional(entry, "processed_bytes", int) or 0,
        content_url=optional(entry, "to_url", str) or "",
        logs=tuple(str(line.get("message", "")) for line in logs),
    )


def _time(entry: Mapping[str, Any], name: str) -> datetime | None:
    text = optional(entry, name, str)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" +", "+").replace(" UTC", "+00:00"))
        return read_moment((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat())
    except ValueError as error:
        raise BadAnswer(
            f"Heroku Postgres names {text[:40]!r} as {name!r} of a transfer, which is no time.",
            vendor="heroku_data",
        ) from error


def checksum_told(headers: Mapping[str, str]) -> tuple[str, str]:
    """The algorithm and the digest of a body, where its server says so in a header; else ("", "").

    An ETag is no checksum: what it means is the server's own affair. Sources: RFC 1864 (Content-MD5),
    Amazon S3, "Checking object integrity" (a composite one ends in `-PARTS` and is of another thing).
    """
    for name, algorithm in (("x-amz-checksum-sha256", "sha256"), ("content-md5", "md5")):
        try:
            return algorithm, base64.b64decode(headers[name], validate=True).hex()
        except (KeyError, binascii.Error):
            continue
    return "", ""
