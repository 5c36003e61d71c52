"""Gates of an environment: what they ask is found out, and what they say stops a promotion or lets it go."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from liftlock.commands.approve import approve_plan
from liftlock.commands.promote import check_gates, refuse_unless_runnable
from liftlock.commands.run import Terms, run_under_lease
from liftlock.commands.saved import replan
from liftlock.engine.execute import StopRequest
from liftlock.engine.outcome import Ending
from liftlock.errors import LiftlockError, Refused, UsageError
from liftlock.ledgers.memory import Memory
from liftlock.model import Backup, Check, CheckState, GateCommand, Gates, Known
from liftlock.planning.document import plan_document, saved_plan
from liftlock.planning.plan import Plan
from tests.commands.world import World, played
from tests.doubles import START, image, release


def test_a_plan_that_lacks_approvals_says_what_to_type_with_its_whole_digest() -> None:
    async def main() -> None:
        plan = await World(Gates(approvals=1)).plan()
        with pytest.raises(Refused) as refused:
            refuse_unless_runnable(plan)
        assert "0 of 1 given" in refused.value.message
        assert f"liftlock approve {plan.digest} --environment staging" in refused.value.hint
        assert refused.value.exit_code == 3

    played(main)


@pytest.mark.parametrize(
    ("accounts", "passed", "words"),
    [
        (["alice"], True, "1 of 1 given (alice)"),
        (["requester"], False, "requester's own does not count"),
        (["Requester"], False, "Requester's own does not count"),
        (["github-actions[bot]"], False, "github-actions[bot] is no person"),
        (["app"], False, "app is no person"),
        ([], False, "0 of 1 given"),
    ],
)
def test_only_other_people_s_approvals_count(accounts: list[str], passed: bool, words: str) -> None:
    async def main() -> None:
        world = World(Gates(approvals=1))
        plan = await world.plan()
        for account in accounts:
            world.approved(plan, account)
        verdict = await world.verdict()
        assert verdict.passed is passed
        assert words in verdict.reason

    played(main)


def test_a_person_counts_once_and_an_approval_expires() -> None:
    async def main() -> None:
        world = World(Gates(approvals=2))
        plan = await world.plan()
        world.approved(plan, "alice")
        world.approved(plan, "Alice")
        world.approved(plan, "bob", hours=0.5)
        verdict = await world.verdict()
        assert not verdict.passed
        assert "1 of 2 given" in verdict.reason
        assert "bob's expired 2026-11-20 12:30 UTC" in verdict.reason

    played(main)


def test_an_approval_is_for_that_plan_alone() -> None:
    async def main() -> None:
        world = World(Gates(approvals=1))
        world.approved(await world.plan(), "alice")
        assert (await world.verdict()).passed
        world.platform.runs["SSO", "staging"] = Known({"web": image("by hand")}, marker="v2")
        assert not (await world.plan()).verdicts[0].passed

    played(main)


def test_approving_is_recorded_under_the_ledger_s_own_account() -> None:
    async def main() -> None:
        world = World(Gates(approvals=1))
        plan = await world.plan()
        colleague = World(Gates(approvals=1))
        colleague.ledger._account = "alice"
        environment, given = await approve_plan(colleague.project, colleague.adapters, plan.digest)
        assert (environment, given.account) == ("staging", "alice")
        assert given.expires_at - given.at == timedelta(hours=24)
        assert await colleague.ledger.approvals("staging", plan.digest) == [given]

    played(main)


def test_a_part_of_a_digest_is_not_approved_and_a_bot_approves_nothing() -> None:
    async def main() -> None:
        world = World(Gates(approvals=1))
        plan = await world.plan()
        with pytest.raises(UsageError, match="not the whole digest"):
            await approve_plan(world.project, world.adapters, plan.digest[:12])
        with pytest.raises(UsageError, match="no environment asks for approvals"):
            await approve_plan(World().project, world.adapters, plan.digest)
        with pytest.raises(UsageError, match="30 days at most"):
            await approve_plan(world.project, world.adapters, plan.digest, expires_in_s=1e9)
        world.ledger._account = "deployer[bot]"
        with pytest.raises(Refused, match="no person's account"):
            await approve_plan(world.project, world.adapters, plan.digest)

    played(main)


@pytest.mark.parametrize(
    ("checks", "required", "words"),
    [
        ([Check("test", CheckState.GREEN)], ("test",), ""),
        ([Check("test", CheckState.GREEN)], True, ""),
        ([Check("test", CheckState.GREEN), Check("other", CheckState.FAILED)], ("test",), ""),
        ([Check("test", CheckState.GREEN), Check("other", CheckState.FAILED)], True, "other failed"),
        ([Check("test", CheckState.GREEN), Check("test", CheckState.FAILED)], ("test",), "test failed"),
        ([Check("test", CheckState.PENDING)], ("test",), "test still runs"),
        ([Check("lint", CheckState.GREEN)], ("test",), "test has not begun"),
        ([], True, "no check has said anything"),
    ],
)
def test_required_checks_must_be_green_on_every_commit(
    checks: list[Check], required: tuple[str, ...] | bool, words: str
) -> None:
    async def main() -> None:
        world = World(Gates(checks=required))
        commit = release("SSO", "b").commit
        world.source_code.said[commit] = checks
        verdict = await world.verdict()
        assert verdict.passed is not bool(words)
        assert words in verdict.reason
        assert world.source_code.asked == [("example/services", commit)]

    played(main)


def test_checks_that_cannot_be_looked_at_refuse_and_the_plan_is_still_shown() -> None:
    async def main() -> None:
        verdict = await World(Gates(checks=True)).verdict()
        assert not verdict.holds
        assert "could not be looked at (example/services has no commit" in verdict.reason

    played(main)


def test_the_source_must_run_what_it_records() -> None:
    async def main() -> None:
        world = World(Gates(source_healthy=True))
        assert (await world.verdict()).passed
        world.platform.runs["ODB", "dev"] = Known({"web": image("by hand")}, marker="v9")
        assert "ODB is not in the source as it is recorded there (" in (await world.verdict()).reason
        world.platform.runs["ODB", "dev"] = Known(
            release("ODB", "b").artifacts, healthy=False, note="crashed"
        )
        assert "ODB is not healthy in the source (crashed)" in (await world.verdict()).reason

    played(main)


def backup(age_h: float) -> Backup:
    finished = START + timedelta(hours=1 - age_h)
    return Backup("b042", "db-SSO", "SSO", "fake", 1000, finished, finished)


def test_a_backup_that_is_too_old_refuses() -> None:
    async def main() -> None:
        world = World(Gates(backup_age_s=24 * 3600))
        assert "SSO has no backup" in (await world.verdict()).reason
        world.databases.kept = [backup(30)]
        assert (
            "SSO's newest backup, b042, is 30 h 0 min old; the limit is 24 h 0 min"
            in (await world.verdict()).reason
        )
        world.databases.kept = [backup(30), backup(2)]
        assert (await world.verdict()).passed

    played(main)


@pytest.mark.anyio
async def test_a_program_of_the_team_s_own_decides_and_its_output_is_kept(tmp_path: Path) -> None:
    tell = (
        "import os, sys; print(os.environ['LIFTLOCK_TARGET'], len(os.environ['LIFTLOCK_PLAN']), os.getcwd());"
    )
    for code, passed in ((0, True), (3, False)):
        command = GateCommand((sys.executable, "-c", f"{tell} sys.exit({code})"))
        verdict = await World(Gates(command=command), str(tmp_path)).verdict()
        assert verdict.passed is passed
        assert verdict.output == (f"staging 64 {tmp_path}",)
        assert f"exited with {code}" in verdict.reason


@pytest.mark.anyio
@pytest.mark.promise("P7")
async def test_a_gate_s_program_gets_the_variables_it_lists_and_shows_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER_TOKEN", "hunter2-hunter2")
    monkeypatch.setenv("OTHER_TOKEN", "swordfish")
    tell = "import os; print(os.environ['PAGER_TOKEN'], os.environ.get('OTHER_TOKEN'))"
    command = GateCommand((sys.executable, "-c", tell), env=("PAGER_TOKEN",))
    verdict = await World(Gates(command=command), str(tmp_path)).verdict()
    assert verdict.passed
    assert "hunter2" not in str(verdict)
    assert "swordfish" not in str(verdict)
    missing = GateCommand(("true",), env=("ABSENT_TOKEN",))
    verdict = await World(Gates(command=missing), str(tmp_path)).verdict()
    assert "the environment variable ABSENT_TOKEN is not set" in verdict.reason


@pytest.mark.anyio
async def test_a_program_that_runs_out_of_time_or_does_not_exist_refuses(tmp_path: Path) -> None:
    slow = GateCommand((sys.executable, "-c", "import time; time.sleep(60)"), timeout_s=0.2)
    assert "ran out of time" in (await World(Gates(command=slow), str(tmp_path)).verdict()).reason
    absent = GateCommand(("./not-there",))
    verdict = await World(Gates(command=absent), str(tmp_path)).verdict()
    assert not verdict.passed
    assert "exited with 127" in verdict.reason


def test_what_nobody_asks_is_not_looked_up() -> None:
    async def main() -> None:
        class Silent(Memory):
            async def account(self) -> str:
                raise AssertionError("nobody has to know who asks")

        world = World(Gates(window="Mon-Sun 00:00-23:59 UTC"))
        world.ledger.__class__ = Silent
        await world.plan()
        assert world.source_code.asked == []

    played(main)


def test_soaking_counts_the_time_from_before_a_release_was_superseded() -> None:
    async def main() -> None:
        world = World(Gates(soak_s=2 * 3600))
        for app in world.project.apps:  # b, then c, then b again since 12:50
            world.put(app, "b", -120, 90, "dev")
            world.put(app, "c", -30, 91, "dev")
        verdict = await world.verdict()
        assert verdict.passed, verdict  # 90 minutes before c, and 60 since
        world = World(Gates(soak_s=3 * 3600))
        verdict = await world.verdict()
        assert "60 min of 3 h 0 min" in verdict.reason
        assert verdict.passes_at == START + timedelta(hours=3)

    played(main)


def test_a_saved_plan_s_release_keeps_what_it_soaked_and_soaks_no_further() -> None:
    async def main() -> None:
        for soak_s, passed in ((1800.0, True), (2700.0, False)):
            world = World(Gates(soak_s=soak_s))
            document = saved_plan(plan_document(await world.plan()), "plan.json")
            for app in world.project.apps:  # superseded at 12:40
                world.put(app, "c", 40, 200, "dev")
            (verdict,) = (await replan(world.project, world.adapters, document)).verdicts
            assert verdict.passed is passed
            if not passed:
                assert "and was superseded there" in verdict.reason
                assert verdict.passes_at is None

    played(main)


def test_several_gates_are_overridden_with_one_reason_that_is_recorded_and_told() -> None:
    async def main() -> None:
        world = World(Gates(approvals=1, checks=True))
        with pytest.raises(Refused):
            await world.run(world.plan)
        said = {"approvals": "hotfix", "checks": "hotfix"}
        result = await world.run(lambda: world.plan(**said), overrides=said)
        assert result.ending is Ending.SUCCEEDED
        assert (await world.ledger.intents("staging", 1))[0].overrides == said
        (told,) = world.notifier.told
        assert told.notes == ("approvals was overridden: hotfix", "checks was overridden: hotfix")

    played(main)


def test_a_gate_that_does_not_exist_cannot_be_overridden() -> None:
    with pytest.raises(UsageError) as refused:
        check_gates(["aproval"])
    assert "Did you mean approvals?" in refused.value.hint


def test_a_window_that_closed_while_the_plan_was_agreed_to_refuses() -> None:
    async def main() -> None:
        world = World(Gates(window="Fri 12:00-13:30 UTC"))

        async def agree(plan: Plan) -> None:
            await anyio.sleep(3600)

        with pytest.raises(Refused, match="closed: it opens"):
            await run_under_lease(
                world.project,
                world.adapters,
                "staging",
                world.plan,
                Terms("a test"),
                show=lambda plan: None,
                agree=agree,
                emit=lambda event: None,
                stop=StopRequest(),
            )
        assert ("release", "SSO") not in world.platform.log

    played(main)


def test_a_plan_that_changes_nothing_has_nothing_to_pass() -> None:
    async def main() -> None:
        world = World(Gates(approvals=1))
        for app in world.project.apps:
            world.platform.runs[app, "staging"] = Known(release(app, "b").artifacts, marker="v1")
            world.put(app, "b", 30, 300)
        plan = await world.plan()
        assert (plan.changes, plan.verdicts) == ((), ())

    played(main)


def test_facts_that_nobody_could_find_out_never_pass() -> None:
    async def main() -> None:
        world = World(Gates(approvals=1, source_healthy=True))

        async def fails() -> str:
            raise LiftlockError("GitHub does not say who we are.")

        world.ledger.account = fails  # type: ignore[method-assign]
        plan = await world.plan()
        world.approved(plan, "alice")
        approvals = next(v for v in (await world.plan()).verdicts if v.gate == "approvals")
        assert not approvals.passed
        assert "GitHub does not say who we are." in approvals.reason

    played(main)


@pytest.mark.promise("P8")
def test_a_refusal_says_which_gate_why_and_what_to_do() -> None:
    async def main() -> None:
        plan = await World(Gates(approvals=1)).plan()
        with pytest.raises(Refused) as caught:
            refuse_unless_runnable(plan)
        assert "staging was not changed" in caught.value.message
        assert "approvals: 0 of 1 given" in caught.value.message
        assert f"liftlock approve {plan.digest} --environment staging" in caught.value.hint
        assert "--override approvals --reason" in caught.value.hint
        assert caught.value.exit_code == 3

    played(main)
