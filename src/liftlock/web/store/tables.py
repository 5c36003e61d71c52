"""The tables of the server's own database, as they are after the last migration.

A part that keeps something adds its tables here and a migration in `migrations/versions`; a test
compares the two. Moments are kept in seconds since 1970 (UTC), so that both databases order and
compare them alike.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_unique_%(column_0_N_name)s",
        "pk": "%(table_name)s_key",
    }
)

NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database counts up: SQLite does so for INTEGER alone."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),  # SHA-256 of what the cookie holds
    Column("account", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("via", String(16), nullable=False),
    Column("groups", JSON, nullable=False),
    # The person's own token at the provider, sealed with a key that only the cookie gives.
    Column("sealed_token", LargeBinary),
    Column("address", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("rotated_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Index(None, "expires_at"),
    Index(None, "account"),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("state", String(64), primary_key=True),  # SHA-256 of the state that the provider gives back
    Column("browser", String(64), nullable=False),  # SHA-256 of the cookie of the browser that began
    Column("provider", String(16), nullable=False),
    Column("verifier", Text, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("next", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
    Index(None, "expires_at"),
)

links = Table(
    "links",
    metadata,
    Column("id", String(64), primary_key=True),  # SHA-256 of the secret in the link
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),  # SHA-256 of the token
    Column("name", Text, nullable=False),
    Column("account", Text, nullable=False),  # whom it acts for
    Column("rights", JSON, nullable=False),  # environment -> rights
    Column("groups", JSON, nullable=False),  # its owner's, when they last signed in
    Column("created_by", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("revoked_at", Float),
    Column("revoked_by", Text),
    Column("used_at", Float),
)

audit = Table(
    "audit",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("account", Text, nullable=False),
    Column("via", String(16), nullable=False),
    Column("address", Text, nullable=False),
    Column("action", String(40), nullable=False),
    Column("environment", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("outcome", String(16), nullable=False),  # done, refused, failed
    Column("detail", JSON, nullable=False),
    Index(None, "account", "id"),
    Index(None, "environment", "id"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("received_at", Float, nullable=False),
    Index(None, "received_at"),
)

orders = Table(
    "orders",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),  # first come, first served
    Column("item", String(64), nullable=False, unique=True),
    Column("environment", Text, nullable=False),
    Index(None, "environment", "number"),
)

work_events = Table(
    "work_events",
    metadata,
    Column("item", String(64), primary_key=True),
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("document", JSON, nullable=False),
)

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("item", String(64), primary_key=True),
    Column("account", Text, nullable=False),
    Column("at", Float, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(160), primary_key=True),
    Column("version", String(40), nullable=False),
    Column("began_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),  # by the database's clock
)

attempts = Table(
    "attempts",
    metadata,
    Column("key", String(120), primary_key=True),
    Column("since", NUMBER, primary_key=True),
    Column("count", Integer, nullable=False),
)
