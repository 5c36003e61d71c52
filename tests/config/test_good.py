"""What good files mean, name by name."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from liftlock.config import find, load, parse
from liftlock.errors import ConfigurationError
from liftlock.model import Gates, ProcessSource, Project, RecordName, Undo

from .files import EXAMPLE, GOOD, HERE


def good(name: str, **environ: str) -> Project:
    return load(HERE / "good" / f"{name}.toml", environ)


def read(text: str, platforms: list[str] | None = None) -> Project:
    return parse(text, Path("liftlock.toml"), {}, platforms)


@pytest.mark.parametrize("file", GOOD, ids=[file.stem for file in GOOD])
def test_good_file_loads(file: Path) -> None:
    assert load(file, {}).apps


@pytest.fixture(scope="module")
def observatory() -> Project:
    return load(EXAMPLE, {})


TARGETS = {
    "SSO": ("heroku", "lucuma-sso-dev", "lucuma-sso-staging", "lucuma-sso-production"),
    "ITC": ("heroku", "itc-dev", "itc-staging", "itc-production"),
    "ODB": (
        "heroku",
        "lucuma-postgres-odb-dev",
        "lucuma-postgres-odb-staging",
        "lucuma-postgres-odb-production",
    ),
    "RESOURCE": ("heroku", "lucuma-resource-dev", "lucuma-resource-staging", "lucuma-resource-production"),
    "Explore": ("firebase", "explore-gemini-dev", "explore-gemini-stage", "explore-gemini-prod"),
    "ResourceUI": ("firebase", "resource-ui-dev", "resource-ui-stage", "resource-ui-prod"),
    "AdminUI": ("firebase", "admin-ui-dev", "admin-ui-stage", "admin-ui-prod"),
    "preferences": ("command", "preferences", "preferences", "preferences"),
}
GITHUB = ("development", "staging", "production")
RECORDS = {
    "SSO": ("example/services", "deploy:SSO", *GITHUB),
    "ITC": ("example/services", "deploy:ITC", *GITHUB),
    "ODB": ("example/services", "deploy:ODB", *GITHUB),
    "RESOURCE": ("example/services", "deploy:RESOURCE", *GITHUB),
    "Explore": ("example/explore", "deploy:Explore", *GITHUB),
    "ResourceUI": (
        "example/admin",
        "deploy",
        "resource-ui-dev",
        "resource-ui-staging",
        "resource-ui-production",
    ),
    "AdminUI": ("example/admin", "deploy", "admin-ui-dev", "admin-ui-staging", "admin-ui-production"),
    "preferences": ("example/explore", "deploy:preferences", *GITHUB),
}
LEVELS = ("dev", "staging", "production")


def test_reference_project_has_the_names_that_its_team_has(observatory: Project) -> None:
    assert list(observatory.apps) == list(TARGETS)
    assert list(observatory.environments) == list(LEVELS)
    for name, app in observatory.apps.items():
        platform, *targets = TARGETS[name]
        repository, task, *environments = RECORDS[name]
        assert app.platform == platform
        assert app.repository == repository
        assert [app.targets[level].name for level in LEVELS] == targets
        assert [app.records[level] for level in LEVELS] == [
            RecordName(repository, task, environment) for environment in environments
        ]
        for level in LEVELS:
            target = app.targets[level]
            assert (target.app, target.environment, target.platform) == (name, level, platform)
            assert target.repository == repository


def test_reference_project_has_everything_else_that_its_file_says(observatory: Project) -> None:
    apps = observatory.apps
    assert (observatory.name, observatory.repository, observatory.ledger) == (
        "observatory",
        "example/services",
        "github",
    )
    assert observatory.settle_s == 30.0
    assert (observatory.lease, observatory.archive, observatory.single_machine) == ("", "", False)
    assert observatory.notify == {"slack": {"webhook": "env:SLACK_WEBHOOK_URL"}}
    assert [observatory.environments[level].promotes_from for level in LEVELS] == [
        (),
        ("dev",),
        ("staging", "dev"),
    ]
    assert observatory.environments["dev"].names == {"github": "development", "firebase": "dev"}
    assert observatory.environments["production"].gates == Gates(
        1, 7200.0, "Mon-Thu 09:00-16:00 America/Santiago"
    )
    assert {name for name, app in apps.items() if app.backup} == {"SSO", "ODB"}
    assert {name for name, app in apps.items() if app.undo is Undo.NEVER} == {"preferences"}
    assert {name: app.after for name, app in apps.items() if app.after} == {
        "ODB": ("SSO",),
        "Explore": ("SSO", "ITC", "ODB", "RESOURCE"),
    }
    assert apps["ODB"].targets["staging"].processes == ("release", "web", "calibration", "obscalc")
    assert apps["ODB"].targets["staging"].health == "/health"
    assert apps["ODB"].processes["obscalc"] == ProcessSource(dockerfile="obscalc/Dockerfile")
    assert apps["ODB"].processes["web"] == ProcessSource(image="noirlab/lucuma-odb-service")
    assert apps["SSO"].targets["dev"].options == {}
    assert apps["Explore"].targets["dev"].options == {"folder": "."}
    assert apps["preferences"].targets["production"].options == {
        "status": ["./migrate", "status", "production"],
        "apply": ["./migrate", "apply", "production"],
        "env": ["MIGRATE_KEY"],
        "timeout_s": 600.0,
        "folder": ".",
    }
    assert observatory.endpoints == {
        "github": "https://api.github.com",
        "heroku": "https://api.heroku.com",
        "heroku_data": "https://api.data.heroku.com",
        "heroku_registry": "https://registry.heroku.com",
        "firebase": "https://firebasehosting.googleapis.com",
    }


def test_tables_of_names_win_over_templates_and_may_hold_them() -> None:
    project = good("tables")
    assert [target.name for target in project.apps["site"].targets.values()] == ["shop-testing", "shop"]
    assert [target.name for target in project.apps["web"].targets.values()] == [
        "old-shop-testing",
        "old-live",
    ]
    assert project.apps["web"].processes["web"] == ProcessSource(
        directory="services/web", command=("python3", "app.py", "web")
    )


def test_environments_stand_from_the_first_level_up_wherever_they_are_written() -> None:
    assert list(good("tables").environments) == ["dev", "production"]


def test_release_phase_is_not_undoable_unless_the_file_says_so() -> None:
    assert good("tables").apps["web"].undo is Undo.NEVER


def test_command_is_filled_in_and_leaves_other_braces_alone() -> None:
    app = good("sqlite").apps["migrate"]
    assert app.undo is Undo.SAFE
    assert app.targets["production"].options == {
        "status": ["sh", "-c", "./status ${HOME} {} {{x}} production production production"],
        "apply": ["./apply", "production", ""],
        "undo": ["./undo", "production"],
        "env": ["DATABASE_URL"],
        "timeout_s": 1800.0,
        "folder": "migrations",
    }


def test_variables_win_over_the_file_and_the_file_over_defaults() -> None:
    project = good("sqlite", GITHUB_API_URL="https://github.example.com/api/v3/", HEROKU_API_URL="")
    assert project.endpoints == {
        "github": "https://github.example.com/api/v3",
        "heroku": "http://localhost:8080",
        "heroku_data": "https://api.data.heroku.com",
        "heroku_registry": "https://registry.heroku.com",
        "firebase": "http://[::1]:8080",
    }


def test_added_platform_has_names_options_and_processes() -> None:
    project = read(
        """
        [project]
        name = "shop"
        repository = "example/shop"
        [environments.dev]
        [apps.web]
        nomad = "shop_{env}"
        health = "/"
        backup = true
        options = { replicas = 2 }
        processes.web = { image = "example/shop" }
        """,
        ["heroku", "nomad"],
    )
    target = project.apps["web"].targets["dev"]
    assert (target.platform, target.name, target.options["replicas"]) == ("nomad", "shop_dev", 2)


SHORT = (HERE / "good" / "sections.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('settle = "0s"', 'settle = "1s"'),
        ('github = "development"', 'github = "test"'),
        ('undo = "never"\n', ""),
        ("two-{github}", "two-{env}"),
        ('after = ["one"]', ""),
        ("backup = true", "backup = false"),
        ("https://registry.example.com", "https://registry.example.org"),
        ('from = ["dev"]', 'from = ["dev"]\ngates = { approvals = 1 }'),
        ("processes.worker", "processes.clock"),
    ],
)
def test_digest_changes_with_what_the_file_means(old: str, new: str) -> None:
    assert old in SHORT
    assert read(SHORT.replace(old, new)).config_digest != read(SHORT).config_digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('settle = "0s"', 'settle="0ms" # comment'),
        ('["two", "one"]', '["one",\n "two"]'),
        ('ledger = "github"\n', ""),
        ("heroku_registry", "heroku = 'https://api.heroku.com'\nheroku_registry"),
        ("backup = true", 'repository = "example/sections"\nbackup = true'),
        ("keyring:liftlock-slack", "env:SLACK_WEBHOOK_URL"),
        ('github = "development"', 'firebase = "dev"\ngithub = "development"'),
    ],
)
def test_digest_does_not_change_with_how_the_file_says_it(old: str, new: str) -> None:
    assert read(SHORT.replace(old, new)).config_digest == read(SHORT).config_digest


def test_digest_changes_with_the_variables() -> None:
    assert (
        good("shortest").config_digest != good("shortest", HEROKU_API_URL="http://localhost:1").config_digest
    )


def test_file_is_found_in_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "liftlock.toml").write_text(SHORT)
    assert find(tmp_path / "a" / "b") == tmp_path / "liftlock.toml"
    assert load(find(tmp_path / "a"), {}).root == str(tmp_path)


def test_no_file_anywhere_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="here or in a folder above") as caught:
        find(tmp_path)
    assert "--config" in caught.value.hint


def test_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    file = tmp_path / "liftlock.toml"
    file.write_bytes(b"\xef\xbb\xbf" + SHORT.replace("\n", "\r\n").encode())
    assert load(file, {}).config_digest == read(SHORT).config_digest


def test_large_project_loads_fast() -> None:
    """40 apps in 5 environments take less than 50 ms of a processor; twice that here, for slow ones."""

    def after(n: int) -> str:
        return f'"a{n - 1}"' if n else ""

    lines = ['[project]\nname = "large"\nrepository = "example/large"\n[environments.e0]\n']
    lines += [f'[environments.e{n}]\nfrom = ["e{n - 1}"]\n' for n in range(1, 5)]
    lines += [
        f'[apps.a{n}]\nheroku = "app-{n}-{{env}}"\nafter = [{after(n)}]\nbackup = true\n'
        'processes.web = { image = "example/web" }\nprocesses.worker = { image = "example/worker" }\n'
        for n in range(40)
    ]
    text = "".join(lines)
    times = []
    for _ in range(5):
        start = time.process_time()
        assert len(read(text).apps) == 40
        times.append(time.process_time() - start)
    assert min(times) < 0.1


def test_what_few_files_need_is_not_imported_beforehand() -> None:
    rare = ("difflib", "importlib.metadata", "liftlock.config.reference")
    code = f"import sys, liftlock.config; print([name for name in {rare} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_serve_says_who_may_do_what() -> None:
    serve = good("serve").serve
    assert serve.github is not None
    assert (serve.github.url, serve.github.client_secret) == (
        "https://github.com",
        "env:GITHUB_CLIENT_SECRET",
    )
    assert serve.roles["production"]["promote"] == ("team:example/releases", "ada")
    assert serve.roles["dev"]["administer"] == ()
    assert (serve.confirm, serve.proxies) == (("production",), ("10.0.0.0/8",))


def test_who_may_do_what_is_no_part_of_any_plan() -> None:
    text = (HERE / "good" / "serve.toml").read_text("utf-8")
    kept = text.partition("[serve]")[0].replace("confirm = true", "")
    kept = "\n".join(
        line
        for line in kept.splitlines()
        if not line.startswith(
            ("roles", "see", "promote", "appr", "admin", "[environments.production.roles]")
        )
    )
    assert read(kept).serve.roles["production"]["promote"] == ()
    assert read(kept).config_digest == good("serve").config_digest
