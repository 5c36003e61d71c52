"""`liftlock serve`: the dashboard and the API, and what keeping such a server needs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from liftlock.cli.examples import epilogue
from liftlock.cli.options import DEFAULTS, Flag, seconds
from liftlock.cli.session import Common
from liftlock.errors import UsageError

if TYPE_CHECKING:
    from liftlock.model import Project
    from liftlock.web.access.tokens import Token

PORT = 8420
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

serve = App(
    name="serve",
    help="Show the project in a browser, let people promote from there, and answer `--server`.",
    help_format="plaintext",
    help_epilogue=epilogue("serve"),
    default_parameter=Parameter(show_default=False),
)
token = App(
    name="token", help="Make, list and revoke tokens for programs.", help_format="plaintext",
    default_parameter=Parameter(show_default=False),
)  # fmt: skip
serve.command(token)


@serve.default
async def run(
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    open: Annotated[bool, Flag] = False,  # noqa: A002 - the option's own name
    work: Literal["here", "elsewhere"] = "here",
    log_json: Annotated[bool, Flag] = False,
    common: Common = DEFAULTS,
) -> int:
    """Show the project in a browser: what runs where, plans, promotions as they go, history and numbers.

    Parameters
    ----------
    host:
        The address to listen on; only this machine can reach 127.0.0.1.
    port:
        The port; 0 for any free one.
    open:
        Open it in the browser.
    work:
        Whether what is asked for is done in this process too, or by `liftlock worker` elsewhere alone.
    log_json:
        Log in JSON, a line for each event.
    """
    _check_installed()
    project, output = common.project(), common.output()
    if host not in LOOPBACK and not (project.serve.url and project.serve.has_sign_in):
        raise UsageError(
            f"{host} can be reached from other machines, and nobody could sign in.",
            hint="Set [serve] url and [serve.sign_in], or leave --host out: then it is for this machine alone.",
        )
    from liftlock.web.logs import begin_logs
    from liftlock.web.server import run as run_server

    begin_logs(as_json=log_json, is_verbose=common.verbose)
    return await run_server(
        project, output.line, host=host, port=port, in_browser=open, works_here=work == "here"
    )


@serve.command(help_epilogue=epilogue("serve link"))
async def link(*, port: int = PORT, common: Common = DEFAULTS) -> int:
    """Make another one-time link, to sign in on this machine where no other sign-in is configured.

    Parameters
    ----------
    port:
        The port that the server listens on.
    """
    _check_installed()
    import time

    from liftlock.web.access.sign_in import new_link
    from liftlock.web.store import address_of, open_store

    project, output = common.project(), common.output()
    if project.serve.has_sign_in:
        raise UsageError(
            "People sign in to this server by name: it takes no links.",
            hint=f"Sign in at {project.serve.url}",
        )
    async with open_store(address_of(project)) as store:
        path = await new_link(store, time.time())
    output.line(f"http://127.0.0.1:{port}{path}")
    return 0


@token.command(help_epilogue=epilogue("serve token create"))
async def create(
    name: str,
    /,
    *,
    allow: list[str],
    expires_in: str = "90d",
    common: Common = DEFAULTS,
) -> int:
    """Make a token for a machine. It is shown this once; it cannot approve.

    People make tokens of their own on the server's page.

    Parameters
    ----------
    name:
        What it is for; the audit log calls it token:NAME.
    allow:
        An environment and what it may there, such as staging=promote or dev=see,promote; may be given several times.
    expires_in:
        For how long it works [default: 90d; a year at most].
    """
    project = common.project()
    rights = _rights(project, allow)
    async with _kept(common) as (tokens, audit, who):
        text, made = await tokens.create(
            name, rights, created_by=who.account, lasts_s=seconds(expires_in, "--expires-in")
        )
        await audit.write(who, "token-create", subject=made.id, name=name)
    output = common.output()
    if common.json:
        output.document({**_document(made), "token": text})
    else:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        until = datetime.fromtimestamp(made.expires_at, UTC)
        sys.stderr.write(
            f"It works until {until:%Y-%m-%d}, and is not shown again. Revoke it with: liftlock serve token revoke {made.id}\n"
        )
    return 0


@token.command(name="list", help_epilogue=epilogue("serve token list"))
async def list_(*, common: Common = DEFAULTS) -> int:
    """List every token: whose it is, what it may, until when. The tokens themselves are not kept."""
    import time

    async with _kept(common) as (tokens, _, _):
        found = await tokens.all()
    output = common.output()
    if common.json:
        output.document([_document(each) for each in found])
        return 0
    if not found:
        output.line("There are no tokens.")
    now = time.time()
    for each in found:
        given = "; ".join(f"{e}: {', '.join(sorted(r))}" for e, r in each.rights.items() if r)
        until = datetime.fromtimestamp(each.expires_at, UTC)
        output.line(
            f"{each.id}  {each.state(now):<8} {each.account:<20} until {until:%Y-%m-%d}  {given}", hang=14
        )
    return 0


@token.command(help_epilogue=epilogue("serve token revoke"))
async def revoke(id: str, /, *, common: Common = DEFAULTS) -> int:  # noqa: A002 - the argument's own name
    """Revoke a token: the next request with it is refused.

    Parameters
    ----------
    id:
        Its id, as the list shows it.
    """
    async with _kept(common) as (tokens, audit, who):
        revoked = await tokens.revoke(id, who.account)
        await audit.write(who, "token-revoke", subject=revoked.id)
    output = common.output()
    if common.json:
        output.document(_document(revoked))
    else:
        output.line(f"{revoked.account}'s token {revoked.id} is revoked.")
    return 0


@serve.command(help_epilogue=epilogue("serve backup"))
async def backup(*, out: Path, common: Common = DEFAULTS) -> int:
    """Write the server's own database into a file: sessions, tokens, queue and audit log. It may go on running.

    The ledger is not in it: GitHub or your database has that.

    Parameters
    ----------
    out:
        The file to write; it is never overwritten.
    """
    _check_installed()
    from liftlock.web.store import address_of
    from liftlock.web.store.backup import write_backup

    rows = await write_backup(address_of(common.project()), out)
    common.output().line(f"{out} holds {rows} rows.")
    return 0


@serve.command(help_epilogue=epilogue("serve restore"))
async def restore(file: Path, /, *, common: Common = DEFAULTS) -> int:
    """Fill the server's own database, which must be empty, from a backup: also of the other kind of database.

    Parameters
    ----------
    file:
        What `serve backup` wrote.
    """
    _check_installed()
    from liftlock.web.store import address_of
    from liftlock.web.store.backup import read_backup

    rows = await read_backup(file, address_of(common.project()))
    common.output().line(f"{rows} rows are restored.")
    return 0


def _check_installed() -> None:
    missing = [
        name for name in ("alembic", "dbos", "jinja2", "starlette", "uvicorn") if find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            "The dashboard is not part of this installation.",
            hint="Install it with: pip install 'liftlock[web]'",
        )


def _kept(common: Common) -> Any:
    """The tokens and the audit log of the project's server, and who we are to it."""
    _check_installed()
    from contextlib import asynccontextmanager

    from liftlock.sqlite_file import user_name
    from liftlock.web.access.audit import Audit
    from liftlock.web.access.people import Person
    from liftlock.web.access.tokens import Tokens
    from liftlock.web.store import address_of, open_store

    @asynccontextmanager
    async def opened() -> Any:
        async with open_store(address_of(common.project())) as store:
            name = user_name()
            yield Tokens(store), Audit(store), Person(name, name, "link", address="command line")

    return opened()


def _rights(project: Project, allowed: list[str]) -> dict[str, frozenset[Any]]:
    from liftlock.commands.names import check_names
    from liftlock.web.access.people import Right

    rights: dict[str, frozenset[Any]] = {}
    for said in allowed:
        environment, _, names = said.partition("=")
        check_names(project, (environment,))
        for name in names.split(","):
            if name.strip() not in set(Right):
                raise UsageError(
                    f"--allow {said}: there is no right {name.strip()!r}.",
                    hint="Rights are see, promote, approve and administer. For example: --allow staging=promote",
                )
            rights[environment] = rights.get(environment, frozenset()) | {Right(name.strip())}
    return rights


def _document(made: Token) -> dict[str, Any]:
    import time

    return {
        "id": made.id,
        "name": made.name,
        "account": made.account,
        "rights": {environment: sorted(each) for environment, each in made.rights.items() if each},
        "created_by": made.created_by,
        "created_at": datetime.fromtimestamp(made.created_at, UTC).isoformat(timespec="seconds"),
        "expires_at": datetime.fromtimestamp(made.expires_at, UTC).isoformat(timespec="seconds"),
        "state": made.state(time.time()),
    }
