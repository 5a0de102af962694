"""What lists, refusals, counts per hour and bulk replays need."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import DATETIME2

revision = "0003"
down_revision = "0002"

MOMENT = sa.DateTime().with_variant(DATETIME2(6), "mssql")


def upgrade() -> None:
    """Add them. Refusals from before are grouped by their error code alone."""
    op.add_column("hermes_delivery", sa.Column("failed_at", MOMENT))
    op.add_column("hermes_delivery", sa.Column("cause", sa.Unicode(40)))
    op.execute("UPDATE hermes_delivery SET failed_at = updated_at WHERE error_code IS NOT NULL OR attempts > 1")
    op.execute("UPDATE hermes_delivery SET cause = error_code WHERE state IN ('rejected', 'parked', 'unknown')")

    op.drop_index("ix_hermes_delivery_state", "hermes_delivery")
    op.create_index("ix_hermes_delivery_state", "hermes_delivery", ["kind", "state", "updated_at", "code"])
    op.create_index("ix_hermes_delivery_date", "hermes_delivery", ["kind", "document_date", "code"])
    _partial("ix_hermes_delivery_failed", ["kind", "state", "updated_at", "code"], "failed_at IS NOT NULL")
    _partial(
        "ix_hermes_delivery_error", ["error_code", "kind", "state", "updated_at", "code"], "error_code IS NOT NULL"
    )
    _partial("ix_hermes_delivery_cause", ["cause", "state", "due_at", "updated_at"], "cause IS NOT NULL")

    op.create_table(
        "hermes_tally",
        sa.Column("hour", MOMENT, primary_key=True),
        sa.Column("kind", sa.Unicode(20), primary_key=True),
        sa.Column("id", sa.Unicode(36), primary_key=True),
        sa.Column("accepted", sa.Integer, nullable=False),
        sa.Column("rejected", sa.Integer, nullable=False),
        sa.Column("again", sa.Integer, nullable=False),
    )
    op.create_table(
        "hermes_replay",
        sa.Column("name", sa.Unicode(100), primary_key=True),
        sa.Column("state", sa.Unicode(16), nullable=False),
        sa.Column("documents", sa.Integer, nullable=False),
        sa.Column("next_position", sa.Integer, nullable=False),
        sa.Column("per_minute", sa.Integer),
        sa.Column("most_queued", sa.Integer),
        sa.Column("paced_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("who", sa.Unicode(100), nullable=False),
        sa.Column("why", sa.Unicode(1000), nullable=False),
    )
    op.create_table(
        "hermes_replay_item",
        sa.Column("replay", sa.Unicode(100), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Unicode(20), nullable=False),
        sa.Column("code", sa.Unicode(50), nullable=False),
        sa.Column("was", sa.Unicode(16), nullable=False),
        sa.Column("step", sa.Unicode(16), nullable=False),
    )


def _partial(name: str, columns: list[str], condition: str) -> None:
    """An index that the documents which go through smoothly never enter."""
    where = sa.text(condition)
    op.create_index(name, "hermes_delivery", columns, mssql_where=where, sqlite_where=where)
