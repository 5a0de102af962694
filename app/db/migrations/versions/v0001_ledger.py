"""The ledger's first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import DATETIME2

revision = "0001"
down_revision = None

MOMENT = sa.DateTime().with_variant(DATETIME2(6), "mssql")


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "hermes_delivery",
        sa.Column("kind", sa.Unicode(20), primary_key=True),
        sa.Column("code", sa.Unicode(50), primary_key=True),
        sa.Column("facility", sa.Unicode(50), nullable=False),
        sa.Column("document_date", sa.DATE),
        sa.Column("state", sa.Unicode(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("claim_token", sa.Unicode(36)),
        sa.Column("sent_at", MOMENT),
        sa.Column("deaths", sa.Integer, nullable=False),
        sa.Column("uncertain", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("payload_sha256", sa.Unicode(64)),
        sa.Column("national_code", sa.Unicode(250)),
        sa.Column("error_code", sa.Unicode(40)),
        sa.Column("error_message", sa.Unicode()),
        sa.Column("first_seen_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
    )
    op.create_index("ix_hermes_delivery_due", "hermes_delivery", ["kind", "due_at"])
    op.create_index("ix_hermes_delivery_state", "hermes_delivery", ["kind", "state"])
    op.create_index("ix_hermes_delivery_facility", "hermes_delivery", ["facility", "document_date"])

    op.create_table(
        "hermes_attempt",
        sa.Column("id", sa.Unicode(36), primary_key=True),
        sa.Column("kind", sa.Unicode(20), nullable=False),
        sa.Column("code", sa.Unicode(50), nullable=False),
        sa.Column("facility", sa.Unicode(50), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Unicode(16), nullable=False),
        sa.Column("error_code", sa.Unicode(40)),
        sa.Column("http_status", sa.Integer),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("record", sa.Unicode(), nullable=False),
    )
    op.create_index("ix_hermes_attempt_document", "hermes_attempt", ["kind", "code"])
    op.create_index("ix_hermes_attempt_started", "hermes_attempt", ["started_at"])

    op.create_table(
        "hermes_circuit",
        sa.Column("facility", sa.Unicode(50), primary_key=True),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("window_started_at", MOMENT),
        sa.Column("open_until", MOMENT),
        sa.Column("probe_until", MOMENT),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("reason", sa.Unicode(1000)),
        sa.Column("opened_by", sa.Unicode(100)),
        sa.Column("opened_at", MOMENT),
    )

    op.create_table(
        "hermes_audit",
        sa.Column("id", sa.Unicode(36), primary_key=True),
        sa.Column("operation_id", sa.Unicode(36), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("who", sa.Unicode(100), nullable=False),
        sa.Column("action", sa.Unicode(40), nullable=False),
        sa.Column("kind", sa.Unicode(20), nullable=False),
        sa.Column("code", sa.Unicode(50), nullable=False),
        sa.Column("why", sa.Unicode(1000), nullable=False),
    )
    op.create_index("ix_hermes_audit_document", "hermes_audit", ["kind", "code"])

    op.create_table(
        "hermes_heartbeat",
        sa.Column("name", sa.Unicode(100), primary_key=True),
        sa.Column("seen_at", MOMENT, nullable=False),
    )
