"""Tokens for the JSON API."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import DATETIME2

revision = "0004"
down_revision = "0003"

MOMENT = sa.DateTime().with_variant(DATETIME2(6), "mssql")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "hermes_token",
        sa.Column("prefix", sa.Unicode(16), primary_key=True),
        sa.Column("token_sha256", sa.Unicode(64), nullable=False),
        sa.Column("owner", sa.Unicode(50), nullable=False),
        sa.Column("role", sa.Unicode(16), nullable=False),
        sa.Column("purpose", sa.Unicode(100), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("last_used_at", MOMENT),
        sa.Column("revoked_at", MOMENT),
    )
