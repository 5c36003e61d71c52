"""What a run ends with: lines that can be passed on, and after a failure what to type."""

from __future__ import annotations

import io

import pytest

from liftlock.cli.output import Output
from liftlock.cli.result_view import show_result
from liftlock.cli.terminal import Terminal
from liftlock.engine.outcome import Result
from liftlock.errors import NotHealthy
from liftlock.planning.plan import Plan
from tests.commands.world import World, played
from tests.doubles import release


def ended(world: World) -> tuple[Plan, Result]:
    """A promotion of the small world, with its result."""
    kept: list[tuple[Plan, Result]] = []

    async def main() -> None:
        plan = await world.plan()
        kept.append((plan, await world.run(world.plan)))

    played(main)
    return kept[0]


def said(plan: Plan, result: Result, width: int = 100) -> list[str]:
    output, stream = Output(), io.StringIO()
    output._people = Terminal(
        file=stream, width=width, force_terminal=True, color_system=None, highlight=False
    )
    show_result(output, plan, result)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_success_has_a_line_for_each_app() -> None:
    world = World()
    world.platform.takes_s = {"release": 20.0, "settle": 30.0}
    plan, result = ended(world)
    a, b = (release("SSO", version).short_commit for version in "ab")
    assert result.intent is not None
    id_ = result.intent.id
    assert said(plan, result) == [
        "",
        "Promotion of observatory from dev to staging: done in 2 min 30 s, by requester.",
        f"  SSO      {a} → {b}  switched and healthy in 50 s; backup b001 (1.0 kB)",
        f"  ODB      {a} → {b}  switched and healthy in 50 s",
        f"  Explore  {a} → {b}  switched and healthy in 50 s",
        f"  promotion {id_}, plan {plan.digest[:12]}; see: liftlock history {id_}",
    ]


def test_a_failure_says_what_was_put_back_what_runs_and_what_to_type() -> None:
    world = World()
    world.platform.fails["settle", "ODB"] = NotHealthy("ODB crashed at start.", hint="Look at its log.")
    plan, result = ended(world)
    text = "\n".join(said(plan, result))
    a = release("SSO", "a").short_commit
    assert "what happened   verify ODB: ODB crashed at start." in text
    assert "put back        SSO, ODB" in text or "put back        ODB, SSO" in text
    assert f"runs as before  SSO {a}, ODB {a}" in text
    assert f"untouched       Explore {a}" in text
    assert "backup          b001 (1.0 kB) of SSO was taken, and is kept" in text
    assert "next            staging runs what it ran before. Mend the cause, then run:" in text
    assert "                  liftlock promote dev staging" in text.splitlines()
    assert f"in detail       liftlock history {result.intent.id if result.intent else ''}" in text


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_word_is_broken_in_a_narrow_terminal(width: int) -> None:
    plan, result = ended(World())
    lines = said(plan, result, width)
    assert max(map(len, lines)) <= width
    assert "liftlock history" in " ".join(" ".join(lines).split())
