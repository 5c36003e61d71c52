"""SSO: who is observing. Issues session tokens and tells the other services whose they are."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from service import Database, Refusal, Request, Service

VERSION = "2.7.0"

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    name text PRIMARY KEY,
    role text NOT NULL CHECK (role IN ('guest', 'pi', 'staff')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS sessions (
    token_hash text PRIMARY KEY,
    user_name text NOT NULL REFERENCES users (name),
    expires_at timestamptz NOT NULL
);
INSERT INTO users (name, role) VALUES ('staff', 'staff') ON CONFLICT DO NOTHING;
"""

database = Database(SCHEMA)


def health() -> dict[str, Any]:
    with database.connection() as connection:
        return connection.execute("SELECT count(*) AS users FROM users").fetchone()


service = Service("SSO", VERSION, health)


def hashed(token: str) -> str:
    """What is stored of a token: a backup must not let its reader in."""
    return hashlib.sha256(token.encode()).hexdigest()


@service.route("POST", "/api/v1/sessions")
def begin(request: Request) -> tuple[int, Any]:
    name, token = request.text("user", 60), secrets.token_urlsafe(24)
    with database.connection() as connection:
        user = connection.execute(
            "INSERT INTO users (name, role) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name RETURNING name, role",
            (name, "guest" if name == "guest" else "pi"),
        ).fetchone()
        session = connection.execute(
            "INSERT INTO sessions VALUES (%s, %s, now() + interval '8 hours') RETURNING expires_at",
            (hashed(token), name),
        ).fetchone()
    return 201, {"token": token, "user": user, **session}


@service.route("GET", "/api/v1/session")
def whose(request: Request) -> Any:
    with database.connection() as connection:
        user = connection.execute(
            "SELECT name, role, expires_at FROM sessions JOIN users ON user_name = name"
            " WHERE token_hash = %s AND expires_at > now()",
            (hashed(request.token),),
        ).fetchone()
    if user is None:
        raise Refusal(401, "no session has this token, or it has expired")
    return user


@service.route("DELETE", "/api/v1/session")
def end(request: Request) -> Any:
    with database.connection() as connection:
        ended = connection.execute("DELETE FROM sessions WHERE token_hash = %s", (hashed(request.token),))
        return {"ended": ended.rowcount}


@service.route("GET", "/api/v1/counts")
def counts(_: Request) -> Any:
    with database.connection() as connection:
        return connection.execute(
            "SELECT (SELECT count(*) FROM users) AS users,"
            " (SELECT count(*) FROM sessions WHERE expires_at > now()) AS sessions"
        ).fetchone()


if __name__ == "__main__":
    service.run()
