"""The draft of a liftlock.toml: what stands in it, and for each decision where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DraftEnvironment:
    """A level and what the vendors call it."""

    name: str
    github: str
    firebase: str
    source: str = ""
    """The environment that it is promoted from; "" for the first."""


@dataclass(frozen=True, slots=True)
class DraftProcess:
    """A process type and the line that says where its image comes from."""

    name: str
    key: str
    """`image` or `dockerfile`."""
    value: str
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class DraftApp:
    """An app, with the reasons for what is said of it."""

    name: str
    platform: str
    targets: Mapping[str, str]
    """Its place in each environment."""
    repository: str = ""
    folder: str = "."
    database: bool = False
    processes: Sequence[DraftProcess] = ()
    record_task: str = ""
    record_environment: str = ""
    from_records: bool = False
    """Whether deployment records of it exist."""
    why: Sequence[str] = ()
    guessed: bool = False
    """Whether nobody told where it lives."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The whole file."""

    name: str
    repository: str
    environments: Sequence[DraftEnvironment]
    apps: Sequence[DraftApp]
    webhook: str = ""
    sources: Sequence[tuple[str, str]] = ()
    """What was decided, and from what."""
    guesses: Sequence[str] = ()
    """What nobody told, and a person has to look at."""
    left_out: Sequence[tuple[str, str]] = ()
    """What was found and does not stand in the file, and why."""
    commands: Sequence[tuple[str, str]] = field(default=())
    """Apps with records and no place at any platform, by name and repository: commands, most likely."""
