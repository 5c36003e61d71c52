"""A saved plan is run as it was shown, or not at all."""

from __future__ import annotations

import pytest

from liftlock.commands.promote import plan_promotion
from liftlock.commands.saved import replan
from liftlock.errors import Refused
from liftlock.planning.document import plan_document, saved_plan
from liftlock.planning.plan import Action
from tests.commands.world import World, played


@pytest.mark.promise("P6")
@pytest.mark.parametrize("what", ["image", "commit", "another app's image"])
def test_a_saved_plan_that_says_something_else_than_the_record_is_refused(what: str) -> None:
    """Even when its digest was reckoned anew: what never ran in the source is not promoted."""

    async def main() -> None:
        world = World()
        plan = await world.plan()
        document = plan_document(plan)
        release = document["apps"]["ODB"]["release"]
        if what == "commit":
            release["commit"] = "f" * 40
        elif what == "image":
            release["artifacts"]["web"] = f"image:sha256:{'f' * 64}"
        else:
            release["artifacts"] = document["apps"]["SSO"]["release"]["artifacts"]
        with pytest.raises(Refused, match=r"what it has for ODB is not what record \d+ in dev says"):
            await replan(world.project, world.adapters, saved_plan(document, "plan.json"))

    played(main)


def test_a_saved_plan_holds_though_an_app_that_was_not_asked_for_has_nothing_to_promote() -> None:
    async def main() -> None:
        world = World()
        world.ledger._records["dev", "ODB"].clear()
        plan = await plan_promotion(world.project, world.adapters, "dev", "staging", ["SSO"])
        assert Action.LEFT_BEHIND is plan.apps["ODB"].action
        again = await replan(world.project, world.adapters, saved_plan(plan_document(plan), "plan.json"))
        assert (again.digest, again.changes) == (plan.digest, plan.changes)

    played(main)
