"""What all suites share: a gateway on a fresh database, and real servers."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.core.config import Settings, load_settings
from app.db.migrate import upgrade
from app.db.source import create_source_tables
from app.wiring import Gateway
from tests.databases import DATABASES, MSSQL_URL, MssqlDatabase, SqliteDatabase

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests see only the settings they make: no variable and no .env of whoever runs them."""
    for name in list(os.environ):
        if name.lower().removesuffix("_file") in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def mssql() -> Iterator[MssqlDatabase]:
    """A database of this run's own on the SQL Server that the tester named."""
    assert MSSQL_URL is not None
    database = MssqlDatabase(MSSQL_URL)
    yield database
    database.drop()


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> SqliteDatabase | MssqlDatabase:
    """A database of the test's own: what asks for it runs on SQLite and on SQL Server."""
    return SqliteDatabase(tmp_path) if request.param == "sqlite" else request.getfixturevalue("mssql")


@pytest.fixture
def database_url(database: SqliteDatabase | MssqlDatabase) -> str:
    """The address of a database without any table."""
    database.clear()
    return database.url


@pytest.fixture
def make_gateway(database_url: str) -> Iterator[Callable[..., Gateway]]:
    """A gateway on a fresh database with ledger and source tables; keyword arguments are settings."""
    made: list[Gateway] = []

    def make(**settings: Any) -> Gateway:
        values = {"source_database_url": database_url, "api_username": "partner", "api_password": "partner"}
        gateway = Gateway(load_settings(**{**values, **settings}))
        upgrade(gateway.engine)
        create_source_tables(gateway.engine)
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        gateway.engine.dispose()


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """A browser without a window. Of a module, not of the run: while it is open, this thread's event loop is its."""
    from tests import browser

    if browser.find_chromium() is None:
        pytest.skip(browser.MISSING)
    with browser.chromium() as opened:
        yield opened
