"""From every version of the ledger to this program's, with data in it: nothing changes that was there, and documents
go on being delivered. A new revision is covered as soon as its file is there."""

import asyncio
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Date, DateTime, Engine, Integer, MetaData, Table, insert, select
from sqlalchemy.schema import Column

from app.core.config import load_settings
from app.db.engine import open_engine
from app.db.migrate import GUARD, VERSION_TABLE, _config, current_version, ledger_script, require_current, upgrade
from app.db.source import create_source_tables
from app.demo.sample_data import generate
from app.demo.show import insert_documents
from app.documents import ALL_KINDS
from app.domain.errors import SchemaError
from app.domain.states import SOURCE_STATUS, State
from app.wiring import Gateway
from simulator.process import running_simulator
from tests.clocks import SettableClock
from tests.databases import only_sqlite

SCRIPTS = ScriptDirectory.from_config(_config())
HISTORY = [each.revision for each in reversed(list(SCRIPTS.walk_revisions()))]
PAST = datetime(2026, 3, 14, 1, 0)  # noqa: DTZ001  an hour before the test's clock
TODAY = date(2026, 11, 20)
RELEASED = {"0001": "028c2052"}
"""The first characters of the digest of what a released revision does. Others may follow it, it may not change."""

STATES = {
    State.QUEUED: {"due_at": PAST},
    State.SENDING: {"due_at": PAST, "claim_token": "of-a-dead-process", "sent_at": PAST, "attempts": 1},
    State.WAITING: {"due_at": PAST, "attempts": 2, "error_code": "partner_error", "error_message": "lỗi 500"},
    State.UNKNOWN: {"due_at": PAST, "attempts": 1, "error_code": "timeout", "uncertain": True},
    State.ACCEPTED: {"attempts": 1, "national_code": "QG-1", "finished_at": PAST},
    State.REJECTED: {"attempts": 1, "error_code": "refused", "error_message": "Dòng 1", "finished_at": PAST},
    State.PARKED: {"attempts": 7, "error_code": "timeout", "uncertain": True, "finished_at": PAST},
}
"""What a delivery in each state has beside its document, as the first version wrote it."""

ENDS = {state: state for state in (State.ACCEPTED, State.REJECTED, State.PARKED)}
"""What stays as it is; everything else is delivered."""


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(load_settings(source_database_url=database_url))
    yield engine
    engine.dispose()


def upgrade_to(engine: Engine, revision: str) -> MetaData:
    """Bring the ledger to an earlier version; returns its tables as they then are."""
    with engine.begin() as connection:
        command.upgrade(_config(connection=connection), revision)
    tables = MetaData()
    tables.reflect(engine, only=lambda name, _: name.startswith("hermes_") and name != VERSION_TABLE)
    return tables


def something(column: Column[Any], number: int) -> Any:
    """A value for a column of which nothing else is known."""
    if column.foreign_keys:
        return something(next(iter(column.foreign_keys)).column, number)
    match column.type:
        case Boolean():
            return False
        case Integer():
            return number
        case DateTime():
            return PAST
        case Date():
            return TODAY
    return f"{column.name[:8]}{number}"[: getattr(column.type, "length", None) or 100]


def row_of(table: Table, number: int, **known: Any) -> dict[str, Any]:
    """A row of a table: what is known, and something wherever a value is needed."""
    needed = {column.name: something(column, number) for column in table.columns if not column.nullable}
    return {**needed, **{name: value for name, value in known.items() if name in table.columns}}


def fill(engine: Engine, tables: MetaData) -> dict[str, list[dict[str, Any]]]:
    """A document of every kind in every state, and three rows of every other table. Returns what was written."""
    written = {table.name: [row_of(table, number) for number in (1, 2, 3)] for table in tables.sorted_tables}
    written["hermes_delivery"] = []
    for kind in ALL_KINDS:
        documents = list(generate(kind.name, len(State), seed=7, today=TODAY, defect_every=0))
        for number, (state, document) in enumerate(zip(State, documents, strict=True)):
            document.header["status_phieu"] = int(SOURCE_STATUS.get(state, 0))
            known = {"kind": kind.name, "code": document.header[kind.code_column], "state": state.value}
            counts = {"attempts": 0, "revision": 1, "deaths": 0, "uncertain": False}
            row = row_of(tables.tables["hermes_delivery"], number, **{**known, **counts, **STATES[state]})
            written["hermes_delivery"].append({**row, "facility": document.header["ma_co_so"]})
        insert_documents(Gateway(load_settings(source_database_url=str(engine.url))), kind, iter(documents))
    if "hermes_circuit" in written:
        closed = {"facility": "CS-closed", "calls": 0, "failures": 0, "level": 0}
        written["hermes_circuit"] = [row_of(tables.tables["hermes_circuit"], 0, **closed)]
    with engine.begin() as connection:
        for table in tables.sorted_tables:
            for row in written[table.name]:
                connection.execute(insert(table), row)
    return written


def rows(engine: Engine, name: str, columns: list[str]) -> list[tuple[Any, ...]]:
    """A table's rows as they are now, in the columns of before."""
    table = Table(name, MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        found = connection.execute(select(*(table.c[column] for column in columns)))
        return sorted((tuple(row) for row in found), key=repr)


def kept(engine: Engine, written: dict[str, list[dict[str, Any]]]) -> None:
    """Every row that was written is there with every value that was written."""
    for name, values in written.items():
        columns = list(values[0]) if name != "hermes_delivery" else ["kind", "code", "facility", "state", "attempts"]
        assert rows(engine, name, columns) == sorted((tuple(row[c] for c in columns) for row in values), key=repr), name


@only_sqlite  # what a server does with a migration: test_migrations.py
@pytest.mark.parametrize("revision", HISTORY)
def test_p1_from_every_version_nothing_is_lost_and_deliveries_go_on(
    engine: Engine, database_url: str, revision: str
) -> None:
    create_source_tables(engine)
    written = fill(engine, upgrade_to(engine, revision))
    upgrade(engine)
    require_current(engine)
    kept(engine, written)
    with running_simulator() as partner:
        deliver_all(database_url, partner.url)
        sent = partner.totals()["copies"]
    before = {(row["kind"], row["code"]): State(row["state"]) for row in written["hermes_delivery"]}
    after = {
        (kind, code): State(state) for kind, code, state in rows(engine, "hermes_delivery", ["kind", "code", "state"])
    }
    assert after == {document: ENDS.get(state, State.ACCEPTED) for document, state in before.items()}
    assert sent == len([state for state in before.values() if state not in ENDS])


def deliver_all(database_url: str, partner_url: str) -> None:
    """What `hermes sync` does, now and an hour later: a dead process's claim is looked at first, then sent again."""

    clock = SettableClock(datetime(2026, 3, 14, 2, 0, tzinfo=UTC))

    async def run() -> None:
        settings = {"api_base_url": partner_url, "api_username": "partner", "api_password": "partner"}
        gateway = Gateway(load_settings(source_database_url=database_url, **settings), clock=clock)
        for _ in range(2):
            for kind in ALL_KINDS:
                for codes in gateway.scan.due(kind):
                    await gateway.deliver.run(kind, codes)
            clock.move(hours=1)
        await gateway.close()
        gateway.engine.dispose()

    asyncio.run(run())


@only_sqlite  # what a server does with a migration: test_migrations.py
@pytest.mark.parametrize("revision", HISTORY[:-1])
def test_a_program_refuses_the_ledger_of_an_earlier_version_and_says_what_to_do(engine: Engine, revision: str) -> None:
    upgrade_to(engine, revision)
    with pytest.raises(
        SchemaError, match=rf"^The ledger has version {revision}, this program needs .*hermes db upgrade$"
    ):
        require_current(engine)
    assert current_version(engine) == revision


def test_revisions_go_forward_only_one_after_the_other_from_the_first() -> None:
    assert HISTORY[0] == "0001"
    assert sorted(HISTORY) == HISTORY
    for number, each in enumerate(reversed(list(SCRIPTS.walk_revisions()))):
        assert each.down_revision == (HISTORY[number - 1] if number else None)
        assert not hasattr(each.module, "downgrade")


@pytest.mark.parametrize("revision", RELEASED)
def test_a_released_revision_is_never_changed(revision: str) -> None:
    """Databases that have it would not get the change."""
    parts = re.split(r"^-- Running upgrade .*-> (\w+)$", ledger_script("mssql"), flags=re.MULTILINE)
    done = dict(zip(parts[1::2], parts[2::2], strict=True))[revision].partition(VERSION_TABLE)[0]
    lines = [line for line in done.splitlines() if line.strip() and line not in {"GO", GUARD}]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest().startswith(RELEASED[revision])
