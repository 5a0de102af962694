"""What `hermes check` says of MongoDB, asked of a server that speaks its protocol."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from app.core.config import load_settings
from app.db import mongodb
from app.db.examine_mongo import MongoExamination
from app.db.mongodb import COLLECTION, TTL_INDEX, MongoLogStore
from app.domain.diagnosis import Finding, Verdict
from app.domain.errors import LogStoreUnavailable
from tests.integration.conftest import GIVEN_MONGO_URI
from tests.tls import Authority, TlsProxy

only_embedded = pytest.mark.skipif(bool(GIVEN_MONGO_URI), reason="needs a server without login and TLS on a known port")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that are not to be reached are given up after a second."""
    monkeypatch.setattr(mongodb, "_TIMEOUT_MS", 1000)


@pytest.fixture
def database(mongo_uri: str) -> Iterator[str]:
    """The name of a MongoDB database of the test's own."""
    name = f"hermes_test_{uuid4().hex[:12]}"
    yield name
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client.drop_database(name)


@pytest.fixture
def examine(mongo_uri: str, database: str) -> Iterator[Callable[..., MongoExamination]]:
    """Examinations of the test's database; keyword arguments are settings."""
    stores: list[MongoLogStore] = []

    def make(**settings: Any) -> MongoExamination:
        loaded = load_settings(**{"mongo_uri": mongo_uri, "mongo_db_name": database, **settings})
        stores.append(MongoLogStore(loaded))
        return MongoExamination(loaded, stores[-1])

    yield make
    for store in stores:
        store.close()


def one(findings: list[Finding]) -> Finding:
    (found,) = findings
    return found


def refusing(code: int, words: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> None:
        raise LogStoreUnavailable(words) from OperationFailure(words, code)

    return refuse


def test_a_server_that_takes_rows_is_well_and_keeps_none_of_ours(
    examine: Callable[..., MongoExamination], mongo_uri: str, database: str
) -> None:
    found = one(examine(log_retention_days=30).log_store())
    assert (found.verdict, found.cause, found.values["days"]) == (Verdict.MET, "mongo", 30)
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        assert client[database][COLLECTION].count_documents({}) == 0


def test_it_tells_its_time(examine: Callable[..., MongoExamination]) -> None:
    now = examine().now()
    assert now is not None
    assert abs((now - datetime.now(UTC)).total_seconds()) < 5


def test_a_changed_retention_is_in_force_after_the_check(examine: Callable[..., MongoExamination]) -> None:
    examine(log_retention_days=30).log_store()
    assert one(examine(log_retention_days=7).log_store()).values["days"] == 7


def test_an_index_of_somebody_elses_is_given_our_retention_or_warned_of(
    examine: Callable[..., MongoExamination], mongo_uri: str, database: str
) -> None:
    """MongoDB has one index for the same columns; the embedded server makes a second one beside it."""
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client[database][COLLECTION].create_index([("started_at", 1)], name="cua_dba", expireAfterSeconds=86_400)
        found = one(examine(log_retention_days=7).log_store())
        ages = [each.get("expireAfterSeconds") for each in client[database][COLLECTION].index_information().values()]
    if GIVEN_MONGO_URI:
        assert (found.verdict, ages.count(7 * 86_400)) == (Verdict.MET, 1)
    else:
        assert (found.verdict, found.values["kept"]) == (Verdict.WARNING, "1")


def test_a_retention_that_cannot_be_changed_is_a_warning_and_rows_are_taken_all_the_same(
    examine: Callable[..., MongoExamination], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P8."""
    examine(log_retention_days=30).log_store()
    changed = examine(log_retention_days=7)
    monkeypatch.setattr(MongoLogStore, "_change_retention", lambda *_: None)
    found = one(changed.log_store())
    assert (found.verdict, found.cause) == (Verdict.WARNING, "mongo_retention")
    assert found.values == {"days": 7, "kept": "30", "index": TTL_INDEX}


def test_a_user_without_collmod_keeps_shipping(
    examine: Callable[..., MongoExamination], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P8: an index's age is no reason to stop."""
    examine(log_retention_days=30).log_store()
    real = Database.command

    def refuse(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        if command == "collMod":
            raise OperationFailure("not authorized on x to execute command", 13)
        return real(self, command, *args, **kwargs)

    monkeypatch.setattr(Database, "command", refuse)
    assert one(examine(log_retention_days=7).log_store()).cause == "mongo_retention"


def test_a_server_that_is_down_is_named_without_its_password(
    examine: Callable[..., MongoExamination], closed_port: int
) -> None:
    """P9."""
    found = one(examine(mongo_uri=f"mongodb://u:s3cret@127.0.0.1:{closed_port}").log_store())
    assert (found.verdict, found.cause) == (Verdict.FAILED, "mongo_unreachable")
    assert "s3cret" not in str(found.values)


@pytest.mark.parametrize(
    ("code", "words", "cause"),
    [
        (18, "Authentication failed.", "mongo_password"),
        (13, "command createIndexes requires authentication", "mongo_login_missing"),
        (13, 'not authorized on sync_data_logs to execute command { insert: "sync_logs" }', "mongo_rights"),
        (8000, "bad auth : Authentication failed.", "mongo_password"),
        (10107, "not primary", "mongo_primary"),
        (1, "something else", "mongo_other"),
    ],
)
def test_what_mongodb_refuses_is_told_apart(
    examine: Callable[..., MongoExamination], monkeypatch: pytest.MonkeyPatch, code: int, words: str, cause: str
) -> None:
    monkeypatch.setattr(MongoLogStore, "ping", refusing(code, words))
    assert one(examine().log_store()).cause == cause


def test_a_write_concern_that_may_lose_rows_is_refused(
    examine: Callable[..., MongoExamination], mongo_uri: str
) -> None:
    found = one(examine(mongo_uri=f"{mongo_uri}/?w=0").log_store())
    assert (found.verdict, found.cause) == (Verdict.FAILED, "mongo_uri")


@only_embedded
@pytest.mark.parametrize(
    ("certificate", "trusted", "cause"),
    [
        ({}, True, "mongo"),
        ({}, False, "tls_authority"),
        ({"expired": True}, True, "tls_expired"),
        ({"name": "other.example.vn"}, True, "tls_name"),
    ],
    ids=str,
)
def test_tls_is_spoken_and_its_faults_are_told_apart(
    examine: Callable[..., MongoExamination],
    mongo_uri: str,
    tmp_path: Path,
    certificate: dict[str, Any],
    trusted: bool,
    cause: str,
) -> None:
    authority = Authority(tmp_path)
    proxy = TlsProxy(authority.server_context(**certificate), int(mongo_uri.rpartition(":")[2]))
    trust = f"&tlsCAFile={authority.file}" if trusted else ""
    found = one(
        examine(mongo_uri=f"mongodb://localhost:{proxy.port}/?tls=true&directConnection=true{trust}").log_store()
    )
    proxy.close()
    assert found.cause == cause
