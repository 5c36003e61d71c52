"""`liftlock status`."""

from __future__ import annotations

from typing import Annotated

from liftlock.cli.looks import looking
from liftlock.cli.options import DEFAULTS, EnvironmentName, Flag
from liftlock.cli.session import Common, import_meanwhile
from liftlock.commands.names import check_names


async def status(
    environment: EnvironmentName = "",
    /,
    *,
    check: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Show what is recorded and what runs, every app in every environment. Changes nothing.

    Parameters
    ----------
    environment:
        Only this one.
    check:
        Exit 5 where running differs from recorded, 1 where it could not be looked at.
    """

    output = common.output()
    async with looking(common, output) as looks:
        project = looks.project
        if environment:
            check_names(project, (environment,))
        environments = [environment] if environment else list(project.environments)
        import_meanwhile("liftlock.documents.status" if common.json else "liftlock.cli.status_view")
        seen = await looks.status(environments)
        now = looks.now()
    if common.json:
        from liftlock.documents.status import status_document

        output.document(status_document(seen))
    else:
        from liftlock.cli import status_view

        status_view.show_status(output, project, seen, environments, now)
    if check and seen.drifted:
        return 5
    return 1 if check and seen.unseen else 0
