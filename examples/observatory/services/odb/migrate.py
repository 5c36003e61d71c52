"""ODB's migrations: numbered SQL files, each applied once, in order, in a transaction of its own."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from service import Database, Refusal, say

FOLDER = Path(__file__).parent / "migrations"

SCHEMA = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""


class BrokenMigration(Exception):
    """A migration cannot be applied; those before it are, and stay."""


def pending(applied: dict[str, str]) -> list[Path]:
    """The files that are not applied yet, in order. An applied file that was edited is refused."""
    files = sorted(FOLDER.glob("[0-9]*.sql"))
    for file in files:
        if applied.get(file.stem, digest(file)) != digest(file):
            raise BrokenMigration(
                f"{file.name} was changed after it had been applied; add a new file instead"
            )
    return [file for file in files if file.stem not in applied]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def migrate(database: Database) -> int:
    """Apply what is pending and say how many that were. Two at once: the second waits."""
    import psycopg

    with database.connection() as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('odb.migrations'))")
        connection.commit()
        rows = connection.execute("SELECT version, sha256 FROM schema_migrations").fetchall()
        files = pending({row["version"]: row["sha256"] for row in rows})
        for file in files:
            say(f"migration {file.stem}")
            try:
                with connection.transaction():
                    connection.execute(file.read_text(encoding="utf-8"))
                    connection.execute(
                        "INSERT INTO schema_migrations (version, sha256) VALUES (%s, %s)",
                        (file.stem, digest(file)),
                    )
            except psycopg.Error as error:
                raise BrokenMigration(f"{file.name} failed and was rolled back: {error}") from error
            connection.commit()
        return len(files)


def main() -> int:
    """The release phase: 0 when the schema is what this release needs."""
    try:
        count = migrate(Database(SCHEMA))
    except (BrokenMigration, Refusal) as error:
        print(f"release phase failed: {error}", file=sys.stderr, flush=True)
        return 1
    say(f"{count} migration{'' if count == 1 else 's'} applied; the schema is up to date")
    return 0
