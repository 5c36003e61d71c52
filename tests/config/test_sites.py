"""Sites in directories: what their keys mean in each environment."""

from __future__ import annotations

from pathlib import Path

from liftlock.config import parse

TEXT = """\
[project]
name = "shop"
repository = "example/shop"
[environments.dev]
[environments.production]
from = ["dev"]
firebase = "prod"
[apps.Shop]
directory = "/srv/www/{env}/shop"
url = "https://{firebase}.example.com/"
health = "/up"
folder = "web"
public = "dist"
"""


def test_a_sites_keys_reach_its_platform_filled_in() -> None:
    app = parse(TEXT, Path("liftlock.toml"), {}).apps["Shop"]
    target = app.targets["production"]
    assert (app.platform, target.name, target.health) == ("directory", "/srv/www/production/shop", "/up")
    assert dict(target.options) == {
        "folder": "web",
        "public": "dist",
        "keep": 10,
        "url": "https://prod.example.com/",
    }


def test_what_is_left_out_has_a_default() -> None:
    short = TEXT[: TEXT.index("url")]
    options = parse(short, Path("liftlock.toml"), {}).apps["Shop"].targets["dev"].options
    assert dict(options) == {"folder": ".", "public": "public", "keep": 10, "url": ""}
