"""Run a plan that was shown and agreed to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from liftlock.commands.promote import refuse_unless_runnable
from liftlock.engine.events import Emit
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Result
from liftlock.engine.run import Run
from liftlock.model import Holding, Project
from liftlock.planning.plan import Plan
from liftlock.ports import Adapters


class _Unleased:
    """Stands where a lease will: nobody else is kept out."""

    journal: tuple[Mapping[str, Any], ...] = ()

    def __init__(self, environment: str) -> None:
        now = datetime.now(UTC)
        self.holding = Holding(environment, "", "", now, now, 0)

    def lasts_s(self) -> float:
        return 1e9

    async def renew(self) -> None: ...

    async def write(self, entry: Mapping[str, Any]) -> None: ...

    async def free(self) -> None: ...


async def run_plan(
    project: Project,
    plan: Plan,
    adapters: Adapters,
    *,
    emit: Emit,
    stop: StopRequest | None = None,
    undo_on_failure: bool = True,
    overrides: Mapping[str, str] | None = None,
) -> Result:
    """Run `plan`. Raises before the first change if it may not run; afterwards the result tells.

    A plan without changes is done at once.
    """
    refuse_unless_runnable(plan)
    run = Run(
        project,
        plan,
        adapters,
        key=uuid4().hex,
        lease=_Unleased(plan.environment),
        emit=emit,
        stop=stop or StopRequest(),
        undo_on_failure=undo_on_failure,
        overrides=overrides,
    )
    return await run.run()
