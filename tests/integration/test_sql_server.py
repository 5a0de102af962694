"""What only a server can do to us, or a driver: each test runs on the SQL Server that HERMES_TEST_MSSQL_URL names."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, bindparam, event, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from app.core.config import load_settings
from app.db.engine import open_engine, patiently, reading, writing
from app.db.nvarchar import cut, units
from app.db.tables import delivery, heartbeat
from app.documents import HOA_DON, PHIEU_NHAP
from app.domain.errors import DatabaseUnavailable
from app.wiring import Gateway
from tests.databases import MssqlDatabase, only_mssql

pytestmark = only_mssql

NOW = datetime(2026, 3, 14, 2, 0, 0, 123457, tzinfo=UTC)
ROW = {
    "kind": "phieu_nhap",
    "facility": "CS01",
    "state": "queued",
    "attempts": 0,
    "revision": 1,
    "deaths": 0,
    "uncertain": False,
    "first_seen_at": NOW,
    "updated_at": NOW,
}
TEXTS = [
    "plain ASCII, and longer than the others " * 3,
    "Ữ",
    None,
    "Thuốc",
    "",
    "viên 💊",
    "Ồ" * 4000,
    "d" * 30_000,
    "ết" * 9000,
]


@pytest.fixture
def engine(open_gateway: Callable[[], Gateway]) -> Engine:
    return open_gateway().engine


def put_deliveries(engine: Engine, count: int, **columns: Any) -> list[str]:
    codes = [f"A{number:05}" for number in range(count)]
    with writing(engine) as connection:
        connection.execute(insert(delivery), [{**ROW, "code": code, **columns} for code in codes])
    return codes


def column(engine: Engine, name: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.scalars(select(delivery.c[name]).order_by(delivery.c.code)))


def test_each_text_of_a_bulk_update_arrives_whole_whatever_stands_beside_it(engine: Engine) -> None:
    """A driver that takes the type from one of them binds the others as varchar."""
    codes = put_deliveries(engine, len(TEXTS))
    told = update(delivery).where(delivery.c.code == bindparam("of")).values(error_message=bindparam("to"))
    with writing(engine) as connection:
        connection.execute(told, [{"of": code, "to": each} for code, each in zip(codes, TEXTS, strict=True)])

    assert column(engine, "error_message") == TEXTS


def test_each_text_of_a_bulk_insert_arrives_whole_whatever_stands_beside_it(engine: Engine) -> None:
    rows = [{"ma_phieu": f"A{number}", "ghi_chu": each} for number, each in enumerate(TEXTS)]
    with writing(engine) as connection:
        connection.execute(insert(PHIEU_NHAP.header), rows)
        found = connection.execute(select(PHIEU_NHAP.code, PHIEU_NHAP.header.c.ghi_chu))
        assert dict(tuple(row) for row in found) == {row["ma_phieu"]: row["ghi_chu"] for row in rows}


@pytest.mark.parametrize("nulls", [0, 1, 1200])
def test_a_thousand_rows_are_written_in_few_statements_whatever_is_null(engine: Engine, nulls: int) -> None:
    codes = put_deliveries(engine, 1200, document_date=None, due_at=None, error_code=None)
    to = [None if number < nulls else date(2026, 3, 1 + number % 28) for number in range(1200)]
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    told = (
        update(delivery)
        .where(delivery.c.code == bindparam("of"))
        .values(document_date=bindparam("to"), due_at=bindparam("at"), attempts=bindparam("tries"))
    )
    with writing(engine) as connection:
        rows = [
            {"of": code, "to": day, "at": NOW if day else None, "tries": 300}
            for code, day in zip(codes, to, strict=True)
        ]
        connection.execute(told, rows)

    assert column(engine, "document_date") == to
    assert column(engine, "due_at") == [NOW if day else None for day in to]
    assert set(column(engine, "attempts")) == {300}
    assert len(sent) < 10


def test_a_moment_is_kept_to_the_microsecond_and_found_again(engine: Engine) -> None:
    """The ledger asks for rows by the very moment it wrote."""
    moments = [NOW.replace(microsecond=each) for each in (0, 1, 3333, 123457, 997000, 999999)]
    codes = put_deliveries(engine, len(moments))
    told = update(delivery).where(delivery.c.code == bindparam("of")).values(sent_at=bindparam("to"))
    with writing(engine) as connection:
        connection.execute(told, [{"of": code, "to": each} for code, each in zip(codes, moments, strict=True)])

    assert column(engine, "sent_at") == moments
    with engine.connect() as connection:
        for code, moment in zip(codes, moments, strict=True):
            assert connection.scalar(select(delivery.c.code).where(delivery.c.sent_at == moment)) == code


def test_money_and_ratios_are_exact(engine: Engine) -> None:
    lines = [
        {"ma_hoa_don": "A1", "don_gia": Decimal(price), "thanh_tien": Decimal(price), "ty_le_quy_doi": Decimal(ratio)}
        for price, ratio in (("0.01", "0.0001"), ("12500.50", "30"), ("9999999999999999.99", "99999999999999.9999"))
    ]
    with writing(engine) as connection:
        connection.execute(insert(HOA_DON.header), [{"ma_hoa_don": "A1"}])
        connection.execute(insert(HOA_DON.lines), lines)
        columns = [HOA_DON.lines.c[name] for name in lines[0]]
        found = connection.execute(select(*columns).order_by(HOA_DON.lines.c.id)).all()

    assert [tuple(row) for row in found] == [tuple(line.values()) for line in lines]


@pytest.mark.parametrize("asked", ["pn1", "PN1 ", "pn1  "])
def test_a_document_is_found_and_written_back_whatever_the_collation_takes_for_equal(
    open_gateway: Callable[[], Gateway], asked: str
) -> None:
    """Lines of the customer's may spell a code in another way than its header; blanks at the end count for nothing."""
    gateway = open_gateway()
    with writing(gateway.engine) as connection:
        connection.execute(insert(PHIEU_NHAP.header), [{"ma_phieu": "PN1", "status_phieu": None}])
        equal = connection.scalar(text("SELECT 1 FROM PhieuNhapHeader WHERE ma_phieu = :asked"), {"asked": asked})
    if not equal:
        pytest.skip(f"this collation tells {asked!r} from 'PN1'")
    gateway.ledger.discover(PHIEU_NHAP, 10)

    assert set(gateway.source.load(PHIEU_NHAP, [asked])) == {"PN1"}


def test_a_deadlocks_victim_is_repeated_and_both_transactions_are_done(open_gateway: Callable[[], Gateway]) -> None:
    engines = [open_gateway().engine for _ in range(2)]
    names = ["one", "two"]
    with writing(engines[0]) as connection:
        connection.execute(insert(heartbeat), [{"name": name, "seen_at": NOW.replace(year=2020)} for name in names])
    both_hold_one = Barrier(2)
    tries: list[str] = []

    def run(engine: Engine, first: str, second: str) -> None:
        @patiently
        def transaction() -> None:
            tries.append(first)
            with writing(engine) as connection:
                for name in (first, second):
                    row = heartbeat.c.name == name
                    connection.execute(update(heartbeat).where(row).values(seen_at=NOW))
                    if name == first and len(tries) <= 2:
                        both_hold_one.wait(timeout=30)

        transaction()

    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(run, *each) for each in ((engines[0], *names), (engines[1], *reversed(names)))]
        for future in futures:
            future.result()

    assert len(tries) == 3
    with engines[0].connect() as connection:
        assert set(connection.scalars(select(heartbeat.c.seen_at))) == {NOW}


def test_a_transaction_whose_connection_is_ended_is_repeated_as_a_whole(
    database: MssqlDatabase, engine: Engine
) -> None:
    tries: list[int] = []

    @patiently
    def transaction() -> None:
        with writing(engine) as connection:
            connection.execute(insert(heartbeat).values(name=f"try {len(tries)}", seen_at=NOW))
            tries.append(connection.scalar(text("SELECT @@SPID")))
            if len(tries) == 1:
                _end(database, tries[0])
            connection.execute(insert(heartbeat).values(name="last", seen_at=NOW))

    transaction()

    assert len(tries) == 2
    with engine.connect() as connection:
        assert set(connection.scalars(select(heartbeat.c.name))) == {"try 1", "last"}


def _end(database: MssqlDatabase, session: int) -> None:
    try:
        database.outside(f"KILL {session}")
    except DBAPIError as error:
        pytest.skip(f"this server or login ends no session: {error.orig}")


def test_a_wrong_password_is_an_unreachable_database_and_is_not_tried_again(engine: Engine) -> None:
    url = engine.url.set(password="wrong").render_as_string(hide_password=False)
    stranger = open_engine(load_settings(source_database_url=url))

    with pytest.raises(DatabaseUnavailable) as refusal, reading(stranger):
        pass
    assert "wrong" not in str(refusal.value)
    stranger.dispose()


@pytest.fixture(params=["OFF", "ON"])
def versions(database: MssqlDatabase, request: pytest.FixtureRequest) -> Iterator[str]:
    """Whether readers see the last committed version, or wait."""
    name = database.name_on_server
    try:
        database.outside(f"ALTER DATABASE [{name}] SET READ_COMMITTED_SNAPSHOT {request.param} WITH ROLLBACK IMMEDIATE")
    except DBAPIError as error:
        pytest.skip(f"this server or login does not change READ_COMMITTED_SNAPSHOT: {error.orig}")
    yield request.param
    database.outside(f"ALTER DATABASE [{name}] SET READ_COMMITTED_SNAPSHOT OFF WITH ROLLBACK IMMEDIATE")


def test_two_workers_share_a_queue_without_overlap_with_and_without_row_versions(
    versions: str, open_gateway: Callable[[], Gateway]
) -> None:
    """P2."""
    ledgers = {name: open_gateway().ledger for name in ("one", "two")}
    codes = put_deliveries(open_gateway().engine, 200, due_at=NOW)
    start = Barrier(2)

    def claim(name: str) -> list[str]:
        start.wait(timeout=30)
        bites = [codes[at : at + 10] for at in range(0, len(codes), 10)]
        if name == "two":
            bites.reverse()
        later = NOW.replace(year=2027)
        claimed = (ledgers[name].claim(PHIEU_NHAP, bite, name, expires_at=later) for bite in bites)
        return [each.code for some in claimed for each in some]

    with ThreadPoolExecutor(2) as threads:
        one, two = (future.result() for future in [threads.submit(claim, name) for name in ledgers])

    assert sorted(one + two) == codes


@pytest.mark.parametrize(
    ("text_", "length", "kept"), [("a💊b", 4, "a💊b"), ("a💊b", 3, "a💊"), ("a💊b", 2, "a"), ("Ữ" * 9, 5, "Ữ" * 5)]
)
def test_what_is_cut_fits_into_its_column(engine: Engine, text_: str, length: int, kept: str) -> None:
    assert (cut(text_, length), units(kept) <= length) == (kept, True)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE short (t nvarchar({length}))"))
        connection.execute(text("INSERT INTO short VALUES (:t)"), {"t": cut(text_, length)})
        assert connection.scalar(text("SELECT t FROM short")) == kept
