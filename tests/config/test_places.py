"""The scanner finds the line of every key that `tomllib` reads."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftlock.config.places import Key, lines_of_keys

from .files import BROKEN, GOOD


def keys_of(value: Any, key: Key = ()) -> set[Key]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {place for part, each in items for place in ({(*key, part)} | keys_of(each, (*key, part)))}


def test_lines_through_every_kind_of_value() -> None:
    lines = lines_of_keys(
        '''\
# comment with = and [brackets]
top = "a # b" # c
[one]
a.b."c d" = 1
'quoted' = """
x = 1
\\""" y = 2"""
after = 1979-05-27 07:32:00
list = [
  "x", # ]
  { k = [1,
    2], l = 'a = "' },
]
[one.a.e]
f = \'\'\'
[no]\'\'\'\'
[[many]]
n = 1
[[many]]
n = { m = true }
'''
    )
    assert lines == {
        ("top",): 2,
        ("one",): 3,
        ("one", "a"): 4,
        ("one", "a", "b"): 4,
        ("one", "a", "b", "c d"): 4,
        ("one", "quoted"): 5,
        ("one", "after"): 8,
        ("one", "list"): 9,
        ("one", "list", 0): 10,
        ("one", "list", 1): 11,
        ("one", "list", 1, "k"): 11,
        ("one", "list", 1, "k", 0): 11,
        ("one", "list", 1, "k", 1): 12,
        ("one", "list", 1, "l"): 12,
        ("one", "a", "e"): 14,
        ("one", "a", "e", "f"): 15,
        ("many",): 17,
        ("many", 0): 17,
        ("many", 0, "n"): 18,
        ("many", 1): 19,
        ("many", 1, "n"): 20,
        ("many", 1, "n", "m"): 20,
    }


@pytest.mark.parametrize("file", [*GOOD, *BROKEN], ids=lambda file: file.stem)
def test_every_key_of_every_file_has_a_line(file: Path) -> None:
    text = file.read_text()
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert lines_of_keys(text).keys() == keys_of(values)


@settings(deadline=None)
@given(st.text(alphabet="ab.=[]{}\"'\\#\n ,1", max_size=60))
def test_every_key_of_any_document_has_a_line_and_no_text_is_too_much(text: str) -> None:
    lines = lines_of_keys(text)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    if "[[" not in text:  # tables below an element of an array are placed at the array
        assert keys_of(values) == lines.keys()
