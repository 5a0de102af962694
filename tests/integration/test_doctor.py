"""The doctor as a whole: what one fault does to the other steps, and what is never shown."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core.config import Language, load_settings
from app.db.migrate import upgrade
from app.db.source import create_source_tables
from app.doctor import Doctor
from app.domain.deliveries import CheckStep
from app.domain.diagnosis import failed, met, warning
from app.services.checks import Probe, run_checks
from app.wiring import Gateway
from simulator.process import SimulatorHandle, running_simulator


class ClockAhead:
    """A machine whose clock is off."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        """The present, as this machine believes."""
        return datetime.now(UTC) + self._by


@pytest.fixture
def partner() -> Iterator[SimulatorHandle]:
    with running_simulator() as handle:
        yield handle


@pytest.fixture
def examine(database_url: str, partner: SimulatorHandle) -> Iterator[Callable[..., dict[str, CheckStep]]]:
    """What the doctor says, by step; keyword arguments are settings."""
    opened: list[Gateway] = []

    def run(clock: Any = None, **settings: Any) -> dict[str, CheckStep]:
        usual = {"source_database_url": database_url, "api_base_url": partner.url}
        login = {"api_username": "partner", "api_password": "partner", "hermes_lang": "en"}
        gateway = Gateway(load_settings(**{**usual, **login, **settings}), clock=clock)
        opened.append(gateway)
        upgrade(gateway.engine)
        create_source_tables(gateway.engine)
        return {step.key: step for step in Doctor(gateway).examine()}

    yield run
    for gateway in opened:
        asyncio.run(gateway.close())


def test_a_clock_two_hours_off_is_named_with_the_amount_and_the_likely_reason(
    examine: Callable[..., dict[str, CheckStep]],
) -> None:
    step = examine(clock=ClockAhead(timedelta(hours=2)))["clock"]
    assert (step.ok, step.cause) == (False, "clock_ours_zone")
    assert "off by +2:00:00 against the partner, exactly +2 hours: a wrong time zone" in step.detail
    assert "timedatectl" in step.remedy


def test_a_clock_that_is_right_is_well(examine: Callable[..., dict[str, CheckStep]]) -> None:
    assert examine()["clock"].ok is True


def test_without_a_partner_the_rest_is_looked_at(examine: Callable[..., dict[str, CheckStep]]) -> None:
    steps = examine(api_base_url=None)
    assert (steps["configuration"].ok, steps["configuration"].cause) == (False, "configuration_wrong")
    assert "API_BASE_URL is not set" in steps["configuration"].detail
    assert (steps["partner"].ok, steps["partner"].cause) == (None, "blocked")
    assert steps["ledger"].ok is True


def test_the_operator_reads_vietnamese(examine: Callable[..., dict[str, CheckStep]]) -> None:
    step = examine(hermes_lang="vi", api_password="sai")["partner"]
    assert (step.name, step.remedy.partition(",")[0]) == ("Đối tác", "Sửa API_USERNAME")


def test_what_needs_something_that_failed_is_not_run_and_neither_is_what_needs_that() -> None:
    def never() -> Any:
        raise AssertionError("was run")

    probes = [
        Probe("database", lambda: [failed("ledger_missing")]),
        Probe("ledger", never, ("database",)),
        Probe("collation", never, ("ledger",)),
        Probe("clock", lambda: [met("clock", most="0 s")]),
    ]
    found = run_checks(probes, Language.EN)
    assert [(step.key, step.ok) for step in found] == [
        ("database", False), ("ledger", None), ("collation", None), ("clock", True)
    ]  # fmt: skip
    assert found[1].detail == "not looked at: needs Database"


def test_an_error_that_nobody_foresaw_is_a_line_like_any_other() -> None:
    def breaks() -> Any:
        raise ZeroDivisionError("by s3cret")

    (step,) = run_checks([Probe("broker", breaks)], Language.EN, ["s3cret"])
    assert (step.ok, step.cause, step.detail) == (False, "unexpected", "an unexpected error: ZeroDivisionError: by ***")


def test_a_warning_fails_nothing() -> None:
    probes = [
        Probe("database", lambda: [warning("redis_forgets"), met("isolation_on")]),
        Probe("ledger", lambda: [met("indexes")], ("database",)),
    ]
    found = run_checks(probes, Language.EN)
    assert [(step.ok, step.warning, bool(step.remedy)) for step in found] == [
        (True, True, True), (True, False, False), (True, False, False)
    ]  # fmt: skip


def test_control_characters_from_outside_do_not_reach_the_terminal() -> None:
    (step,) = run_checks([Probe("broker", lambda: [failed("redis_other", detail="a\x1b[31m\nb")])], Language.EN)
    assert "\x1b" not in step.detail
    assert "\n" not in step.detail


def test_a_folder_that_is_not_one_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = load_settings(source_database_url=f"sqlite:///{tmp_path}/file/hermes.db", hermes_lang="en")
    steps = {step.key: step for step in Doctor(Gateway(settings)).examine()}
    assert (steps["database"].ok, steps["database"].cause, steps["ledger"].ok) == (False, "db_file", None)


def test_a_driver_that_is_not_installed_is_a_sentence() -> None:
    url = "mssql+pyodbc://u:s3cret@127.0.0.1:9/DQG?driver=None"
    settings = load_settings(source_database_url=url, hermes_lang="en", db_connect_timeout_seconds=1)
    steps = {step.key: step for step in Doctor(Gateway(settings)).examine()}
    assert steps["database"].ok is False
    assert "s3cret" not in str(steps)
