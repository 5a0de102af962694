"""What the integration suites share: a settable clock, source rows, a server that speaks MongoDB's protocol."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from sqlalchemy import DateTime, Engine, insert

from app.core.config import load_settings
from app.db.tables import attempt
from app.documents import DocumentKind
from app.wiring import Gateway
from tests.databases import MssqlDatabase, SqliteDatabase

GIVEN_MONGO_URI = os.environ.get("HERMES_TEST_MONGO_URI")
"""A MongoDB to test against instead of the embedded server. Read here: tests see no setting of this machine."""

_START_SECONDS = 30


class SettableClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 14, 2, 0, tzinfo=UTC)

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        return self.moment

    def forward(self, **by: float) -> datetime:
        """Move on, by what `timedelta` takes; returns the new present."""
        self.moment += timedelta(**by)
        return self.moment


@pytest.fixture
def clock() -> SettableClock:
    """The test's own time."""
    return SettableClock()


@pytest.fixture
def ready_url(database: SqliteDatabase | MssqlDatabase) -> str:
    """The address of a database with ledger and source tables, all empty."""
    database.make_ready()
    return database.url


@pytest.fixture
def open_gateway(
    database: SqliteDatabase | MssqlDatabase, ready_url: str, clock: SettableClock
) -> Iterator[Callable[..., Gateway]]:
    """Gateways on the test's one database, each with its own connections: as many processes would be."""
    opened: list[Gateway] = []

    def open_one(**settings: Any) -> Gateway:
        values = {"source_database_url": ready_url, "api_username": "partner", "api_password": "partner"}
        gateway = Gateway(load_settings(**{**values, **settings}), clock=clock)
        gateway.engine = database.engine(len(opened))
        opened.append(gateway)
        return gateway

    yield open_one
    for gateway in opened:
        if gateway.log_store is not None:
            gateway.log_store.close()
        database.give_back(gateway.engine)


@pytest.fixture
def put_headers() -> Callable[..., None]:
    """Write header rows without lines: `put_headers(engine, kind, codes, column=value, …)`."""

    def put(engine: Engine, kind: DocumentKind, codes: Sequence[str], **columns: Any) -> None:
        takes_time = isinstance(kind.header.c[kind.date_column].type, DateTime)
        usual = {
            "ma_co_so": "CS01",
            kind.date_column: datetime(2026, 3, 14, 9, 30) if takes_time else date(2026, 3, 14),  # noqa: DTZ001
            "status_phieu": 0,
        }
        with engine.begin() as connection:
            connection.execute(insert(kind.header), [{kind.code_column: code, **usual, **columns} for code in codes])

    return put


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server that speaks MongoDB's protocol."""
    if GIVEN_MONGO_URI:
        yield GIVEN_MONGO_URI
        return
    with mongo_server(tmp_path_factory.mktemp("mongo"), free_port()) as uri:
        yield uri


@pytest.fixture
def mongo_server_at() -> Callable[[Path, int], Any]:
    """Start a server of the test's own: a context manager of its URI. The same folder is the same data."""
    return mongo_server


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which nothing listens."""
    return free_port()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def mongo_server(folder: Path, port: int) -> Iterator[str]:
    """Run the embedded server on its data in `folder`, until the block ends."""
    program = Path(sys.executable).parent / "secantusd-py"
    uri = f"mongodb://127.0.0.1:{port}"
    command = [program, "--host", "127.0.0.1", "--port", str(port), "--storage-path", folder / "data"]
    with (folder / "server.log").open("ab") as output:
        # Its own working directory: it would read a configuration file from ours.
        server = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for_ping(uri, server, folder / "server.log")
        yield uri
    finally:
        server.terminate()
        server.wait(timeout=_START_SECONDS)


def _wait_for_ping(uri: str, server: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=500) as client:
                client.admin.command("ping")
                return
        except PyMongoError:
            continue
    raise RuntimeError(f"no MongoDB at {uri}:\n{output.read_text(errors='replace')}")


@pytest.fixture
def put_attempts() -> Callable[[Gateway], None]:
    """Write three tries of an invoice into the log: two answered, one not."""

    def put(gateway: Gateway) -> None:
        tries = [("accepted", 200, 80), ("accepted", 200, 400), ("unknown", None, 30_000)]
        rows = [
            {
                "id": str(number),
                "kind": "hoa_don",
                "code": "HD1",
                "facility": "CS1",
                "revision": 1,
                "attempt": number,
                "outcome": outcome,
                "http_status": status,
                "duration_ms": milliseconds,
                "started_at": gateway.clock.now(),
                "record": "{}",
                "error_code": None,
            }
            for number, (outcome, status, milliseconds) in enumerate(tries, 1)
        ]
        with gateway.engine.begin() as connection:
            connection.execute(insert(attempt), rows)

    return put
