"""`liftlock serve`: the dashboard."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal

from liftlock.cli.options import DEFAULTS, Flag
from liftlock.cli.session import Common
from liftlock.errors import UsageError

PORT = 8420
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    open: Annotated[bool, Flag] = False,  # noqa: A002 - the option's own name
    work: Literal["here", "elsewhere"] = "here",
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
    """
    missing = [
        name for name in ("alembic", "dbos", "jinja2", "starlette", "uvicorn") if find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            "The dashboard is not part of this installation.",
            hint="Install it with: pip install 'liftlock[web]'",
        )
    if host not in LOOPBACK:
        raise UsageError(
            f"{host} can be reached from other machines, and there is no sign-in yet.",
            hint="Leave --host out: the dashboard is then for this machine alone.",
        )
    from liftlock.web.server import run

    project, output = common.project(), common.output()
    return await run(project, output.line, host=host, port=port, in_browser=open, works_here=work == "here")
