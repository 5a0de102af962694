"""The comparison at the end of a round: source rows, ledger, the partner's ledger, and the detailed log.

Apart from `app.demo.show.prove` on purpose: that one says whether the books agree, this one counts what is lost,
what is there twice and what disagrees, and it knows what was put into the source.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select

from app.db.engine import reading
from app.db.tables import attempt, delivery
from app.documents import ALL_KINDS
from app.domain.states import CLOSED, SOURCE_STATUS, State
from app.wiring import Gateway

Name = tuple[str, str]
"""Kind and code."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """One row of the detailed log, as far as the comparison needs it."""

    id: str
    document: Name
    attempt: int
    outcome: str
    late: bool = False
    """An answer that came after the claim was lost: kept for people, and no try of its own."""


@dataclass(slots=True)
class Verdict:
    """What the books say. A name may stand in several lists; `reasons` has one sentence per finding."""

    documents: int
    lost: set[Name] = field(default_factory=set)
    duplicated: set[Name] = field(default_factory=set)
    disagreeing: set[Name] = field(default_factory=set)
    uncertain: set[Name] = field(default_factory=set)
    for_a_person: set[Name] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Nothing lost, nothing twice, nothing in disagreement."""
        return not (self.lost or self.duplicated or self.disagreeing)

    def find(self, among: set[Name], name: Name, reason: str) -> None:
        """Note a finding."""
        among.add(name)
        self.reasons.append(f"{name[0]} {name[1]}: {reason}")


@dataclass(frozen=True, slots=True)
class _Document:
    """One document in all books. `row` is None when the ledger does not know it, `copy` when the partner does not."""

    name: Name
    defective: bool
    status: int | None
    source_code: str | None
    row: Row[Any] | None
    copy: Mapping[str, Any] | None
    log: list[LogRow]

    @property
    def copies(self) -> int:
        return 0 if self.copy is None else int(self.copy["copies"])

    @property
    def arrivals(self) -> int:
        return 0 if self.copy is None else self.copies + sum(key["repeats"] for key in self.copy["keys"])

    @property
    def national_codes(self) -> list[str]:
        if self.copy is None:
            return []
        return [accepted["national_code"] for key in self.copy["keys"] for accepted in key["accepted"]]


def has_final_answer(row: Any) -> bool:
    """Nothing more will happen to this delivery by itself."""
    return row.state in CLOSED or (row.state == State.UNKNOWN and row.due_at is None)


def all_answered(gateway: Gateway, documents: int) -> bool:
    """Whether every document has its final answer."""
    states = select(delivery.c.state, delivery.c.due_at)
    with reading(gateway.engine) as connection:
        return sum(has_final_answer(row) for row in connection.execute(states)) >= documents


def compare(
    gateway: Gateway, partner_documents: Iterable[Mapping[str, Any]], defective: set[Name], shipped: Iterable[LogRow]
) -> Verdict:
    """Judge what a round left behind. `shipped` are the rows of the log that are no longer in SQL."""
    theirs = {(each["kind"], each["code"]): each for each in partner_documents}
    log: dict[Name, list[LogRow]] = {}
    doubled = Counter[str]()
    for row in [*_log_in_sql(gateway), *shipped]:
        doubled[row.id] += 1
        log.setdefault(row.document, []).append(row)
    documents = list(_documents(gateway, theirs, defective, log))
    verdict = Verdict(len(documents))
    for document in documents:
        _judge(document, verdict)
        theirs.pop(document.name, None)
    for name in theirs:
        verdict.find(verdict.disagreeing, name, "at the partner, but not in the source")
    for row in (row for rows in log.values() for row in rows if doubled[row.id] > 1):
        verdict.find(verdict.disagreeing, row.document, f"log row {row.id} is there {doubled[row.id]} times")
    return verdict


def _documents(
    gateway: Gateway, theirs: Mapping[Name, Any], defective: set[Name], log: Mapping[Name, list[LogRow]]
) -> Iterator[_Document]:
    with reading(gateway.engine) as connection:
        ledger = {(row.kind, row.code): row for row in connection.execute(select(delivery))}
        for kind in ALL_KINDS:
            rows = connection.execute(select(kind.code, kind.header.c.status_phieu, kind.national_code))
            for code, status, national_code in rows:
                name = (kind.name, code)
                yield _Document(
                    name,
                    name in defective,
                    status,
                    national_code,
                    ledger.get(name),
                    theirs.get(name),
                    log.get(name, []),
                )


def _judge(document: _Document, verdict: Verdict) -> None:
    if any(row.outcome == "unknown" for row in document.log):
        verdict.uncertain.add(document.name)
    if document.copies > 1:
        verdict.find(verdict.duplicated, document.name, f"{document.copies} copies at the partner")
    _look_for_loss(document, verdict)
    for reason in (*_contradictions(document), *_gaps(document)):
        verdict.find(verdict.disagreeing, document.name, reason)


def _look_for_loss(document: _Document, verdict: Verdict) -> None:
    """A document is not lost when the partner has it, when it is rightly refused, or when a person is asked."""
    row = document.row
    if row is None:
        verdict.find(verdict.lost, document.name, "never taken up")
    elif not has_final_answer(row):
        verdict.find(verdict.lost, document.name, f"still {row.state}, due at {row.due_at}")
    elif row.state == State.UNKNOWN:
        verdict.for_a_person.add(document.name)
    elif not document.copies and not document.defective:
        verdict.find(verdict.lost, document.name, f"{row.state}, but not at the partner")


def _contradictions(document: _Document) -> Iterator[str]:
    row = document.row
    if row is None:
        return
    status = SOURCE_STATUS.get(State(row.state))
    if status is not None and document.status != status:
        yield f"{row.state}, but status_phieu is {document.status}"
    if row.state in CLOSED and (row.state == State.ACCEPTED) == document.defective:
        yield f"{row.state}, but the document is {'defective' if document.defective else 'good'}"
    if row.state == State.ACCEPTED:
        codes = {row.national_code, document.source_code, *document.national_codes}
        if len(codes) != 1 or None in codes:
            yield f"ledger {row.national_code}, source {document.source_code}, partner {document.national_codes}"
    elif document.copies and not row.uncertain:
        yield f"{row.state} for certain, but the partner has it"
    if row.revision != 1:
        yield f"revision {row.revision}, but nobody reopened it"
    if has_final_answer(row) and row.claim_token is not None:
        yield "answered, but still claimed"


def _gaps(document: _Document) -> Iterator[str]:
    """One log row for each counted try, and no arrival at the partner that the log cannot explain (P4)."""
    row = document.row
    if row is None:
        return
    in_time = [each for each in document.log if not each.late]
    counted = sorted(each.attempt for each in in_time if each.outcome != "defer")
    if counted != list(range(1, row.attempts + 1)):
        yield f"{row.attempts} tries counted, but log rows for {counted}"
    perhaps_arrived = sum(each.outcome in {"accepted", "unknown"} for each in in_time)
    if document.arrivals > perhaps_arrived:
        yield f"arrived {document.arrivals} times, but the log knows of {perhaps_arrived}"


def _log_in_sql(gateway: Gateway) -> list[LogRow]:
    columns = attempt.c
    rows = select(columns.id, columns.kind, columns.code, columns.attempt, columns.outcome, columns.record)
    with reading(gateway.engine) as connection:
        return [
            LogRow(row.id, (row.kind, row.code), row.attempt, row.outcome, late="late" in json.loads(row.record))
            for row in connection.execute(rows)
        ]
