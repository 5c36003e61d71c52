"""The workflows that `init --github-actions` writes, and the action of this repository."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from liftlock.commands.permissions import by_repository
from liftlock.commands.workflow_files import chosen, write_workflows
from liftlock.commands.workflows import DEPLOY, FOLDER, PROMOTE, Choices, workflows
from liftlock.config import load, parse
from liftlock.errors import UsageError
from liftlock.model import Project

ROOT = Path(__file__).parents[2]
SHA = "3d3c42e5aac5ba805825da76410c181273ba90b1"
SHOP = """
[project]
name = "shop"
repository = "example/shop"
archive = "ghcr.io/example"
[environments.dev]
[environments.staging]
from = ["dev"]
[environments.production]
from = ["staging"]
gates = { approvals = 1, checks = true, command = { run = ["./check"], env = ["CHECK_KEY", "PATH"] } }
[apps.api]
heroku = "shop-api-{env}"
backup = true
processes.web = { dockerfile = "Dockerfile", secrets = { npm = "env:NPM_TOKEN" } }
"""


def shop(text: str = SHOP) -> Project:
    return parse(text, Path("liftlock.toml"), {})


def observatory() -> Project:
    return load(Path(str(files("liftlock.config") / "example.toml")), {})


CASES = {
    "one repository": (shop(), Choices()),
    "several repositories": (observatory(), Choices(tests=("make test",))),
    "the action": (shop(), Choices(action=f"example/liftlock@{SHA}", tests_workflow="ci.yml")),
    "another repository's project": (observatory(), Choices(config="github:example/services@main")),
    "several owners": (replace(shop(), lease="elsewhere/leases"), Choices(branch="release/1.x")),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    found = []
    for name, (project, choices) in CASES.items():
        folder = tmp_path_factory.mktemp(name.replace(" ", "-").replace("'", ""))
        found += [one.path for one in write_workflows(project, folder, choices)]
    return found


def run(*arguments: str | Path) -> str:
    done = subprocess.run(
        [str(each) for each in arguments], capture_output=True, text=True, check=False, env={"NO_COLOR": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_they_are_workflows_by_the_schema_and_without_a_finding(written: list[Path]) -> None:
    """By the schema that editors use, and by zizmor with all but its most opinionated audits, offline."""
    programs = Path(sys.executable).parent
    run(programs / "check-jsonschema", "--builtin-schema", "github-workflows", *written)
    run(
        programs / "zizmor",
        "--offline",
        "--quiet",
        "--persona",
        "pedantic",
        "--config",
        ROOT / "tests/actions/zizmor.yml",
        *written,
    )


def test_the_action_and_our_own_workflows_are_too() -> None:
    programs = Path(sys.executable).parent
    ours = sorted((ROOT / FOLDER).glob("*.yml"))
    run(programs / "check-jsonschema", "--builtin-schema", "github-actions", ROOT / "action.yml")
    run(programs / "check-jsonschema", "--builtin-schema", "github-workflows", *ours)
    run(
        programs / "zizmor",
        "--offline",
        "--quiet",
        "--config",
        ROOT / "tests/actions/zizmor.yml",
        ROOT / "action.yml",
        *ours,
    )


def test_whatever_is_used_is_pinned_to_a_commit_with_its_version(written: list[Path]) -> None:
    for path in (*written, ROOT / "action.yml"):
        for used in re.findall(r"^ +(?:- )?uses: (.*)", path.read_text(), re.MULTILINE):
            ours = used.startswith(('"./', "example/liftlock@"))
            assert ours or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used


def test_no_secret_and_no_expression_stands_in_a_script(written: list[Path]) -> None:
    for path in (*written, ROOT / "action.yml"):
        text = path.read_text()
        for script in re.findall(r"^( *)run: (?:\|\n((?:\1  .*\n|\n)+)|(.*\n))", text, re.MULTILINE):
            assert "${{" not in "".join(script), path


def test_source_and_target_are_chosen_from_the_configuration() -> None:
    text = workflows(observatory())[PROMOTE]
    assert 'options: ["dev", "staging"]' in text
    assert 'options: ["staging", "production"]' in text
    assert "environment: promote-${{ inputs.target }}" in text
    assert "promote-staging, promote-production." in text


def test_an_environment_of_a_job_is_never_one_of_ours() -> None:
    """GitHub would record the job as a deployment there, and set liftlock's records to inactive."""
    for project, choices in CASES.values():
        names = {n for e in project.environments.values() for n in (e.name, *e.names.values())}
        for text in workflows(project, choices).values():
            for named in re.findall(r"^    environment: (.*)", text, re.MULTILINE):
                assert named.strip('"') not in names


def test_runs_are_never_cancelled_and_end_with_a_resume_of_what_they_began() -> None:
    for text in workflows(shop()).values():
        assert "cancel-in-progress: false" in text
        assert "cancel-in-progress: true" not in text
        *_, last = re.findall(r"      - name: .*(?:\n(?!      - name).*)*", text)
        assert "if: always() && steps.liftlock.outputs.began == 'true'" in last
        assert "exec liftlock resume" in last


def test_the_deploy_needs_the_tests(tmp_path: Path) -> None:
    assert "    needs: [tests]\n" in workflows(shop())[DEPLOY]
    assert "exit 1" in workflows(shop())[DEPLOY], "untested until somebody says how"
    (tmp_path / "Makefile").write_text("build:\n\ttrue\ntest: build\n\ttrue\n")
    assert chosen(tmp_path).tests == ("make test",)
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "ci.yml").write_text("on:\n  pull_request:\n  workflow_call:\njobs: {}\n")
    assert chosen(tmp_path) == Choices(tests_workflow="ci.yml")
    assert 'uses: "./.github/workflows/ci.yml"' in workflows(shop(), chosen(tmp_path))[DEPLOY]


def test_a_job_may_do_what_it_needs_and_nothing_else() -> None:
    texts = workflows(shop())

    def allowed(text: str) -> dict[str, str]:
        job = text.rpartition("    permissions:\n")[2].partition("    steps:")[0]
        return dict(re.findall(r"^      ([\w-]+): (\w+)", job, re.MULTILINE))

    deploys = {"contents": "write", "deployments": "write", "packages": "write", "pull-requests": "read"}
    assert allowed(texts[DEPLOY]) == deploys
    assert allowed(texts[PROMOTE]) == {**deploys, "actions": "read", "checks": "read", "statuses": "read"}
    assert all(text.count("\npermissions: {}\n") == 1 for text in texts.values())


def test_the_steps_get_the_secrets_that_the_configuration_names() -> None:
    texts = workflows(shop())
    assert "NPM_TOKEN: ${{ secrets.NPM_TOKEN }}" in texts[DEPLOY]
    assert "NPM_TOKEN" not in texts[PROMOTE]
    assert "CHECK_KEY: ${{ secrets.CHECK_KEY }}" in texts[PROMOTE]
    assert "CHECK_KEY" not in texts[DEPLOY]
    assert "secrets.PATH" not in texts[PROMOTE]
    assert "SLACK_WEBHOOK_URL: ${{ secrets.SLACK_WEBHOOK_URL }}" in workflows(observatory())[PROMOTE]


def test_several_repositories_take_the_token_of_an_app() -> None:
    for text in workflows(observatory()).values():
        assert "GITHUB_TOKEN: ${{ steps.app-token.outputs.token }}" in text
        assert 'repositories: "services,admin,explore"' in text
        assert "permission-deployments: write" in text
    assert {repository: {p.name: p.level for p in found} for repository, found in by_repository(observatory()).items()} == {
        "example/services": {
            "actions": "read", "contents": "write", "deployments": "write", "pull-requests": "read",
        },
        "example/admin": {"contents": "read", "deployments": "write", "pull-requests": "read"},
        "example/explore": {"contents": "read", "deployments": "write", "pull-requests": "read"},
    }  # fmt: skip


def test_a_lease_elsewhere_leaves_the_code_to_be_read_only() -> None:
    found = by_repository(replace(shop(), lease="example/leases"))
    assert {p.name: p.level for p in found["example/leases"]} == {"contents": "write"}
    assert {p.name: p.level for p in found["example/shop"]}["contents"] == "read"


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    assert [one.state for one in write_workflows(shop(), tmp_path)] == ["written", "written"]
    assert [one.state for one in write_workflows(shop(), tmp_path)] == ["unchanged", "unchanged"]
    mine = (tmp_path / FOLDER / DEPLOY).read_text().replace("timeout-minutes: 90", "timeout-minutes: 5")
    (tmp_path / FOLDER / DEPLOY).write_text(mine)
    first, second = write_workflows(shop(), tmp_path)
    assert (first.state, second.state) == ("differs", "unchanged")
    assert "-    timeout-minutes: 5" in first.differs
    assert "+    timeout-minutes: 90" in first.differs
    assert (tmp_path / FOLDER / DEPLOY).read_text() == mine


def test_what_cannot_be_written_safely_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not name an action by its commit"):
        chosen(tmp_path, action="example/liftlock@v1")
    with pytest.raises(UsageError, match="as a branch"):
        chosen(tmp_path, branch='main"] # ${{ secrets.KEY }}')
    with pytest.raises(UsageError, match="An SQLite ledger"):
        workflows(replace(shop(), ledger="sqlite:///liftlock.db"))


def test_a_project_of_one_environment_is_never_promoted() -> None:
    one = shop(re.sub(r"\[environments.staging\].*?(?=\[apps)", "", SHOP, flags=re.DOTALL))
    assert list(workflows(one)) == [DEPLOY]
    assert json.dumps("deploy-dev") in workflows(one)[DEPLOY]
