"""The checkout at hand, for the commands that build it."""

from __future__ import annotations

from pathlib import Path

from liftlock.commands.publish import Checkout
from liftlock.errors import UsageError
from liftlock.model import Project
from liftlock.source_code import head
from liftlock.sqlite_file import files_of
from liftlock.wiring import is_on_loopback


async def at_hand(project: Project, *, any_state: bool = False) -> Checkout:
    """The checkout of this folder. Raises `UsageError` when its files are not its commit's.

    With `any_state`, or where everything is on this machine, they may differ. The project's own
    ledger is no part of what is built: it may lie in the checkout.
    """
    here = await head(Path.cwd(), files_of(project))
    if here.dirty and not any_state and not is_on_loopback(project):
        raise UsageError(
            "The work tree has changes that are not committed, so no commit names what would be deployed.",
            hint="Commit or stash them, then run this again.",
        )
    return Checkout(Path.cwd(), here.repository, here.commit.sha, here.dirty)
