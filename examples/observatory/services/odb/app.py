"""ODB: the observing database. Programs and their observations, for Explore and the workers.

The same image is the app's release phase: where the process type is `release`, it migrates the
database and ends.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from migrate import main as migrate
from service import Database, Refusal, Request, Service, ask

VERSION = "4.3.0"

database = Database()


def health() -> dict[str, Any]:
    with database.connection() as connection:
        return connection.execute(
            "SELECT max(version) AS schema, (SELECT count(*) FROM programs) AS programs"
            " FROM schema_migrations"
        ).fetchone()


service = Service("ODB", VERSION, health)


def observer(request: Request) -> str:
    """The name of who asks, as SSO knows it. Without an address of SSO nobody may write."""
    sso = os.environ.get("SSO_ROOT", "")
    if not sso or not request.token:
        raise Refusal(401, "sign in with SSO first, and send the session's token")
    return str(ask(f"{sso.rstrip('/')}/api/v1/session", token=request.token)["name"])


@service.route("GET", "/programs")
def programs(_: Request) -> Any:
    with database.connection() as connection:
        return connection.execute(
            "SELECT p.id, p.title, p.investigator, count(o.id) AS observations,"
            " coalesce(sum(c.total_s), 0)::float AS total_s,"
            " count(o.id) FILTER (WHERE c.total_s IS NULL) AS pending"
            " FROM programs p LEFT JOIN observations o ON o.program_id = p.id"
            " LEFT JOIN calculations c ON c.observation_id = o.id GROUP BY p.id ORDER BY p.id"
        ).fetchall()


@service.route("POST", "/programs")
def add_program(request: Request) -> tuple[int, Any]:
    who, title = observer(request), request.text("title")
    with database.connection() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('odb.programs'))")
        return 201, connection.execute(
            "INSERT INTO programs (id, title, investigator)"
            " SELECT 'G-2026B-' || lpad((101 + count(*))::text, 4, '0') || '-Q', %s, %s FROM programs"
            " RETURNING id, title, investigator",
            (title, who),
        ).fetchone()


@service.route("GET", "/programs/{id}/observations")
def observations(request: Request) -> Any:
    with database.connection() as connection:
        return connection.execute(
            "SELECT o.id, o.title, o.instrument, o.magnitude, o.kind, c.total_s, c.exposures"
            " FROM observations o LEFT JOIN calculations c ON c.observation_id = o.id"
            " WHERE o.program_id = %s ORDER BY o.id",
            (request.parts["id"],),
        ).fetchall()


@service.route("POST", "/programs/{id}/observations")
def add_observation(request: Request) -> tuple[int, Any]:
    observer(request)
    title, instrument = request.text("title"), request.text("instrument", 40)
    magnitude = request.number("magnitude", 20.0, -2.0, 28.0)
    with database.connection() as connection:
        added = connection.execute(
            "INSERT INTO observations (program_id, title, instrument, magnitude)"
            " SELECT id, %s, %s, %s FROM programs WHERE id = %s RETURNING id, title, instrument, magnitude",
            (title, instrument, magnitude, request.parts["id"]),
        ).fetchone()
    if added is None:
        raise Refusal(404, f"there is no program {request.parts['id']}")
    return 201, added


@service.route("GET", "/counts")
def counts(_: Request) -> Any:
    with database.connection() as connection:
        return connection.execute(
            "SELECT (SELECT count(*) FROM programs) AS programs,"
            " count(*) FILTER (WHERE kind = 'science') AS science,"
            " count(*) FILTER (WHERE kind = 'calibration') AS calibrations,"
            " count(*) FILTER (WHERE c.total_s IS NULL) AS pending,"
            " (SELECT max(version) FROM schema_migrations) AS schema"
            " FROM observations o LEFT JOIN calculations c ON c.observation_id = o.id"
        ).fetchone()


if __name__ == "__main__":
    if os.environ.get("DYNO", "").startswith("release."):
        sys.exit(migrate())
    service.run()
