"""The gate of approvals: how many people besides the requester said yes to this very plan."""

from __future__ import annotations

from datetime import datetime

from liftlock.model import Unknown
from liftlock.planning.gates.facts import Facts
from liftlock.planning.plan import Verdict

GATE = "approvals"


def is_nobody(account: str) -> bool:
    """Whether an account is shared by programs, so that nobody can be told by it.

    An installation of a GitHub App is known as "app"; GitHub ends its bots' names with "[bot]".
    """
    return account in {"", "app"} or account.endswith("[bot]")


def approvals(needed: int, facts: Facts, now: datetime) -> Verdict:
    """Each person counts once; the requester, bots, and what has expired do not."""
    if isinstance(facts.approvals, Unknown):
        return Verdict(
            GATE, passed=False, reason=f"0 of {needed} known to be given: {facts.approvals.reason}"
        )
    given: dict[str, datetime] = {}
    ignored: dict[str, None] = {}
    for approval in facts.approvals:
        # GitHub's names are the same in any case.
        who, requester = approval.account.casefold(), facts.requester.casefold()
        if is_nobody(approval.account):
            ignored[f"{approval.account or 'nobody'} is no person"] = None
        elif who == requester:
            ignored[f"{approval.account}'s own does not count"] = None
        elif approval.expires_at <= now:
            ignored[f"{approval.account}'s expired {approval.expires_at:%Y-%m-%d %H:%M} UTC"] = None
        elif who not in given:
            given[who] = approval.expires_at
    said = f"{len(given)} of {needed} given"
    people = [a.account for a in facts.approvals if a.account.casefold() in given]
    if people:
        said += f" ({', '.join(dict.fromkeys(people))})"
    expired = [text for text in ignored if text.partition("'s expired")[0].casefold() not in given]
    return Verdict(GATE, passed=len(given) >= needed, reason="; ".join([said, *expired]))
