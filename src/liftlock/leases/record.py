"""What is written down about a lease: as data, as text, and in the words that people are told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from liftlock.errors import Busy, LeaseLost, LiftlockError
from liftlock.model import Holding
from liftlock.wording import moment, read_moment

FORMAT = 1
LONGEST_S = 24 * 3600.0
MARGIN_S = 60.0
"""How long a lease stays its holder's after its time. It covers the way that requests travel, and a
`Date` header's whole seconds: what the holder may still begin is over before anybody takes over."""


class Standing(StrEnum):
    """What a number says of its lease."""

    HELD = "held"
    FREE = "free"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Record:
    """What a number points at. Who wrote it and when is the keeper's to say (see `Written`)."""

    standing: Standing
    purpose: str = ""
    ttl_s: float = 0.0
    since: datetime | None = None
    """When the lease was taken; None in the first record of a lease, which says it by its own time."""
    journal: tuple[Mapping[str, Any], ...] = ()
    """Entries, oldest first. Those of holders that vanished are handed on."""
    reason: str = ""
    """Why it was broken."""
    nonce: str = ""
    """Tells apart two records that one account wrote in the same second."""
    process: str = ""
    """Which process holds it, where its keeper can tell whether that still runs."""

    def text(self) -> str:
        """As JSON; every journal entry carries the hash of all that came before it."""
        content: dict[str, Any] = {"liftlock": FORMAT, "standing": self.standing.value}
        if self.standing is not Standing.FREE:
            content |= {"purpose": self.purpose, "ttl_s": self.ttl_s, "nonce": self.nonce}
        if self.since is not None:
            content["since"] = self.since.isoformat()
        if self.reason:
            content["reason"] = self.reason
        if self.process:
            content["process"] = self.process
        if self.journal:
            content["journal"] = [
                {"entry": entry, "hash": name}
                for entry, name in zip(self.journal, _chain(self.journal), strict=True)
            ]
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


FREE = Record(Standing.FREE)


@dataclass(frozen=True, slots=True)
class Written:
    """A record as its keeper has it: by whom and when it was written, by the keeper's own clock."""

    record: Record
    writer: str
    at: datetime
    handle: str = ""
    """What the keeper finds it by."""
    is_gone: bool = False
    """Whether its writer is known to have ended: it changes nothing any more, and cannot give it back."""

    def is_held(self, now: datetime) -> bool:
        """Whether somebody holds the lease at `now`, by the clock that `at` is from."""
        if self.is_gone:
            return False
        until = self.at + timedelta(seconds=self.record.ttl_s + MARGIN_S)
        return self.record.standing is Standing.HELD and now <= until

    def left_for_s(self, now: datetime) -> float | None:
        """For how long a lease that nobody gave back has been nobody's at `now`; None for one that was given back."""
        if self.record.standing is Standing.FREE:
            return None
        if self.is_gone:
            return 0.0  # nobody knows since when
        over = self.at
        if self.record.standing is Standing.HELD:
            over += timedelta(seconds=self.record.ttl_s)
        return max((now - over).total_seconds(), 0.0)

    def holding(self, environment: str, number: int) -> Holding:
        return Holding(
            environment=environment,
            holder=self.writer,
            purpose=self.record.purpose,
            since=self.record.since or self.at,
            until=self.at + timedelta(seconds=self.record.ttl_s),
            token=number,
            broken=self.record.reason,
        )


def read_record(text: str, where: str) -> Record:
    """A record from its text. Raises `LiftlockError`, naming `where`, for one that is not as it was written."""
    try:
        content = json.loads(text)
        version = content["liftlock"]
        if version == FORMAT:
            written = [(dict(one["entry"]), str(one["hash"])) for one in content.get("journal", ())]
            record = Record(
                standing=Standing(content["standing"]),
                purpose=str(content.get("purpose", "")),
                ttl_s=_length(content.get("ttl_s", 0.0)),
                since=read_moment(content["since"]) if "since" in content else None,
                journal=tuple(entry for entry, _ in written),
                reason=str(content.get("reason", "")),
                nonce=str(content.get("nonce", "")),
                process=str(content.get("process", "")),
            )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise LiftlockError(
            f"The lease in {where} cannot be read: it is not what liftlock writes there.",
            hint="Look at what changed it. While no promotion runs, it may be removed by hand.",
        ) from error
    if version != FORMAT:
        raise LiftlockError(
            f"The lease in {where} was written by another version of liftlock (format {version!r}; this "
            f"one knows {FORMAT}).",
            hint="Install the version that the others use: `pip install --upgrade liftlock`.",
        )
    for number, (name, (_, given)) in enumerate(zip(_chain(record.journal), written, strict=True), 1):
        if name != given:
            raise LiftlockError(
                f"The journal of the lease in {where} is broken at entry {number} of {len(written)}: it "
                "was changed after it was written.",
                hint="Nothing in it can be trusted. See what runs with: liftlock status. While no "
                "promotion runs, the lease may be removed by hand.",
            )
    return record


def _length(value: Any) -> float:
    """Seconds that a lease may last: more than a day is no lease of ours, and NaN would never end."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_S:
        raise ValueError(f"{value!r} is no length of time")
    return float(value)


def checked_entry(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """A copy of `entry` as it will be read again. Raises `TypeError` for what JSON cannot hold."""
    copy: Mapping[str, Any] = json.loads(json.dumps(dict(entry), allow_nan=False))
    return copy


def busy(holding: Holding) -> Busy:
    """What the loser is told."""
    return Busy(
        f"{holding.holder} holds {holding.environment} for {holding.purpose}, since "
        f"{moment(holding.since)}, until {moment(holding.until)} unless it is renewed.",
        hint="Nothing was changed. To wait for it: --wait 10m. If nobody is at work there any more: "
        f"liftlock lease break {holding.environment} --reason TEXT",
    )


def contended(environment: str) -> Busy:
    """Nobody could be named: it went from hand to hand while we looked."""
    return Busy(
        f"Others took {environment} and gave it back each time that it was to be taken.",
        hint="Nothing was changed. Try again, or let liftlock do so: --wait 10m.",
    )


def lost(environment: str, after: Written | None) -> LeaseLost:
    """What a holder is told whose lease another number has ended; None when nothing tells of it."""
    if after is None:
        return LeaseLost(
            f"The lease on {environment} is gone: what kept it was removed.",
            hint="Nothing new was begun. See what runs with: liftlock status",
        )
    record = after.record
    if record.standing is Standing.BROKEN:
        what = f"was broken by {after.writer} at {moment(after.at)}: {record.reason}"
    elif record.standing is Standing.FREE:
        what = "ran out, and others have held it since"
    else:
        what = (
            f"ran out, and {after.writer} took it at {moment(record.since or after.at)} for {record.purpose}"
        )
    return LeaseLost(
        f"The lease on {environment} {what}.",
        hint=f"Nothing new was begun. See who holds it with: liftlock lease show {environment}",
    )


def _chain(journal: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """A hash for each entry, over it and the hash before it."""
    names = []
    before = ""
    for entry in journal:
        text = json.dumps(entry, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        before = hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()
        names.append(before)
    return names
