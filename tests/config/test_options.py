"""The options of an added platform: what stands in the file is what the platform gets."""

from __future__ import annotations

from pathlib import Path

from liftlock.config import parse

FILE = """
[project]
name = "shop"
repository = "example/shop"
[environments.dev]
[environments.staging]
from = ["dev"]
[apps.web]
nomad = "web-{env}"
options = { replicas = 2, folder = "/srv/{env}", secrets = ["{env}_key", "${NAME}"] }
"""


def test_placeholders_are_filled_in_every_text_of_the_options() -> None:
    app = parse(FILE, Path("liftlock.toml"), {}, ["nomad"]).apps["web"]
    assert app.targets["staging"].options == {
        "replicas": 2,
        "folder": "/srv/staging",
        "secrets": ["staging_key", "${NAME}"],
    }


def test_the_folder_is_told_where_the_file_names_it() -> None:
    app = parse(FILE + 'folder = "front"\n', Path("liftlock.toml"), {}, ["nomad"]).apps["web"]
    assert app.targets["dev"].options["folder"] == "front"
