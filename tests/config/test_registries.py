"""Where images are pulled from: the project's place, an app's own, one for all environments or one for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from liftlock.config import parse
from liftlock.errors import ConfigurationError
from liftlock.model import Project

TEXT = """\
[project]
name = "shop"
repository = "example/shop"
{project}
[environments.dev]
[environments.production]
from = ["dev"]
[apps.{app}]
pods = "shop-{{env}}"
processes.web = {{ image = "example/shop" }}
{own}
[apps.old]
heroku = "shop-{{env}}"
processes.web = {{ image = "example/shop" }}
"""


def read(project: str = "", own: str = "", app: str = "Web") -> Project:
    """A project with an app on a platform that a package adds."""
    return parse(TEXT.format(project=project, own=own, app=app), Path("liftlock.toml"), {}, ["pods"])


def places(project: Project, app: str = "Web") -> list[str]:
    return [target.registry for target in project.apps[app].targets.values()]


def test_the_projects_place_serves_every_environment() -> None:
    project = read('registry = "registry.example.com:5000/shop"')
    assert places(project) == ["registry.example.com:5000/shop"] * 2
    assert places(project, "old") == ["", ""], "Heroku has a registry of its own"


def test_a_template_and_a_table_give_each_environment_its_own() -> None:
    assert places(read('registry = "ghcr.io/shop-{env}"')) == ["ghcr.io/shop-dev", "ghcr.io/shop-production"]
    table = 'registry = { dev = "localhost/dev", production = "ghcr.io/example" }'
    assert places(read(own=table)) == ["localhost/dev", "ghcr.io/example"]


def test_an_apps_place_wins_over_the_projects() -> None:
    project = read('registry = "registry.example.com/shop"', 'registry = "ghcr.io/example"')
    assert places(project) == ["ghcr.io/example"] * 2


def test_a_plan_depends_on_where_images_come_from() -> None:
    one, other = read('registry = "ghcr.io/one"'), read('registry = "ghcr.io/other"')
    assert one.config_digest != other.config_digest


@pytest.mark.parametrize(
    ("project", "own", "app", "message"),
    [
        ('registry = "shop"', "", "Web", 'project.registry: "shop" does not begin with a registry\'s host'),
        (
            'registry = "ghcr.io/Shop"',
            "",
            "Web",
            'project.registry: "ghcr.io/Shop" is not a place in a registry',
        ),
        (
            "",
            'registry = { dev = "ghcr.io/dev", prod = "ghcr.io/x" }',
            "Web",
            'apps.Web.registry.prod: there is no environment "prod". Did you mean "production"?',
        ),
        ("", 'registry = { dev = "ghcr.io/dev" }', "Web", "apps.Web.registry: has no place for production."),
        (
            'registry = "ghcr.io/shop"',
            "",
            "Web-",
            'project.registry: "ghcr.io/shop/web-" in dev cannot be a repository of a registry',
        ),
    ],
)
def test_a_place_that_cannot_be_is_told(project: str, own: str, app: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(project, own, app)
    assert message in str(caught.value)
