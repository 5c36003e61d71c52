"""What every vendor's description has in common: operations, and schemas for what is sent and answered.

One policy for all: a request holds nothing that the vendor does not describe, and the sandbox
answers with nothing that the vendor does not describe. The vendors allow unknown fields by default,
so a mistyped name would pass; `closed` forbids them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from jsonschema import FormatChecker
from jsonschema.protocols import Validator

Schema = dict[str, Any]

formats = FormatChecker(formats=())


@formats.checks("date-time", raises=ValueError)
@formats.checks("google-datetime", raises=ValueError)
def _is_a_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@formats.checks("uuid", raises=ValueError)
def _is_a_uuid(value: object) -> bool:
    return not isinstance(value, str) or bool(UUID(value))


@formats.checks("int64")
def _is_an_int64(value: object) -> bool:
    """Google writes them as strings, since JSON's numbers do not reach that far everywhere."""
    return not isinstance(value, str) or re.fullmatch(r"-?\d{1,19}", value) is not None


class BrokenContractError(AssertionError):
    """Something was sent or answered that the vendor does not describe."""


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: re.Pattern[str]
    query: frozenset[str] = frozenset()
    request: Validator | None = None
    """None: no body may be sent."""
    answers: Mapping[int, Validator | None] = field(default_factory=dict)
    """By status, those of success; None: not JSON, or nothing at all."""
    body_optional: bool = False


@dataclass(frozen=True)
class Vendor:
    """A vendor's operations, and how it says no."""

    name: str
    operations: tuple[Operation, ...]
    error: Validator | None
    """The body of every answer of 400 and above; None: plain text."""

    def find(self, method: str, path: str) -> tuple[Operation, ...]:
        """The operations that this request may be: Heroku describes two under one method and path."""
        found = tuple(o for o in self.operations if o.method == method and o.path.fullmatch(path))
        if not found:
            raise BrokenContractError(f"{self.name} describes no {method} {path}")
        return found


def path_pattern(template: str) -> re.Pattern[str]:
    """A pattern of `/apps/{app}/formation`; a placeholder is one segment, `{name+}` may be several."""
    parts = re.split(r"(\{[^}]*\})", unquote(template))
    return re.compile(
        "".join(
            (".+" if part.endswith("+}") else "[^/]+") if part.startswith("{") else re.escape(part)
            for part in parts
        )
    )


def closed(schema: Any) -> Any:
    """A copy in which every object that names its properties has no others."""
    return _closed(deepcopy(schema))


def _closed(node: Any) -> Any:
    if isinstance(node, dict):
        names = node.get("properties")
        if isinstance(names, dict) and not {"additionalProperties", "patternProperties"} & node.keys():
            node["additionalProperties"] = False
        for value in node.values():
            _closed(value)
    elif isinstance(node, list):
        for value in node:
            _closed(value)
    return node


def problems(validator: Validator, value: Any) -> list[str]:
    """Every way in which `value` is not as described, each with its place."""
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]


def check_request(
    vendor: Vendor, method: str, path: str, body: Any | None, query: tuple[str, ...] = ()
) -> None:
    """Raise `BrokenContractError` unless the vendor describes this request."""
    complaints = []
    for operation in vendor.find(method, path):
        wrong = [f"query: {name!r} is not described" for name in query if name not in operation.query]
        if operation.request is None:
            wrong += ["a body was sent, and none is described"] if body is not None else []
        elif body is None:
            wrong += [] if operation.body_optional else ["no body was sent, and one is described"]
        else:
            wrong += problems(operation.request, body)
        if not wrong:
            return
        complaints += wrong
    raise BrokenContractError(
        f"{vendor.name} does not take this {method} {path}:\n  " + "\n  ".join(complaints)
    )


def check_answer(vendor: Vendor, method: str, path: str, status: int, body: Any | None) -> None:
    """Raise `BrokenContractError` unless the vendor describes this answer. `body` is None without JSON."""
    if status >= 400:
        wrong = problems(vendor.error, body) if vendor.error else []
    else:
        wrong = []
        for operation in vendor.find(method, path):
            if status not in operation.answers:
                wrong = [f"status {status} is not described; there are {sorted(operation.answers)}"]
                continue
            schema = operation.answers[status]
            wrong = problems(schema, body) if schema else []
            if not wrong:
                break
    if wrong:
        raise BrokenContractError(
            f"{vendor.name} does not answer {method} {path} with this {status}:\n  " + "\n  ".join(wrong)
        )


Load = Callable[[], "Vendor | str"]
"""Loads a vendor's description, or says why it cannot be had here."""
