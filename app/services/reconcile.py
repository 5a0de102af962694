"""reconcile: did everything arrive? Per day, facility and kind, with what is behind every figure."""

from collections.abc import Iterator, Sequence
from datetime import date

from app.documents import DocumentKind
from app.domain.errors import InputError
from app.domain.reconciliation import DayBalance, Fate, Reconciled
from app.services.ports import Books

LONGEST_DAYS = 366
_STRIDE = 1000


class Reconcile:
    """Compares the source with the ledger."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def balances(
        self, kinds: Sequence[DocumentKind], first: date, last: date, facility: str | None = None
    ) -> list[DayBalance]:
        """Per kind, day (both inclusive, at most 366) and facility. Raises InputError for an impossible period."""
        if first > last:
            raise InputError(f"The first date ({first}) is after the last ({last}).")
        if (last - first).days >= LONGEST_DAYS:
            raise InputError(f"A reconciliation covers at most {LONGEST_DAYS} days.")
        return [each for kind in kinds for each in self._books.balances(kind, first, last, facility)]

    def documents(
        self, kind: DocumentKind, day: date | None, facility: str, fate: Fate, *, after: str = "", limit: int = 100
    ) -> list[Reconciled]:
        """Up to `limit` documents behind one figure, by code, behind the code `after`."""
        return self._books.documents(kind, day, facility, fate, after, limit)

    def each_document(self, balance: DayBalance, kind: DocumentKind, fate: Fate) -> Iterator[Reconciled]:
        """All documents behind one figure, by code."""
        after = ""
        while some := self.documents(kind, balance.day, balance.facility, fate, after=after, limit=_STRIDE):
            yield from some
            after = some[-1].code
