"""Copy a ledger into another one: nothing lost, nobody at work in either, and compared afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from liftlock.commands.observe import refuse_open_intents
from liftlock.commands.run import Terms, held
from liftlock.engine.events import Event
from liftlock.errors import Busy, LiftlockError, UsageError
from liftlock.model import Project, State
from liftlock.ports import Adapters, Entry, Exporting, Importing
from liftlock.tasks import each

PURPOSE = "a copy of the ledger"
OPEN = {State.IN_PROGRESS.value, State.QUEUED.value, State.PENDING.value}


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy brought, by kind of entry."""

    there: Mapping[str, int]
    """How many the other ledger has."""
    brought: Mapping[str, int]
    """How many of them are new here."""


async def copy_ledger(
    project: Project, source: Adapters, target: Adapters, origin: str, *, dry_run: bool = False
) -> Copy:
    """Copy what `source` keeps of the project into `target`; every entry is compared afterwards.

    Safe to repeat: what was copied before is brought up to date, and what is new is added. All of
    it is written or nothing. `origin` names the source in the target. Raises `Busy` where a
    promotion runs or stands open in either, `LiftlockError` when the two do not say the same in the end.
    """
    reading, writing = source.ledger, target.ledger
    if not isinstance(reading, Exporting):
        raise UsageError(f"A {reading.name} ledger cannot be read whole, so it cannot be copied.")
    if not isinstance(writing, Importing):
        raise UsageError(
            f"A {writing.name} ledger cannot take another one's records.",
            hint='Copy into an SQL ledger: "sqlite:///FILE" or "postgresql://HOST/DATABASE".',
        )
    if dry_run:
        await _refuse_held(project, source)
        await _refuse_held(project, target)
        entries, before = await reading.entries(), await writing.entries()
        _refuse_open(entries)
        return Copy(_counted(entries), dict(_counted(entries) - _counted(before)))
    async with _alone(project, source), _alone(project, target):
        entries = await reading.entries()
        _refuse_open(entries)
        before = await writing.entries()
        await writing.put(entries, origin)
        after = await writing.entries()
        for entry in await writing.differing(entries, origin):
            raise LiftlockError(
                f"{entry.kind.capitalize()} {entry.id} of {entry.environment} was not copied as it is.",
                hint="Do not use the copy. That is a defect: please report it.",
            )
    return Copy(_counted(entries), dict(_counted(after) - _counted(before)))


@asynccontextmanager
async def _alone(project: Project, adapters: Adapters) -> AsyncIterator[None]:
    """Every environment's lease: nobody promotes meanwhile. Raises `Busy` when somebody does, or had begun to."""

    def ignore(_: Event) -> None: ...

    for environment in project.environments:
        records = adapters.ledger.read(environment, list(project.apps))
        refuse_open_intents(environment, await records.open_intents())
    async with AsyncExitStack() as leases:
        for environment in project.environments:
            lease = await leases.enter_async_context(
                held(adapters.leases, environment, Terms(PURPOSE), ignore)
            )
            await lease()
        yield


async def _refuse_held(project: Project, adapters: Adapters) -> None:
    found = await each(list(project.environments), adapters.leases.holding)
    for environment, holding in found.items():
        if holding is not None:
            raise Busy(
                f"{holding.holder} holds {environment} for {holding.purpose}.",
                hint="Wait until it has ended, and copy then.",
            )


def _refuse_open(entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.kind == "intent" and entry.state in OPEN:
            raise Busy(
                f"A promotion stands open in {entry.environment}: {entry.id}. A copy of it could be resumed twice.",
                hint=f"Finish or undo it first: liftlock resume {entry.environment}",
            )


def _counted(entries: Sequence[Entry]) -> Counter[str]:
    return Counter(entry.kind for entry in entries)
