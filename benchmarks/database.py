"""The databases that measurements begin with: SQLite files full of invoices of five lines.

Each is made once per folder, as a template; a measurement gets a copy.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Table, insert

from app.core.config import load_settings
from app.db.engine import open_engine
from app.db.migrate import upgrade
from app.db.source import create_source_tables
from app.demo.sample_data import SampleDocument, generate
from app.documents import HOA_DON

KIND = HOA_DON
LINES = 5
_SAMPLES = 500
_PAGE = 5000

_HEADERS = "INSERT INTO HoaDonHeader (ma_hoa_don, ma_co_so, ngay_ban, status_phieu) VALUES (?, ?, ?, ?)"
_FINISHED_DELIVERIES = """
    INSERT INTO hermes_delivery (kind, code, facility, document_date, state, attempts, revision, deaths, uncertain,
                                 first_seen_at, updated_at, finished_at)
    SELECT 'hoa_don', ma_hoa_don, ma_co_so, ngay_ban, 'accepted', 1, 1, 0, 0, :at, :at, :at FROM HoaDonHeader
"""


def with_backlog(folder: Path, documents: int) -> Path:
    """A database with so many invoices to send."""
    template = folder / f"backlog-{documents}.db"
    if not template.exists():
        with _created(template) as engine:
            _write(engine, (_invoice(number) for number in range(documents)))
    return _copied(template)


def with_finished(folder: Path, documents: int) -> Path:
    """A database in which so many invoices were accepted, and none is to be sent."""
    template = folder / f"finished-{documents}.db"
    if not template.exists():
        with _created(template):
            pass
        with closing(sqlite3.connect(template)) as connection, connection:
            connection.executemany(_HEADERS, map(_finished, range(documents)))
            connection.execute(_FINISHED_DELIVERIES, {"at": "2026-01-01 00:00:00.000000"})
    return _copied(template)


def insert_new(file: Path, prefix: str, documents: int) -> None:
    """What a shop does: commit so many new invoices, here without lines."""
    rows = [(f"{prefix}-{number}", "CS0001", "2026-01-31", 0) for number in range(documents)]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany(_HEADERS, rows)


@contextmanager
def _created(file: Path) -> Iterator[Engine]:
    engine = open_engine(load_settings(source_database_url=f"sqlite:///{file}"))
    upgrade(engine)
    create_source_tables(engine)
    yield engine
    engine.dispose()


def _write(engine: Engine, documents: Iterable[SampleDocument]) -> None:
    remaining = iter(documents)
    while page := list(islice(remaining, _PAGE)):
        with engine.begin() as connection:
            connection.execute(insert(KIND.header), [_complete(KIND.header, each.header) for each in page])
            lines = [_complete(KIND.lines, line) for each in page for line in each.lines]
            connection.execute(insert(KIND.lines), lines)


def _complete(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    return {column.name: row.get(column.name) for column in table.columns if column.name != "id"}


def _invoice(number: int) -> SampleDocument:
    sample = _samples()[number % _SAMPLES]
    code = _code(number)
    header = {**sample.header, KIND.code_column: code, "status_phieu": 0}
    lines = [{**line, KIND.code_column: code} for line in islice(cycle(sample.lines), LINES)]
    return SampleDocument(header, lines, None)


@cache
def _samples() -> list[SampleDocument]:
    return list(generate(KIND.name, _SAMPLES, seed=1, today=date(2026, 1, 31), defect_every=0))


def _finished(number: int) -> tuple[str, str, str, int]:
    return _code(number), f"CS{number % 2000:04}", str(date(2026, 1, 1) - timedelta(days=number % 300)), 1


def _code(number: int) -> str:
    return f"HD-{number:08}"


def _copied(template: Path) -> Path:
    """A copy that is on the disk already, so that nobody's commit pays for writing it."""
    work = template.with_name("work.db")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{work}{suffix}").unlink(missing_ok=True)
    shutil.copy(template, work)
    with work.open("rb+") as file:
        os.fsync(file.fileno())
    return work
