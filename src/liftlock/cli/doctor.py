"""`liftlock doctor`: whether everything that the project needs is there, and what to mend."""

from __future__ import annotations

from liftlock.cli import doctor_view
from liftlock.cli.options import DEFAULTS
from liftlock.cli.session import Common
from liftlock.commands.doctor import Health, examine
from liftlock.wiring import endpoint_notes, open_probes


async def doctor(
    *,
    common: Common = DEFAULTS,
) -> int:
    """Try every credential, permission, place and tool that the project needs. Changes nothing.

    Exits 0 when all is well, 1 when something must be mended, 2 when the configuration must.
    """
    project, output = common.project(), common.output()
    async with open_probes(project) as probes:
        results = await examine(probes)
    if common.json:
        output.document(doctor_view.document(project, endpoint_notes(project), results))
    else:
        doctor_view.show(output, project, endpoint_notes(project), results)
    return 1 if any(one.health is Health.MEND for one in results) else 0
