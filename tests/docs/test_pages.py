"""What the pages say can be followed: links, commands, configurations, pictures."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cyclopts import CycloptsError, MissingArgumentError

from liftlock.cli.app import app
from liftlock.config import parse
from tests.docs.pages import PAGES, ROOT, anchors, blocks, name, prose

each_page = pytest.mark.parametrize("page", PAGES, ids=name)


@each_page
def test_links_and_their_anchors_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{name(page)} links to {link}"


def commands(page: Path) -> Iterator[tuple[str, bool]]:
    """Every `liftlock …` that a page shows, and whether it is whole: in prose it may be a beginning."""
    for block in blocks(page):
        if block.kind in {"sh", "yaml"}:
            for line in block.text.splitlines():
                if found := re.search(r"(?:^\s*|run: |\$ |&& )liftlock (.*)", line):
                    yield found[1], True
    for found in re.findall(r"`liftlock ([^`]+)`", prose(page)):
        yield found, False


@each_page
def test_commands_that_are_shown_exist_with_their_options(page: Path) -> None:
    if name(page) == "docs/reference/commands.md":
        return  # generated from the commands themselves
    for line, is_whole in commands(page):
        tokens = shlex.split(line, comments=True)
        if tokens in (["--version"], ["--help"]) or "…" in line:
            continue
        try:
            command, *_ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        except MissingArgumentError:
            if is_whole:
                pytest.fail(f"{name(page)}: liftlock {line}: an argument is missing")
            continue
        except CycloptsError as error:
            pytest.fail(f"{name(page)}: liftlock {line}: {error}")
        assert callable(command) or asyncio.iscoroutinefunction(command)


FRAME = {
    "project": '[project]\nname = "p"\nrepository = "example/services"\n',
    "environments": '[environments.dev]\n[environments.staging]\nfrom = ["dev"]\n[environments.production]\nfrom = ["dev"]\n',
    "apps": '[apps.SSO]\nheroku = "sso-{env}"\nprocesses.web = { image = "sso" }\n'
    '[apps.ITC]\nheroku = "itc-{env}"\nprocesses.web = { image = "itc" }\n',
}
"""What a part of a configuration is a part of: each of these where the part has none of its own."""


@each_page
def test_configurations_that_are_shown_load(page: Path) -> None:
    """One without `[project]` is a part of a file."""
    for block in blocks(page):
        if block.kind == "toml":
            text = re.sub(
                r"^(\[apps\.(\w+)\]\n)(?!(?:.+\n)*(?:heroku|firebase|directory|swarm|command|supervisor) =)",
                r'\1heroku = "\2-{env}"\nprocesses.web = { image = "one" }\n',
                block.text,
                flags=re.MULTILINE,
            )
            for section, frame in () if "[project]" in text else FRAME.items():
                if section == "apps":
                    apps = [f"[apps.{one}" for one in frame.split("[apps.")[1:]]
                    text += "\n" + "".join(one for one in apps if one.splitlines()[0] not in text)
                elif f"[{section}" not in text:
                    text = f"{frame}\n{text}"
            parse(text, ROOT / "liftlock.toml", {}, ["supervisor"])  # which an example adds


@each_page
def test_json_that_is_shown_is_json(page: Path) -> None:
    for block in blocks(page):
        if block.kind == "json":
            json.loads(block.text)


def test_pictures_are_shown_with_words_and_name_no_place_of_a_machine() -> None:
    shown = set()
    for page in PAGES:
        for words, path in re.findall(r"!\[([^]]*)\]\(([^)]+\.svg)\)", page.read_text("utf-8")):
            assert len(words) > 20, f"{name(page)}: {path} has no words for who cannot see it"
            shown.add((page.parent / path).resolve())
    kept = set((ROOT / "docs" / "pictures").glob("*.svg"))
    assert kept == shown
    for picture in kept:
        text = picture.read_text("utf-8")
        ElementTree.fromstring(text)
        assert not re.search(
            r"(?:/tmp|/home|/root|/work)\b|https?://(?!www\.w3\.org|127\.0\.0\.1:8080)[\w.]+/",
            text.split("-->", 1)[1],
        )
