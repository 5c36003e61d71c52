"""What is written for a runner can be read by it, whatever stands in it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from liftlock.cli import runner_summary
from liftlock.cli.runner import Report, annotation, output, reported
from liftlock.engine.events import RunStarted, StepFinished
from liftlock.errors import Busy, Interrupted, LiftlockError, Refused

EVIL = "100% sure,\r\n::error title=x::y\nlast: line"


def told(folder: Path) -> dict[str, str]:
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
    }


def outputs(folder: Path) -> dict[str, str]:
    text = (folder / "output").read_text()
    return {m[1]: m[3] for m in re.finditer(r"^([\w-]+)<<(\S+)\n(.*?)\n\2$", text, re.MULTILINE | re.DOTALL)}


def test_an_annotation_is_one_line_and_ends_where_it_ends() -> None:
    """As `@actions/core` escapes: a message's `%`, CR and LF, and a property's `:` and `,` as well."""
    said = annotation(EVIL, EVIL, "error")
    assert said == (
        "::error title=100%25 sure%2C%0D%0A%3A%3Aerror title=x%3A%3Ay%0Alast%3A line"
        "::100%25 sure,%0D%0A::error title=x::y%0Alast: line"
    )


def test_an_output_cannot_become_another_one() -> None:
    value = "x\nEOF\nstate<<EOF\nsucceeded\nEOF"
    text = output("cause", value)
    (found,) = re.finditer(r"\A(.+)<<(.+)\n(.*)\n\2\n\Z", text, re.DOTALL)
    assert (found[1], found[3]) == ("cause", value)
    assert found[2] not in value
    assert output("cause", value) != text, "nobody can know the delimiter before"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Refused("no"), "refused"),
        (Busy("held"), "busy"),
        (LiftlockError("broken"), "failed"),
        (Interrupted("stopped", signal_number=2), "interrupted"),
    ],
)
def test_an_error_is_summarized_and_goes_on(tmp_path: Path, error: LiftlockError, state: str) -> None:
    with pytest.raises(type(error)), reported("deploy", "dev", told(tmp_path)):
        raise error
    assert outputs(tmp_path)["state"] == state
    assert outputs(tmp_path)["exit-code"] == str(error.exit_code)
    assert error.message in (tmp_path / "summary").read_text()


def test_that_it_began_is_said_at_once(tmp_path: Path) -> None:
    heard: list[object] = []
    tell = Report("promotion from dev", "staging", told(tmp_path)).hears(heard.append)
    tell(RunStarted("key", "promotion", "staging", "dev", "d" * 64, ("SSO",), 9))
    assert outputs(tmp_path) == {"began": "true", "plan": "d" * 64}
    tell(StepFinished("intent", "intent", "done", 0.1, detail="22"))
    assert outputs(tmp_path)["promotion"] == "22"
    assert len(heard) == 2


def test_files_that_cannot_be_written_cut_nothing_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = told(tmp_path / "gone")
    with reported("deploy", "dev", variables) as report:
        report.hears(lambda event: None)(RunStarted("key", "deploy", "dev", "", "d" * 64, (), 1))
        report.finished(0)
    assert "::warning title=liftlock::" in capsys.readouterr().err


def test_nothing_in_a_summary_becomes_markup_of_another_kind() -> None:
    cause = LiftlockError("```\n<script>alert(1)</script>\n````", hint="[look](javascript:x) | <b>")
    page = runner_summary.refused("promotion from dev to staging", None, cause, {})
    assert "\n`````text\n```\n<script>" in page, "a fence that nothing in it closes"
    assert r"\[look\](javascript:x) \| \<b\>" in page


def test_what_is_printed_commands_nothing_until_the_annotation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with reported("deploy", "dev", told(tmp_path)) as report:
        sys.stderr.write("    ::add-mask::a\n")
        report.failure = "It failed.", "deploy to dev"
    stop, printed, go_on, failed = capsys.readouterr().err.splitlines()
    assert stop.startswith("::stop-commands::end-")
    assert printed == "    ::add-mask::a"
    assert go_on == f"::{stop.removeprefix('::stop-commands::')}::"
    assert failed == "::error title=deploy to dev::It failed."
