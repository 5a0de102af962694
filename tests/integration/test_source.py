"""The customer's tables on a real database: what is read, in how many statements, and what is refused."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import pytest
from sqlalchemy import DATE, Column, DateTime, Engine, Integer, Numeric, Unicode, event, insert, inspect, text

from app.core.config import load_settings
from app.db.engine import open_engine
from app.db.source import PENDING_PAGE, SqlSource, create_source_tables, line_columns
from app.demo.sample_data import SampleDocument, generate
from app.demo.show import insert_documents
from app.documents import ALL_KINDS, HOA_DON, PHIEU_NHAP, PHIEU_XUAT, SOURCE, DocumentKind
from app.domain.errors import InputError, SchemaError
from app.wiring import Gateway
from tests.databases import drop_column, only_sqlite, rename_table, schema_of

each_kind = pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)

VIETNAMESE = "Thuốc bột trẻ em 'Ồ Ế Ữ' \"Đặng\" ; 100% "


@pytest.fixture
def gateway(open_gateway: Callable[..., Gateway]) -> Gateway:
    return open_gateway()


@pytest.fixture
def bare_engine(database_url: str) -> Iterator[Engine]:
    """An engine on a database without any table."""
    engine = open_engine(load_settings(source_database_url=database_url))
    yield engine
    engine.dispose()


def run(gateway: Gateway, statement: str, **values: Any) -> None:
    with gateway.engine.begin() as connection:
        connection.execute(text(statement), values)


def samples(gateway: Gateway, kind: DocumentKind, count: int) -> list[SampleDocument]:
    """Sample documents, written into the source and taken into the ledger."""
    documents = list(generate(kind.name, count, seed=7, today=date(2026, 3, 14), defect_every=0))
    insert_documents(gateway, kind, iter(documents))
    gateway.ledger.discover(kind, count)
    return documents


def put_line(gateway: Gateway, kind: DocumentKind, code: str, **columns: Any) -> None:
    with gateway.engine.begin() as connection:
        connection.execute(insert(kind.lines), [{kind.code_column: code, **columns}])


def loosened(gateway: Gateway, kind: DocumentKind) -> None:
    """The kind's tables without keys, and without types where SQLite allows it: anything can stand in any column."""
    dialect = gateway.engine.dialect
    for table in (kind.lines, kind.header):
        run(gateway, f"DROP TABLE {table.name}")
    for table in (kind.header, kind.lines):
        types = {name: "" if dialect.name == "sqlite" else c.type.compile(dialect) for name, c in table.c.items()}
        if dialect.name != "sqlite" and "id" in types:
            types["id"] += " IDENTITY"
        columns = ", ".join(f"{name} {type_}" for name, type_ in types.items())
        run(gateway, f"CREATE TABLE {table.name} ({columns})")


def as_stored(engine: Engine, column: Column[Any], value: Any) -> Any:
    """What the driver gives for a value of a column. SQLite's gives dates as text and money as a number."""
    if value is None or isinstance(column.type, Integer | Unicode) or engine.dialect.name != "sqlite":
        return value
    if isinstance(column.type, DateTime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value.isoformat() if isinstance(column.type, DATE) else float(value)


@contextmanager
def selects(engine: Engine) -> Iterator[list[str]]:
    """The SELECTs that are sent while the block runs."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def columns_by_name(columns: Sequence[Column[Any]]) -> dict[str, Column[Any]]:
    return {column.name: column for column in columns}


# ---- load -----------------------------------------------------------------------------------------------


@each_kind
def test_load_gives_headers_and_lines_as_the_source_has_them(gateway: Gateway, kind: DocumentKind) -> None:
    written = samples(gateway, kind, 25)

    documents = gateway.source.load(kind, [str(each.header[kind.code_column]) for each in written])

    assert len(documents) == 25
    headers, lines = columns_by_name(list(kind.header.c)), columns_by_name(line_columns(kind))
    for each in written:
        code = str(each.header[kind.code_column])
        document = documents[code]
        assert (document.kind, document.code) == (kind.name, code)
        assert set(document.header) == set(headers)
        for name, value in each.header.items():
            assert document.header[name] == as_stored(gateway.engine, headers[name], value), name
        assert [dict(line) for line in document.lines] == [
            {name: as_stored(gateway.engine, column, line.get(name)) for name, column in lines.items()}
            for line in each.lines
        ]


@each_kind
def test_lines_come_in_the_order_of_their_ids(
    gateway: Gateway, put_headers: Callable[..., None], kind: DocumentKind
) -> None:
    loosened(gateway, kind)  # without a key, the database would give them in the order they were written
    put_headers(gateway.engine, kind, ["A1", "A2"])
    for number in (7, 3, 9, 1, 10):
        put_line(gateway, kind, "A1", id=number, so_lo=f"LO{number}")
    put_line(gateway, kind, "A2", id=5, so_lo="LO5")
    gateway.ledger.discover(kind, 10)

    loaded = gateway.source.load(kind, ["A2", "A1"])
    pending = {each.code: each for page in gateway.source.pending(kind) for each in page}

    for documents in (loaded, pending):
        assert [line["so_lo"] for line in documents["A1"].lines] == ["LO1", "LO3", "LO7", "LO9", "LO10"]
        assert [line["so_lo"] for line in documents["A2"].lines] == ["LO5"]
        assert not {"id", kind.code_column} & set(documents["A1"].lines[0])


@each_kind
def test_a_document_without_lines_has_none(
    gateway: Gateway, put_headers: Callable[..., None], kind: DocumentKind
) -> None:
    put_headers(gateway.engine, kind, ["EMPTY", "FULL"])
    put_line(gateway, kind, "FULL", so_lo="LO1")
    gateway.ledger.discover(kind, 10)

    documents = gateway.source.load(kind, ["EMPTY", "FULL"])

    assert {code: len(document.lines) for code, document in documents.items()} == {"EMPTY": 0, "FULL": 1}


@each_kind
def test_a_document_that_was_deleted_is_left_out(
    gateway: Gateway, put_headers: Callable[..., None], kind: DocumentKind
) -> None:
    put_headers(gateway.engine, kind, ["GONE", "HERE"])
    gateway.ledger.discover(kind, 10)
    run(gateway, f"DELETE FROM {kind.header.name} WHERE {kind.code_column} = 'GONE'")  # noqa: S608

    assert set(gateway.source.load(kind, ["GONE", "HERE", "NEVER"])) == {"HERE"}
    assert gateway.source.load(kind, []) == {}


@each_kind
@pytest.mark.parametrize("count", [1, 40, 1000])
def test_a_batch_is_loaded_with_two_selects_whatever_its_size(
    gateway: Gateway, put_headers: Callable[..., None], kind: DocumentKind, count: int
) -> None:
    codes = [f"A{number:04}" for number in range(count)]
    put_headers(gateway.engine, kind, codes)
    gateway.ledger.discover(kind, count)
    gateway.source.tables(kind)  # what the tables have is asked once, before

    with selects(gateway.engine) as sent:
        assert len(gateway.source.load(kind, codes)) == count

    assert len(sent) == 2, sent


@each_kind
def test_what_the_tables_have_is_looked_up_once(gateway: Gateway, kind: DocumentKind) -> None:
    seen: list[str] = []
    event.listen(gateway.engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    gateway.source.tables(kind)
    first = len(seen)

    assert first > 0
    assert gateway.source.tables(kind) == gateway.source.tables(kind)
    assert len(seen) == first


@each_kind
def test_null_in_every_nullable_column_comes_through_as_none(gateway: Gateway, kind: DocumentKind) -> None:
    headers = {column.name: None for column in kind.header.c if column.nullable}
    lines = {column.name: None for column in line_columns(kind)}
    with gateway.engine.begin() as connection:
        connection.execute(insert(kind.header).values({**headers, kind.code_column: "A1"}))
        connection.execute(insert(kind.lines).values({**lines, kind.code_column: "A1"}))
    assert gateway.ledger.discover(kind, 10) == 1

    document = gateway.source.load(kind, ["A1"])["A1"]

    assert dict(document.header) == {**headers, kind.code_column: "A1"}
    assert [dict(line) for line in document.lines] == [lines]
    assert [[each.code for each in page] for page in gateway.source.pending(kind)] == [["A1"]]


@each_kind
def test_vietnamese_text_of_full_length_comes_through_whole(gateway: Gateway, kind: DocumentKind) -> None:
    def fill(columns: Sequence[Column[Any]]) -> dict[str, str]:
        texts = [column for column in columns if isinstance(column.type, Unicode)]
        longest = {column.name: column.type.length or 20_000 for column in texts}  # type: ignore[attr-defined]
        return {name: (VIETNAMESE * (length // 10))[:length] for name, length in longest.items()}

    header, line = fill(list(kind.header.c)), fill(line_columns(kind))
    code = header[kind.code_column]
    with gateway.engine.begin() as connection:
        connection.execute(insert(kind.header).values(header))
        connection.execute(insert(kind.lines).values({**line, kind.code_column: code}))
    assert gateway.ledger.discover(kind, 10) == 1

    document = gateway.source.load(kind, [code])[code]

    assert {name: document.header[name] for name in header} == header
    assert {name: document.lines[0][name] for name in line} == line


@only_sqlite
@each_kind
def test_malformed_dates_and_numbers_come_through_as_they_are(gateway: Gateway, kind: DocumentKind) -> None:
    """P7: a fault of one document, for its validation to name; not an error of the query."""
    loosened(gateway, kind)
    dates = [column.name for column in line_columns(kind) if isinstance(column.type, DATE)]
    numbers = [column.name for column in line_columns(kind) if isinstance(column.type, Integer | Numeric)]
    malformed = {**dict.fromkeys(dates, "31/02/2026"), **dict.fromkeys(numbers, "12,5 hộp")}
    code = kind.code_column
    header = {code: "BAD", kind.date_column: "hôm qua", "status_phieu": 0}
    for table, row in ((kind.header, header), (kind.lines, {code: "BAD", "id": 1, **malformed})):
        names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
        run(gateway, f"INSERT INTO {table.name} ({names}) VALUES ({values})", **row)  # noqa: S608
    run(gateway, f"INSERT INTO {kind.header.name} ({code}, {kind.date_column}) VALUES ('GOOD', '2026-03-14')")  # noqa: S608
    assert gateway.ledger.discover(kind, 10) == 2

    documents = gateway.source.load(kind, ["BAD", "GOOD"])

    assert documents["BAD"].header[kind.date_column] == "hôm qua"
    assert {name: documents["BAD"].lines[0][name] for name in malformed} == malformed
    assert documents["GOOD"].header[kind.date_column] == "2026-03-14"
    assert [each.code for page in gateway.source.pending(kind) for each in page] == ["BAD", "GOOD"]


@only_sqlite
@each_kind
@pytest.mark.parametrize("place", ["header", "line"])
def test_broken_utf8_comes_through_with_its_bytes_escaped(
    gateway: Gateway, put_headers: Callable[..., None], kind: DocumentKind, place: str
) -> None:
    """P7: the rest of the batch is read as ever, and so is whatever this connection reads next."""
    put_headers(gateway.engine, kind, ["BAD", "GOOD"], note_log="Tiếng Việt")
    for code in ("BAD", "GOOD"):
        put_line(gateway, kind, code, so_lo="LÔ1")
    table, column = (kind.header, "note_log") if place == "header" else (kind.lines, "so_lo")
    gateway.ledger.discover(kind, 10)
    broken = f"UPDATE {table.name} SET {column} = CAST(X'61EDA08062FF' AS TEXT) WHERE {kind.code_column} = 'BAD'"  # noqa: S608
    run(gateway, broken)

    for documents in (gateway.source.load(kind, ["BAD", "GOOD"]), gateway.source.load(kind, ["BAD", "GOOD"])):
        bad, good = documents["BAD"], documents["GOOD"]
        assert (bad.header if place == "header" else bad.lines[0])[column] == "a\udced\udca0\udc80b\udcff"
        assert (good.header["note_log"], good.lines[0]["so_lo"]) == ("Tiếng Việt", "LÔ1")
    assert gateway.source.load(kind, ["GOOD"])["GOOD"].lines[0]["so_lo"] == "LÔ1"
    assert [each.code for page in gateway.source.pending(kind) for each in page] == ["BAD", "GOOD"]


# ---- pending --------------------------------------------------------------------------------------------


@each_kind
def test_pending_gives_what_asks_for_delivery_whatever_the_ledger_says(
    gateway: Gateway, put_headers: Callable[..., None], kind: DocumentKind
) -> None:
    for status in (0, None, 1, 2, 3, 9):
        put_headers(gateway.engine, kind, [f"S{status}"], status_phieu=status)
    put_line(gateway, kind, "S0", so_lo="LO2", id=2)
    put_line(gateway, kind, "S0", so_lo="LO1", id=1)
    put_line(gateway, kind, "S1", so_lo="LO3")
    gateway.ledger.discover(kind, 1)

    pages = list(gateway.source.pending(kind))

    assert [[each.code for each in page] for page in pages] == [["S0", "S2", "SNone"]]
    assert [[line["so_lo"] for line in each.lines] for each in pages[0]] == [["LO1", "LO2"], [], []]


@each_kind
@pytest.mark.parametrize("count", [0, 1, PENDING_PAGE, PENDING_PAGE + 1])
def test_pending_comes_in_pages(
    gateway: Gateway, put_headers: Callable[..., None], kind: DocumentKind, count: int
) -> None:
    """P10."""
    codes = [f"A{number:04}" for number in range(count)]
    if codes:
        put_headers(gateway.engine, kind, codes)

    pages = [[each.code for each in page] for page in gateway.source.pending(kind)]

    assert [code for page in pages for code in page] == codes
    assert all(0 < len(page) <= PENDING_PAGE for page in pages)


@only_sqlite
@each_kind
def test_pending_passes_over_a_code_that_is_no_utf8(
    gateway: Gateway, put_headers: Callable[..., None], kind: DocumentKind
) -> None:
    """P7."""
    put_headers(gateway.engine, kind, ["A1", "Z1"])
    broken = f"INSERT INTO {kind.header.name} ({kind.code_column}) VALUES (CAST(X'61EDA08062' AS TEXT))"  # noqa: S608
    run(gateway, broken)

    assert {"A1", "Z1"} <= {each.code for page in gateway.source.pending(kind) for each in page}


@only_sqlite
@each_kind
def test_pending_passes_over_whole_pages_of_codes_that_are_no_utf8(
    gateway: Gateway, put_headers: Callable[..., None], kind: DocumentKind
) -> None:
    """P7, P10."""
    put_headers(gateway.engine, kind, [f"A{number:04}" for number in range(PENDING_PAGE - 3)] + ["Z1"])
    broken = f"INSERT INTO {kind.header.name} ({kind.code_column}) VALUES (CAST(X'4DEDA080' AS TEXT) || :number)"  # noqa: S608
    with gateway.engine.begin() as connection:
        connection.execute(text(broken), [{"number": number} for number in range(2 * PENDING_PAGE + 7)])

    pages = list(gateway.source.pending(kind))

    assert [len(page) for page in pages] == [PENDING_PAGE - 3, 1]
    assert [each.code for each in pages[-1]] == ["Z1"]


# ---- the tables -----------------------------------------------------------------------------------------


@each_kind
def test_views_may_stand_in_for_the_tables(gateway: Gateway, kind: DocumentKind) -> None:
    written = samples(gateway, kind, 3)
    codes = [str(each.header[kind.code_column]) for each in written]
    from_tables = gateway.source.load(kind, codes)
    for table in (kind.header, kind.lines):
        rename_table(gateway.engine, table.name, f"their_{table.name}")
        run(gateway, f"CREATE VIEW {table.name} AS SELECT * FROM their_{table.name}")  # noqa: S608
    source = SqlSource(gateway.engine)

    assert source.load(kind, codes) == from_tables
    assert source.tables(kind).missing_optional == frozenset()
    asking = {code for code in codes if from_tables[code].header["status_phieu"] in {0, 2, None}}
    assert {each.code for page in source.pending(kind) for each in page} == asking


@each_kind
def test_column_names_may_be_written_in_any_case(
    gateway: Gateway, put_headers: Callable[..., None], kind: DocumentKind
) -> None:
    for table in (kind.header, kind.lines):
        rename_table(gateway.engine, table.name, f"their_{table.name}")
        columns = ", ".join(f"{column.name} AS {column.name.upper()}" for column in table.c)
        run(gateway, f"CREATE VIEW {table.name} AS SELECT {columns} FROM their_{table.name}")  # noqa: S608
    source = SqlSource(gateway.engine)

    assert source.tables(kind).missing_optional == frozenset()
    assert list(source.pending(kind)) == []


REQUIRED = [
    pytest.param(kind, table, column.name, id=f"{table.name}.{column.name}")
    for kind in ALL_KINDS
    for table in (kind.header, kind.lines)
    for column in table.c
    if not column.primary_key and not column.foreign_keys and column.name not in kind.optional_columns
]


@pytest.mark.parametrize(("kind", "table", "column"), REQUIRED)
def test_a_missing_column_is_named(gateway: Gateway, kind: DocumentKind, table: Any, column: str) -> None:
    drop_column(gateway.engine, table, column)

    with pytest.raises(SchemaError, match=rf"^{table.name} lacks the column\(s\) {column}\.$"):
        SqlSource(gateway.engine).load(kind, ["A1"])


@each_kind
@pytest.mark.parametrize("which", ["header", "lines"])
def test_a_missing_table_is_named(gateway: Gateway, kind: DocumentKind, which: str) -> None:
    name = getattr(kind, which).name
    rename_table(gateway.engine, name, f"their_{name}")
    source = SqlSource(gateway.engine)

    with pytest.raises(SchemaError, match=f"no table or view {name}"):
        source.load(kind, ["A1"])
    with pytest.raises(SchemaError, match=f"no table or view {name}"):
        list(source.pending(kind))


def test_a_missing_table_is_looked_for_again_the_next_time(gateway: Gateway) -> None:
    rename_table(gateway.engine, "HoaDonDetail", "elsewhere")
    with pytest.raises(SchemaError):
        gateway.source.tables(HOA_DON)
    rename_table(gateway.engine, "elsewhere", "HoaDonDetail")

    assert gateway.source.tables(HOA_DON).missing_optional == frozenset()


def test_the_lengths_of_what_is_written_back_are_known(gateway: Gateway) -> None:
    lengths = {kind.name: gateway.source.tables(kind).national_code_length for kind in ALL_KINDS}
    assert lengths == {"phieu_nhap": 250, "phieu_xuat": 250, "hoa_don": 250}
    assert gateway.source.tables(PHIEU_NHAP).note_length is None


def test_an_older_invoice_table_lacks_only_the_national_code(gateway: Gateway) -> None:
    drop_column(gateway.engine, HOA_DON.header, "ma_hoa_don_quoc_gia")

    assert gateway.source.tables(HOA_DON).missing_optional == {"ma_hoa_don_quoc_gia"}
    assert "ma_hoa_don_quoc_gia" not in {column.name for column in gateway.source.header_columns(HOA_DON)}
    assert gateway.source.tables(PHIEU_XUAT).missing_optional == frozenset()


# ---- create_source_tables -------------------------------------------------------------------------------

ALL_TABLES = {table.name for table in SOURCE.sorted_tables}


def test_the_source_tables_are_created_in_an_empty_database(bare_engine: Engine) -> None:
    assert set(create_source_tables(bare_engine)) == ALL_TABLES
    assert set(inspect(bare_engine).get_table_names()) == ALL_TABLES
    for kind in ALL_KINDS:
        assert SqlSource(bare_engine).tables(kind).missing_optional == frozenset()


def test_a_complete_database_is_left_as_it_is(bare_engine: Engine) -> None:
    create_source_tables(bare_engine)
    before = schema_of(bare_engine)

    assert create_source_tables(bare_engine) == []
    assert schema_of(bare_engine) == before


@pytest.mark.parametrize("there", sorted(ALL_TABLES))
@pytest.mark.parametrize("make", ["CREATE TABLE {} (ma_phieu TEXT)", "CREATE VIEW {} AS SELECT 1 AS ma_phieu"])
def test_a_database_with_some_of_the_tables_is_refused_and_not_changed(
    bare_engine: Engine, there: str, make: str
) -> None:
    with bare_engine.begin() as connection:
        connection.execute(text(make.format(there)))
    before = schema_of(bare_engine)

    with pytest.raises(InputError) as refusal:
        create_source_tables(bare_engine)

    assert schema_of(bare_engine) == before
    named = {name for name in ALL_TABLES if f"{name}," in str(refusal.value) or f"{name}." in str(refusal.value)}
    assert named == ALL_TABLES - {there}


def test_tables_that_are_all_there_but_lack_a_column_are_refused(bare_engine: Engine) -> None:
    create_source_tables(bare_engine)
    drop_column(bare_engine, PHIEU_XUAT.lines, "so_lo")
    before = schema_of(bare_engine)

    with pytest.raises(SchemaError, match="PhieuXuatDetail lacks the column"):
        create_source_tables(bare_engine)
    assert schema_of(bare_engine) == before


def test_the_source_notes_when_a_row_was_inserted(gateway: Gateway) -> None:
    with gateway.engine.begin() as connection:
        connection.execute(insert(PHIEU_NHAP.header).values(ma_phieu="A1"))
        stored = connection.scalar(text("SELECT dateinsert FROM PhieuNhapHeader"))
    assert datetime.fromisoformat(str(stored)).year >= 2026
