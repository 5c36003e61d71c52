"""`liftlock lease`: who holds an environment, and taking it from a holder that is gone."""

from __future__ import annotations

from liftlock.cli import lease_view
from liftlock.cli.looks import looking
from liftlock.cli.options import DEFAULTS, EnvironmentName
from liftlock.cli.session import Common
from liftlock.documents.lease import lease_document


async def show(
    environment: EnvironmentName,
    /,
    *,
    common: Common = DEFAULTS,
) -> int:
    """Show who holds an environment, for what, since when and until when. Changes nothing.

    Parameters
    ----------
    environment:
        The environment.
    """

    output = common.output()
    async with looking(common, output) as looks:
        holding = await looks.lease(environment)
    if common.json:
        output.document(lease_document(environment, holding))
    else:
        output.line(lease_view.held(environment, holding))
    return 0


async def break_(
    environment: EnvironmentName,
    /,
    *,
    reason: str,
    common: Common = DEFAULTS,
) -> int:
    """Take an environment away from its holder: for one that was killed, and whose time is not over.

    A holder that still runs stops before its next change, and says who broke its lease and why.

    Parameters
    ----------
    environment:
        The environment.
    reason:
        Why; recorded, and told to the holder.
    """

    output = common.output()
    async with looking(common, output) as looks:
        holding = await looks.break_lease(environment, reason)
    if common.json:
        output.document(lease_document(environment, holding))
    else:
        output.line(lease_view.broken(holding))
    return 0
