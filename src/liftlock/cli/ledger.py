"""`liftlock ledger`: what is done to a ledger itself, not to what it records."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from liftlock.cli.options import DEFAULTS, Flag
from liftlock.cli.session import Common, opened
from liftlock.commands.copy_ledger import copy_ledger
from liftlock.config.values import Mistake
from liftlock.config.values import ledger as ledger_address
from liftlock.errors import UsageError
from liftlock.model import Project


async def migrate(*, common: Common = DEFAULTS) -> int:
    """Bring the ledger's tables to the layout that this liftlock knows, and make them where there are none.

    Every command does so when it first uses the ledger; this is for databases whose tables only their
    owner may change. A ledger on GitHub has no tables.
    """

    project, output = common.project(), common.output()
    async with opened(project, output) as adapters:
        account = await adapters.ledger.account()
    if common.json:
        output.document({"ledger": adapters.ledger.name, "account": account})
    else:
        output.line(f"The {adapters.ledger.name} ledger has this liftlock's layout. We are {account} there.")
    return 0


async def copy(
    source: str,
    target: str,
    /,
    *,
    dry_run: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Copy a ledger into an SQL ledger: records, promotions and approvals, under new ids, and compare them.

    May be repeated: what was copied is brought up to date, what is new is added. All is written or nothing.
    Afterwards, name the new one as [project] ledger.

    Parameters
    ----------
    source:
        The ledger that is read, as [project] ledger names it: github, sqlite:///FILE, postgresql://HOST/DATABASE.
    target:
        The ledger that it is copied into.
    dry_run:
        Say what would be copied. Changes nothing.
    """

    project, output = common.project(), common.output()
    there, here = _with_ledger(project, source), _with_ledger(project, target)
    if source == target:
        raise UsageError("A ledger cannot be copied into itself.", hint="Name another one as the second.")
    async with opened(there, output) as reading, opened(here, output) as writing:
        done = await copy_ledger(project, reading, writing, source, dry_run=dry_run)
    if common.json:
        output.document({"source": source, "target": target, "there": done.there, "copied": done.brought})
        return 0
    for kind in ("intent", "deployment", "approval"):
        name = {"intent": "promotion", "deployment": "record"}.get(kind, kind)
        new = done.brought.get(kind, 0)
        would = "would be copied" if dry_run else "copied now"
        count = done.there.get(kind, 0)
        output.line(f"{count} {name}{'' if count == 1 else 's'}: {new} {would}")
    if not dry_run:
        output.line(f'Every entry was compared. Now write in [project]: ledger = "{target}"', style="green")
    return 0


def _with_ledger(project: Project, address: str) -> Project:
    """The project with another ledger. Raises `UsageError` for what is no ledger."""
    try:
        return replace(project, ledger=ledger_address(address), single_machine=True)
    except Mistake as mistake:
        raise UsageError(f"{mistake}", hint=mistake.hint) from mistake
