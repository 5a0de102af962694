"""lists: deliveries and the audit, a page at a time or one after another. Reads only; no persons' names are in it."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from app.domain.deliveries import Delivery
from app.domain.errors import InputError
from app.domain.listing import AuditEntry, AuditFilter, Filter, Page, Place, Sort, Turn, order_of, place_of
from app.domain.numbers import AtLeast
from app.services.cursor import read_cursor, write_cursor
from app.services.ports import AuditTrail, Listing

T = TypeVar("T")

LONGEST_PAGE = 500
COUNTED = 1000
_STRIDE = 1000


class Lists:
    """Filters and orders what the ledger has."""

    def __init__(self, ledger: Listing, audit: AuditTrail) -> None:
        self._ledger = ledger
        self._audit = audit

    def deliveries(
        self, wanted: Filter, sort: Sort = Sort.CHANGED, *, cursor: str | None = None, size: int = 50
    ) -> Page[Delivery]:
        """One page. With a period, the order is that of document dates, whatever was asked for (`order_of`). Raises
        InputError for a cursor of another list and for a filter that makes no sense."""
        _check(wanted)
        sort = order_of(wanted, sort)
        return _page(
            (wanted, sort),
            cursor,
            size,
            lambda turn, limit: self._ledger.deliveries(wanted, sort, turn, limit),
            lambda each: place_of(each, sort),
        )

    def count(self, wanted: Filter, at_most: int = COUNTED) -> AtLeast:
        """How many deliveries the list has, counted no further than `at_most`: "1,000+"."""
        _check(wanted)
        return self._ledger.count(wanted, at_most)

    def each_delivery(self, wanted: Filter, sort: Sort = Sort.CHANGED) -> Iterator[Delivery]:
        """All of the list, in its order, a thousand at a time: memory does not grow with its length (P10). Raises
        InputError at once, not with the first of them."""
        _check(wanted)
        return self._each(wanted, order_of(wanted, sort))

    def _each(self, wanted: Filter, sort: Sort) -> Iterator[Delivery]:
        turn: Turn | None = Turn()
        while turn is not None:
            some = self._ledger.deliveries(wanted, sort, turn, _STRIDE)
            yield from some
            turn = Turn(place_of(some[-1], sort)) if len(some) == _STRIDE else None

    def audit(self, wanted: AuditFilter, *, cursor: str | None = None, size: int = 50) -> Page[AuditEntry]:
        """One page of the audit, the latest first. Raises InputError for a cursor of another list."""
        return _page(
            wanted,
            cursor,
            size,
            lambda turn, limit: self._audit.entries(wanted, turn, limit),
            lambda each: (each.at, each.id, ""),
        )


def _page(
    listing: object,
    cursor: str | None,
    size: int,
    read: Callable[[Turn, int], Sequence[T]],
    place: Callable[[T], Place],
) -> Page[T]:
    """One row more is read than is shown: whether there is another page."""
    size = max(1, min(size, LONGEST_PAGE))
    turn = read_cursor(listing, cursor)
    rows = list(read(turn, size + 1))
    more = len(rows) > size
    rows = rows[-size:] if turn.backwards else rows[:size]
    if not rows:
        return Page((), None, None)
    follows = turn.backwards or more
    precedes = more if turn.backwards else turn.place is not None
    return Page(
        tuple(rows),
        write_cursor(listing, place(rows[-1]), backwards=False) if follows else None,
        write_cursor(listing, place(rows[0]), backwards=True) if precedes else None,
    )


def _check(wanted: Filter) -> None:
    if wanted.date_from and wanted.date_to and wanted.date_from > wanted.date_to:
        raise InputError(f"The first date ({wanted.date_from}) is after the last ({wanted.date_to}).")
