"""An approval that somebody gives through the server: bound to them, by a ledger that vouches for it.

An SQL ledger takes the server's word for who it acts for. GitHub vouches for tokens alone: there, an
approval is made with the person's own token, from their sign-in, and never with the server's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from liftlock.commands.approve import approve_plan, whole_digest
from liftlock.errors import Refused
from liftlock.http.addresses import is_loopback
from liftlock.model import Approval
from liftlock.ports import Adapters
from liftlock.web.access.access import Access
from liftlock.web.access.people import Person
from liftlock.web.access.sessions import Session

DAY_S = 86400.0


async def approve(
    access: Access,
    open_: Callable[[str], AbstractAsyncContextManager[Adapters]],
    person: Person,
    session: Session | None,
    environment: str,
    plan_digest: str,
    lasts_s: float = DAY_S,
) -> Approval:
    """Record the person's approval of one plan. Raises `Refused` where it could not be told to be theirs."""
    digest = whole_digest(plan_digest)
    project = access.project
    if person.is_machine:
        raise Refused(
            f"{person.account} is a machine's token, and an approval is a person's yes.",
            hint="Approve on the page, or with a token of your own.",
        )
    if person.via != "link" and project.ledger == "github":
        opened = access.open_own(_own_environ(access, person, session, environment, digest))
    else:  # the machine's own user approves with its own credentials, as on the command line
        opened = open_(person.account)
    async with opened as adapters:
        account = await adapters.ledger.account()
        if person.via != "link" and account.casefold() != person.account.casefold():
            raise Refused(
                f"The ledger would take this approval for {account}'s, and not for {person.account}'s.",
                hint=f"Give it yourself: {_command(environment, digest)}",
            )
        _, given = await approve_plan(project, adapters, digest, environment, lasts_s)
    return given


def _own_environ(
    access: Access, person: Person, session: Session | None, environment: str, digest: str
) -> dict[str, str]:
    """The server's variables with the person's token in place of its own."""
    token = session.provider_token if session is not None else ""
    if not token:
        raise Refused(
            f"GitHub would take this approval for the server's own: it has no token of {person.account}'s.",
            hint="Sign in on the page and approve there, or give it yourself: "
            f"{_command(environment, digest)}",
        )
    environ = {name: value for name, value in access.environ.items() if name not in {"GH_TOKEN", "NETRC"}}
    own = {"GITHUB_TOKEN": token}
    github = access.project.serve.github
    if github is not None and is_loopback(github.url):
        own["LIFTLOCK_SANDBOX_TOKEN"] = token  # a sandbox's own, which goes back to where it is from
    return environ | own


def _command(environment: str, digest: str) -> str:
    return f"liftlock approve {digest} --environment {environment}"
