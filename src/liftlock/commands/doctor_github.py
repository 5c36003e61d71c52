"""What `doctor` tries at GitHub: the token, and in each repository what `permissions` says is needed.

Reading is tried by reading. Writing cannot be tried without writing: what tells of it are a classic
token's scopes and the account's role in the repository; a fine-grained token does not say what it may.
Source: GitHub REST, "Scopes for OAuth apps", "Repositories", "Permissions required for fine-grained
personal access tokens".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from liftlock.commands.permissions import Permission, by_repository
from liftlock.errors import LiftlockError, NotFound, Unauthorized, VendorError
from liftlock.http import Answer, Http, field, optional
from liftlock.model import Project
from liftlock.probes import Finding, Probe
from liftlock.tasks import Once

GROUP = "GitHub"
FEW_REQUESTS = 200
MOST_SKEW_S = 30.0
"""A lease is judged by GitHub's clock; more than this, and times in plans and records mislead people."""
_SOON_DAYS = 14
_EXPIRES = "github-authentication-token-expiration"
_SETTINGS = "https://github.com/settings/tokens"

_READ = {
    "contents": "commits/{sha}",
    "deployments": "deployments?per_page=1",
    "pull-requests": "commits/{sha}/pulls?per_page=1",
    "checks": "commits/{sha}/check-runs?per_page=1",
    "statuses": "commits/{sha}/statuses?per_page=1",
}
"""By permission, something that only who has it may read; `{sha}` is a commit of the repository."""


def github_probes(project: Project, http: Callable[[], Http], now: Callable[[], datetime]) -> Sequence[Probe]:
    """The token's probes, and one for each permission in each repository."""
    me = Once(lambda: http().request("GET", "/user"))
    found = [
        Probe(GROUP, "token", partial(_token, me)),
        Probe(GROUP, "requests left", partial(_left, http)),
        Probe(GROUP, "this machine's clock", partial(_clock, http, now)),
    ]
    for repository, needed in by_repository(project).items():
        if not repository:
            continue
        look = Once(partial(_repository, http, repository))
        head = Once(partial(_head, http, repository, look))
        found.append(Probe(GROUP, repository, partial(_found, look, me, needed)))
        found += [
            Probe(GROUP, f"{repository}: {permission.name}", partial(_permitted, http, head, permission))
            for permission in needed
            if permission.name in _READ
        ]
    home = project.lease or project.repository
    if project.ledger == "github" and home:
        found.append(Probe(GROUP, f"{home}: leases", partial(_leases, http, home)))
    return found


async def _token(me: Once[Answer]) -> Finding:
    try:
        answer = await me()
    except Unauthorized as error:
        if error.status == 403:
            return Finding("an installation of a GitHub App, or a workflow's own token")
        raise
    login = field(answer.object(), "login", str)
    scopes = _scopes(answer)
    if scopes is None:
        kind = "fine-grained"
    elif {"repo", "repo_deployment"} & scopes:
        kind = f"classic, scopes {', '.join(sorted(scopes))}"
    else:
        raise LiftlockError(
            f"The token of {login} is a classic one without the scope repo: {', '.join(sorted(scopes)) or 'none'}.",
            hint=f"Give it the scope repo at {_SETTINGS}, or make a fine-grained one.",
        )
    expires = _moment(answer.headers.get(_EXPIRES, ""))
    if expires is None:
        return Finding(f"{login}; {kind}")
    days = (expires - _date(answer)).days
    return Finding(f"{login}; {kind}; expires in {days} days, on {expires:%Y-%m-%d}", note=days < _SOON_DAYS)


async def _left(http: Callable[[], Http]) -> Finding:
    answer = await http().request("GET", "/rate_limit")
    core = optional(answer.object(), "resources.core", dict) or {}
    left, limit = field(core, "remaining", int), field(core, "limit", int)
    return Finding(f"{left} of {limit} in this hour", note=left < FEW_REQUESTS)


async def _clock(http: Callable[[], Http], now: Callable[[], datetime]) -> Finding:
    answer = await http().request("GET", "/rate_limit")
    skew = (now() - _date(answer)).total_seconds()
    if abs(skew) > MOST_SKEW_S:
        raise LiftlockError(
            f"This machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} GitHub's.",
            hint="Set it, for instance with: sudo timedatectl set-ntp true",
        )
    return Finding("agrees with GitHub's" if abs(skew) < 2 else f"{abs(skew):.0f} s from GitHub's")


async def _repository(http: Callable[[], Http], repository: str) -> dict[str, Any]:
    try:
        return (await http().request("GET", f"/repos/{quote(repository)}")).object()
    except NotFound as error:
        error.hint = (
            f"Check the name {repository} in liftlock.toml. If it is right, the token does not see it: a "
            f"fine-grained one has to name the repository, at {_SETTINGS}."
        )
        raise


async def _head(http: Callable[[], Http], repository: str, look: Once[dict[str, Any]]) -> str:
    """The newest commit of the default branch."""
    branch = field(await look(), "default_branch", str)
    answer = await http().request("GET", f"/repos/{quote(repository)}/commits/{quote(branch, safe='')}")
    return field(answer.object(), "sha", str)


async def _found(look: Once[dict[str, Any]], me: Once[Answer], needed: Sequence[Permission]) -> Finding:
    about = await look()
    writes = [permission.name for permission in needed if permission.writes]
    wanted = ", ".join(f"{permission.name}: {permission.level}" for permission in needed)
    if optional(about, "archived", bool) and writes:
        raise LiftlockError(
            f"{field(about, 'full_name', str)} is archived, and nothing can be recorded there.",
            hint="Unarchive it in its settings, or name another repository in liftlock.toml.",
        )
    role = optional(about, "permissions", dict)
    if writes and role is not None and not (role.get("push") or role.get("admin")):
        raise LiftlockError(
            f"This account may only read {field(about, 'full_name', str)}, and liftlock writes {', '.join(writes)}.",
            hint=f"Let an owner give it the role Write: {optional(about, 'html_url', str) or ''}/settings/access",
        )
    if not writes:
        return Finding(f"there; needed {wanted}")
    try:
        scopes = _scopes(await me())
    except LiftlockError:
        scopes = None
    if scopes is not None:
        return Finding(f"there, and may be written; needed {wanted}")
    return Finding(f"there; needed {wanted}. Only writing shows whether this kind of token may", note=True)


async def _permitted(http: Callable[[], Http], head: Once[str], permission: Permission) -> Finding:
    path = _READ[permission.name]
    hint = (
        f"Give the token the permission {permission.name}: {permission.level} in {permission.repository}, for "
        f"liftlock {permission.why[0]}: {_SETTINGS}"
    )
    try:
        sha = await head() if "{sha}" in path else ""
    except VendorError as error:
        if permission.name != "contents":
            return Finding("not tried, for no commit can be read", note=True)
        raise LiftlockError(error.message, hint=hint) from error
    try:
        await http().request("GET", f"/repos/{quote(permission.repository)}/{path.format(sha=sha)}")
    except (Unauthorized, NotFound) as error:
        raise LiftlockError(error.message, hint=hint) from error
    return Finding(f"can be read; liftlock {permission.why[0]}")


async def _leases(http: Callable[[], Http], repository: str) -> Finding:
    path = f"/repos/{quote(repository)}/git/matching-refs/liftlock/"
    answer = await http().request("GET", path)
    return Finding(f"refs below refs/liftlock/ can be listed: {len(answer.array())}")


def _scopes(answer: Answer) -> set[str] | None:
    """A classic token's scopes; None for the other kinds, of which GitHub tells none."""
    told = answer.headers.get("x-oauth-scopes")
    return None if told is None else {scope.strip() for scope in told.split(",") if scope.strip()}


def _date(answer: Answer) -> datetime:
    told = answer.headers.get("date", "")
    try:
        return parsedate_to_datetime(told).astimezone(UTC)
    except ValueError:
        raise answer.bad("does not say when it was given") from None


def _moment(text: str) -> datetime | None:
    """GitHub writes `2026-12-31 23:59:59 UTC` or with an offset."""
    try:
        moment = datetime.fromisoformat(text.replace(" UTC", "+00:00").replace(" +", "+").replace(" -", "-"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
