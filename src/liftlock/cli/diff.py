"""`liftlock diff`."""

from __future__ import annotations

from typing import Literal

from liftlock.cli.options import DEFAULTS, AppName, EnvironmentName
from liftlock.cli.session import Common, opened
from liftlock.commands.diff import compare


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
    project, output = common.project(), common.output()
    async with opened(project, output) as adapters:
        found = await compare(project, adapters, source, target, apps)
        now, source_code = adapters.clock.now(), adapters.source_code
        compared = {
            app.range: await source_code.compare_url(*app.range) for group in found.groups for app in group
        }
    from liftlock.cli.diff_view import show_diff
    from liftlock.cli.release_notes import release_notes
    from liftlock.documents.diff import Addresses, diff_document

    addresses = Addresses(source_code.commit_url, source_code.pull_request_url, compared)
    if common.json:
        output.document(diff_document(found, addresses))
    elif format == "markdown":
        output.line(release_notes(found, addresses))
    else:
        show_diff(output, found, addresses, now)
    return 0
