"""The keys that the server reads: how it is reached, and who may do what through it.

No plan depends on any of them: they are left out of the configuration's digest.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from liftlock.config import values
from liftlock.config.table import Duration, Endpoint, Filled, Secret, Table, text
from liftlock.config.values import Mistake, shown
from liftlock.model import GitHubSignIn, OpenIdSignIn, Serve

RIGHTS = ("see", "promote", "approve", "administer")
_PERSON = re.compile(
    r"\*|team:[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9][A-Za-z0-9._-]*|group:\S.*|(?!team:|group:)\S+"
)


def person(name: str) -> str:
    """Somebody, a GitHub team, a provider's group, or `*` for everybody who is signed in."""
    if not _PERSON.fullmatch(name) or not name.isprintable():
        raise Mistake(
            f"{shown(name)} names nobody.",
            'Write an account, "team:ORGANISATION/TEAM", "group:NAME", or "*" for everybody who is signed in.',
        )
    return name


def database(address: str) -> str:
    """Where the server's own database is: a file, or PostgreSQL."""
    if values.ledger_scheme(address) not in {"sqlite", "postgresql"}:
        raise Mistake(
            f"{shown(address)} is no database for the server.",
            'Write "sqlite:///serve.db" or "postgresql://HOST/DATABASE".',
        )
    return values.ledger(address)


def proxy(address: str) -> str:
    """An address, or a network, of a proxy."""
    try:
        ipaddress.ip_network(address)
    except ValueError:
        raise Mistake(
            f"{shown(address)} is neither an IP address nor a network.", 'Write it as in "10.0.0.0/8".'
        ) from None
    return address


Person = Annotated[str, *text(person)]
People = list[Person]
Database = Annotated[str, *text(database)]
Proxy = Annotated[str, *text(proxy)]


class RolesTable(Table):
    """Who may do what with the environment through the server.

    Each is a list of accounts, `team:ORGANISATION/TEAM` (GitHub), `group:NAME` (OpenID Connect), or `*` for
    everybody who is signed in. Who may do anything may see; no other right brings another.
    """

    see: People = Field(default=[], description="Who may look at it.", examples=[["*"]])
    promote: People = Field(
        default=[],
        description="Who may promote to it, roll it back, and resume.",
        examples=[["ada", "team:example/releases"]],
    )
    approve: People = Field(
        default=[],
        description="Who may approve plans for it; one's own never counts.",
        examples=[["group:leads"]],
    )
    administer: People = Field(
        default=[],
        description="Who may break its lease, take back anybody's promotion, revoke anybody's tokens for it and read the audit log.",
        examples=[["grace"]],
    )


class GitHubTable(Table):
    """Sign-in through GitHub, as an OAuth app of yours."""

    client_id: Filled = Field(description="The OAuth app's client id.", examples=["Iv1.0123456789abcdef"])
    client_secret: Secret = Field(
        description="Where its client secret is to be read: `env:NAME` or `keyring:NAME`.",
        examples=["env:GITHUB_CLIENT_SECRET"],
    )
    url: Endpoint = Field(
        default="https://github.com",
        description="Where people sign in; another one for GitHub Enterprise.",
        examples=["https://github.example.com"],
    )


class OpenIdTable(Table):
    """Sign-in through an OpenID Connect provider."""

    issuer: Endpoint = Field(
        description="The provider: its configuration is read below `/.well-known/`.",
        examples=["https://accounts.example.com"],
    )
    client_id: Filled = Field(description="What the provider calls this server.", examples=["liftlock"])
    client_secret: Secret = Field(
        description="Where its client secret is to be read: `env:NAME` or `keyring:NAME`.",
        examples=["env:OIDC_CLIENT_SECRET"],
    )
    name: Filled = Field(
        default="OpenID Connect",
        description='What the button says, after "Sign in with".',
        examples=["Example Inc."],
    )
    account: Filled = Field(
        default="email",
        description="The claim that is the person's account. An `email` counts only where `email_verified` is true.",
        examples=["preferred_username"],
    )
    groups: Filled = Field(
        default="groups", description="The claim that lists the person's groups.", examples=["roles"]
    )


class SignInTable(Table):
    """How people sign in. Without any, only this machine can, by the link that `serve` prints."""

    github: GitHubTable | None = Field(
        default=None,
        description="Sign-in through GitHub.",
        examples=[{"client_id": "Iv1.0123456789abcdef", "client_secret": "env:GITHUB_CLIENT_SECRET"}],
    )
    oidc: OpenIdTable | None = Field(
        default=None,
        description="Sign-in through an OpenID Connect provider.",
        examples=[
            {
                "issuer": "https://accounts.example.com",
                "client_id": "liftlock",
                "client_secret": "env:OIDC_CLIENT_SECRET",
            }
        ],
    )


class ServeTable(Table):
    """How the server is reached, and by whom. None of it is a part of any plan."""

    url: Endpoint = Field(
        default="",
        description="The address that people and webhooks use. Needed for anybody beyond this machine.",
        examples=["https://liftlock.example.com"],
    )
    database: Database = Field(
        default="",
        description="The server's own database: sessions, tokens, queue, audit log. A file in the user's state "
        "folder when left out. An address never holds a password.",
        examples=["sqlite:///serve.db", "postgresql://db.example.com/liftlock_serve"],
    )
    sign_in: SignInTable = Field(default_factory=SignInTable, description="How people sign in.")
    webhook_secret: Secret | None = Field(
        default=None,
        description="Where the secret of GitHub's webhook is to be read: `env:NAME` or `keyring:NAME`. "
        "Without it webhooks are refused.",
        examples=["env:LIFTLOCK_WEBHOOK_SECRET"],
    )
    keep: Duration = Field(
        default="90d",
        description="How long what was asked for, and what its runs told, is kept once it is over. Records, the audit "
        "log and what stands open are never touched.",
        examples=["365d"],
    )
    proxies: list[Proxy] = Field(
        default=[],
        description="The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
        examples=[["10.0.0.0/8"]],
    )


def serve_of(table: ServeTable, roles: Mapping[str, RolesTable], confirm: Mapping[str, bool]) -> Serve:
    """What a checked file says about the server; `roles` and `confirm` are by environment."""
    github, oidc = table.sign_in.github, table.sign_in.oidc
    return Serve(
        url=table.url,
        database=table.database,
        github=GitHubSignIn(github.client_id, github.client_secret, github.url) if github else None,
        oidc=OpenIdSignIn(
            oidc.issuer, oidc.client_id, oidc.client_secret, oidc.name, oidc.account, oidc.groups
        )
        if oidc
        else None,
        webhook_secret=table.webhook_secret or "",
        keep_s=values.duration_s(table.keep),
        proxies=tuple(table.proxies),
        roles={
            environment: {right: tuple(getattr(people, right)) for right in RIGHTS}
            for environment, people in roles.items()
        },
        confirm=tuple(environment for environment, wanted in confirm.items() if wanted),
    )
