"""`liftlock diff`."""

from __future__ import annotations

from typing import Literal

from liftlock.cli.looks import looking
from liftlock.cli.options import DEFAULTS, AppName, EnvironmentName
from liftlock.cli.session import Common


async def diff(
    source: EnvironmentName,
    target: EnvironmentName,
    /,
    *apps: AppName,
    format: Literal["text", "markdown"] = "text",  # noqa: A002 - the option's name
    common: Common = DEFAULTS,
) -> int:
    """Show the commits, images and migrations that SOURCE has and TARGET lacks. Changes nothing.

    Parameters
    ----------
    source:
        The environment that is compared, such as dev.
    target:
        The environment that it is compared with, such as production.
    apps:
        Only these apps.
    format:
        markdown for release notes.
    """
    output = common.output()
    async with looking(common, output) as looks:
        found, addresses = await looks.diff(source, target, apps)
        now = looks.now()
    from liftlock.cli.diff_view import show_diff
    from liftlock.cli.release_notes import release_notes
    from liftlock.documents.diff import diff_document

    if common.json:
        output.document(diff_document(found, addresses))
    elif format == "markdown":
        output.line(release_notes(found, addresses))
    else:
        show_diff(output, found, addresses, now)
    return 0
