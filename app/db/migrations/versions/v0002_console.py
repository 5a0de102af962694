"""Who may use the console; the audit can be read by time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import DATETIME2

revision = "0002"
down_revision = "0001"

MOMENT = sa.DateTime().with_variant(DATETIME2(6), "mssql")


def upgrade() -> None:
    """Create the tables and the index."""
    op.create_table(
        "hermes_user",
        sa.Column("name", sa.Unicode(50), primary_key=True),
        sa.Column("role", sa.Unicode(16), nullable=False),
        sa.Column("password_hash", sa.Unicode(255)),
        sa.Column("disabled", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("session_epoch", sa.Integer, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "hermes_link",
        sa.Column("token_sha256", sa.Unicode(64), primary_key=True),
        sa.Column("user_name", sa.Unicode(50), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
    )
    op.create_table(
        "hermes_secret",
        sa.Column("name", sa.Unicode(50), primary_key=True),
        sa.Column("value", sa.Unicode(255), nullable=False),
    )
    op.create_index("ix_hermes_audit_at", "hermes_audit", ["at", "id"])
