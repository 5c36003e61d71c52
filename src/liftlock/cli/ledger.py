"""`liftlock ledger`: what is done to a ledger itself, not to what it records."""

from __future__ import annotations

from liftlock.cli.options import DEFAULTS
from liftlock.cli.session import Common, opened


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
