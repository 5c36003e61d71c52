"""How adapters are found and what they are given.

An adapter is an entry point (`liftlock.platforms`, `liftlock.ledgers`, `liftlock.databases`,
`liftlock.notifiers`) that names a `Plugin`; the built-in ones are found like anybody else's.
Importing an adapter's module never connects, registers or reads the environment: `build` does,
with a `Context`, when a project uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from liftlock.http import Http
from liftlock.model import Project
from liftlock.ports import Clock, Images, SourceCode

T = TypeVar("T", covariant=True)


@dataclass(frozen=True, slots=True)
class Context:
    """What an adapter may be given; what it does not use, it does not touch.

    Nothing is opened before it is asked for: a client is made at the first call of `http` for its
    key, a credential is looked for at the first request.
    """

    project: Project
    http: Callable[[str], Http]
    """The shared client of an endpoint of `[endpoints]` ("github", "heroku", "heroku_data",
    "heroku_registry", "firebase"), credentials attached."""
    images: Callable[[str], Images]
    """The container registry of an endpoint key, as a platform uses it."""
    source_code: SourceCode
    clock: Clock
    environ: Mapping[str, str]
    secret: Callable[[str], str]
    """The value of "env:NAME" or "keyring:NAME". Raises `UsageError`, naming it."""
    plain_http: Callable[[str, str], Http]
    """(vendor, base) -> a client without credentials: health checks, webhooks."""


@dataclass(frozen=True, slots=True)
class Plugin(Generic[T]):
    """One adapter: its name, as the configuration spells it, and how to make it."""

    name: str
    build: Callable[[Context], T]
