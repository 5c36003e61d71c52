"""A real PostgreSQL server for tests: the embedded one, on a socket in a folder that only we can enter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import anyio.from_thread
import psycopg
import pytest
from psycopg import sql

from liftlock.databases.scratch import embedded_server
from liftlock.postgresql.address import Address

_NUMBERS = count(1)


@contextmanager
def served() -> Iterator[Address]:
    """The server, in an event loop of its own thread: it outlives the tests' loops."""
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(embedded_server(os.environ)) as address,
    ):
        yield address


@pytest.fixture(scope="session")
def server() -> Iterator[Address]:
    """The superuser's way in."""
    with served() as address:
        yield address


def connected(address: Address) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=address.host, port=address.port, user=address.user, dbname=address.database, autocommit=True
    )


def made_role(server: Address, name: str) -> None:
    """A role that may log in and no more, made once."""
    with connected(server) as db:
        if not db.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone():
            db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))


def made_database(server: Address, owner: str = "owner") -> Address:
    """A new, empty database, and its owner's way in."""
    made_role(server, owner)
    name = f"ledger_{next(_NUMBERS)}"
    with connected(server) as db:
        db.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))
    return replace(server, database=name, user=owner)


def ledger_of(address: Address) -> str:
    """What `[project] ledger` says for a database on the embedded server."""
    return f"postgresql:///{address.database}?host={address.host}&port={address.port}&user={address.user}"


@pytest.fixture(scope="session")
def ledger_database(server: Address) -> Address:
    """One for all tests that use a project's name of their own."""
    return made_database(server)


@pytest.fixture
def empty_database(server: Address) -> Address:
    return made_database(server)
