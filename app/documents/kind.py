"""What a kind of document is: its name, its two source tables, and what those tables call things."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import DATE, Column, DateTime, ForeignKey, Index, Integer, MetaData, Numeric, Table, Unicode, func
from sqlalchemy.schema import SchemaItem

SOURCE = MetaData()
"""The customer's tables. Hermes creates them only for the demo and for tests."""

LongText = Unicode()
"""nvarchar(max)."""

Money = partial(Numeric, 18, 2)
Ratio = partial(Numeric, 18, 4)


@dataclass(frozen=True, slots=True, eq=False)
class DocumentKind:
    """Everything about a kind that lies in the source database. What differs on the wire is the profile's.

    Every header table has `ma_co_so`, `status_phieu` and `note_log`; the other columns that Hermes itself
    needs are named by the fields below.
    """

    name: str
    labels: Mapping[str, str]
    """What people call it, by language (`vi`, `en`)."""
    header: Table
    lines: Table
    code_column: str
    date_column: str
    national_code_column: str
    optional_columns: frozenset[str] = frozenset()
    """Header columns that older databases lack."""
    personal_columns: frozenset[str] = frozenset()
    """Header columns that hold persons' names (P9)."""

    @property
    def queue(self) -> str:
        """The queue whose messages carry this kind's codes."""
        return f"{self.name}_queue"

    @property
    def code(self) -> Column[str]:
        """The header's primary key."""
        return self.header.c[self.code_column]

    @property
    def line_code(self) -> Column[str]:
        """The line's reference to its header."""
        return self.lines.c[self.code_column]

    @property
    def decimal_columns(self) -> frozenset[str]:
        """Columns of amounts, whatever a driver makes of them."""
        return frozenset(each.name for each in self.lines.columns if isinstance(each.type, Numeric))

    @property
    def national_code(self) -> Column[str]:
        """Where the partner's number is written back."""
        return self.header.c[self.national_code_column]


def header_table(name: str, code: str, *columns: SchemaItem) -> Table:
    """A header table: its own columns between the code and the two that Hermes writes."""
    return Table(
        name,
        SOURCE,
        Column(code, Unicode(50), primary_key=True),
        *columns,
        Column("status_phieu", Integer),
        Column("note_log", LongText),
        # A scan costs what is to be sent, not what exists.
        Index(f"ix_{name}_status_phieu", "status_phieu", code),
    )


def line_table(name: str, code: str, header: Table, *columns: SchemaItem) -> Table:
    """A detail table: identity, reference to the header, then its own columns."""
    return Table(
        name,
        SOURCE,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column(code, Unicode(50), ForeignKey(header.c[code]), nullable=False, index=True),
        *columns,
    )


def medicine_columns() -> list[Column[object]]:
    """What receipts and issues say of a medicine, in the order of the source tables."""
    return [
        Column("ma_thuoc", Unicode(50)),
        Column("ten_thuoc", Unicode(255)),
        Column("so_lo", Unicode(50)),
        Column("ngay_san_xuat", DATE),
        Column("han_dung", DATE),
        Column("so_dklh", Unicode(50)),
        Column("so_luong", Integer),
        Column("don_gia", Money()),
    ]


def inserted_at() -> Column[object]:
    """`dateinsert`: when the source's own program wrote the row, local time of its server."""
    return Column("dateinsert", DateTime, server_default=func.now())
