"""What the drivers are told, and what is made of their errors."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Integer, Numeric, Unicode
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.types import NULLTYPE

from app.db.drivers import MssqlPython, Pymssql, _odbc_type
from app.db.engine import is_transient, translated
from app.db.nvarchar import cut, units
from app.db.tables import EnumText, UtcDateTime
from app.domain.errors import DatabaseUnavailable, RowRefused

WVARCHAR, NOW = -9, datetime(2026, 3, 14, 2, 0, 0, 123457, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column_type", "value", "declared"),
    [
        (Unicode(50), "ASCII", (WVARCHAR, 50, 0)),
        (Unicode(50), None, (WVARCHAR, 50, 0)),
        (EnumText(16), "queued", (WVARCHAR, 16, 0)),
        (Unicode(3), "a💊b", (WVARCHAR, 4000, 0)),
        (Unicode(), "Ữ" * 4000, (WVARCHAR, 4000, 0)),
        (Unicode(), "Ữ" * 4001, (WVARCHAR, 0, 0)),
        (Integer(), "an id that is compared", (WVARCHAR, 4000, 0)),
        (Integer(), None, (4, 10, 0)),
        (Integer(), 2**31, (-5, 19, 0)),
        (Numeric(18, 4), Decimal("1.5"), (3, 18, 4)),
        (UtcDateTime(), None, (93, 26, 6)),
        (UtcDateTime(), NOW.replace(tzinfo=None), (93, 26, 6)),
        (NULLTYPE, date(2026, 3, 14), (91, 10, 0)),
        (NULLTYPE, True, (-7, 1, 0)),
        (NULLTYPE, 1.5, (8, 53, 0)),
        (NULLTYPE, None, (WVARCHAR, 4000, 0)),
    ],
)
def test_a_parameter_is_declared_by_its_value_and_null_by_its_column(
    column_type: Any, value: Any, declared: tuple[int, int, int]
) -> None:
    assert _odbc_type(column_type, value) == declared


def test_pymssql_gets_a_moment_as_text_since_it_would_cut_it_to_milliseconds() -> None:
    assert UtcDateTime().process_bind_param(NOW, Pymssql()) == "2026-03-14T02:00:00.123457"
    assert UtcDateTime().process_bind_param(NOW, MssqlPython()) == NOW.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("text", "length", "kept"), [("a💊b", 4, "a💊b"), ("a💊b", 2, "a"), ("Ữ" * 9, 5, "Ữ" * 5), ("a", None, "a")]
)
def test_what_is_cut_fits_into_nvarchar(text: str, length: int | None, kept: str) -> None:
    assert cut(text, length) == kept
    assert length is None or units(kept) <= length


def raised(error: Exception, kind: type[Any] = OperationalError) -> Any:
    return kind("UPDATE", {}, error)


@pytest.mark.parametrize(
    "said",
    [
        "(1205, b'Transaction was deadlocked on lock resources')",
        "[40001] Transaction (Process ID 52) was deadlocked",
        "Driver Error: Serialization failure; DDBC Error: something in another language",
        "Cannot continue the execution because the session is in the kill state.",
        "Database 'DQG' on server is not currently available. (40613)",
    ],
)
def test_what_may_succeed_in_a_moment_is_tried_again(said: str) -> None:
    assert is_transient(raised(Exception(said)))


def test_a_constraint_that_quotes_the_number_of_an_error_is_not_tried_again() -> None:
    refused = Exception("Violation of PRIMARY KEY. The duplicate key value is (phieu_nhap, 1205).")
    assert not is_transient(raised(refused, IntegrityError))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (raised(Exception("(50001, b'no such shop DB-Lib error message 20018, severity 16:')")), RowRefused),
        (raised(Exception("(20003, b'DB-Lib error message 20003, severity 6:')")), DatabaseUnavailable),
        (raised(Exception("[42000] no such shop"), ProgrammingError), RowRefused),
    ],
)
def test_what_a_trigger_refuses_is_a_refused_row_with_every_driver(error: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected), translated():
        raise error
