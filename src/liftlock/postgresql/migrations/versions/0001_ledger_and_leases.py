"""The ledger's and the leases' tables, as SQLite has them: see `liftlock.sqlite_file`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from liftlock.postgresql.layout import SCHEMA

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "intents",
        _number(),
        _text("project"),
        _text("key"),
        _text("environment"),
        _text("payload"),
        _text("creator"),
        _moment("created_at"),
        _text("state"),
        _text("description", server_default=""),
        _moment("finished_at", nullable=True),
        _text("url", server_default=""),
        _text("origin", server_default=""),
        sa.UniqueConstraint("project", "key", name="intents_by_key"),
        schema=SCHEMA,
    )
    _index("intents_of_project", "intents", "project", "id")
    _index("intents_of_environment", "intents", "project", "environment", "id")
    _index(
        "open_intents",
        "intents",
        "project",
        "environment",
        "id",
        where="state IN ('in_progress', 'queued', 'pending')",
    )
    op.create_table(
        "deployments",
        _number(),
        _text("project"),
        _text("app"),
        _text("environment"),
        _text("sha"),
        _text("payload"),
        _text("promotion"),
        _text("creator"),
        _moment("created_at"),
        _text("state", nullable=True),
        sa.Column("reached_success", sa.Boolean, nullable=False, server_default=sa.false()),
        _text("url", server_default=""),
        _text("origin", server_default=""),
        schema=SCHEMA,
    )
    _index(
        "deployments_of_promotion",
        "deployments",
        "project",
        "promotion",
        "app",
        unique=True,
        where="promotion <> ''",
    )
    _index("deployments_of_app", "deployments", "project", "environment", "app", "id")
    _index(
        "deployments_that_count",
        "deployments",
        "project",
        "environment",
        "app",
        "id",
        where="reached_success OR state IS NULL",
    )
    op.create_table(
        "leases",
        _text("project", primary_key=True),
        _text("environment", primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        _text("holder"),
        _moment("written_at"),
        _text("record"),
        schema=SCHEMA,
    )
    op.create_table(
        "approvals",
        _number(),
        _text("project"),
        _text("environment"),
        _text("plan"),
        _text("account"),
        _moment("at"),
        _moment("expires_at"),
        _text("origin", server_default=""),
        schema=SCHEMA,
    )
    _index("approvals_of_plan", "approvals", "project", "environment", "plan", "id")
    for table in ("intents", "deployments", "approvals"):
        _index(f"{table}_by_origin", table, "project", "origin", unique=True, where="origin <> ''")
    # Whoever is not the owner approves in the name that the database knows them by, or not at all.
    approvals = f"{SCHEMA}.approvals"
    op.execute(f"ALTER TABLE {approvals} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY seen_by_all ON {approvals} FOR SELECT USING (true)")
    op.execute(f"CREATE POLICY own ON {approvals} FOR INSERT WITH CHECK (account = session_user)")


def _number() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True)


def _text(name: str, **options: object) -> sa.Column[str]:
    return sa.Column(name, sa.Text, **{"nullable": False, **options})  # type: ignore[arg-type]


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _index(name: str, table: str, *columns: str, unique: bool = False, where: str = "") -> None:
    op.create_index(
        name,
        table,
        list(columns),
        unique=unique,
        schema=SCHEMA,
        postgresql_where=sa.text(where) if where else None,
    )
