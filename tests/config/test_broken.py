"""Every file in `broken/` is refused with the message that stands beside it, NAME.txt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from liftlock.config import load, parse
from liftlock.errors import ConfigurationError, Problem

from .files import BROKEN

TEXT = """\
[project]
name = "shop"
repository = "example/shop"
[environments.dev]
[apps.site]
firebase = "shop-{env}"
"""


def refused(text: str, **more: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, Path("liftlock.toml"), **{"environ": {}, **more})
    return caught.value


@pytest.mark.parametrize("file", BROKEN, ids=[file.stem for file in BROKEN])
def test_broken_file_is_refused_with_every_mistake_and_its_place(file: Path) -> None:
    assert f"{refused(file.read_text())}\n" == file.with_suffix(".txt").read_text()


def test_there_are_many_broken_files_each_with_a_message() -> None:
    assert len(BROKEN) >= 40
    assert {file.with_suffix("") for file in BROKEN} == {
        file.with_suffix("") for file in BROKEN[0].parent.glob("*.txt")
    }


def test_mistakes_are_told_as_data_too() -> None:
    error = refused(TEXT + 'aftr = ["x"]\n')
    assert error.exit_code == 2
    assert error.path == "liftlock.toml"
    assert error.problems == (
        Problem("apps.site.aftr", "there is no such key.", 7, 'Did you mean "after"?'),
        Problem("apps.site.after[0]", 'there is no app "x".', 7, "Apps: site."),
    )


@pytest.mark.promise("P7")
@pytest.mark.parametrize("file", BROKEN, ids=[file.stem for file in BROKEN])
def test_no_secret_stands_in_a_message(file: Path) -> None:
    """P7. Broken files spell their secrets `hunter2` or as a GitHub token."""
    message = str(refused(file.read_text()))
    assert "hunter2" not in message
    assert "ghp_" not in message


def test_variable_of_an_endpoint_is_checked_and_named() -> None:
    error = refused(TEXT, environ={"GITHUB_API_URL": "http://github.example.com"})
    assert str(error).startswith(
        "liftlock.toml: endpoints.github: the variable GITHUB_API_URL would send credentials"
    )


def test_credential_in_a_variable_of_an_endpoint_is_not_shown() -> None:
    error = refused(TEXT, environ={"HEROKU_API_URL": "https://me:hunter2@api.heroku.com"})
    assert "hunter2" not in str(error)


def test_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "liftlock.toml"
    file.write_bytes(b'[project]\nname = "\xff"\n')
    with pytest.raises(ConfigurationError, match=r"liftlock\.toml:2: is not UTF-8 text\.$"):
        load(file, {})


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_file_that_cannot_be_read_is_refused_with_a_hint(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read: (no such file|is a directory)") as caught:
        load(tmp_path / name, {})
    assert "--config FILE" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 100_000, "a = " + "9" * 10_000, 'a = "\ud800"', "a = " + "{b=" * 5000]
)
def test_absurd_text_is_refused(text: str) -> None:
    refused(text)


def test_key_of_an_added_platform_is_known_only_where_the_platform_is() -> None:
    text = TEXT.replace("firebase", "nomad")
    assert "apps.site.nomad: there is no such key." in str(refused(text, platforms=["heroku"]))
    parse(text, Path("liftlock.toml"), {}, ["nomad"])
    assert 'Did you mean "nomad"?' in str(refused(text.replace("nomad", "nmad"), platforms=["nomad"]))
