"""Whether what an app is made from changed."""

from __future__ import annotations

import pytest

from liftlock.commands.inputs import any_matches


@pytest.mark.parametrize(
    ("pattern", "covered", "not_covered"),
    [
        ("odb/**", ["odb/a", "odb/b/c.scala"], ["odb", "odbx/a", "x/odb/a"]),
        ("odb", ["odb", "odb/a/b"], ["odb2", "x/odb"]),
        ("odb/", ["odb/a"], ["odb2/a"]),
        ("*.sbt", ["build.sbt"], ["project/build.sbt", "build.sbtx"]),
        ("**/*.sbt", ["build.sbt", "project/a/build.sbt"], ["build.txt"]),
        ("project/?.sbt", ["project/a.sbt"], ["project/ab.sbt", "project//sbt"]),
        ("./a+b/[c]", ["a+b/[c]", "a+b/[c]/d"], ["aab/c"]),
    ],
)
def test_patterns_cover_files_as_in_gitignore(
    pattern: str, covered: list[str], not_covered: list[str]
) -> None:
    assert all(any_matches([file], [pattern]) for file in covered)
    assert not any(any_matches([file], [pattern]) for file in not_covered)
    assert any_matches(["README.md", covered[0]], ["absent", pattern])
