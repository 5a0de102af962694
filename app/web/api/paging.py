"""Cursors that are none."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.errors import InputError
from app.web.api.problems import Fault, Refusal


@contextmanager
def placed() -> Iterator[None]:
    """Whatever the block refuses, it is the cursor: all else was looked at before."""
    try:
        yield
    except InputError as error:
        raise Refusal(422, "", Fault("query.cursor", str(error))) from None


def ordered(first: object, last: object) -> None:
    """Refuse a period that ends before it begins."""
    if first is not None and last is not None and first > last:  # type: ignore[operator]
        raise Refusal(422, "", Fault("query.date_from", "The first day is after the last."))
