"""Approve: say yes to one plan, as the account that the ledger knows us by."""

from __future__ import annotations

import re
from datetime import timedelta

from liftlock.commands.names import check_names
from liftlock.errors import Refused, UsageError
from liftlock.model import Approval, Project
from liftlock.planning.gates.people import is_nobody
from liftlock.ports import Adapters

LONGEST_S = 30 * 24 * 3600.0
"""An approval that outlived everybody's memory of the plan would be none."""
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


async def approve_plan(
    project: Project,
    adapters: Adapters,
    plan_digest: str,
    environment: str = "",
    expires_in_s: float = 86400.0,
) -> tuple[str, Approval]:
    """Record the approval; returns the environment that it is for, and the approval.

    Without `environment`, the only one that asks for approvals is meant. Raises `Refused` for an
    account that is shared by programs: nobody could be told by it.
    """
    digest = whole_digest(plan_digest)
    environment = environment or only_one_that_asks(project)
    check_names(project, (environment,))
    if not 0 < expires_in_s <= LONGEST_S:
        raise UsageError(
            f"An approval cannot last {expires_in_s:.0f} s: it lasts 30 days at most.",
            hint="For example: --expires-in 24h",
        )
    if is_nobody(account := await adapters.ledger.account()):
        raise Refused(
            f"An approval by {account or 'nobody'} would count for nothing: it is no person's account.",
            hint="Approve with your own token: set GITHUB_TOKEN, or log in with gh."
            if project.ledger == "github"
            else "Approve as a user of your own.",
        )
    expires_at = adapters.clock.now() + timedelta(seconds=expires_in_s)
    return environment, await adapters.ledger.approve(environment, digest, expires_at)


def whole_digest(text: str) -> str:
    """The digest of a plan. Raises `UsageError` for a part of one: it could mean several plans."""
    match = _DIGEST.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(
            f"{text[:80]!r} is not the whole digest of a plan, which has 64 hexadecimal digits. Plans are kept"
            " nowhere, so a part of a digest cannot be looked up.",
            hint="The plan shows the whole one where approvals are needed (liftlock plan SOURCE TARGET), and so"
            " does a saved plan, as `digest`.",
        )
    return match[1]


def only_one_that_asks(project: Project) -> str:
    """The only environment that asks for approvals. Raises `UsageError` where there are several, or none."""
    asking = [e.name for e in project.environments.values() if e.gates.approvals]
    if len(asking) != 1:
        found = f"{', '.join(asking)} ask for approvals" if asking else "no environment asks for approvals"
        raise UsageError(f"It is not clear for which environment: {found}.", hint="Say it: --environment ENV")
    return asking[0]
