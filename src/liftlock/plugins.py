"""How adapters are found and what they are given.

An adapter is an entry point (`liftlock.platforms`, `liftlock.ledgers`, `liftlock.databases`,
`liftlock.notifiers`) that names a `Plugin`; the built-in ones are found like anybody else's.
Importing an adapter's module never connects, registers or reads the environment: `build` does,
with a `Context`, when a project uses it.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast
from urllib.parse import urlsplit

from liftlock.errors import BadAnswer, LiftlockError, UsageError
from liftlock.http import Http, safe_address
from liftlock.http.answers import vendor_name
from liftlock.model import Project, Target
from liftlock.naming import nearest
from liftlock.ports import Clock, Images, SourceCode

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T", covariant=True)
Options = TypeVar("Options", bound="BaseModel")
C = TypeVar("C", bound="Closable")


class Closable(Protocol):
    """What has to be let go of when its project is left."""

    async def aclose(self) -> None: ...


class Shared:
    """What several adapters of one project use, a database's sessions, say: made once, closed with the project."""

    def __init__(self) -> None:
        self._made: dict[str, Closable] = {}

    def get(self, key: str, make: Callable[[], C]) -> C:
        """The one of that key; `make` makes it for whoever asks first."""
        return cast("C", self._made.setdefault(key, self._made.get(key) or make()))

    async def aclose(self) -> None:
        """Close all of it, the last one first."""
        for made in reversed(self._made.values()):
            await made.aclose()


def _no_engine(address: str) -> Http:
    raise UsageError(f"No Docker engine can be reached here, not {safe_address(address)} either.")


async def _no_login(_: str) -> tuple[str, str] | None:
    return None


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
    images: Callable[[], Images]
    """Every container registry that the project reaches, as a platform uses them."""
    source_code: SourceCode
    clock: Clock
    environ: Mapping[str, str]
    secret: Callable[[str], str]
    """The value of "env:NAME" or "keyring:NAME". Raises `UsageError`, naming it."""
    plain_http: Callable[[str, str], Http]
    """(vendor, base) -> a client without credentials: health checks, webhooks."""
    docker: Callable[[str], Http] = _no_engine
    """The client of a Docker engine by its address, as `DOCKER_HOST` names one; "" for docker's own choice."""
    registry_login: Callable[[str], Awaitable[tuple[str, str] | None]] = _no_login
    """What is known for a registry's host: user and password, as `docker_logins` gives them."""
    acting_for: str = ""
    """See `ports.Adapters.acting_for`: a ledger that authenticates nobody itself records this account."""
    shared: Shared = field(default_factory=Shared)

    def http_at(self, vendor: str, url: str) -> Http:
        """A client without credentials for the host of an address that a vendor named.

        Raises `BadAnswer` for one that is no address, or not safe to ask.
        """
        try:
            parts = urlsplit(url)
            return self.plain_http(vendor, f"{parts.scheme}://{parts.netloc}")
        except (UsageError, ValueError) as error:
            raise BadAnswer(
                f"{vendor_name(vendor)} names {safe_address(url)[:200]}, which is no address that is safe to ask.",
                vendor=vendor,
                hint="Check that the address of the vendor is its own, and that no proxy answers in its place.",
            ) from error


@dataclass(frozen=True, slots=True)
class Plugin(Generic[T]):
    """One adapter: its name, as the configuration spells it, and how to make it."""

    name: str
    build: Callable[[Context], T]


def options_of(target: Target, model: type[Options]) -> Options:
    """A target's options as a pydantic model of the platform's own. Raises `UsageError` with every mistake."""
    from pydantic import ValidationError

    try:
        return model.model_validate(dict(target.options))
    except ValidationError as error:
        known = list(model.model_fields)
        mistakes = [
            _mistake(detail, known) for detail in error.errors(include_url=False, include_input=False)
        ]
        raise UsageError(
            f"The options of {target.app} do not fit the platform {target.platform}:"
            + "".join(f"\n    {mistake}" for mistake in mistakes),
            hint=f"Mend `options` in [apps.{target.app}].",
        ) from error


def _mistake(detail: Any, known: Sequence[str]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "missing":
        return f"{key} is missing."
    if detail["type"] == "extra_forbidden":
        near = nearest(key, known)
        return f"there is no {key}. " + (
            f"Did you mean {near}?" if near else f"There are {', '.join(known)}."
        )
    return f"{key}: {detail['msg'][:1].lower()}{detail['msg'][1:]}."


def has(kind: str, name: str) -> bool:
    """Whether there is an adapter of that kind and name."""
    return bool(_entry_points(kind, name))


def load(kind: str, name: str) -> Plugin[Any]:
    """The adapter `name` of a kind ("platforms", "ledgers", …). Raises `UsageError` when it cannot be had."""
    found = _entry_points(kind, name)
    if not found:
        known = sorted({entry.name for entry in metadata.entry_points(group=f"liftlock.{kind}")})
        raise UsageError(
            f"There is no {kind[:-1]} {name!r}.",
            hint=f"Known are: {', '.join(known) or 'none'}. Is the package that brings it installed?",
        )
    if len(found) > 1:
        packages = " and ".join(sorted(_package(entry) for entry in found))
        raise UsageError(
            f"The {kind[:-1]} {name!r} is brought by several packages: {packages}.", hint="Uninstall one."
        )
    entry = found[0]
    try:
        plugin = entry.load()
    except Exception as error:  # it is somebody else's code, and may do anything
        raise _broken(kind, entry, f"{type(error).__name__}: {error}") from error
    if not isinstance(plugin, Plugin):
        raise _broken(kind, entry, f"{entry.value} is no liftlock.plugins.Plugin")
    return Plugin(plugin.name, lambda context: _build(kind, entry, plugin, context))


def _build(kind: str, entry: metadata.EntryPoint, plugin: Plugin[Any], context: Context) -> Any:
    if entry.module.partition(".")[0] == "liftlock":
        return plugin.build(context)
    try:
        return plugin.build(context)
    except LiftlockError:
        raise
    except Exception as error:  # as in `load`
        raise _broken(kind, entry, f"{type(error).__name__}: {error}") from error


def _broken(kind: str, entry: metadata.EntryPoint, why: str) -> UsageError:
    package = _package(entry)
    return UsageError(
        f"The {kind[:-1]} {entry.name!r} of the package {package} cannot be used: {why}.",
        hint=f"Install a version of {package} that fits this liftlock, or take it out of the configuration.",
    )


def _entry_points(kind: str, name: str) -> list[metadata.EntryPoint]:
    """Our own package's first: reading every installed package's takes tens of milliseconds."""
    group = f"liftlock.{kind}"
    return list(_own().select(group=group, name=name)) or list(_all(group, name, tuple(sys.path)))


@cache
def _own() -> metadata.EntryPoints:
    """Read once: a project asks for half a dozen adapters, and its file is taken apart for each."""
    try:
        return metadata.distribution("liftlock").entry_points
    except metadata.PackageNotFoundError:
        return metadata.EntryPoints()


@cache
def _all(group: str, name: str, path: tuple[str, ...]) -> metadata.EntryPoints:
    """Of every package on the `path`, which is given to be remembered by."""
    return metadata.entry_points(group=group, name=name)


def _package(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module.partition(".")[0]
