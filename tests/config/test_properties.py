"""Whatever is in the file: a project, or an error that says what is wrong. Never anything else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liftlock.config import parse
from liftlock.config.reference import json_schema
from liftlock.errors import ConfigurationError
from liftlock.model import Project

from .files import BROKEN, GOOD

CORPUS = [file.read_text() for file in [*GOOD, *BROKEN]]
WORDS = sorted(
    {word for text in CORPUS for word in re.findall(r"\[[\w.]+\]|\w+ = |\"[^\"\n]*\"|[\[\]{}=,.#]|\n", text)}
)


def attempt(text: str) -> Project | ConfigurationError:
    try:
        return parse(text, Path("liftlock.toml"), {})
    except ConfigurationError as caught:
        error = caught
    lines = text.count("\n") + 1
    assert error.problems
    assert all(problem.message for problem in error.problems)
    assert all(problem.line is None or 1 <= problem.line <= lines for problem in error.problems)
    return error


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_project_or_an_error(text: str) -> None:
    attempt(text)


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join))
def test_any_text_of_the_files_words_is_a_project_or_an_error(text: str) -> None:
    attempt(text)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_change_of_a_file_is_a_project_or_an_error(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(CORPUS))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(st.sampled_from(WORDS) | st.text(max_size=5)) + text[end:]
    attempt(text)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(each):08x}" for each in value) + '"'
    return repr(value)


def keys() -> list[str]:
    schema = json_schema()
    tables = [schema, *schema["$defs"].values()]
    return sorted({key for table in tables for key in table["properties"]} | {"dev", "web", "[key]", "0"})


VALUES = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.floats(0, 9) | st.text(max_size=8) | st.sampled_from(keys()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(keys()) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("project", "environments", "apps", "notify", "endpoints"), VALUES)
    )
)
def test_any_values_are_a_project_or_an_error(values: dict[str, object]) -> None:
    attempt("\n".join(f"{key} = {toml(value)}" for key, value in values.items()))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_value_at_any_key_is_a_project_or_an_error(data: st.DataObject) -> None:
    """A whole file in which one value is something else."""
    text = data.draw(st.sampled_from([file.read_text() for file in GOOD]))
    spots = list(re.finditer(r"(?<== )[^\n]+", text))
    spot = data.draw(st.sampled_from(spots))
    attempt(text[: spot.start()] + toml(data.draw(VALUES)) + text[spot.end() :])


@pytest.mark.parametrize("file", GOOD, ids=[file.stem for file in GOOD])
def test_meaning_does_not_depend_on_the_order_of_tables(file: Path) -> None:
    head, *sections = re.split(r"(?m)^(?=\[)", file.read_text())
    # Dotted keys and headers of one table may not be mixed in any order; keep an app together.
    groups: dict[str, str] = {}
    for section in sections:
        name = ".".join(section[1 : section.index("]")].split(".")[:2])
        groups[name] = groups.get(name, "") + section
    expected = attempt(head + "".join(sections))
    assert isinstance(expected, Project)

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.permutations(list(groups.values())))
    def check(shuffled: list[str]) -> None:
        assert attempt(head + "".join(shuffled)) == expected

    check()
