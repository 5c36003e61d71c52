"""Whose an entry is, and other tools' records apart from our promotions': see `liftlock.sqlite_file`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from liftlock.postgresql.layout import SCHEMA

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OTHERS = "promotion = ''"


def upgrade() -> None:
    _index("intents_by_creator", "intents", "creator")
    _index("intents_of_environment_by_creator", "intents", "environment", "creator")
    _index("others_of_environment", "deployments", "environment", where=OTHERS)
    _index("others_of_app", "deployments", "environment", "app", where=OTHERS)
    _index("others_by_creator", "deployments", "environment", "creator", where=OTHERS)


def _index(name: str, table: str, *columns: str, where: str = "") -> None:
    op.create_index(
        name,
        table,
        ["project", *columns, "id"],
        schema=SCHEMA,
        postgresql_where=sa.text(where) if where else None,
    )
