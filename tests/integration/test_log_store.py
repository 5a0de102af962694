"""The detailed log: kept in SQL, moved to a server that speaks MongoDB's protocol, and read back from both."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import bson
import msgspec
import pytest
from pymongo import MongoClient
from sqlalchemy import insert, text

from app.core.config import load_settings
from app.db.attempt_log import SqlAttemptLog
from app.db.mongodb import COLLECTION, TTL_INDEX, MongoLogStore
from app.db.tables import attempt
from app.documents import ALL_KINDS, HOA_DON
from app.domain.deliveries import Attempt
from app.domain.errors import LogStoreUnavailable
from app.services.deliver import MOST_FAULTS
from app.services.ship import AT_ONCE, Ship
from app.wiring import Gateway
from tests.integration.conftest import SettableClock

# A server of one's own may say that the index exists with another code (85) than the embedded one (86).
GIVEN_SERVER = bool(os.environ.get("HERMES_TEST_MONGO_URI"))
START = datetime(2026, 3, 14, 2, 0, tzinfo=UTC)
DAY = 86_400
ZONE = ZoneInfo("Asia/Ho_Chi_Minh")

each_kind = pytest.mark.parametrize("kind", [kind.name for kind in ALL_KINDS])


def an_attempt(number: int = 1, *, kind: str = "phieu_nhap", code: str = "A1", **fields: Any) -> Attempt:
    usual: dict[str, Any] = {
        "id": str(uuid4()),
        "facility": "CS01",
        "revision": 1,
        "outcome": "accepted",
        "error_code": None,
        "http_status": 200,
        "started_at": START + timedelta(seconds=number),
        "duration_ms": 17,
        "record": {"request": {"url": "http://đối-tác/phieunhap", "body": "{}"}, "response": {"status": 200}},
    }
    return Attempt(kind=kind, code=code, attempt=number, **{**usual, **fields})


@pytest.fixture
def gateway(open_gateway: Callable[..., Gateway]) -> Gateway:
    return open_gateway()


@pytest.fixture
def outbox(gateway: Gateway) -> SqlAttemptLog:
    return gateway.attempt_log


@pytest.fixture
def keep_in_sql(gateway: Gateway) -> Callable[[Sequence[Attempt]], None]:
    """Write log rows as settling a delivery does."""

    def keep(attempts: Sequence[Attempt]) -> None:
        rows = [{name: getattr(each, name) for name in Attempt.__dataclass_fields__} for each in attempts]
        with gateway.engine.begin() as connection:
            connection.execute(
                insert(attempt), [{**row, "record": msgspec.json.encode(row["record"]).decode()} for row in rows]
            )

    return keep


@pytest.fixture
def log_database(mongo_uri: str) -> Iterator[str]:
    """The name of a MongoDB database of the test's own."""
    name = f"hermes_test_{uuid4().hex[:12]}"
    yield name
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client.drop_database(name)


@pytest.fixture
def make_store(mongo_uri: str, log_database: str) -> Iterator[Callable[..., MongoLogStore]]:
    """Stores on the test's database; keyword arguments are settings."""
    made: list[MongoLogStore] = []

    def make(**settings: Any) -> MongoLogStore:
        made.append(MongoLogStore(load_settings(**{"mongo_uri": mongo_uri, "mongo_db_name": log_database, **settings})))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make_store: Callable[..., MongoLogStore]) -> MongoLogStore:
    return make_store()


@pytest.fixture
def documents(mongo_uri: str, log_database: str) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What lies in `sync_logs`."""
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        yield lambda: list(client[log_database][COLLECTION].find())


@pytest.fixture
def indexes(mongo_uri: str, log_database: str) -> Iterator[Callable[[], Any]]:
    """The indexes of `sync_logs`, by name."""
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        yield lambda: client[log_database][COLLECTION].index_information()


# ---- wherever attempts can be read back -----------------------------------------------------------------


class ReadBackContract:
    """What holds wherever the attempts of a document can be read back. `keep` and `of_document` are the place's."""

    @pytest.fixture
    def keep(self) -> Callable[[Sequence[Attempt]], None]:
        raise NotImplementedError

    @pytest.fixture
    def of_document(self) -> Callable[[str, str], list[Attempt]]:
        raise NotImplementedError

    @each_kind
    def test_an_attempt_is_read_back_as_it_was_kept(self, keep: Any, of_document: Any, kind: str) -> None:
        kept = an_attempt(
            kind=kind,
            code="PN/01 Ồ",
            revision=3,
            outcome="rejected",
            error_code="refused",
            http_status=422,
            started_at=START + timedelta(milliseconds=7),
            duration_ms=30_000,
            record={
                "message": "Dòng 2: thiếu số lô",
                "faults": [{"line": 2, "field": "so_lo", "message": "thiếu"}],
                "a.b": {"$c": None},
                "number": 2**62,
                "share": 0.5,
                "yes": True,
            },
        )
        keep([kept])

        assert of_document(kind, "PN/01 Ồ") == [kept]

    def test_what_never_got_an_answer_is_read_back_too(self, keep: Any, of_document: Any) -> None:
        kept = an_attempt(outcome="unknown", error_code="timeout", http_status=None, record={})
        keep([kept])

        assert of_document("phieu_nhap", "A1") == [kept]

    def test_moments_come_back_aware_and_in_utc(self, keep: Any, of_document: Any) -> None:
        vietnam = (START + timedelta(hours=1)).astimezone(ZONE)
        keep([an_attempt(started_at=vietnam)])

        (found,) = of_document("phieu_nhap", "A1")
        assert (found.started_at, found.started_at.utcoffset()) == (vietnam, timedelta())

    def test_the_oldest_comes_first(self, keep: Any, of_document: Any) -> None:
        kept = [an_attempt(number) for number in (5, 1, 4, 2, 3)]
        keep(kept[:3])
        keep(kept[3:])

        assert [each.attempt for each in of_document("phieu_nhap", "A1")] == [1, 2, 3, 4, 5]

    def test_attempts_of_one_moment_come_in_the_order_of_their_numbers(self, keep: Any, of_document: Any) -> None:
        keep([an_attempt(number, started_at=START) for number in (5, 1, 4, 2, 3)])

        assert [each.attempt for each in of_document("phieu_nhap", "A1")] == [1, 2, 3, 4, 5]

    @each_kind
    def test_only_the_attempts_of_that_document_come(self, keep: Any, of_document: Any, kind: str) -> None:
        keep([an_attempt(kind=each.name, code=code) for each in ALL_KINDS for code in ("A1", "A10", "a1")])

        assert [(each.kind, each.code) for each in of_document(kind, "A1")] == [(kind, "A1")]

    def test_a_document_that_was_never_tried_has_none(self, of_document: Any) -> None:
        assert of_document("phieu_nhap", "A1") == []


class TestSqlAttemptLog(ReadBackContract):
    @pytest.fixture
    def keep(self, keep_in_sql: Callable[[Sequence[Attempt]], None]) -> Callable[[Sequence[Attempt]], None]:
        return keep_in_sql

    @pytest.fixture
    def of_document(self, outbox: SqlAttemptLog) -> Callable[[str, str], list[Attempt]]:
        return outbox.of_document

    def test_the_oldest_rows_are_handed_out_in_the_order_they_began(self, keep: Any, outbox: SqlAttemptLog) -> None:
        keep([an_attempt(number, code=f"A{number}") for number in (3, 1, 5, 2, 4)])

        assert [each.attempt for each in outbox.oldest(3)] == [1, 2, 3]
        assert [each.attempt for each in outbox.oldest(100)] == [1, 2, 3, 4, 5]

    def test_only_the_named_rows_are_deleted(self, keep: Any, outbox: SqlAttemptLog) -> None:
        kept = [an_attempt(number) for number in range(5)]
        keep(kept)

        outbox.delete([kept[0].id, kept[3].id, "unknown"])
        outbox.delete([])

        assert outbox.count() == 3
        assert [each.attempt for each in outbox.oldest(9)] == [1, 2, 4]

    def test_rows_before_a_moment_are_deleted_a_thousand_at_a_time(self, keep: Any, outbox: SqlAttemptLog) -> None:
        """P10."""
        keep([an_attempt(number, started_at=START - timedelta(seconds=number)) for number in range(1200)])

        assert [outbox.delete_before(START) for _ in range(3)] == [1000, 199, 0]
        assert [each.started_at for each in outbox.oldest(9)] == [START]


class TestMongoLogStore(ReadBackContract):
    @pytest.fixture
    def keep(self, store: MongoLogStore) -> Callable[[Sequence[Attempt]], None]:
        return store.insert

    @pytest.fixture
    def of_document(self, store: MongoLogStore) -> Callable[[str, str], list[Attempt]]:
        return store.of_document

    def test_attempts_of_one_moment_come_in_the_order_of_their_numbers(self, keep: Any, of_document: Any) -> None:
        super().test_attempts_of_one_moment_come_in_the_order_of_their_numbers(keep, of_document)

    def test_one_document_is_kept_for_one_attempt(self, keep: Any, documents: Any) -> None:
        kept = an_attempt(7, error_code="timeout")
        keep([kept])

        (found,) = documents()
        assert found.pop("_id") == kept.id
        assert set(found) == set(Attempt.__dataclass_fields__) - {"id"}
        assert (found["kind"], found["code"], found["attempt"], found["error_code"]) == (
            "phieu_nhap",
            "A1",
            7,
            "timeout",
        )
        assert found["record"] == kept.record

    def test_inserting_again_doubles_nothing_and_changes_nothing(
        self, store: MongoLogStore, documents: Callable[[], list[Any]]
    ) -> None:
        """P8."""
        kept = [an_attempt(number) for number in range(5)]
        store.insert(kept)
        store.insert(kept)
        store.insert([replace(kept[0], outcome="rejected"), an_attempt(9)])

        assert [each.attempt for each in store.of_document("phieu_nhap", "A1")] == [0, 1, 2, 3, 4, 9]
        assert {each["outcome"] for each in documents()} == {"accepted"}

    def test_repeats_among_new_ones_keep_none_of_the_new_out(
        self, store: MongoLogStore, documents: Callable[[], list[Any]]
    ) -> None:
        """P8: unordered, so that what stands behind a repeat is inserted as well."""
        kept = [an_attempt(number) for number in range(600)]
        store.insert(kept[::2])
        store.insert(kept)

        assert {each["_id"] for each in documents()} == {each.id for each in kept}
        assert len(documents()) == 600

    def test_the_indexes_serve_a_document_an_error_and_retention(self, store: MongoLogStore, indexes: Any) -> None:
        store.ping()

        found = indexes()
        keys = {name: list(index["key"]) for name, index in found.items() if name != "_id_"}
        assert keys == {
            "document": [("kind", 1), ("code", 1)],
            "error": [("error_code", 1), ("started_at", 1)],
            TTL_INDEX: [("started_at", 1)],
        }
        assert found[TTL_INDEX]["expireAfterSeconds"] == 90 * DAY

    def test_opening_again_with_the_same_retention_changes_nothing(
        self, make_store: Callable[..., MongoLogStore], indexes: Any
    ) -> None:
        make_store(log_retention_days=7).ping()
        before = indexes()
        make_store(log_retention_days=7).ping()

        assert indexes() == before

    @pytest.mark.parametrize("days", [7, 365])
    def test_a_changed_retention_changes_the_index_and_no_row(
        self, make_store: Callable[..., MongoLogStore], indexes: Any, days: int
    ) -> None:
        kept = an_attempt(started_at=datetime.now(UTC).replace(microsecond=0))
        make_store(log_retention_days=90).insert([kept])

        changed = make_store(log_retention_days=days)

        assert changed.of_document("phieu_nhap", "A1") == [kept]
        assert indexes()[TTL_INDEX]["expireAfterSeconds"] == days * DAY

    def test_a_closed_store_opens_again_when_it_is_used(self, store: MongoLogStore) -> None:
        store.insert([an_attempt()])
        store.close()

        assert len(store.of_document("phieu_nhap", "A1")) == 1

    def test_a_server_that_is_not_there_is_reported_soon_and_without_its_password(
        self, make_store: Callable[..., MongoLogStore], closed_port: int
    ) -> None:
        """P9."""
        uri = f"mongodb://hermes:s3cret@127.0.0.1:{closed_port}"
        calls: list[Callable[[MongoLogStore], object]] = [
            lambda store: store.ping(),
            lambda store: store.insert([an_attempt()]),
            lambda store: store.of_document("phieu_nhap", "A1"),
        ]
        began = time.monotonic()
        with ThreadPoolExecutor(len(calls)) as threads:
            under_way = [threads.submit(call, make_store(mongo_uri=uri)) for call in calls]
        failures = [each.exception() for each in under_way]

        assert time.monotonic() - began < 10
        assert [type(failure) for failure in failures] == [LogStoreUnavailable] * len(calls)
        assert not [failure for failure in failures if "s3cret" in str(failure)]


# ---- ship -----------------------------------------------------------------------------------------------


def shipping(outbox: SqlAttemptLog, store: MongoLogStore | None, clock: Any, days: int = 90, **options: Any) -> Ship:
    return Ship(outbox, store, clock, days, **options)


def test_rows_move_from_sql_to_the_log_store(
    outbox: SqlAttemptLog, keep_in_sql: Any, store: MongoLogStore, clock: Any, documents: Any
) -> None:
    kept = [an_attempt(number, code=f"A{number}") for number in range(2 * AT_ONCE + 3)]
    keep_in_sql(kept)

    assert shipping(outbox, store, clock).run() == len(kept)

    assert outbox.count() == 0
    assert {each["_id"] for each in documents()} == {each.id for each in kept}
    assert store.of_document("phieu_nhap", "A5") == [kept[5]]
    assert shipping(outbox, store, clock).run() == 0


@pytest.mark.parametrize("died_after", [1, AT_ONCE])
def test_dying_between_insert_and_delete_loses_nothing_and_doubles_nothing(
    outbox: SqlAttemptLog,
    keep_in_sql: Any,
    store: MongoLogStore,
    clock: Any,
    documents: Callable[[], list[Any]],
    died_after: int,
) -> None:
    """P8."""
    kept = [an_attempt(number) for number in range(AT_ONCE + 100)]
    keep_in_sql(kept)
    store.insert(outbox.oldest(died_after))  # the process dies here

    assert shipping(outbox, store, clock).run() == len(kept)

    assert outbox.count() == 0
    assert sorted(each["_id"] for each in documents()) == sorted(each.id for each in kept)
    assert store.of_document("phieu_nhap", "A1") == kept


def test_two_processes_that_ship_at_once_lose_nothing_and_double_nothing(
    open_gateway: Callable[..., Gateway],
    keep_in_sql: Any,
    make_store: Callable[..., MongoLogStore],
    clock: Any,
    documents: Callable[[], list[Any]],
) -> None:
    """P8."""
    kept = [an_attempt(number, code=f"A{number}") for number in range(3 * AT_ONCE)]
    keep_in_sql(kept)
    both = [shipping(open_gateway().attempt_log, make_store(), clock) for _ in range(2)]
    barrier = Barrier(2)

    def run(ship: Ship) -> None:
        barrier.wait(timeout=30)
        ship.run()

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(run, ship) for ship in both]:
            done.result()

    assert open_gateway().attempt_log.count() == 0
    assert sorted(each["_id"] for each in documents()) == sorted(each.id for each in kept)


def test_one_tick_ships_no_more_than_it_may(
    outbox: SqlAttemptLog, keep_in_sql: Any, store: MongoLogStore, clock: Any
) -> None:
    keep_in_sql([an_attempt(number) for number in range(2 * AT_ONCE + 1)])

    assert shipping(outbox, store, clock, most=AT_ONCE).run() == AT_ONCE
    assert outbox.count() == AT_ONCE + 1


def test_rows_stay_in_sql_while_the_log_store_is_away_and_move_when_it_is_back(
    outbox: SqlAttemptLog,
    keep_in_sql: Any,
    clock: Any,
    tmp_path: Path,
    closed_port: int,
    mongo_server_at: Callable[[Path, int], Any],
) -> None:
    """P8."""
    store = MongoLogStore(load_settings(mongo_uri=f"mongodb://127.0.0.1:{closed_port}"))
    ship = shipping(outbox, store, clock)
    first, second = an_attempt(1), an_attempt(2)

    keep_in_sql([first])
    with mongo_server_at(tmp_path, closed_port):
        assert ship.run() == 1
    keep_in_sql([second])
    with pytest.raises(LogStoreUnavailable):
        ship.run()
    assert outbox.oldest(9) == [second]

    with mongo_server_at(tmp_path, closed_port):
        assert ship.run() == 1
        assert outbox.count() == 0
        assert store.of_document("phieu_nhap", "A1") == [first, second]
    store.close()


def test_without_a_log_store_rows_stay_for_the_time_of_retention_and_no_longer(
    outbox: SqlAttemptLog, keep_in_sql: Any, clock: Any
) -> None:
    clock.moment = START
    old = [an_attempt(number, started_at=START - timedelta(days=30, seconds=number)) for number in range(1, 1102)]
    young = [an_attempt(0, started_at=START - timedelta(days=30)), an_attempt(0, code="A2", started_at=START)]
    keep_in_sql(old + young)

    assert shipping(outbox, None, clock, days=30).run() == 1101

    assert outbox.oldest(9) == young
    assert shipping(outbox, None, clock, days=30).run() == 0


def test_a_document_of_very_many_wrong_lines_is_one_log_row_of_moderate_size(
    open_gateway: Callable[..., Gateway], put_headers: Any, mongo_uri: str, log_database: str, documents: Any
) -> None:
    """P8: MongoDB refuses documents of 16 MB, and a row it refuses would keep all others from being shipped."""
    settings = {"api_base_url": "http://127.0.0.1:9", "mongo_uri": mongo_uri, "mongo_db_name": log_database}
    gateway = open_gateway(**settings, grace_seconds=0)
    put_headers(gateway.engine, HOA_DON, ["HD1"])
    wrong = {"ma_hoa_don": "HD1", "han_dung": "x" * 600, "ten_thuoc": None}
    with gateway.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO HoaDonDetail (ma_hoa_don, han_dung, ten_thuoc) VALUES (:ma_hoa_don, :han_dung, :ten_thuoc)"
            ),
            [wrong] * 5000,
        )
    gateway.ledger.discover(HOA_DON, 10)
    asyncio.run(gateway.deliver.run(HOA_DON, ["HD1"]))

    assert gateway.ship.run() == 1
    (kept,) = documents()
    assert len(kept["record"]["faults"]) == MOST_FAULTS
    assert len(bson.encode(kept)) < 4 * 1024 * 1024


def test_the_gateway_ships_to_the_store_its_settings_name(
    open_gateway: Callable[..., Gateway], keep_in_sql: Any, mongo_uri: str, log_database: str, documents: Any
) -> None:
    keep_in_sql([an_attempt(), an_attempt(2)])
    gateway = open_gateway(mongo_uri=mongo_uri, mongo_db_name=log_database)

    assert gateway.ship.run() == 2
    assert len(documents()) == 2


def test_tries_are_counted_alike_in_sql_and_in_the_log_store(
    open_gateway: Callable[..., Gateway],
    put_attempts: Callable[[Gateway], None],
    mongo_uri: str,
    log_database: str,
    clock: SettableClock,
) -> None:
    gateway = open_gateway(mongo_uri=mongo_uri, mongo_db_name=log_database, log_retention_days=36_500)
    since = clock.moment - timedelta(minutes=5)
    put_attempts(gateway)
    in_sql = sorted(gateway.attempt_log.measure(since), key=lambda each: each.outcome)
    assert [(each.outcome, each.attempts, each.answered, each.duration_ms) for each in in_sql] == [
        ("accepted", 2, 2, 480),
        ("unknown", 1, 0, 0),
    ]
    gateway.ship.run()
    assert gateway.attempt_log.count() == 0
    assert gateway.log_store is not None
    assert sorted(gateway.log_store.measure(since), key=lambda each: each.outcome) == in_sql
    assert sorted(gateway.measures.recent().by_outcome, key=lambda each: each.outcome) == in_sql
    assert gateway.log_store.measure(clock.moment + timedelta(seconds=1)) == []


def test_tries_in_a_log_store_that_is_away_are_said_to_be_missing(
    open_gateway: Callable[..., Gateway], put_attempts: Callable[[Gateway], None], closed_port: int
) -> None:
    gateway = open_gateway(mongo_uri=f"mongodb://127.0.0.1:{closed_port}/?serverSelectionTimeoutMS=200")
    put_attempts(gateway)
    found = gateway.measures.recent()
    assert not found.complete
    assert sum(each.attempts for each in found.by_outcome) == 3
