"""What both kinds of SQL ledger stand on: statements that SQLite and PostgreSQL understand alike.

A statement is written once, with named values (`:environment`) and a few words that an engine spells
in its own way (`$now`): see `Dialect`. So the ledgers and the leases of the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from string import Template
from typing import Any, Protocol

from liftlock.errors import LiftlockError
from liftlock.wording import read_moment

Values = Mapping[str, Any]
CHANGE_S = 30.0
"""How long a change may take, the waits for others among them."""
Statement = tuple[str, Values | Sequence[Values]]
"""What is done, with its values; with many values it is done once for each."""


class Row(Protocol):
    """A row of a result, by its columns' names."""

    def __getitem__(self, column: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one engine spells what the two spell differently."""

    schema: str
    """What a table's name begins with."""
    now: str
    """The moment that a row is written: of our clock (`:now`), or of the database's."""
    account: str
    """Whoever writes: whom we say (`:account`), or else as whom the database knows us."""
    hints: bool = False
    """Whether a query names the index that it wants."""

    def sql(self, text: str) -> str:
        """A statement of ours in this dialect: `$now`, `$account`, `$TABLE`, and `$by_INDEX` after a table."""
        return _spelled(self, text)


@lru_cache(maxsize=256)
def _spelled(dialect: Dialect, text: str) -> str:
    return Template(text).substitute(_Words(dialect))


class _Words(dict[str, str]):
    def __init__(self, dialect: Dialect) -> None:
        super().__init__(now=dialect.now, account=dialect.account)
        self._dialect = dialect

    def __missing__(self, word: str) -> str:
        index = word.removeprefix("by_")
        if index != word:
            return f"INDEXED BY {index}" if self._dialect.hints else ""
        return f"{self._dialect.schema}{word}"


class Store(Protocol):
    """A database that statements are sent to."""

    @property
    def dialect(self) -> Dialect: ...

    @property
    def place(self) -> str:
        """Where it is, in words without a secret."""
        ...

    async def rows(self, sql: str, values: Values) -> Sequence[Row]:
        """The rows of a query."""
        ...

    async def change(
        self, *statements: Statement, durable: bool = True, limit_s: float = CHANGE_S
    ) -> Sequence[Row]:
        """Do all of the statements or none, within `limit_s` seconds; gives the last one's rows.

        They may be done again when it is not known whether they were: write them so that this does no
        harm. Without `durable`, a crash of the machine may lose them until the next change that is.
        """
        ...


@contextmanager
def row_read(place: object, what: str) -> Iterator[None]:
    """Say where a row stands that holds what liftlock never writes. Raises `LiftlockError` for it."""
    try:
        yield
    except (IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise LiftlockError(
            f"{what} in {place} cannot be read: {error}.",
            hint="Something other than liftlock changed it. Nothing was changed now: mend that row, or restore"
            " the ledger from a copy.",
        ) from error


def text_of(value: object) -> str:
    """A column's text. Raises `TypeError` for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"it holds {type(value).__name__} where a text was expected")
    return value


def moment_of(value: object) -> datetime:
    """A column's moment, in UTC: a text in SQLite, a time with its zone in PostgreSQL."""
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else read_moment(value)
