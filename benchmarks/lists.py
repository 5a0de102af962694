"""How long lists, counts and refusals take beside many deliveries: `python -m benchmarks.lists [DELIVERIES]`.

Fills a SQLite ledger (a million deliveries by default; shops and days spread, every tenth document in trouble), asks
for the first and the second page of every combination of up to two filters in every order, and prints the slowest.
Exit code 1 when one took longer than 100 ms.
"""

import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from functools import partial
from itertools import combinations, product
from pathlib import Path
from statistics import median
from typing import Any

from app.core.config import load_settings
from app.db.migrate import upgrade
from app.db.source import create_source_tables
from app.documents import ALL_KINDS
from app.domain.listing import Filter, Sort
from app.domain.states import State
from app.wiring import Gateway

MOST_MILLISECONDS = 100
SHOWN = 15
_ROW = "INSERT INTO hermes_delivery ({}) VALUES ({})"
_NAMES = [
    "kind",
    "code",
    "facility",
    "document_date",
    "state",
    "attempts",
    "revision",
    "due_at",
    "deaths",
    "uncertain",
    "error_code",
    "error_message",
    "first_seen_at",
    "updated_at",
    "finished_at",
    "failed_at",
    "cause",
]
_SHARES = (
    (0.85, State.ACCEPTED, ()),
    (0.05, State.QUEUED, ()),
    (0.04, State.REJECTED, ("invalid_document", "refused")),
    (0.01, State.PARKED, ("partner_error",)),
    (0.0495, State.WAITING, ("partner_unavailable", "timeout")),
    (0.0005, State.UNKNOWN, ("timeout",)),
)

FILTERS: tuple[tuple[dict[str, Any], ...], ...] = (
    ({"kind": "hoa_don"},),
    ({"states": (State.ACCEPTED,)}, {"states": (State.REJECTED, State.PARKED)}, {"states": (State.WAITING,)}),
    ({"facility": "CS0001"}, {"facility": "CS0777"}),
    (
        {"date_from": date(2026, 10, 1), "date_to": date(2026, 10, 7)},
        {"date_from": date(2026, 8, 1), "date_to": date(2026, 10, 29)},
    ),
    ({"error_code": "refused"}, {"error_code": "timeout"}),
    ({"ever_failed": True},),
    ({"code_prefix": "HO0000"}, {"code_prefix": "PH"}),
)
"""What is combined: at most one of each group."""


def fill(file: Path, deliveries: int) -> None:
    """A ledger with so many deliveries; every fourth is of one large shop, the others of 2,000."""
    statement = _ROW.format(", ".join(_NAMES), ", ".join("?" for _ in _NAMES))
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany(statement, _rows(deliveries))


def _rows(deliveries: int) -> Iterator[tuple[Any, ...]]:
    chance = random.Random(1)  # noqa: S311  repeatable
    weights = [share for share, _, _ in _SHARES]
    for number in range(deliveries):
        kind = ALL_KINDS[number % 3].name
        _, state, errors = chance.choices(_SHARES, weights)[0]
        error = chance.choice(errors) if errors else None
        at = f"{datetime(2026, 11, 1) + timedelta(seconds=number)}.000000"  # noqa: DTZ001  UTC, as the ledger keeps it
        closed = state in (State.ACCEPTED, State.REJECTED, State.PARKED)
        failed = at if error or chance.random() < 0.02 else None
        cause = f"{error}-{chance.randrange(30)}" if state in (State.REJECTED, State.PARKED, State.UNKNOWN) else None
        shop = f"CS{number * 7919 % 2000 if number % 4 else 1:04}"
        day = str(date(2026, 8, 1) + timedelta(days=number * 90 // deliveries))
        due = None if closed or state is State.UNKNOWN else at
        yield (kind, f"{kind[:2].upper()}{number:08}", shop, day, state.value, 1, 1, due, 0, 0, error, error, at, at,
               at if closed else None, failed, cause)  # fmt: skip


def measure(gateway: Gateway) -> list[tuple[float, str]]:
    """Milliseconds of everything that is asked, the better of two tries, the slowest first."""
    lists = gateway.lists
    taken = [(_timed(gateway.refusals.groups)[0], "refusals by cause")]
    for wanted in _combinations():
        said = ", ".join(f"{name}={value}" for name in Filter.__dataclass_fields__ if (value := getattr(wanted, name)))
        taken.append((_timed(partial(lists.count, wanted))[0], f"count {said}"))
        for sort in Sort:
            milliseconds, page = _timed(partial(lists.deliveries, wanted, sort))
            taken.append((milliseconds, f"{sort} {said}"))
            if page.next:
                second = partial(lists.deliveries, wanted, sort, cursor=page.next)
                taken.append((_timed(second)[0], f"{sort}, second page {said}"))
    return sorted(taken, reverse=True)


def _combinations() -> Iterator[Filter]:
    for size in range(3):
        for groups in combinations(FILTERS, size):
            for chosen in product(*groups):
                yield Filter(**{name: value for each in chosen for name, value in each.items()})


def _timed(ask: Callable[[], Any]) -> tuple[float, Any]:
    best = float("inf")
    for _ in range(2):
        started = time.perf_counter()
        answer = ask()
        best = min(best, (time.perf_counter() - started) * 1000)
    return best, answer


def main(deliveries: int) -> int:
    """Fill, measure, print. Returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lists.db"
        gateway = Gateway(load_settings(source_database_url=f"sqlite:///{file}"))
        upgrade(gateway.engine)
        create_source_tables(gateway.engine)
        fill(file, deliveries)
        taken = measure(gateway)
        gateway.engine.dispose()
    middle = median(milliseconds for milliseconds, _ in taken)
    print(f"{deliveries:,} deliveries, {len(taken)} questions: median {middle:.1f} ms, slowest {taken[0][0]:.1f} ms")
    for milliseconds, question in taken[:SHOWN]:
        print(f"{milliseconds:8.1f} ms  {question}")
    return int(taken[0][0] > MOST_MILLISECONDS)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
