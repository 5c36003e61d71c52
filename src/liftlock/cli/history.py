"""`liftlock history`: the list, and one promotion in detail."""

from __future__ import annotations

from liftlock.cli import history_view
from liftlock.cli.looks import HistoryAsked, looking
from liftlock.cli.options import DEFAULTS, AppName, EnvironmentName
from liftlock.cli.session import Common
from liftlock.commands.history import is_id, nobody_so_named
from liftlock.documents.history import account_document, history_document
from liftlock.errors import UsageError
from liftlock.model import Deployment


async def history(
    which: EnvironmentName = "",
    /,
    *,
    app: AppName = "",
    by: str = "",
    since: str = "",
    until: str = "",
    limit: int = 20,
    common: Common = DEFAULTS,
) -> int:
    """Show who put what where, when, from where, and how it ended. Changes nothing.

    Parameters
    ----------
    which:
        Only this environment; or the id of a promotion, or the beginning of one, to see all of it:
        its steps and their times, backups, gates and approvals.
    app:
        Only what concerns this app.
    by:
        Only what this person did, as the ledger names them.
    since:
        Not older: a day (2026-11-20), a time (2026-11-20T12:00, in UTC unless it says otherwise), or
        how long ago (2d).
    until:
        Not newer: the same; of a day, its end.
    limit:
        How many entries, newest first.
    """

    output = common.output()
    if limit < 1:
        raise UsageError(f"--limit {limit} shows nothing.", hint="For example: --limit 50")
    is_filtered = bool(app or by or since or until)
    async with looking(common, output) as looks:
        in_detail = bool(which) and which not in looks.project.environments and is_id(which)
        if in_detail and is_filtered:
            raise UsageError(
                f"{which} is one promotion: there is nothing to filter.",
                hint=f"Show all of it: liftlock history {which}",
            )
        now = looks.now()
        if in_detail:
            told = await looks.account(which)
        else:
            found = await looks.history(HistoryAsked(which, app, by, since, until, limit))
    if in_detail:
        if common.json:
            output.document(account_document(told))
        elif isinstance(told, Deployment):
            history_view.show_record(output, told, now)
        else:
            history_view.show_account(output, told, now)
    elif common.json:
        output.document(history_document(found.entries))
    elif by and not found.entries:
        output.line(nobody_so_named(by, found.people))
    else:
        history_view.show_history(output, found.entries, now, is_filtered=is_filtered)
    return 0
