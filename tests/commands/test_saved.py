"""A saved plan is run as it was shown, or not at all."""

from __future__ import annotations

from liftlock.commands.promote import plan_promotion
from liftlock.commands.saved import replan
from liftlock.planning.document import plan_document, saved_plan
from liftlock.planning.plan import Action
from tests.commands.world import World, played


def test_a_saved_plan_holds_though_an_app_that_was_not_asked_for_has_nothing_to_promote() -> None:
    async def main() -> None:
        world = World()
        world.ledger._records["dev", "ODB"].clear()
        plan = await plan_promotion(world.project, world.adapters, "dev", "staging", ["SSO"])
        assert Action.LEFT_BEHIND is plan.apps["ODB"].action
        again = await replan(world.project, world.adapters, saved_plan(plan_document(plan), "plan.json"))
        assert (again.digest, again.changes) == (plan.digest, plan.changes)

    played(main)
