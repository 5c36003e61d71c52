"""A folder alone, with nobody to ask: what its files tell is drafted, and what they do not is told as a guess."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from liftlock.accounts import HerokuApp, RecordSeen
from liftlock.commands.adopt.draft import Draft
from liftlock.commands.adopt.infer import infer
from liftlock.commands.adopt.survey import survey
from liftlock.commands.adopt.text import GUESS, text
from liftlock.config import parse
from liftlock.errors import UsageError


class Nobody:
    """`accounts.Accounts` without a credential."""

    async def repository(self, checkout: Path) -> str:
        return "example/shop"

    async def heroku_apps(self) -> Sequence[HerokuApp]:
        raise UsageError("There is no credential for Heroku.")

    async def heroku_processes(self, app: str) -> Sequence[str]:
        raise UsageError("There is no credential for Heroku.")

    async def sites(self, project: str) -> Sequence[str]:
        raise UsageError("There is no credential for Firebase.")

    async def records(self, repository: str) -> Sequence[RecordSeen]:
        raise UsageError("There is no credential for GitHub.")


def drafted(folder: Path, files: Mapping[str, str]) -> tuple[Draft, str, dict[str, Any]]:
    """What is drafted for these files: as a draft, as text, and as liftlock reads it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    draft = infer(anyio.run(survey, folder, Nobody()))
    written = text(draft)
    parse(written, Path("liftlock.toml"), {})
    return draft, written, tomllib.loads(written)


ORIGIN = """\
[core]
\tbare = false
[remote "origin"]
\turl = git@github.com:example/shop.git
\tfetch = +refs/heads/*:refs/remotes/origin/*
"""
REMOTES = f"""\
{ORIGIN}[remote "staging"]
\turl = https://git.heroku.com/falling-river-1.git
[remote "production"]
\turl = git@heroku.com:quiet-lake-2.git
"""
WORKFLOW = """\
jobs:
  staging:
    environment: staging
    steps:
      - run: docker push registry.heroku.com/shop-api-staging/web
      - run: heroku container:release web --app shop-api-staging
  production:
    environment:
      name: production
    steps:
      - uses: example/heroku-deploy@v1
        with:
          heroku_app_name: "shop-api-production"
"""
SITE = {
    "site/firebase.json": json.dumps({"hosting": {"public": "dist"}}),
    "site/.firebaserc": json.dumps(
        {"projects": {"default": "acme-try", "staging": "acme-41c2", "production": "acme-9b1c"}}
    ),
}


def test_a_team_with_workflows_and_a_site_has_all_but_the_order_drafted(tmp_path: Path) -> None:
    files = {
        ".github/workflows/deploy.yml": WORKFLOW,
        "Dockerfile": "FROM scratch",
        "Procfile": "web: ./serve\nworker: ./work\n",
        **SITE,
    }
    draft, written, file = drafted(tmp_path, files)
    assert list(file["environments"]) == ["staging", "production"]
    assert file["apps"]["shop-api"] == {
        "heroku": "shop-api-{env}",
        "processes": {"web": {"dockerfile": "Dockerfile"}, "worker": {"dockerfile": "Dockerfile"}},
    }
    assert file["apps"]["site"] == {
        "firebase": {"staging": "acme-41c2", "production": "acme-9b1c"},
        "folder": "site",
    }
    assert GUESS not in written
    assert ("acme-try", "its name does not say its environment") in draft.left_out
    told = dict(draft.sources)
    assert ".github/workflows/deploy.yml" in told["shop-api (heroku)"]
    assert "site/.firebaserc" in told["site (firebase)"]


def test_remotes_say_the_environment_of_apps_that_do_not(tmp_path: Path) -> None:
    _, _, file = drafted(tmp_path, {".git/config": REMOTES, "Dockerfile": "FROM scratch"})
    assert list(file["environments"]) == ["staging", "production"]
    assert file["apps"]["shop"]["heroku"] == {"staging": "falling-river-1", "production": "quiet-lake-2"}


def test_a_variable_stands_for_the_environments_that_workflows_name(tmp_path: Path) -> None:
    workflow = WORKFLOW
    for name in ("staging", "production"):
        workflow = workflow.replace(f"shop-api-{name}", "shop-api-${{ inputs.env }}")
    _, _, file = drafted(tmp_path, {".github/workflows/deploy.yml": workflow})
    assert list(file["environments"]) == ["staging", "production"]
    assert file["apps"]["shop-api"]["heroku"] == "shop-api-{env}"


@pytest.mark.parametrize(
    ("files", "apps"),
    [
        ({"Dockerfile": "FROM scratch"}, {"shop"}),
        ({"Procfile": "web: ./serve\n"}, {"shop"}),
        ({"api/Dockerfile": "FROM scratch", "jobs/Dockerfile": "FROM scratch"}, {"shop-api", "shop-jobs"}),
    ],
)
def test_what_is_built_is_drafted_and_its_place_is_called_a_guess(
    tmp_path: Path, files: Mapping[str, str], apps: set[str]
) -> None:
    draft, written, file = drafted(tmp_path, files)
    assert set(file["apps"]) == apps
    assert list(file["environments"]) == ["dev", "staging", "production"]
    for name in apps:
        assert f'heroku = "{name}-{{env}}"  # {GUESS}' in written
    assert "On which platform" in draft.guesses[0]


def test_a_guess_follows_the_environments_of_what_is_known(tmp_path: Path) -> None:
    _, written, file = drafted(tmp_path, {"Dockerfile": "FROM scratch", **SITE})
    assert list(file["environments"]) == ["staging", "production"]
    assert set(file["apps"]) == {"shop", "site"}
    assert f'heroku = "shop-{{env}}"  # {GUESS}' in written


def test_an_app_whose_environment_nobody_tells_is_left_out_and_nothing_is_made_up(tmp_path: Path) -> None:
    config = f'{ORIGIN}[remote "heroku"]\n\turl = https://git.heroku.com/quiet-lake-2.git\n'
    with pytest.raises(
        UsageError, match=r"quiet-lake-2 .git's remote heroku.: neither its name nor a remote"
    ):
        drafted(tmp_path, {".git/config": config, "Dockerfile": "FROM scratch"})
