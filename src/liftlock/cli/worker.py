"""`liftlock worker`: performs what people ask for in the dashboard."""

from __future__ import annotations

import os
from importlib.util import find_spec

from liftlock.cli.options import DEFAULTS
from liftlock.cli.session import Common
from liftlock.errors import UsageError


async def worker(*, common: Common = DEFAULTS) -> int:
    """Perform what is asked for through `liftlock serve`, in this process, until it is stopped.

    Any number of workers share the server's database ([serve] database): different environments at once, one
    environment one at a time, first come, first served. One that is killed in the middle is noticed by the
    others, and what it had begun is resumed. SIGTERM lets what was begun go on to its end; a second one leaves it.
    """
    missing = [name for name in ("alembic", "dbos", "sqlalchemy") if find_spec(name) is None]
    if missing:
        raise UsageError(
            "Workers are not part of this installation.",
            hint="Install them with: pip install 'liftlock[web]'",
        )
    from liftlock.web.work.process import run

    project, output = common.project(), common.output()
    return await run(project, output.line, os.environ)
