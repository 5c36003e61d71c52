"""What was found in, what the file says out."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from liftlock.accounts import HerokuApp, RecordSeen
from liftlock.commands.adopt.checkout import Checkout, SiteFolder, block_values, read_checkout
from liftlock.commands.adopt.infer import infer, likeness
from liftlock.commands.adopt.levels import split
from liftlock.commands.adopt.survey import Found
from liftlock.commands.adopt.text import text
from liftlock.config import parse
from liftlock.errors import UsageError

HERE = Checkout(Path("shop"), "example/shop")


def file_of(found: Found) -> dict[str, Any]:
    """The file as it is written, which liftlock itself has to accept."""
    written = text(infer(found))
    parse(written, Path("liftlock.toml"), {})
    return tomllib.loads(written)


def apps(*names: str, **more: Any) -> list[HerokuApp]:
    return [HerokuApp(name, **more) for name in names]


@pytest.mark.parametrize(
    ("name", "stem", "level", "template"),
    [
        ("shop-dev", "shop", "development", "shop-{env}"),
        ("staging-shop", "shop", "staging", "{env}-shop"),
        ("explore-gemini-prod", "explore-gemini", "production", "explore-gemini-{env}"),
        ("production", "", "production", "{env}"),
        ("Production", "", "production", "{env}"),
        ("shop/qa", "shop", "test", "shop/{env}"),
    ],
)
def test_a_name_says_its_environment(name: str, stem: str, level: str, template: str) -> None:
    named = split(name)
    assert named is not None
    assert (named.stem, named.level, named.template) == (stem, level, template)


@pytest.mark.parametrize("name", ["shop", "prod2-shop", "livestream", "github-pages", "latest"])
def test_a_name_that_says_none_is_not_bent_into_one(name: str) -> None:
    assert split(name) is None


@pytest.mark.parametrize(
    ("system", "stem", "fits"),
    [
        ("ODB", "lucuma-postgres-odb", True),
        ("ResourceUI", "resource-ui", True),
        ("Explore", "explore-gemini", True),
        ("SSO", "lasso", False),
        ("API", "shop", False),
    ],
)
def test_systems_fit_targets_by_whole_words(system: str, stem: str, fits: bool) -> None:
    assert bool(likeness(system, stem)) is fits


def test_apps_become_environments_and_a_template() -> None:
    file = file_of(Found(HERE, apps=apps("shop-dev", "shop-staging", "shop-production", database=True)))
    assert list(file["environments"]) == ["dev", "staging", "production"]
    assert file["environments"]["production"] == {"from": ["staging"]}
    assert file["apps"]["shop"]["heroku"] == "shop-{env}"
    assert file["apps"]["shop"]["backup"] is True


def test_a_bare_name_beside_others_is_production_and_needs_a_table() -> None:
    file = file_of(Found(HERE, apps=apps("shop", "shop-staging")))
    assert file["apps"]["shop"]["heroku"] == {"staging": "shop-staging", "production": "shop"}


def test_pipelines_say_what_names_do_not() -> None:
    found = [
        HerokuApp("falling-river-1", pipeline="shop", stage="staging"),
        HerokuApp("quiet-lake-2", pipeline="shop", stage="production"),
    ]
    file = file_of(Found(HERE, apps=found))
    assert file["apps"]["shop"]["heroku"] == {"staging": "falling-river-1", "production": "quiet-lake-2"}


def test_records_name_the_apps_and_what_github_calls_the_environments() -> None:
    records = [
        RecordSeen("example/shop", "deploy:API", "development", processes=("web", "worker")),
        RecordSeen("example/shop", "deploy:API", "production"),
        RecordSeen("example/web", "deploy", "store-front-dev"),
        RecordSeen("example/web", "deploy", "store-front-production"),
        RecordSeen("example/shop", "deploy", "github-pages"),
    ]
    sites = {"store-front-dev": "Firebase", "store-front-prod": "Firebase"}
    file = file_of(
        Found(HERE, apps=apps("acme-api-dev", "acme-api-production"), sites=sites, records=records)
    )
    assert file["environments"]["dev"] == {"github": "development"}
    assert file["environments"]["production"] == {"from": ["dev"], "firebase": "prod"}
    assert list(file["apps"]) == ["API", "store-front"]
    assert list(file["apps"]["API"]["processes"]) == ["web", "worker"]
    site = file["apps"]["store-front"]
    assert site["repository"] == "example/web"
    assert site["record"] == {"task": "deploy", "environment": "store-front-{env}"}


def test_what_is_left_out_is_told_with_its_reason() -> None:
    records = [RecordSeen("example/shop", "deploy:shop", level) for level in ("staging", "production")]
    found = [
        *apps("shop-staging", "shop-production", "game-staging", "game-production", "try-staging", "lonely"),
        HerokuApp("old-production", container=False),
    ]
    draft = infer(Found(HERE, apps=found, records=records))
    assert [app.name for app in draft.apps] == ["shop"]
    reasons = {what.partition(" ")[0]: why for what, why in draft.left_out}
    assert "no deployment record names it" in reasons["game"]
    assert "production has none" in reasons["try"]
    assert "neither its name nor a pipeline" in reasons["lonely"]
    assert "runs no containers" in reasons["old-production"]


def test_a_command_is_told_as_a_comment_that_can_be_uncommented() -> None:
    records = [RecordSeen("example/shop", task, "dev") for task in ("deploy:shop", "deploy:migrations")]
    written = text(infer(Found(HERE, apps=apps("shop-dev", "shop-prod"), records=records)))
    (at,) = [n for n, line in enumerate(written.splitlines()) if line == "# [apps.migrations]"]
    lines = written.splitlines()
    block = [line.removeprefix("# ") for line in lines[at:] if line.startswith("# ")][:2]
    parse("\n".join([*lines[:at], *block]), Path("liftlock.toml"), {})


def test_a_script_is_enough_where_nobody_can_be_asked() -> None:
    script = Checkout(Path("shop"), "example/shop", script="promote.sh", script_targets=("shop-api",))
    assert file_of(Found(script))["apps"]["shop-api"]["heroku"] == "shop-api-{env}"


def test_nothing_found_says_what_is_missing() -> None:
    unasked = {"the apps at Heroku": "There is no credential for Heroku. Set HEROKU_API_KEY."}
    with pytest.raises(UsageError, match="Set HEROKU_API_KEY"):
        infer(Found(HERE, unasked=unasked))


def test_files_of_a_repository_are_read(tmp_path: Path) -> None:
    for name, content in {
        "api/Dockerfile": "FROM scratch",
        "worker/Dockerfile": "FROM scratch",
        "compose.yaml": "services:\n  web:\n    build:\n      context: ./api\n  cache:\n    image: redis:8 # not ours\n",
        "heroku.yml": "build:\n  docker:\n    web: api/Dockerfile\n    worker: worker/Dockerfile\n",
        "site/firebase.json": '{"hosting": {"site": "shop-dev"}}',
        "site/.firebaserc": '{"projects": {"default": "acme"}, "targets": {"acme": {"hosting": {"x": ["shop-prod"]}}}}',
        "scripts/promote.sh": 'curl -d x "$SLACK_WEBHOOK_URL"; for a in shop-api-$TARGET; do :; done # deploy:API',
        "node_modules/Dockerfile": "FROM elsewhere",
        ".firebaserc": "not JSON",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    read = read_checkout(tmp_path, "example/shop")
    assert read.dockerfiles == ("api/Dockerfile", "worker/Dockerfile")
    assert read.builds == {"web": "api/Dockerfile", "worker": "worker/Dockerfile"}
    assert read.images == {"cache": "redis:8"}
    assert read.process_types == ("web", "worker")
    assert read.site_folders == (SiteFolder("site", ("shop-dev", "shop-prod"), ("acme",)),)
    assert (read.script, read.script_targets, read.script_systems) == (
        "scripts/promote.sh",
        ("shop-api",),
        ("API",),
    )
    assert read.webhook == "SLACK_WEBHOOK_URL"


def test_yaml_that_is_not_understood_tells_less_and_nothing_wrong() -> None:
    odd = "services: {web: {image: a}}\nx: &anchor\n  image: b\nweb:\n  - image: c\n  <<: *anchor\ny: |\n  z: not a key\n"
    assert [value for keys, value in block_values(odd) if keys[:1] == ("services",)] == []
