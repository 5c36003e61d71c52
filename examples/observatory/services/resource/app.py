"""RESOURCE: the telescopes and instruments, and which of them can be used tonight."""

from __future__ import annotations

from typing import Any

from service import Database, Refusal, Request, Service

VERSION = "1.1.0"

SCHEMA = """
CREATE TABLE IF NOT EXISTS telescopes (
    name text PRIMARY KEY,
    site text NOT NULL,
    aperture_m double precision NOT NULL
);
CREATE TABLE IF NOT EXISTS instruments (
    name text PRIMARY KEY,
    telescope text NOT NULL REFERENCES telescopes (name),
    kind text NOT NULL,
    status text NOT NULL DEFAULT 'available' CHECK (status IN ('available', 'engineering', 'offline'))
);
INSERT INTO telescopes VALUES
    ('Gemini North', 'Maunakea', 8.1), ('Gemini South', 'Cerro Pachón', 8.1)
    ON CONFLICT DO NOTHING;
INSERT INTO instruments VALUES
    ('GMOS-N', 'Gemini North', 'imager and spectrograph', 'available'),
    ('GNIRS', 'Gemini North', 'infrared spectrograph', 'engineering'),
    ('GMOS-S', 'Gemini South', 'imager and spectrograph', 'available'),
    ('Flamingos-2', 'Gemini South', 'infrared imager', 'available'),
    ('GHOST', 'Gemini South', 'high-resolution spectrograph', 'available')
    ON CONFLICT DO NOTHING;
"""

database = Database(SCHEMA)


def health() -> dict[str, Any]:
    with database.connection() as connection:
        return connection.execute("SELECT count(*) AS instruments FROM instruments").fetchone()


service = Service("RESOURCE", VERSION, health)


@service.route("GET", "/telescopes")
def telescopes(_: Request) -> Any:
    with database.connection() as connection:
        rows = connection.execute("SELECT * FROM telescopes ORDER BY name").fetchall()
        mounted = connection.execute("SELECT * FROM instruments ORDER BY name").fetchall()
    return [{**row, "instruments": [i for i in mounted if i["telescope"] == row["name"]]} for row in rows]


@service.route("GET", "/instruments")
def instruments(_: Request) -> Any:
    with database.connection() as connection:
        return connection.execute("SELECT * FROM instruments ORDER BY name").fetchall()


@service.route("PATCH", "/instruments/{name}")
def set_status(request: Request) -> Any:
    status = request.text("status", 20)
    if status not in {"available", "engineering", "offline"}:
        raise Refusal(400, "status must be available, engineering or offline")
    with database.connection() as connection:
        changed = connection.execute(
            "UPDATE instruments SET status = %s WHERE name = %s RETURNING *", (status, request.parts["name"])
        ).fetchone()
    if changed is None:
        raise Refusal(404, f"there is no instrument {request.parts['name']}")
    return changed


if __name__ == "__main__":
    service.run()
