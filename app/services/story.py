"""story: everything about one document for whoever must understand it: what happens next, every try, the source rows
as they are now, what of them differs from what was sent last, and the faults by line and field.

Persons' names are masked in all of it, unless `names=True`: the caller audits that.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from app.core.config import Language
from app.documents import DocumentKind, column_label
from app.domain.deliveries import Attempt, Delivery
from app.domain.kinds import Document
from app.domain.redact import MASK, mask_name, mask_names
from app.domain.states import State
from app.domain.stories import Cell, Detail, Difference, LastSent, NextStep, SeenFault
from app.partners import Endpoint, Invalid, Prepared
from app.services.health import Health
from app.services.ports import Source

T = TypeVar("T", Delivery, Attempt, Cell, SeenFault, Difference)

_ITEMS = "items"


class Stories:
    """Tells one document's story."""

    def __init__(self, health: Health, source: Source, endpoints: Mapping[str, Endpoint], language: Language) -> None:
        self._health = health
        self._source = source
        self._endpoints = endpoints
        self._language = language

    def tell(
        self, kind: DocumentKind, code: str, *, names: bool = False, language: Language | None = None
    ) -> Detail | None:
        """The story of one document; None when it is not in the ledger. `names`: persons' names in clear, as far as
        source and log have them; `language`: the reader's, where it is not the configured one."""
        story = self._health.story(kind, code)
        if story is None:
            return None
        document = self._source.load(kind, [story.delivery.code]).get(story.delivery.code)
        endpoint = self._endpoints[kind.name]
        bodies = [_body(attempt) for attempt in story.attempts]
        prepared = None if document is None else endpoint.prepare(document)
        difference = None
        if document is not None:
            difference = _difference(endpoint, story.attempts, bodies, prepared, names)
        labels = language or self._language
        detail = Detail(
            delivery=story.delivery,
            next_step=next_step(story.delivery),
            attempts=tuple(story.attempts),
            log_complete=story.log_complete,
            audit=story.audit,
            header=() if document is None else _cells(document.header, labels),
            lines=() if document is None else tuple(_cells(line, labels) for line in document.lines),
            in_source=document is not None,
            faults=tuple(_faults(prepared)),
            last_faults=tuple(_logged_faults(story.attempts)),
            difference=difference,
        )
        return detail if names else _masked(detail, kind, tuple(_names(kind, endpoint, document, bodies)))


def next_step(delivery: Delivery) -> NextStep:
    """What happens to a delivery next, by itself or by a person."""
    if delivery.state is State.SENDING:
        return NextStep.RUNNING
    if delivery.due_at is not None:
        return NextStep.DUE
    if delivery.state is State.UNKNOWN:
        return NextStep.RESOLVE
    return NextStep.NOTHING if delivery.state is State.ACCEPTED else NextStep.PERSON


def _cells(row: Mapping[str, Any], language: Language) -> tuple[Cell, ...]:
    return tuple(Cell(name, column_label(name, language.value), value) for name, value in row.items())


def _body(attempt: Attempt) -> dict[str, Any] | None:
    """The request as the log kept it; None where it kept none, or only its beginning."""
    written = attempt.record.get("request", {}).get("body")
    if not isinstance(written, str):
        return None
    try:
        body = json.loads(written, parse_float=Decimal)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _names(
    kind: DocumentKind, endpoint: Endpoint, document: Document | None, bodies: Iterable[dict[str, Any] | None]
) -> Iterator[str]:
    """Every person's name that may stand somewhere in the story."""
    if document is not None:
        yield from (str(document.header[name]) for name in kind.personal_columns if document.header.get(name))
    for body in bodies:
        for name in endpoint.personal_names:
            if body is not None and isinstance(body.get(name), str):
                yield body[name]


def _masked(detail: Detail, kind: DocumentKind, hidden: Sequence[str]) -> Detail:
    """The same without persons' names, wherever somebody may have written them."""
    header = (
        replace(cell, value=mask_name(str(cell.value)))
        if cell.column in kind.personal_columns and cell.value
        else _masked_in(cell, "value", hidden)
        for cell in detail.header
    )
    return replace(
        detail,
        delivery=_masked_in(detail.delivery, "error_message", hidden),
        attempts=tuple(_masked_in(each, "record", hidden) for each in detail.attempts),
        audit=tuple({**each, "why": _masked_value(each["why"], hidden)} for each in detail.audit),
        header=tuple(header),
        lines=tuple(tuple(_masked_in(cell, "value", hidden) for cell in line) for line in detail.lines),
        faults=tuple(_masked_in(each, "message", hidden) for each in detail.faults),
        last_faults=tuple(_masked_in(each, "message", hidden) for each in detail.last_faults),
        difference=None if detail.difference is None else _masked_difference(detail.difference, hidden),
    )


def _masked_difference(difference: LastSent, hidden: Sequence[str]) -> LastSent:
    changes = (_masked_in(_masked_in(each, "sent", hidden), "now", hidden) for each in difference.differences)
    return replace(difference, differences=tuple(changes))


def _masked_in(value: T, name: str, hidden: Sequence[str]) -> T:
    """A frozen value with the names in one of its fields masked."""
    return replace(value, **{name: _masked_value(getattr(value, name), hidden)})


def _masked_value(value: Any, hidden: Sequence[str]) -> Any:
    if isinstance(value, str):
        return mask_names(value, hidden)
    if isinstance(value, dict):
        return {name: _masked_value(each, hidden) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked_value(each, hidden) for each in value]
    return value


def _faults(prepared: Prepared | Invalid | None) -> Iterator[SeenFault]:
    if isinstance(prepared, Invalid):
        for fault in prepared.faults:
            yield SeenFault(fault.line, fault.field, fault.message)


def _logged_faults(attempts: Sequence[Attempt]) -> Iterator[SeenFault]:
    """What Hermes' own check found at the last try."""
    if attempts:
        for fault in attempts[-1].record.get("faults", ()):
            yield SeenFault(fault["line"], fault["field"], fault["message"])


def _difference(
    endpoint: Endpoint,
    attempts: Sequence[Attempt],
    bodies: Sequence[dict[str, Any] | None],
    prepared: Prepared | Invalid | None,
    names: bool,
) -> LastSent | None:
    """What would be sent now beside what was sent last; None where the log has no request or the document is not fit
    to be sent."""
    sent = next(((a, b) for a, b in zip(reversed(attempts), reversed(bodies), strict=True) if b is not None), None)
    if sent is None or not isinstance(prepared, Prepared):
        return None
    attempt, body = sent
    now = json.loads(prepared.body, parse_float=Decimal)
    for name in endpoint.personal_names:
        # A name that the log masked can only be compared masked; in clear it is for those who may see it.
        if not names or MASK in str(body.get(name)):
            body, now = _with_mask(body, name), _with_mask(now, name)
    changes = tuple(_changes(endpoint, body, now))
    return LastSent(attempt.started_at, attempt.revision, changes)


def _with_mask(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    return {**body, name: mask_name(value)} if isinstance(value, str) and MASK not in value else body


def _changes(endpoint: Endpoint, sent: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
    labels = endpoint.wire_labels
    for name in dict.fromkeys([*now, *sent]):
        if name != _ITEMS and sent.get(name) != now.get(name):
            yield Difference(None, name, labels.get(name, name), sent.get(name), now.get(name))
    before, after = (_lines(each.get(_ITEMS)) for each in (sent, now))
    for number in range(max(len(before), len(after))):
        old = before[number] if number < len(before) else {}
        new = after[number] if number < len(after) else {}
        for name in dict.fromkeys([*new, *old]):
            if old.get(name) != new.get(name):
                yield Difference(number + 1, name, labels.get(name, name), old.get(name), new.get(name))


def _lines(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
