"""The texts of the workflows that `init --github-actions` writes: a pure function of the project.

Every value of the configuration that gets into them is checked or quoted here, and none of them is
pasted into a shell: scripts read their inputs from environment variables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from liftlock import __version__
from liftlock.commands.permissions import permissions, strongest
from liftlock.errors import UsageError
from liftlock.model import Project
from liftlock.programs import PASSED_ON

FOLDER = Path(".github/workflows")
DEPLOY, PROMOTE = "liftlock-deploy.yml", "liftlock-promote.yml"

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
SETUP_PYTHON = "actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97 # v7.0.0"
APP_TOKEN = "actions/create-github-app-token@1b10c78c7865c340bc4f6099eb2f838309f1e8c3 # v3.1.1"  # noqa: S105 - no token
GOOGLE_AUTH = "google-github-actions/auth@7c6bc770dae815cd3e89ee6cdf493a5fab2cc093 # v3.0.0"
"""What the workflows use of others, each pinned to the commit of a release."""

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@:-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the project does not say by itself."""

    branch: str = "main"
    """The branch whose pushes are deployed."""
    action: str = ""
    """liftlock's own action, OWNER/REPO@COMMIT; without it the release on the package index is installed."""
    config: str = ""
    """What `--config` has to say: the file's path below the checkout's root, or `github:OWNER/REPO@REF`
    where it is in another repository. From there everything is promoted, and here nothing."""
    tests: tuple[str, ...] = ()
    """The commands that test this checkout."""
    tests_workflow: str = ""
    """A workflow of this repository that tests it and can be called; it comes before `tests`."""


def job_environment(verb: str, environment: str) -> str:
    """The environment at GitHub that a job names, and that its protection rules sit on.

    Not the environment's own name: GitHub records every job of an environment as a deployment to
    it, and sets the earlier ones, which would be liftlock's, to inactive.
    """
    return f"{verb}-{environment}"


def workflows(project: Project, choices: Choices | None = None) -> Mapping[str, str]:
    """The text of each workflow, by file name. Pure. Raises `UsageError` where Actions cannot serve."""
    given = choices or Choices()
    if project.ledger.startswith("sqlite:"):
        raise UsageError(
            "An SQLite ledger is on one machine, and every job at GitHub runs on a new one.",
            hint='Use ledger = "github".',
        )
    texts = {DEPLOY: _deploy(project, given)}
    if not _is_elsewhere(given) and any(e.promotes_from for e in project.environments.values()):
        texts[PROMOTE] = _promote(project, given)
    return texts


def expected(project: Project, choices: Choices | None = None) -> Mapping[str, list[str]]:
    """What has to be set at GitHub before the workflows can run: environments, secrets, variables."""
    texts = workflows(project, choices)
    text = "\n".join(texts.values())
    first, *_ = project.environments
    targets = [e.name for e in project.environments.values() if e.promotes_from]
    promoted = targets if PROMOTE in texts else []
    found = {
        "environments": [
            job_environment("deploy", first),
            *(job_environment("promote", each) for each in promoted),
        ],
        "secrets": sorted(set(re.findall(r"\$\{\{ secrets\.(\w+) \}\}", text))),
        "variables": sorted(set(re.findall(r"\$\{\{ vars\.(\w+) \}\}", text))),
    }
    return {what: names for what, names in found.items() if names}


def _deploy(project: Project, given: Choices) -> str:
    first = next(iter(project.environments))
    config = _config(given)
    lines = [
        *_HEADER,
        "name: Deploy",
        "on:",
        "  push:",
        f"    branches: [{_quoted(given.branch)}]",
        "permissions: {}",
        "",
        "# For the whole workflow and not for its last job: runs queue in the order of the pushes, and when one",
        "# waits while another runs, it is the newest. A run in progress is never cancelled.",
        "concurrency:",
        "  group: liftlock-deploy",
        "  cancel-in-progress: false",
        "",
        "jobs:",
        *_tests(given),
        "",
        "  deploy:",
        f"    name: Deploy to {first}",
        "    needs: [tests]",
        "    runs-on: ubuntu-latest",
        "    timeout-minutes: 90",
        "    # Protection rules and secrets sit on this environment of its own name.",
        f"    environment: {_quoted(job_environment('deploy', first))}",
        *_job_permissions(project, given, gates=False),
        "    steps:",
        *_checkout(history=True),
        *_tools(project, given, gates=False),
        "      # Install here what the builds need.",
        *_liftlock_step(
            f"Build, push everywhere, release in {first}",
            f"exec liftlock deploy {first} --yes --wait 30m{config}",
            _environment(project, given, builds=True),
            key="liftlock",
        ),
        *_liftlock_step(
            "Finish or undo what was interrupted",
            f"exec liftlock resume {first} --yes --wait 12m{config}",
            _environment(project, given, builds=True),
            condition=_RESUME,
        ),
    ]
    return "\n".join(lines) + "\n"


def _promote(project: Project, given: Choices) -> str:
    targets = [e.name for e in project.environments.values() if e.promotes_from]
    sources = [
        n for n in project.environments if any(n in project.environments[t].promotes_from for t in targets)
    ]
    lines = [
        *_HEADER,
        "name: Promote",
        "run-name: Promote ${{ inputs.source }} to ${{ inputs.target }}",
        "on:",
        "  workflow_dispatch:",
        "    inputs:",
        *_choice("source", "The environment whose releases are lifted", sources),
        *_choice("target", "The environment that they are lifted to", targets),
        "permissions: {}",
        "",
        "# One at a time into each environment; a run in progress is never cancelled.",
        "concurrency:",
        "  group: liftlock-promote-${{ inputs.target }}",
        "  cancel-in-progress: false",
        "",
        "jobs:",
        "  promote:",
        "    name: Promote ${{ inputs.source }} to ${{ inputs.target }}",
        "    runs-on: ubuntu-latest",
        "    timeout-minutes: 90",
        "    # Protection rules and secrets sit on environments of their own names:",
        f"    # {', '.join(job_environment('promote', target) for target in targets)}.",
        "    environment: promote-${{ inputs.target }}",
        *_job_permissions(project, given, gates=True),
        "    steps:",
        *_checkout(history=True),
        *_tools(project, given, gates=True),
        *_liftlock_step(
            "Promote",
            f'exec liftlock promote "$SOURCE" "$TARGET" --yes --wait 10m{_config(given)}',
            {
                "SOURCE": "${{ inputs.source }}",
                "TARGET": "${{ inputs.target }}",
                **_environment(project, given),
            },
            key="liftlock",
        ),
        *_liftlock_step(
            "Finish or undo what was interrupted",
            f'exec liftlock resume "$TARGET" --yes --wait 12m{_config(given)}',
            {"TARGET": "${{ inputs.target }}", **_environment(project, given)},
            condition=_RESUME,
        ),
    ]
    return "\n".join(lines) + "\n"


_HEADER = (
    "# Written by `liftlock init --github-actions`, and yours to change:",
    "# it is never overwritten. docs/how-to/use-in-github-actions.md of liftlock says why it is as it is.",
)
_RESUME = "always() && steps.liftlock.outputs.began == 'true'"
"""Always, but only after a run that began something: what a colleague left open is not ours to finish."""


def _choice(name: str, description: str, options: Sequence[str]) -> list[str]:
    return [
        f"      {name}:",
        f"        description: {_quoted(description)}",
        "        type: choice",
        "        required: true",
        f"        options: [{', '.join(_quoted(each) for each in options)}]",
    ]


def _tests(given: Choices) -> list[str]:
    if given.tests_workflow:
        return [
            "  tests:",
            "    name: Tests",
            "    permissions:",
            "      contents: read",
            f"    uses: {_quoted(f'./{FOLDER.as_posix()}/{given.tests_workflow}')}",
        ]
    commands = given.tests or (
        'echo "::error title=No tests::Write here how this repository is tested. Nothing is deployed untested."',
        "exit 1",
    )
    return [
        "  tests:",
        "    name: Tests",
        "    runs-on: ubuntu-latest",
        "    timeout-minutes: 60",
        "    permissions:",
        "      contents: read",
        "    steps:",
        *_checkout(history=False),
        "      - name: Run the tests",
        "        run: |",
        *(f"          {line}" for line in commands),
    ]


def _job_permissions(project: Project, given: Choices, *, gates: bool) -> list[str]:
    """What the job's own token may do: all that is needed, or where an App's token does it, next to nothing."""
    lines = {"contents": "read # checks out"}
    if not _reaches_further(project, given):
        needed = permissions(project, gates=gates)
        why = {
            name: dict.fromkeys(w for p in needed if p.name == name for w in p.why)
            for name in strongest(needed)
        }
        lines = {name: f"{level} # {'; '.join(why[name])}" for name, level in strongest(needed).items()}
    if project.archive.startswith("ghcr.io/"):
        lines["packages"] = "write # the archive"
    if _has(project, "firebase"):
        lines["id-token"] = "write # signs in at Google"
    return ["    permissions:", *(f"      {name}: {level}" for name, level in sorted(lines.items()))]


def _checkout(*, history: bool) -> list[str]:
    return [
        "      - name: Check out",
        f"        uses: {CHECKOUT}",
        "        with:",
        "          persist-credentials: false",
        *(["          fetch-depth: 0 # which commit comes before which"] if history else []),
    ]


def _tools(project: Project, given: Choices, *, gates: bool) -> list[str]:
    """The steps before liftlock's own: the tokens, the logins, the program."""
    return [
        *(
            _app_token(project, gates=gates)
            if _reaches_further(project, given) and len(_owners(project)) == 1
            else []
        ),
        *(_GOOGLE if _has(project, "firebase") else []),
        *(_GHCR if project.archive.startswith("ghcr.io/") else []),
        *_install(given),
    ]


def _app_token(project: Project, *, gates: bool) -> list[str]:
    needed = permissions(project, gates=gates)
    names = dict.fromkeys(p.repository.partition("/")[2] for p in needed)
    return [
        "      - name: Fetch a token of the GitHub App",
        "        id: app-token",
        f"        uses: {APP_TOKEN}",
        "        with:",
        "          client-id: ${{ vars.LIFTLOCK_APP_CLIENT_ID }}",
        "          private-key: ${{ secrets.LIFTLOCK_APP_PRIVATE_KEY }}",
        f"          owner: {_quoted(_owners(project)[0])}",
        f"          repositories: {_quoted(','.join(names))}",
        *(f"          permission-{name}: {level}" for name, level in strongest(needed).items()),
    ]


_GOOGLE = (
    "      - name: Sign in at Google",
    "        id: google",
    f"        uses: {GOOGLE_AUTH}",
    "        with:",
    "          workload_identity_provider: ${{ vars.GOOGLE_WORKLOAD_IDENTITY_PROVIDER }}",
    "          service_account: ${{ vars.GOOGLE_SERVICE_ACCOUNT }}",
    "          export_environment_variables: false",
    "      # In the checkout it would be an uncommitted change, and a build could copy it into an image.",
    "      - name: Take Google's credential out of the checkout",
    "        env:",
    "          CREDENTIAL: ${{ steps.google.outputs.credentials_file_path }}",
    '        run: mv "$CREDENTIAL" "$RUNNER_TEMP/google.json"',
)
_GHCR = (
    "      - name: Log in at the archive",
    "        env:",
    "          TOKEN: ${{ github.token }}",
    '        run: docker login ghcr.io --username "$GITHUB_ACTOR" --password-stdin <<<"$TOKEN"',
)


def _install(given: Choices) -> list[str]:
    if given.action:
        return ["      - name: Install liftlock", f"        uses: {given.action}"]
    return [
        "      - name: Find a Python",
        "        id: python",
        f"        uses: {SETUP_PYTHON}",
        "        with:",
        '          python-version: "3.13"',
        "          update-environment: false # the builds keep theirs",
        "      - name: Install liftlock",
        "        env:",
        "          PYTHON: ${{ steps.python.outputs.python-path }}",
        "        run: |",
        '          "$PYTHON" -m venv "$RUNNER_TEMP/liftlock"',
        f"          \"$RUNNER_TEMP/liftlock/bin/python\" -m pip install --quiet 'liftlock[firebase,push]=={__version__}'",
        '          mkdir "$RUNNER_TEMP/liftlock-program"',
        '          ln -s "$RUNNER_TEMP/liftlock/bin/liftlock" "$RUNNER_TEMP/liftlock-program/liftlock"',
        '          echo "$RUNNER_TEMP/liftlock-program" >>"$GITHUB_PATH"',
    ]


def _liftlock_step(
    name: str, run: str, environment: Mapping[str, str], *, key: str = "", condition: str = ""
) -> list[str]:
    """A step that becomes liftlock (`exec`): a cancelled job's signals have to reach it, not a shell."""
    return [
        f"      - name: {_quoted(name)}",
        *([f"        id: {key}"] if key else []),
        *([f"        if: {condition}"] if condition else []),
        "        env:",
        *(f"          {variable}: {value}" for variable, value in environment.items()),
        f"        run: {run}",
    ]


def _environment(project: Project, given: Choices, *, builds: bool = False) -> dict[str, str]:
    """The variables that liftlock reads, each from the secret of the same name."""
    token = "${{ github.token }}"  # noqa: S105 - no token, but where one is
    if _reaches_further(project, given):
        several = len(_owners(project)) > 1
        token = "${{ secrets.LIFTLOCK_GITHUB_TOKEN }}" if several else "${{ steps.app-token.outputs.token }}"
    found = {"GITHUB_TOKEN": token}
    if _has(project, "firebase"):
        found["GOOGLE_APPLICATION_CREDENTIALS"] = "${{ runner.temp }}/google.json"
    names = ["HEROKU_API_KEY"] if _has(project, "heroku") else []
    for name in [*names, *_variables(project, builds=builds)]:
        found.setdefault(name, f"${{{{ secrets.{name} }}}}")
    return found


def _variables(project: Project, *, builds: bool) -> list[str]:
    """The environment variables that the configuration names, in the order in which it does."""
    named: list[str] = []
    references = [value for options in project.notify.values() for value in options.values()]
    for app in project.apps.values():
        for target in app.targets.values():
            named += target.options.get("env", ()) if app.platform == "command" else ()
            references.append(target.backup.get("url", ""))
        if builds:
            references += [place for source in app.processes.values() for _, place in source.secrets]
    if not builds:
        commands = [e.gates.command for e in project.environments.values() if e.gates.command]
        named += [name for command in commands for name in command.env]
    named += [place.removeprefix("env:") for place in references if place.startswith("env:")]
    reserved = {*PASSED_ON, "GITHUB_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"}
    return [n for n in dict.fromkeys(named) if n not in reserved and _VARIABLE.fullmatch(n)]


def _has(project: Project, platform: str) -> bool:
    return any(app.platform == platform for app in project.apps.values())


def _reaches_further(project: Project, given: Choices) -> bool:
    """Whether liftlock needs more repositories than the job's own token can see."""
    return _is_elsewhere(given) or len({p.repository for p in permissions(project)}) > 1


def _owners(project: Project) -> list[str]:
    return list(dict.fromkeys(p.repository.partition("/")[0] for p in permissions(project)))


def _is_elsewhere(given: Choices) -> bool:
    return given.config.startswith("github:")


def _config(given: Choices) -> str:
    """The option, as it stands in a script. Raises `UsageError` for what a shell would take apart."""
    if given.config and not _PATH.fullmatch(given.config):
        raise UsageError(
            f"{given.config!r} cannot be written into a workflow.",
            hint="Name the file by a path below the checkout's root, without spaces.",
        )
    return f" --config {given.config}" if given.config else ""


def _quoted(text: str) -> str:
    """`text` as a YAML string: JSON's are such. Raises `UsageError` where GitHub would compute something of it."""
    if "${{" in text:
        raise UsageError(
            f"{text!r} cannot be written into a workflow: GitHub would take it for an expression."
        )
    return json.dumps(text)
