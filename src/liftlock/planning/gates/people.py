"""The gate of approvals: how many people besides whoever asks said yes, to this very plan or to this run."""

from __future__ import annotations

from datetime import datetime

from liftlock.model import Unknown, WorkflowRun
from liftlock.planning.gates.facts import Facts
from liftlock.planning.plan import Verdict

GATE = "approvals"


def is_nobody(account: str) -> bool:
    """Whether an account is shared by programs, so that nobody can be told by it.

    An installation of a GitHub App is known as "app"; GitHub ends its bots' names with "[bot]".
    """
    return account in {"", "app"} or account.endswith("[bot]")


def approvals(needed: int, facts: Facts, now: datetime) -> Verdict:
    """Each person counts once; whoever asks, bots, and what has expired do not."""
    approved, run = facts.approvals, facts.workflow
    if isinstance(approved, Unknown) or isinstance(run, Unknown):
        why = "; ".join(each.reason for each in (approved, run) if isinstance(each, Unknown))
        return Verdict(GATE, passed=False, reason=f"0 of {needed} known to be given: {why}")
    asking = {
        each.casefold()
        for each in (facts.requester, facts.acting_for, *(run.started_by if run else ()))
        if each
    }
    given: dict[str, str] = {}
    ignored: dict[str, None] = {}
    expired: dict[str, str] = {}

    def count(account: str, said: str) -> None:
        # GitHub's names are the same in any case.
        if is_nobody(account):
            ignored[f"{account or 'nobody'} is no person"] = None
        elif account.casefold() in asking:
            same = " (an SQLite file knows people as this machine's users)" if facts.is_local else ""
            ignored[
                f"{account}'s own does not count: the ledger knows who asks by the same account{same}"
            ] = None
        else:
            given.setdefault(account.casefold(), said)

    for approval in approved:
        if approval.expires_at > now or is_nobody(approval.account) or approval.account.casefold() in asking:
            count(approval.account, approval.account)
        else:
            text = f"{approval.account}'s expired {approval.expires_at:%Y-%m-%d %H:%M} UTC"
            expired[approval.account.casefold()] = text
    if run is not None:
        reviewers = _reviewers(run, facts.job_environments)
        lacking = _why_no_review_counts(run, facts)
        for account in reviewers if not lacking else ():
            count(account, f"{account}, who reviewed this run")
        if reviewers and lacking:
            ignored[lacking] = None
    said = f"{len(given)} of {needed} given"
    if given:
        said += f" ({', '.join(given.values())})"
    late = [text for who, text in expired.items() if who not in given]
    return Verdict(GATE, passed=len(given) >= needed, reason="; ".join([said, *ignored, *late]))


def _reviewers(run: WorkflowRun, environments: tuple[str, ...]) -> list[str]:
    """Who let the run into one of the environments."""
    named = {each.casefold() for each in environments}
    about = [review for review in run.reviews if named & {each.casefold() for each in review.environments}]
    return [review.account for review in about if review.approved]


def _why_no_review_counts(run: WorkflowRun, facts: Facts) -> str:
    """What keeps the run's reviews from counting; "" when nothing does."""
    about = "GitHub's reviews of this run do not count: "
    if not is_nobody(facts.requester):
        return f"{about}the token is {facts.requester}'s, and not one of a job or an App"
    if not run.started_by:
        return f"{about}GitHub does not say who started it"
    if not run.is_running:
        return f"{about}it is not in progress"
    if run.attempt != 1:
        return (
            f"{about}it was started again, and GitHub does not say which attempt they let in; start a new run"
        )
    return ""
