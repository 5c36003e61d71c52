"""Databases with something in them, on the tests' own PostgreSQL server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count

import pytest

from liftlock.databases.pg_programs import Programs
from liftlock.postgresql.address import Address

PASSWORD = "hunter2:\\ä"
SCHEMA = """
CREATE TABLE boats (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO boats (name) SELECT 'boat ' || i FROM generate_series(1, 500) AS i;
CREATE SCHEMA locks;
CREATE TABLE locks.lifts (boat integer REFERENCES boats (id), at timestamptz DEFAULT now());
INSERT INTO locks.lifts (boat) SELECT id FROM boats WHERE id % 5 = 0;
CREATE TYPE direction AS ENUM ('up', 'down');
CREATE VIEW lifted AS SELECT DISTINCT b.name FROM boats b JOIN locks.lifts l ON l.boat = b.id;
CREATE FUNCTION boats_afloat() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.boats';
"""
ROWS = {"public.boats": 500, "locks.lifts": 100}


@pytest.fixture(scope="session")
def programs() -> Programs:
    return Programs(os.environ)


_NUMBERS = count(1)


@pytest.fixture
async def database(server: Address, programs: Programs) -> AsyncIterator[Address]:
    """A database with some tables, and a user of its own who has a password."""
    name = f"shop_{next(_NUMBERS)}"
    escaped = PASSWORD.replace("'", "''")
    await programs.query(f"CREATE ROLE {name} LOGIN PASSWORD '{escaped}'", server)
    await programs.query(f"CREATE DATABASE {name} OWNER {name}", server)
    made = replace(server, database=name, user=name, password=PASSWORD)
    await programs.query(SCHEMA, made)
    yield made
    await programs.query(f"DROP DATABASE {name} WITH (FORCE)", server)
    await programs.query(f"DROP ROLE {name}", server)
