"""The reference page and the JSON Schema say what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from liftlock.config import parse
from liftlock.config.reference import documents, json_schema
from liftlock.config.schema import SECTIONS, File, keys_of
from liftlock.config.table import Table

from .files import BROKEN, GOOD, REPOSITORY

FOLDER = REPOSITORY / "docs" / "reference"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


@pytest.mark.parametrize("name", documents())
def test_generated_document_is_up_to_date(name: str) -> None:
    """When this fails: `python -m liftlock.config.reference`."""
    assert (FOLDER / name).read_text("utf-8") == documents()[name]


def test_documents_are_written_by_one_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "liftlock.config.reference", str(tmp_path)]
    subprocess.run(command, check=True, timeout=60)
    assert {file.name: file.read_text("utf-8") for file in tmp_path.iterdir()} == documents()


def test_example_of_the_page_loads() -> None:
    found = re.search(r"```toml\n(.*?)```", (FOLDER / "configuration.md").read_text("utf-8"), re.DOTALL)
    assert found
    assert len(parse(found[1], Path("liftlock.toml"), {}).apps) == 8


def test_schema_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("file", GOOD, ids=[file.stem for file in GOOD])
def test_schema_accepts_good_file(file: Path) -> None:
    VALIDATOR.validate(tomllib.loads(file.read_text()))


@pytest.mark.parametrize(
    "name",
    [
        "unknown-keys",
        "unknown-tables",
        "wrong-types",
        "missing-required",
        "no-apps",
        "no-platform",
        "two-platforms",
        "bad-undo",
        "bad-durations",
        "bad-names",
        "bad-processes",
        "bad-repositories",
        "webhook-address",
    ],
)
def test_schema_refuses_broken_file(name: str) -> None:
    (file,) = (file for file in BROKEN if file.stem == name)
    assert not VALIDATOR.is_valid(tomllib.loads(file.read_text()))


def test_every_key_is_described_with_examples_that_fit() -> None:
    schema = json_schema()
    for table in (schema, *schema["$defs"].values()):
        assert table["description"]
        for key, described in table["properties"].items():
            referred = schema["$defs"].get(described.get("$ref", "").rpartition("/")[2], {})
            assert (described.get("description") or referred["description"]).endswith("."), key
            for example in described.get("examples", ()):
                VALIDATOR.evolve(schema={**schema["$defs"], **described, "$defs": schema["$defs"]}).validate(
                    example
                )
    properties = [each for table in schema["$defs"].values() for each in table["properties"].values()]
    assert all("examples" in each or "$ref" in each for each in properties)


def test_every_table_of_the_file_is_a_section() -> None:
    assert {*SECTIONS.values()} == {*Table.__subclasses__()} - {File}


def test_page_names_every_key() -> None:
    page = documents()["configuration.md"]
    for place, table in SECTIONS.items():
        section = page.partition(f"## `[{'.'.join(place)}]`")[2].partition("\n## ")[0]
        assert re.findall(r"(?m)^\| `(\w+)` \|", section) == keys_of(table)


def test_schema_has_nothing_that_toml_cannot_say() -> None:
    assert "null" not in json.dumps(json_schema())
