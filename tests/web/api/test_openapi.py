"""The API's description: made from the code, committed as a page, and held against what the server answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from liftlock.web.api.openapi import document
from liftlock.web.api.operations import OPERATIONS

ROOT = Path(__file__).parents[3]


def test_the_committed_description_is_what_the_code_says() -> None:
    kept = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text("utf-8"))
    assert {**kept, "info": {}} == {**json.loads(json.dumps(document())), "info": {}}, "run: make docs"


def test_every_operation_says_what_it_does_and_its_fields_too() -> None:
    described = document()
    for operation in OPERATIONS:
        assert operation.about, operation.id
    for name, schema in described["components"]["schemas"].items():
        assert schema.get("description"), name
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


def test_the_description_is_openapi() -> None:
    """Checked with the schema that OpenAPI publishes, which schemathesis brings with its own checks."""
    schemathesis = pytest.importorskip("schemathesis")
    schema: Any = schemathesis.openapi.from_dict(document())
    assert len(list(schema.get_all_operations())) == len(OPERATIONS)
