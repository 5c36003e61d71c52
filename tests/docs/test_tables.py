"""The reference pages are complete: every event, key, variable, setting and promise."""

from __future__ import annotations

import ast
import dataclasses
import re
import sqlite3
from collections.abc import Iterator
from typing import get_args

from liftlock import programs
from liftlock.config.endpoints import ENDPOINTS
from liftlock.documents.run import result_document
from liftlock.engine import events
from liftlock.engine.outcome import Ending, Result
from liftlock.engine.way_back import Standing
from liftlock.model import Database, Kind
from liftlock.planning.document import plan_document
from liftlock.planning.make import make_plan
from liftlock.planning.plan import Action, Plan, StepKind
from liftlock.postgresql import address as pg_address
from liftlock.sandbox.cloud import Settings
from liftlock.sandbox.faults import ACTIONS
from tests.docs.pages import ROOT, code, prose, rows
from tests.doubles import app_of, observation, project_of, release, seen

REFERENCE = ROOT / "docs" / "reference"
SOURCE = ROOT / "src" / "liftlock"


def test_every_event_is_described_with_its_fields() -> None:
    described = {code(row[0])[0]: row for row in rows(REFERENCE / "events.md")}
    names = {events._NAMES[kind]: kind for kind in get_args(events.Event)}
    assert set(described) == set(names)
    for event, kind in names.items():
        fields = [field.name for field in dataclasses.fields(kind)]
        assert code(described[event][2]) == fields, event


def a_plan() -> Plan:
    database = (Database("db", "ODB", "staging", "fake"),)
    return make_plan(
        project_of(app_of("ODB", backup=True)),
        observation(
            seen("ODB", wanted=release("ODB", "b"), recorded=release("ODB", "a"), databases=database)
        ),
        kind=Kind.PROMOTION,
        environment="staging",
        source="dev",
    )


def keys(heading: str) -> list[str]:
    return [key for row in rows(REFERENCE / "plan.md", heading) for key in code(row[0])]


def test_every_key_of_a_plan_is_described() -> None:
    document = plan_document(a_plan())
    assert keys("A plan") == list(document)
    assert keys("An app in a plan") == list(document["apps"]["ODB"])
    for part in ("backups", "gates", "steps"):
        row = next(row for row in rows(REFERENCE / "plan.md", "A plan") if code(row[0]) == [part])
        described = re.findall(r'"(\w+)"', row[1])
        for one in document[part]:
            assert list(one) == described, part


def test_every_key_of_a_result_is_described() -> None:
    assert keys("A result") == list(result_document(a_plan(), Result(Ending.SUCCEEDED, {}, 0.0)))


def test_every_word_of_a_plan_and_of_a_result_is_described() -> None:
    assert keys("Steps") == [kind.value for kind in StepKind]
    said = {word for row in rows(REFERENCE / "plan.md") for word in code(" | ".join(row[1:]))}
    for words in (Action, Kind, Ending, Standing):
        assert {word.value for word in words} <= said, words


def test_every_variable_that_is_read_is_described_and_no_other() -> None:
    described = {word for row in rows(REFERENCE / "environment-variables.md") for word in code(row[0])}
    told = set(code(prose(REFERENCE / "environment-variables.md")))
    read = set(variables()) | {variable for variable, _ in ENDPOINTS.values()}
    read |= {*programs.PASSED_ON, *pg_address._PASSED_ON, *pg_address._OWN}
    assert read <= told
    assert described <= read


def variables() -> Iterator[str]:
    """The names of environment variables in the source: looked up by name, or kept as a constant."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Subscript(value=place, slice=ast.Constant(value=str(name))) if _is_environ(place):
                    if isinstance(node.ctx, ast.Load):
                        yield name
                case ast.Call(
                    func=ast.Attribute(value=place, attr="get"), args=[ast.Constant(value=str(name)), *_]
                ):
                    if _is_environ(place):
                        yield name
                case ast.Call(func=ast.Attribute(attr="_variable"), args=[ast.Constant(value=str(name))]):
                    yield name
                case ast.Assign(
                    targets=[ast.Name(id="RUNTIME_VARIABLE")], value=ast.Constant(value=str(name))
                ):
                    yield name


def _is_environ(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr.strip("_") == "environ") or (
        isinstance(node, ast.Name) and node.id == "environ"
    )


def test_the_sandboxs_settings_faults_and_addresses_are_described() -> None:
    page = REFERENCE / "sandbox.md"
    settings = {code(row[0])[0]: row[1] for row in rows(page, "Settings")}
    defaults = {
        key: str(value).lower().removesuffix(".0") for key, value in dataclasses.asdict(Settings()).items()
    }
    assert settings == defaults
    assert {code(row[0])[0] for row in rows(page, "Faults")} == set(ACTIONS)


def test_sqlites_tables_are_described_with_their_columns() -> None:
    from liftlock.sqlite_file import MIGRATIONS

    described = {code(row[0])[0]: code(row[1]) for row in rows(REFERENCE / "records.md", "In SQLite")}
    made: dict[str, list[str]] = {}
    with sqlite3.connect(":memory:") as db:
        for statement in (statement for step in MIGRATIONS for statement in step):
            db.execute(statement)
        for table in described:
            made[table] = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    db.close()
    assert described == made
    assert tables - {"sqlite_sequence"} == set(described)


def test_promises_name_tests_that_are_marked() -> None:
    page = prose(ROOT / "docs" / "explanation" / "promises.md")
    marked = set(promised())
    sections = re.split(r"^## (P\d) .*$", page, flags=re.MULTILINE)[1:]
    assert sections[::2] == [f"P{number}" for number in range(1, 9)]
    for promise, text in zip(sections[::2], sections[1::2], strict=True):
        named = re.findall(r"^- `(test_\w+)`$", text, re.MULTILINE)
        assert named
        assert {(promise, test) for test in named} <= marked


def promised() -> Iterator[tuple[str, str]]:
    """Every test that is marked with a promise."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for mark in node.decorator_list:
                    if found := re.fullmatch(r"pytest\.mark\.promise\('(P\d)'\)", ast.unparse(mark)):
                        yield found[1], node.name
