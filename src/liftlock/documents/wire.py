"""What a server and `liftlock --server` send each other: the model's own values, as JSON and back.

Each value says its class, and only dataclasses and enums of our own modules are ever made of it: no
name leads to a function. A field that the reader does not know is left out, and one that the writer
did not know has its default, so that the two may be of different versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from importlib import import_module
from typing import Any

from liftlock.errors import LiftlockError

MEDIA_TYPE = "application/vnd.liftlock.model+json"
MODULES = (
    "liftlock.model",
    "liftlock.planning.comparison",
    "liftlock.planning.observation",
    "liftlock.planning.plan",
    "liftlock.ports",
    "liftlock.commands.backups",
    "liftlock.commands.history",
    "liftlock.commands.status",
)
"""Where the classes are that may be sent."""
_CLASS = "_"


class NotOurs(LiftlockError):
    """What was sent is no value of the model."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The server sent something that this liftlock cannot read: {what}.",
            hint="Use the same version of liftlock here and there.",
        )


def to_wire(value: Any) -> Any:
    """A value of the model as JSON."""
    match value:
        case Enum():
            return {_CLASS: _name(type(value)), "value": value.value}
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return {_CLASS: "datetime", "value": value.isoformat()}
        case Mapping():
            return {_CLASS: "map", "items": [[to_wire(key), to_wire(each)] for key, each in value.items()]}
        case list() | tuple():
            return [to_wire(each) for each in value]
        case set() | frozenset():
            return {_CLASS: "set", "items": [to_wire(each) for each in value]}
    if is_dataclass(value) and not isinstance(value, type) and _name(type(value)) in _classes():
        return {_CLASS: _name(type(value))} | {
            field.name: to_wire(getattr(value, field.name)) for field in fields(value) if field.init
        }
    raise TypeError(f"{type(value).__name__} is not sent")


def from_wire(value: Any) -> Any:
    """The value that was sent; lists come back as tuples. Raises `NotOurs`."""
    if isinstance(value, list):
        return tuple(from_wire(each) for each in value)
    if not isinstance(value, dict):
        return value
    name = value.get(_CLASS)
    try:
        match name:
            case "datetime":
                return datetime.fromisoformat(value["value"])
            case "map":
                return {from_wire(key): from_wire(each) for key, each in value["items"]}
            case "set":
                return frozenset(from_wire(each) for each in value["items"])
        found = _classes().get(str(name))
        if found is None:
            raise NotOurs(str(name)[:60])
        if issubclass(found, Enum):
            return found(value["value"])
        given = {f.name: from_wire(value[f.name]) for f in fields(found) if f.init and f.name in value}
        lacking = [
            f.name
            for f in fields(found)
            if f.init and f.name not in given and f.default is MISSING and f.default_factory is MISSING
        ]
        if lacking:
            raise NotOurs(f"{name} without {', '.join(lacking)}")
        return found(**given)
    except (KeyError, TypeError, ValueError) as error:
        raise NotOurs(str(name)[:60]) from error


@cache
def _classes() -> Mapping[str, Any]:
    """The classes that may be sent, by name."""
    found: dict[str, Any] = {}
    for name in MODULES:
        for each in vars(import_module(name)).values():
            is_ours = isinstance(each, type) and each.__module__ == name
            if is_ours and (is_dataclass(each) or issubclass(each, Enum)):
                found[_name(each)] = each
    return found


def _name(kind: type) -> str:
    """`history.Entry`: what a class is called on the wire."""
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
