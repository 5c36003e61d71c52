"""`--debug`: a report for whoever mends a defect, and not one secret in it."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from liftlock.cli.debug import masked
from tests.e2e.cloud import Cloud, Ran

pytestmark = pytest.mark.e2e


def report_of(ran: Ran) -> tuple[Path, str]:
    """The file that the command says it wrote, and its text."""
    (name,) = re.findall(r"A report without secrets is in (\S+)\. Look", ran.said)
    return Path(name), Path(name).read_text()


@pytest.mark.promise("P7")
def test_a_report_tells_what_happened_and_no_secret(cloud: Cloud, tmp_path: Path) -> None:
    token, webhook, key = "sandbox-token-of-a-person", "T0000/B0000/do-not-tell-me", "key-of-the-preferences"
    pasted = "ghp_" + "a1B2" * 9
    secrets = {
        "LIFTLOCK_SANDBOX_TOKEN": "owner",
        "GITHUB_TOKEN": token,
        "HEROKU_API_KEY": f"HRKU-{token}",
        "SLACK_WEBHOOK_URL": f"{cloud.sandbox.base}/services/{webhook}",
        "MIGRATE_KEY": key,
        "TMPDIR": str(tmp_path),
    }
    # What somebody pasted where it does not belong, in the file and on the command line.
    config = cloud.workspace.config
    config.write_text(config.read_text() + f"\n# {token} {pasted} postgresql://ada:hunter22@db.example/x\n")
    cloud.publish("ITC", behaviour="crash")
    line = f"promote dev staging --yes --debug --override drift --reason '{key} {pasted}'"
    ran = cloud.run(line, code=1, variables=secrets)
    path, text = report_of(ran)
    for secret in (token, webhook, key, pasted, "hunter22", "ada:"):
        assert secret not in text, secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for word in (
        "liftlock 0.", "Python 3.", "httpx2", "command line: liftlock promote dev staging --yes --debug",
        "GITHUB_TOKEN", "[apps.ODB]", '"event": "run-started"', "PATCH http", "/apps/itc-staging/formation 200",
        "== How it ended",
    ):  # fmt: skip
        assert word in text, word
    assert not re.search("^Traceback", ran.out + ran.err, re.MULTILINE)


def test_an_error_of_the_command_line_is_reported_with_its_traceback_and_shown_without(
    shared: Cloud, tmp_path: Path
) -> None:
    ran = shared.run("status nowhere --debug", code=2, variables={"TMPDIR": str(tmp_path)})
    _, text = report_of(ran)
    assert "UsageError: There is no environment 'nowhere'" in text
    assert 'File "' in text
    assert 'File "' not in ran.said


def test_without_debug_nothing_is_written(shared: Cloud, tmp_path: Path) -> None:
    shared.run("status nowhere", code=2, variables={"TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "authorization: Bearer abcdefghij",
        "https://user:pa55word@example.com/x",
        "https://hooks.slack.com/services/T0/B0/abcdef",
        "token=github_pat_" + "A1b2C3d4E5" * 8,
        "what stands in a variable: very-secret-value",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    shown = masked(text, {"SOME_API_KEY": "very-secret-value"})
    assert "***" in shown
    for secret in ("abcdefghij", "pa55word", "B0/abcdef", "A1b2C3", "very-secret-value"):
        assert secret not in shown
