"""What a benchmark found: rows of figures with their units, on which machine, as a table and as JSON."""

import os
import platform
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.partner import kind_of_partner

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A key of rows, its heading, its unit and how many decimal digits mean something."""

    key: str
    title: str
    unit: str = ""
    digits: int = 0

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def text(self, row: Row) -> str:
        """The value as people read it: of several, the range."""
        value = row.get(self.key)
        if value is None:
            return "–"
        if isinstance(value, str):
            return value
        values = value if isinstance(value, list) else [value]
        return "–".join(f"{each:,.{self.digits}f}" for each in sorted({min(values), max(values)}))


@dataclass(frozen=True, slots=True)
class Plot:
    """One bar per row, as long as `figure`; `bound`, where a row has it, is what cannot be exceeded."""

    figure: str
    bound: str | None = None
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark: `cases` tell rows apart, `figures` were measured. A row may hold more than is shown."""

    name: str
    title: str
    cases: Sequence[Column]
    figures: Sequence[Column]
    rows: Sequence[Row]
    plot: Plot
    note: str = ""

    def label(self, row: Row) -> str:
        """Which case a row is."""
        return ", ".join(f"{column.text(row)} {column.unit}".strip() for column in self.cases if column.key in row)

    def figure(self, key: str) -> Column:
        """The figure of that key."""
        return next(column for column in self.figures if column.key == key)

    def table(self) -> Table:
        """For people."""
        table = Table(title=f"{self.name}: {self.title}", title_justify="left", caption=self.note or None,
                      caption_justify="left")  # fmt: skip
        for column in self.cases:
            table.add_column(f"{column.title}\n{column.unit}", no_wrap=True)
        for column in self.figures:
            table.add_column(f"{column.title}\n{column.unit}", justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*(column.text(row) for column in (*self.cases, *self.figures)))
        return table

    def as_json(self) -> dict[str, Any]:
        """For programs: units by key, and all rows."""
        units = {column.key: column.unit for column in (*self.cases, *self.figures) if column.unit}
        return {"title": self.title, "units": units, "rows": list(self.rows), "note": self.note}


@dataclass(frozen=True, slots=True)
class Machine:
    """Where figures come from. `load` is the average of the minute before: what else the machine was doing."""

    cores: int
    cpu: str
    system: str
    python: str
    sqlite: str
    partner: str
    load: float

    def __str__(self) -> str:
        return (
            f"{self.cores} cores of {self.cpu}, {self.system}, load {self.load:.1f} before; "
            f"Python {self.python}, SQLite {self.sqlite}; partner: {self.partner}"
        )

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def this_machine() -> Machine:
    """The one that runs this."""
    at_once, later = kind_of_partner(0.0), kind_of_partner(1.0)
    return Machine(
        cores=os.cpu_count() or 1,
        cpu=_cpu_model(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        partner=at_once if at_once == later else f"{at_once}, {later} where it is slow",
        load=os.getloadavg()[0],
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "unknown CPU")
