"""The ledger: the tables Hermes owns, in the same database as the source so that one transaction covers both.

Migrations create them; this is what the statements are built from, and a test holds the two together.
All text is nvarchar: a parameter is bound as Unicode and must meet a Unicode column, or indexes are not used.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DATE, Boolean, Column, DateTime, Index, Integer, MetaData, Table, Unicode, text
from sqlalchemy.dialects.mssql import DATETIME2
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

LEDGER = MetaData()

_CUTTING = {"pymssql", "pyodbc"}
"""Drivers that do not bind every moment to the microsecond."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, kept in UTC without its offset: datetime2 on SQL Server, sortable text on SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """datetime2 where it exists: datetime rounds to 3 ms."""
        return dialect.type_descriptor(DATETIME2(precision=6) if dialect.name == "mssql" else DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        """Aware in, naive UTC out; as text for drivers that would cut a moment to milliseconds or seconds."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without its offset")
        moment = value.astimezone(UTC).replace(tzinfo=None)
        return moment.isoformat(timespec="microseconds") if dialect.driver in _CUTTING else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Naive UTC in, aware out."""
        return None if value is None else value.replace(tzinfo=UTC)


class EnumText(TypeDecorator[str]):
    """A StrEnum's value, bound as a plain string: drivers differ in what they make of subclasses."""

    impl = Unicode
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The bare string."""
        return None if value is None else str(value)


def _code(name: str, length: int, **options: Any) -> Column[str]:
    return Column(name, Unicode(length), **options)


def _partial(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, mssql_where=text(where), sqlite_where=text(where))


delivery = Table(
    "hermes_delivery",
    LEDGER,
    _code("kind", 20, primary_key=True),
    _code("code", 50, primary_key=True),
    _code("facility", 50, nullable=False),
    Column("document_date", DATE),
    Column("state", EnumText(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("due_at", UtcDateTime),
    _code("claim_token", 36),
    # When the current claim's request may have gone out; null: it surely has not.
    Column("sent_at", UtcDateTime),
    # How many processes died while they held this delivery, since it was last answered.
    Column("deaths", Integer, nullable=False),
    # An earlier try of this revision may have reached the partner without a usable answer.
    Column("uncertain", Boolean(create_constraint=False), nullable=False),
    _code("payload_sha256", 64),
    _code("national_code", 250),
    Column("error_code", EnumText(40)),
    Column("error_message", Unicode()),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    # When a try last ended in anything but acceptance; null: never.
    Column("failed_at", UtcDateTime),
    # Which group of refusals it belongs to while it is refused: see app.domain.causes.
    _code("cause", 40),
    Index("ix_hermes_delivery_due", "kind", "due_at"),
    # In the order of the last change within each state; several states or kinds are merged (app.db.listing).
    Index("ix_hermes_delivery_state", "kind", "state", "updated_at", "code"),
    Index("ix_hermes_delivery_facility", "facility", "document_date"),
    # Written once, when the document is found.
    Index("ix_hermes_delivery_date", "kind", "document_date", "code"),
    # A document that goes through smoothly never enters these.
    _partial("ix_hermes_delivery_failed", "kind", "state", "updated_at", "code", where="failed_at IS NOT NULL"),
    _partial(
        "ix_hermes_delivery_error", "error_code", "kind", "state", "updated_at", "code", where="error_code IS NOT NULL"
    ),
    _partial("ix_hermes_delivery_cause", "cause", "state", "due_at", "updated_at", where="cause IS NOT NULL"),
)

attempt = Table(
    "hermes_attempt",
    LEDGER,
    _code("id", 36, primary_key=True),
    _code("kind", 20, nullable=False),
    _code("code", 50, nullable=False),
    _code("facility", 50, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", EnumText(16), nullable=False),
    Column("error_code", EnumText(40)),
    Column("http_status", Integer),
    Column("started_at", UtcDateTime, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("record", Unicode(), nullable=False),
    Index("ix_hermes_attempt_document", "kind", "code"),
    Index("ix_hermes_attempt_started", "started_at"),
)

circuit = Table(
    "hermes_circuit",
    LEDGER,
    # "" is the partner as a whole, anything else one facility's account.
    _code("facility", 50, primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("window_started_at", UtcDateTime),
    # Null: closed. Past: one document may probe, if no other does until `probe_until`.
    Column("open_until", UtcDateTime),
    Column("probe_until", UtcDateTime),
    Column("level", Integer, nullable=False),
    _code("reason", 1000),
    # "" when answers opened it, else the operator's name.
    _code("opened_by", 100),
    Column("opened_at", UtcDateTime),
)

audit = Table(
    "hermes_audit",
    LEDGER,
    _code("id", 36, primary_key=True),
    _code("operation_id", 36, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    _code("who", 100, nullable=False),
    _code("action", 40, nullable=False),
    _code("kind", 20, nullable=False),
    _code("code", 50, nullable=False),
    _code("why", 1000, nullable=False),
    Index("ix_hermes_audit_at", "at", "id"),
    Index("ix_hermes_audit_document", "kind", "code"),
)

heartbeat = Table(
    "hermes_heartbeat",
    LEDGER,
    # What lives, for instance "scan:phieu_nhap" or "worker:hoa_don:celery@host".
    _code("name", 100, primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
)

user = Table(
    "hermes_user",
    LEDGER,
    _code("name", 50, primary_key=True),
    Column("role", EnumText(16), nullable=False),
    # argon2; null: this user comes in by link only.
    _code("password_hash", 255),
    Column("disabled", Boolean(create_constraint=False), nullable=False),
    # A session carries the epoch it began in: counting on ends all of them.
    Column("session_epoch", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

link = Table(
    "hermes_link",
    LEDGER,
    # The token itself is known to nobody but its bearer.
    _code("token_sha256", 64, primary_key=True),
    # Whom the link logs in; "": it sets up the first user.
    _code("user_name", 50, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

secret = Table(
    "hermes_secret",
    LEDGER,
    # "console": the key that sessions are signed with, where no setting gives one.
    _code("name", 50, primary_key=True),
    _code("value", 255, nullable=False),
)

token = Table(
    "hermes_token",
    LEDGER,
    # What a token is recognised by: its eight characters after "hermes_".
    _code("prefix", 16, primary_key=True),
    # The token itself is known to nobody but its bearer.
    _code("token_sha256", 64, nullable=False),
    _code("owner", 50, nullable=False),
    Column("role", EnumText(16), nullable=False),
    _code("purpose", 100, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    # To about five minutes.
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

tally = Table(
    "hermes_tally",
    LEDGER,
    # Rows are only added, each with the outcomes it settles: workers never wait for each other over a counter.
    # Upkeep adds up what is past (app.db.tallies).
    Column("hour", UtcDateTime, primary_key=True),
    _code("kind", 20, primary_key=True),
    _code("id", 36, primary_key=True),
    Column("accepted", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("again", Integer, nullable=False),
)

replay = Table(
    "hermes_replay",
    LEDGER,
    # The incident it is named after.
    _code("name", 100, primary_key=True),
    Column("state", EnumText(16), nullable=False),
    Column("documents", Integer, nullable=False),
    # The first item that has not had its turn.
    Column("next_position", Integer, nullable=False),
    # The pace: so many a minute, or while fewer than so many are queued; both: whichever is slower.
    Column("per_minute", Integer),
    Column("most_queued", Integer),
    # Up to when the pace was used; a tick that moves it has the right to release what that is worth.
    Column("paced_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    _code("who", 100, nullable=False),
    _code("why", 1000, nullable=False),
)

replay_item = Table(
    "hermes_replay_item",
    LEDGER,
    _code("replay", 100, primary_key=True),
    # From 1, in the documents' original order.
    Column("position", Integer, primary_key=True, autoincrement=False),
    _code("kind", 20, nullable=False),
    _code("code", 50, nullable=False),
    # The delivery's state when the set was frozen.
    Column("was", EnumText(16), nullable=False),
    Column("step", EnumText(16), nullable=False),
)
