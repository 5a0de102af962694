"""export: lists as CSV and XLSX, row by row: memory does not grow with their length (P10).

CSV is UTF-8 with a byte order mark, as Excel wants it. A cell that a spreadsheet would take for a formula is written
with an apostrophe before it; in XLSX text is text, and dates and numbers are what they are.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from io import StringIO
from typing import IO, Any, Generic, TypeVar

from xlsxwriter import Workbook

from app.core.clock import local
from app.core.config import Language
from app.core.texts import say
from app.documents import KINDS
from app.domain.deliveries import Delivery
from app.domain.reconciliation import DayBalance
from app.domain.redact import printable

T = TypeVar("T")

XLSX_ROWS = 1_048_575
"""A sheet has one more, its heading; further rows go to further sheets."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_LONGEST_CELL = 32_767
_ROWS_AT_ONCE = 500
_DAY, _MOMENT = "dd/mm/yyyy", "dd/mm/yyyy hh:mm:ss"

Value = str | int | date | datetime | None


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column of an export: the catalogue's key of its heading, its width in characters, what stands in it."""

    heading: str
    width: int
    value: Callable[[T], Value]


class Export(Generic[T]):
    """Writes rows of one sort in one language."""

    def __init__(self, title: str, columns: Sequence[Column[T]], language: Language) -> None:
        self._title = say(language, title)
        self._columns = columns
        self._headings = [say(language, column.heading) for column in columns]

    def csv(self, rows: Iterable[T]) -> Iterator[bytes]:
        """The file in pieces."""
        buffer = StringIO()
        writer = csv.writer(buffer, lineterminator="\r\n")
        writer.writerow(self._headings)
        yield b"\xef\xbb\xbf"
        for number, row in enumerate(rows, start=1):
            writer.writerow([_csv_cell(column.value(row)) for column in self._columns])
            if number % _ROWS_AT_ONCE == 0:
                yield _emptied(buffer)
        yield _emptied(buffer)

    def xlsx(self, rows: Iterable[T], file: IO[bytes]) -> int:
        """Write a workbook to a file opened for writing; returns how many rows. Temporary files hold what does not
        fit in memory."""
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
                   "strings_to_numbers": False, "remove_timezone": True}  # fmt: skip
        count = 0
        with Workbook(file, options) as book:
            formats = {name: book.add_format({"num_format": name}) for name in (_DAY, _MOMENT)}
            sheet = self._new_sheet(book, 1)
            for row in rows:
                place = count % XLSX_ROWS
                if count and not place:
                    sheet = self._new_sheet(book, count // XLSX_ROWS + 1)
                for number, column in enumerate(self._columns):
                    _write_cell(sheet, formats, place + 1, number, column.value(row))
                count += 1
        return count

    def _new_sheet(self, book: Any, number: int) -> Any:
        sheet = book.add_worksheet(self._title[:28] if number == 1 else f"{self._title[:25]} {number}")
        for place, column in enumerate(self._columns):
            sheet.set_column(place, place, column.width)
        sheet.freeze_panes(1, 0)
        bold = book.add_format({"bold": True})
        for place, heading in enumerate(self._headings):
            sheet.write_string(0, place, heading, bold)
        return sheet


def delivery_export(language: Language) -> Export[Delivery]:
    """The list of deliveries. Times are Viet Nam's."""
    columns: list[Column[Delivery]] = [
        Column("kind", 16, lambda each: KINDS[each.kind].labels[language]),
        Column("code", 20, lambda each: each.code),
        Column("facility", 12, lambda each: each.facility),
        Column("document_date", 12, lambda each: each.document_date),
        Column("state", 16, lambda each: say(language, f"state_{each.state}")),
        Column("attempts", 10, lambda each: each.attempts),
        Column("national_code_heading", 24, lambda each: each.national_code),
        Column("error_code", 20, lambda each: each.error_code),
        Column("error_message", 60, lambda each: each.error_message),
        Column("due_at", 20, lambda each: each.due_at),
        Column("first_seen_at", 20, lambda each: each.first_seen_at),
        Column("updated_at", 20, lambda each: each.updated_at),
    ]
    return Export("deliveries", columns, language)


def balance_export(language: Language) -> Export[DayBalance]:
    """A reconciliation."""
    columns: list[Column[DayBalance]] = [
        Column("document_date", 12, lambda each: each.day),
        Column("facility", 12, lambda each: each.facility),
        Column("kind", 16, lambda each: KINDS[each.kind].labels[language]),
        Column("in_source", 14, lambda each: each.in_source),
        Column("delivered", 14, lambda each: each.delivered),
        Column("balance_waiting", 14, lambda each: each.waiting),
        Column("refused", 14, lambda each: each.refused),
        Column("never_seen", 18, lambda each: each.never_seen),
        Column("gone", 18, lambda each: each.gone),
    ]
    return Export("reconciliation", columns, language)


def _csv_cell(value: Value) -> str | int:
    if value is None:
        return ""
    if isinstance(value, int):
        return value
    if isinstance(value, datetime):
        return f"{local(value):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, date):
        return value.isoformat()
    return f"'{printable(value)}" if value.startswith(_FORMULA) else printable(value)


def _write_cell(sheet: Any, formats: dict[str, Any], row: int, column: int, value: Value) -> None:
    if isinstance(value, int):
        sheet.write_number(row, column, value)
    elif isinstance(value, datetime):
        sheet.write_datetime(row, column, local(value), formats[_MOMENT])
    elif isinstance(value, date) and value.year >= 1900:
        sheet.write_datetime(row, column, value, formats[_DAY])
    elif value is not None:
        sheet.write_string(row, column, printable(str(value))[:_LONGEST_CELL])


def _emptied(buffer: StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode("utf-8", "replace")
