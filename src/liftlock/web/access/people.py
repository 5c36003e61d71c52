"""Who is asking, and what they may do: what pages and the API are written against.

`person_of` and `require` read what the middleware found out about the request. Rights come from
`[environments.X.roles]` and are looked up anew for each request: taking one away holds at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from starlette.requests import HTTPConnection

from liftlock.errors import LiftlockError
from liftlock.model import EMPTY, Project

Via = Literal["session", "token", "link"]


class Right(StrEnum):
    """What somebody may do with an environment; the values are the keys of `[environments.X.roles]`."""

    SEE = "see"
    PROMOTE = "promote"
    APPROVE = "approve"
    ADMINISTER = "administer"


EVERYTHING = frozenset(Right)
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in, or a program with a token."""

    account: str
    """What the ledger, the audit log and Slack call them: a GitHub login, a claim of the provider, `token:NAME`."""
    name: str
    """What pages call them."""
    via: Via
    rights: Mapping[str, frozenset[Right]] = field(default_factory=lambda: EMPTY)
    """By environment; one that is absent, or has none, cannot even be seen."""
    address: str = ""
    """Where the request came from: for the audit log."""
    is_machine: bool = False
    """Whether it is a program: it cannot approve."""

    def may(self, right: Right, environment: str) -> bool:
        """Whether they may. Who may do anything may see; no other right brings another."""
        found = self.rights.get(environment, frozenset())
        return bool(found) if right is Right.SEE else right in found

    def may_withdraw(self, environment: str, requested_by: str) -> bool:
        """Whether they may take back what somebody asked for: their own, or anybody's where they administer."""
        is_theirs = requested_by == self.account and self.may(Right.PROMOTE, environment)
        return is_theirs or self.may(Right.ADMINISTER, environment)

    def where(self, right: Right) -> list[str]:
        """The environments where they may, in the project's order."""
        return [environment for environment in self.rights if self.may(right, environment)]


class SignInNeeded(LiftlockError):
    """Nobody is signed in. Pages lead to the sign-in, the API answers 401."""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(
            message or "Nobody is signed in.",
            hint=hint or "Sign in, or send a token: Authorization: Bearer TOKEN.",
        )


class Forbidden(LiftlockError):
    """They are known, and may not. Answered with 403, and written into the audit log."""

    exit_code = 3

    def __init__(
        self, person: Person, right: Right, environment: str, *, what: str = "", hint: str = ""
    ) -> None:
        refused = {
            Right.SEE: "see",
            Right.PROMOTE: "promote to, roll back or resume",
            Right.APPROVE: "approve plans for",
            Right.ADMINISTER: "administer",
        }[right]
        super().__init__(
            f"{person.account} may not {what or f'{refused} {environment}'}.",
            hint=hint
            or f"Whoever keeps liftlock.toml can allow it: add them to `{right}` in [environments.{environment}.roles].",
        )
        self.person = person
        self.right = right
        self.environment = environment


PERSON = "liftlock.person"
"""The key of the request's scope where the middleware puts the person, or None."""


def person_of(request: HTTPConnection) -> Person:
    """Whoever asks. Raises `SignInNeeded` where nobody is signed in."""
    found = request.scope.get(PERSON)
    if not isinstance(found, Person):
        raise SignInNeeded
    return found


def require(request: HTTPConnection, right: Right, environment: str) -> Person:
    """Whoever asks, if they may. Raises `SignInNeeded`, or `Forbidden`.

    An environment that they may not see is told apart from one that does not exist by nothing.
    """
    person = person_of(request)
    if not person.may(right, environment):
        raise Forbidden(person, right, environment)
    return person


def require_withdrawal(request: HTTPConnection, environment: str, requested_by: str) -> Person:
    """Whoever asks, if they may take that work back. Raises `SignInNeeded`, or `Forbidden`.

    A promotion that waits or runs gives way at its owner's word, and not at a colleague's who would be next.
    """
    person = require(request, Right.SEE, environment)
    if not person.may_withdraw(environment, requested_by):
        raise Forbidden(
            person,
            Right.ADMINISTER,
            environment,
            what=f"take back what {requested_by} asked for",
            hint=f"{requested_by} can, and whoever may `{Right.ADMINISTER}` {environment}.",
        )
    return person


def rights_of(project: Project, account: str, groups: frozenset[str]) -> Mapping[str, frozenset[Right]]:
    """What the configuration gives somebody, by environment.

    `groups` are as the configuration spells them: `team:ORGANISATION/TEAM`, `group:NAME`.
    """
    ignores_case = project.serve.oidc is None  # GitHub's names are the same in any case; claims are not

    def spelled(name: str) -> str:
        return name.casefold() if ignores_case else name

    names = {spelled(each) for each in (account, *groups)} | {EVERYBODY}
    return {
        environment: frozenset(
            right
            for right in Right
            if names & {spelled(each) for each in project.serve.roles.get(environment, {}).get(right, ())}
        )
        for environment in project.environments
    }


def everything(project: Project) -> Mapping[str, frozenset[Right]]:
    """What somebody may who came by the one-time link: they sit at the machine that has the credentials."""
    return dict.fromkeys(project.environments, EVERYTHING)
