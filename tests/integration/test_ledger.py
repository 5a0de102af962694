"""The ledger on a real database: every move, its guards, and what happens when two want the same thing."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import count
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, event, select, text, update

from app.db.circuits import SqlCircuits
from app.db.ledger import DISCOVERY_PAGE, SqlLedger, scan_heartbeat
from app.db.tables import LEDGER, attempt, audit, delivery
from app.documents import ALL_KINDS, HOA_DON, PHIEU_NHAP, SOURCE, DocumentKind
from app.domain.decide import MOST_DEATHS, Decision, Standing
from app.domain.deliveries import Attempt, Claimed, Delivery, Selection, Settlement
from app.domain.errors import ErrorCode, Problem, RowRefused
from app.domain.outcomes import Accepted, Outcome, Rejected
from app.domain.states import (
    CLOSED,
    OPEN,
    OPERATOR_PARK,
    OPERATOR_RESEND,
    OPERATOR_RETRY,
    RESOLVE_ACCEPTED,
    RESOLVE_REJECTED,
    SOURCE_STATUS,
    State,
    Transition,
)
from app.wiring import Gateway
from tests.databases import only_sqlite, refuse, rename_table, replace_header

CLAIM = timedelta(minutes=2)
REOFFER = timedelta(minutes=5)
LATER = timedelta(hours=1)
WORKER, RESCUER = "worker", "rescuer"
NOT_UTF8 = "CAST(X'61EDA08062' AS TEXT)"

each_kind = pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)


class Bench:
    """A gateway, its time, and short ways to bring deliveries where a test needs them."""

    def __init__(self, open_gateway: Callable[[], Gateway], clock: Any, put_headers: Callable[..., None]) -> None:
        self.open_gateway = open_gateway
        self.clock = clock
        self.gateway = open_gateway()
        self.ledger = self.gateway.ledger
        self.engine = self.gateway.engine
        self._put_headers = put_headers

    def put(self, kind: DocumentKind, codes: Sequence[str], **columns: Any) -> None:
        self._put_headers(self.engine, kind, codes, **columns)

    def run(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def ask_again(self, kind: DocumentKind, code: str, status: int | None) -> None:
        """As the source's own program reopens a document."""
        with self.engine.begin() as connection:
            connection.execute(update(kind.header).where(kind.code == code).values(status_phieu=status))

    def another_process(self) -> SqlLedger:
        return self.open_gateway().ledger

    def queue(self, kind: DocumentKind, codes: Sequence[str], **columns: Any) -> None:
        """New documents, discovered and offered."""
        self.put(kind, codes, **columns)
        self.ledger.discover(kind, len(codes))
        self.offer(kind, len(codes))

    def offer(self, kind: DocumentKind, limit: int = 10) -> list[str]:
        return [due.code for due in self.ledger.offer_due(kind, limit, reoffer_at=self.clock.now() + REOFFER)]

    def claim(self, kind: DocumentKind, codes: Sequence[str], token: str = WORKER) -> list[Claimed]:
        return self.ledger.claim(kind, codes, token, expires_at=self.clock.now() + CLAIM)

    def begin_send(self, kind: DocumentKind, codes: Sequence[str], token: str = WORKER) -> set[str]:
        return self.ledger.begin_send(kind, codes, token, expires_at=self.clock.now() + CLAIM)

    def take_over(self, kind: DocumentKind, token: str = RESCUER, limit: int = 500) -> list[Claimed]:
        return self.ledger.take_over_expired(kind, token, limit=limit, expires_at=self.clock.now() + CLAIM)

    def bring(self, kind: DocumentKind, code: str, state: State, *, columns: Any = None, **decision: Any) -> None:
        """One new document, taken to `state` by the moves that lead there."""
        self.queue(kind, [code], **(columns or {}))
        if state is State.QUEUED:
            return
        self.claim(kind, [code])
        self.begin_send(kind, [code])
        if state is not State.SENDING:
            assert self.ledger.settle(kind, [self.settlement(kind, code, state, **decision)], "worker") == {code}

    def settlement(
        self,
        kind: DocumentKind,
        code: str,
        state: State,
        *,
        note: str = "một dòng",
        sha: str | None = None,
        **rest: Any,
    ) -> Settlement:
        usual: dict[str, Any] = {"attempts": 1, "uncertain": state is State.UNKNOWN}
        if state is State.ACCEPTED:
            usual |= {"national_code": f"QG-{code}"}
        else:
            usual |= {"problem": Problem(ErrorCode.REFUSED, "sai số lô")}
        if state not in CLOSED:
            usual |= {"due_at": self.clock.now() + LATER}
        decision = Decision(state, **{**usual, **rest})
        outcome: Outcome = Accepted(decision.national_code)
        if decision.problem is not None:
            outcome = Rejected(decision.problem)
        known = self.ledger.get(kind, code)
        log_row = Attempt(
            id=str(uuid4()),
            kind=kind.name,
            code=code,
            facility=known.facility if known else "",
            revision=1,
            attempt=decision.attempts,
            outcome=outcome.name,
            error_code=decision.problem.code if decision.problem else None,
            http_status=200,
            started_at=self.clock.now(),
            duration_ms=17,
            record={"request": {"body": "Thuốc ho"}, "response": {"status": 200}},
        )
        return Settlement(code, outcome, decision, note, log_row, sha)

    def row(self, kind: DocumentKind, code: str) -> Any:
        with self.engine.connect() as connection:
            found = select(delivery).where(delivery.c.kind == kind.name, delivery.c.code == code)
            return connection.execute(found).one()

    def codes(self, kind: DocumentKind) -> list[str]:
        with self.engine.connect() as connection:
            found = select(delivery.c.code).where(delivery.c.kind == kind.name).order_by(delivery.c.code)
            return list(connection.scalars(found))

    def source_row(self, kind: DocumentKind, code: str) -> Any:
        with self.engine.connect() as connection:
            columns = [column for column in kind.header.c if column.name != "ma_hoa_don_quoc_gia"]
            return connection.execute(select(*columns).where(kind.code == code)).one()

    def everything(self) -> dict[str, list[Any]]:
        """All rows of all tables: two of these are equal when nothing was written in between."""
        with self.engine.connect() as connection:
            tables = [*LEDGER.sorted_tables, *SOURCE.sorted_tables]
            return {table.name: sorted(map(repr, connection.execute(select(table)))) for table in tables}

    def everything_but_the_log(self) -> dict[str, list[Any]]:
        return {**self.everything(), attempt.name: []}

    def late_answers(self) -> list[Attempt]:
        """What the log keeps of answers that came after their claim was lost."""
        return [each for each in self.gateway.attempt_log.oldest(1000) if each.record.get("late")]

    def audited(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(audit).order_by(audit.c.kind, audit.c.code)))


@pytest.fixture
def bench(
    open_gateway: Callable[[], Gateway], clock: Any, put_headers: Callable[..., None]
) -> Bench:  # fmt: skip
    return Bench(open_gateway, clock, put_headers)


@contextmanager
def between(engine: Engine, act: Callable[[], object], *, reads: int = 1) -> Iterator[None]:
    """Let `act` happen when `engine` has read (so many times) and is about to write: another process was faster."""
    connections = count()

    def on_connect(_connection: Connection) -> None:
        if next(connections) == reads:
            act()

    event.listen(engine, "engine_connect", on_connect)
    try:
        yield
    finally:
        event.remove(engine, "engine_connect", on_connect)
    assert next(connections) > reads, "nothing was written"


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls in threads that start together; returns their results."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(timeout=30)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(run, call) for call in calls]]


# ---- discover -------------------------------------------------------------------------------------------


@each_kind
def test_discover_takes_up_what_is_new_and_nothing_else(bench: Bench, kind: DocumentKind) -> None:
    for status in (0, None, 2, 1, 3, 9):
        bench.put(kind, [f"S{status}"], status_phieu=status)

    assert bench.ledger.discover(kind, 100) == 3

    assert bench.codes(kind) == ["S0", "S2", "SNone"]
    assert [bench.codes(other) for other in ALL_KINDS if other is not kind] == [[], []]


@each_kind
def test_a_discovered_delivery_is_queued_and_due_at_once(bench: Bench, kind: DocumentKind) -> None:
    bench.put(kind, ["A1"], ma_co_so="CS07")
    bench.ledger.discover(kind, 100)

    assert bench.ledger.get(kind, "A1") == Delivery(
        kind=kind.name,
        code="A1",
        facility="CS07",
        document_date=date(2026, 3, 14),
        state=State.QUEUED,
        attempts=0,
        revision=1,
        due_at=bench.clock.now(),
        uncertain=False,
        national_code=None,
        error_code=None,
        error_message=None,
        payload_sha256=None,
        first_seen_at=bench.clock.now(),
        updated_at=bench.clock.now(),
        finished_at=None,
    )


@each_kind
def test_discover_a_second_time_changes_nothing(bench: Bench, kind: DocumentKind) -> None:
    bench.put(kind, ["A1", "A2"])
    bench.ledger.discover(kind, 100)
    before = bench.everything()
    bench.clock.forward(hours=1)

    assert bench.ledger.discover(kind, 100) == 0
    assert bench.everything() == before


@pytest.mark.parametrize("count", [DISCOVERY_PAGE - 1, DISCOVERY_PAGE, DISCOVERY_PAGE + 1, 2 * DISCOVERY_PAGE + 7])
@pytest.mark.parametrize("known", [0, 300])
def test_discover_goes_through_all_pages(bench: Bench, count: int, known: int) -> None:
    codes = [f"PN{number:05}" for number in range(count)]
    bench.put(PHIEU_NHAP, codes)
    bench.ledger.discover(PHIEU_NHAP, known) if known else None

    assert bench.ledger.discover(PHIEU_NHAP, 50_000) == count - known
    assert bench.codes(PHIEU_NHAP) == codes


@pytest.mark.parametrize("limit", [1, DISCOVERY_PAGE, DISCOVERY_PAGE + 50])
def test_discover_stops_at_its_limit_and_goes_on_the_next_time(bench: Bench, limit: int) -> None:
    bench.put(PHIEU_NHAP, [f"PN{number:05}" for number in range(DISCOVERY_PAGE + 100)])

    assert bench.ledger.discover(PHIEU_NHAP, limit) == limit
    assert len(bench.codes(PHIEU_NHAP)) == limit
    assert bench.ledger.discover(PHIEU_NHAP, 50_000) == DISCOVERY_PAGE + 100 - limit


@each_kind
@pytest.mark.parametrize(
    ("state", "uncertain", "revision"),
    [
        (State.ACCEPTED, False, 2),
        (State.REJECTED, False, 2),
        (State.REJECTED, True, 1),
        (State.PARKED, False, 1),
        (State.PARKED, True, 1),
    ],
)
def test_a_reopened_document_is_sent_anew_under_the_right_revision(
    bench: Bench, kind: DocumentKind, state: State, uncertain: bool, revision: int
) -> None:
    """P4, P5: an answer closes a revision; what may have arrived keeps its idempotency key."""
    asked_with = {"A1": 0, "A2": None, "A3": 2}
    for code in asked_with:
        bench.bring(kind, code, state, uncertain=uncertain, attempts=6)
    for code, asked in asked_with.items():
        bench.ask_again(kind, code, asked)
    bench.clock.forward(hours=1)

    assert bench.ledger.discover(kind, 100) == 3

    for code in asked_with:
        row = bench.row(kind, code)
        assert (row.state, row.revision, bool(row.uncertain)) == (State.QUEUED, revision, uncertain)
        assert (row.attempts, row.due_at, row.finished_at) == (0, bench.clock.now(), None)


@each_kind
def test_a_reopened_document_is_known_by_the_facility_and_date_it_has_now(bench: Bench, kind: DocumentKind) -> None:
    bench.bring(kind, "A1", State.REJECTED)
    bench.bring(kind, "A2", State.REJECTED)
    header, code = kind.header.name, kind.code_column
    corrected = f"ma_co_so = 'CS09', {kind.date_column} = '2026-03-20', status_phieu = 0"
    bench.run(f"UPDATE {header} SET {corrected} WHERE {code} = 'A1'")  # noqa: S608

    assert bench.ledger.discover(kind, 10) == 1

    known = [bench.row(kind, each) for each in ("A1", "A2")]
    assert [(row.facility, row.document_date) for row in known] == [
        ("CS09", date(2026, 3, 20)),
        ("CS01", date(2026, 3, 14)),
    ]


@each_kind
@pytest.mark.parametrize("state", sorted(CLOSED))
def test_a_closed_document_that_nobody_reopened_stays_closed(bench: Bench, kind: DocumentKind, state: State) -> None:
    """P4."""
    bench.bring(kind, "A1", state)
    before = bench.everything()

    assert bench.ledger.discover(kind, 100) == 0
    assert bench.everything() == before


@each_kind
@pytest.mark.parametrize("state", sorted(OPEN))
def test_discover_leaves_an_open_delivery_alone(bench: Bench, kind: DocumentKind, state: State) -> None:
    for code, asked in {"A1": 0, "A2": None, "A3": 2}.items():
        bench.bring(kind, code, state)
        bench.ask_again(kind, code, asked)
    before = bench.everything()
    bench.clock.forward(days=1)

    assert bench.ledger.discover(kind, 100) == 0
    assert bench.everything() == before


@each_kind
def test_two_scans_at_once_discover_each_document_once(bench: Bench, kind: DocumentKind) -> None:
    bench.put(kind, [f"A{number:05}" for number in range(1500)])
    bench.put(kind, [f"B{number:05}" for number in range(100)])
    bench.ledger.discover(kind, 50)  # the first of them are known already
    other = bench.another_process()

    found = at_once(lambda: bench.ledger.discover(kind, 50_000), lambda: other.discover(kind, 50_000))

    assert sum(found) == 1550
    assert len(bench.codes(kind)) == 1600


def test_a_scan_that_lost_the_race_for_a_page_takes_the_rest(bench: Bench) -> None:
    codes = [f"A{number}" for number in range(8)]
    bench.put(PHIEU_NHAP, codes)
    other = bench.another_process()

    with between(bench.engine, lambda: other.discover(PHIEU_NHAP, 3)):
        assert bench.ledger.discover(PHIEU_NHAP, 100) == 5

    assert bench.codes(PHIEU_NHAP) == codes


def test_a_document_reopened_by_two_scans_at_once_gets_one_new_revision(bench: Bench) -> None:
    bench.bring(PHIEU_NHAP, "A1", State.ACCEPTED)
    bench.ask_again(PHIEU_NHAP, "A1", 0)
    other = bench.another_process()

    with between(bench.engine, lambda: other.discover(PHIEU_NHAP, 10)):
        assert bench.ledger.discover(PHIEU_NHAP, 10) == 0

    assert bench.row(PHIEU_NHAP, "A1").revision == 2


@only_sqlite
@each_kind
def test_unusable_codes_block_no_other_document(bench: Bench, kind: DocumentKind) -> None:
    """P7: broken UTF-8, an empty code, one longer than a code can be."""
    bench.put(kind, ["A1", "z9", "x" * 50])
    header, code = kind.header.name, kind.code_column
    for unusable in (NOT_UTF8, "''", "'" + "x" * 51 + "'", "CAST(X'FF' AS TEXT)"):
        bench.run(f"INSERT INTO {header} ({code}, status_phieu) VALUES ({unusable}, 0)")  # noqa: S608

    assert bench.ledger.discover(kind, 100) == 3
    assert bench.codes(kind) == ["A1", "x" * 50, "z9"]
    assert bench.ledger.discover(kind, 100) == 0
    assert bench.ledger.status(kind).to_send == 4  # still visible (P1)


@only_sqlite
@pytest.mark.parametrize("count", [DISCOVERY_PAGE, 2 * DISCOVERY_PAGE, 2 * DISCOVERY_PAGE + 7])
@pytest.mark.parametrize("unusable", ["' ' || :number || :filler", "CAST(X'21EDA080' AS TEXT) || :number"])
def test_whole_pages_of_unusable_codes_block_no_other_document(bench: Bench, unusable: str, count: int) -> None:
    """P7: too long, or broken UTF-8, which no statement can name."""
    with bench.engine.begin() as connection:
        connection.execute(
            text(f"INSERT INTO PhieuNhapHeader (ma_phieu, status_phieu) VALUES ({unusable}, 0)"),  # noqa: S608
            [{"number": f"{number:04}", "filler": "x" * 50} for number in range(count)],
        )
    bench.put(PHIEU_NHAP, ["A1"])

    assert bench.ledger.discover(PHIEU_NHAP, 50_000) == 1
    assert bench.codes(PHIEU_NHAP) == ["A1"]


VIEWS = [
    pytest.param("SELECT * FROM Phieu UNION ALL SELECT NULL, * FROM Rest", id="no code"),
    pytest.param("SELECT * FROM Phieu UNION ALL SELECT * FROM Phieu WHERE ma_phieu = 'A2'", id="a code twice"),
]


@only_sqlite
@pytest.mark.parametrize("unusable_behind", [1, 3])
def test_unusable_codes_at_the_end_of_a_page_block_nothing_behind_it(bench: Bench, unusable_behind: int) -> None:
    """P7: the walk goes on behind them, and misses none."""
    before = [f"A{number:04}" for number in range(DISCOVERY_PAGE - unusable_behind)]
    behind = [f"Z{number:04}" for number in range(DISCOVERY_PAGE)]
    bench.put(PHIEU_NHAP, before + behind)
    with bench.engine.begin() as connection:
        broken = text("INSERT INTO PhieuNhapHeader (ma_phieu) VALUES (CAST(X'4DEDA080' AS TEXT) || :number)")
        connection.execute(broken, [{"number": f"{number:04}"} for number in range(unusable_behind)])

    assert bench.ledger.discover(PHIEU_NHAP, 50_000) == len(before + behind)
    assert bench.codes(PHIEU_NHAP) == before + behind


@pytest.mark.parametrize("view", VIEWS)
def test_what_a_view_makes_of_one_document_blocks_no_other(bench: Bench, view: str) -> None:
    """P7: views may stand in for the source tables, and a view has no primary key."""
    bench.put(PHIEU_NHAP, ["A1", "A2", "A3"])
    rename_table(bench.engine, "PhieuNhapHeader", "Phieu")
    others = ", ".join(column.name for column in PHIEU_NHAP.header.c if column is not PHIEU_NHAP.code)
    bench.run(f"CREATE VIEW Rest AS SELECT {others} FROM Phieu")  # noqa: S608
    bench.run(f"CREATE VIEW PhieuNhapHeader AS {view}")

    bench.ledger.discover(PHIEU_NHAP, 100)

    assert bench.codes(PHIEU_NHAP) == ["A1", "A2", "A3"]
    assert bench.ledger.discover(PHIEU_NHAP, 100) == 0


@each_kind
@pytest.mark.parametrize(
    ("facility", "expected"),
    [("NULL", ""), ("'" + "Ồ" * 60 + "'", "Ồ" * 50), ("12", "12"), ("CAST(X'C3284353' AS TEXT)", "?(CS")],
)
@only_sqlite
def test_a_malformed_facility_is_taken_up_as_far_as_it_can_be_read(
    bench: Bench, kind: DocumentKind, facility: str, expected: str
) -> None:
    bench.put(kind, ["A1"])
    bench.run(f"UPDATE {kind.header.name} SET ma_co_so = {facility}")  # noqa: S608

    assert bench.ledger.discover(kind, 100) == 1
    assert bench.row(kind, "A1").facility == expected


@only_sqlite
@each_kind
@pytest.mark.parametrize("malformed", ["NULL", "'31/02/2026'", "'2026-02-31'", "''", "20260314", "CAST(X'FF' AS TEXT)"])
def test_a_malformed_date_is_taken_up_as_none(bench: Bench, kind: DocumentKind, malformed: str) -> None:
    bench.put(kind, ["A1"])
    bench.run(f"UPDATE {kind.header.name} SET {kind.date_column} = {malformed}")  # noqa: S608

    assert bench.ledger.discover(kind, 100) == 1
    assert bench.row(kind, "A1").document_date is None


# ---- offer ----------------------------------------------------------------------------------------------


@each_kind
def test_what_is_due_longest_is_offered_first(bench: Bench, kind: DocumentKind) -> None:
    for code in ("C3", "A1", "B2"):
        bench.put(kind, [code])
        bench.ledger.discover(kind, 10)
        bench.clock.forward(seconds=1)
    bench.put(kind, ["Z2", "Z1"])
    bench.ledger.discover(kind, 10)

    assert bench.offer(kind, 2) == ["C3", "A1"]
    assert bench.offer(kind) == ["B2", "Z1", "Z2"]
    assert bench.offer(kind) == []


@each_kind
def test_no_facility_waits_behind_the_backlog_of_another(bench: Bench, kind: DocumentKind) -> None:
    """P7: each one's oldest first, then each one's second."""
    bench.put(kind, [f"BIG{number:02}" for number in range(50)], ma_co_so="CS-BIG")
    bench.ledger.discover(kind, 100)
    bench.clock.forward(seconds=1)
    bench.put(kind, ["SMALL1", "SMALL2"], ma_co_so="CS-SMALL")
    bench.put(kind, ["NOBODY"], ma_co_so=None)
    bench.ledger.discover(kind, 100)

    assert bench.offer(kind, 6) == ["BIG00", "NOBODY", "SMALL1", "BIG01", "SMALL2", "BIG02"]


@each_kind
def test_a_paused_facility_is_passed_over_until_its_pause_ends_and_no_other_is(
    bench: Bench, kind: DocumentKind
) -> None:
    """P7."""
    bench.put(kind, ["PAUSED"], ma_co_so="CS01")
    bench.put(kind, ["FREE"], ma_co_so="CS02")
    bench.ledger.discover(kind, 10)
    circuits = SqlCircuits(bench.engine, bench.clock)
    circuits.open("CS01", until=bench.clock.now() + LATER, reason="sai mật khẩu", level=0)

    assert bench.offer(kind) == ["FREE"]
    assert bench.ledger.status(kind).oldest_due_at is None  # nobody is late
    bench.clock.forward(hours=1)
    assert bench.ledger.status(kind).oldest_due_at is not None
    assert "PAUSED" in bench.offer(kind)


@each_kind
def test_a_clock_that_was_set_back_makes_no_document_wait_for_it(bench: Bench, kind: DocumentKind) -> None:
    """P1: what was written in the future is due."""
    bench.clock.forward(days=400)
    bench.queue(kind, ["QUEUED"])
    bench.bring(kind, "WAITING", State.WAITING)
    bench.bring(kind, "SENDING", State.SENDING)
    bench.clock.forward(days=-400)

    assert bench.offer(kind) == ["QUEUED", "WAITING"]
    assert [each.code for each in bench.take_over(kind)] == ["SENDING"]


@each_kind
def test_a_clock_a_little_behind_another_machines_does_not_offer_early(bench: Bench, kind: DocumentKind) -> None:
    bench.queue(kind, ["A1"])
    bench.clock.forward(minutes=-4)

    assert bench.offer(kind) == []


@each_kind
def test_one_offer_is_of_one_kind(bench: Bench, kind: DocumentKind) -> None:
    for each in ALL_KINDS:
        bench.put(each, ["SAME", f"of-{each.name}"])
        bench.ledger.discover(each, 10)

    bench.offer(kind)

    due = {each.name: bench.row(each, "SAME").due_at - bench.clock.now() for each in ALL_KINDS}
    assert due == {each.name: REOFFER if each is kind else timedelta() for each in ALL_KINDS}


def test_one_offer_may_have_more_codes_than_one_statement_takes(bench: Bench) -> None:
    bench.put(PHIEU_NHAP, [f"A{number:04}" for number in range(2050)])
    bench.ledger.discover(PHIEU_NHAP, 3000)

    assert [len(bench.offer(PHIEU_NHAP, 2001)) for _ in range(3)] == [2001, 49, 0]


@each_kind
def test_an_offer_that_nobody_took_up_is_repeated_when_its_time_has_passed_and_not_before(
    bench: Bench, kind: DocumentKind
) -> None:
    """P1, P8: the message may be lost."""
    bench.queue(kind, ["A1"])
    reoffer_at = bench.clock.now() + REOFFER

    bench.clock.moment = reoffer_at - timedelta(microseconds=1)
    assert bench.offer(kind) == []
    bench.clock.moment = reoffer_at
    assert bench.offer(kind) == ["A1"]
    assert bench.row(kind, "A1").due_at == reoffer_at + REOFFER


@each_kind
@pytest.mark.parametrize("state", [State.WAITING, State.UNKNOWN])
def test_what_waits_is_queued_again_when_it_is_due_and_not_before(
    bench: Bench, kind: DocumentKind, state: State
) -> None:
    bench.bring(kind, "A1", state, attempts=3)
    bench.clock.forward(minutes=59)
    assert bench.offer(kind) == []
    bench.clock.forward(minutes=1)
    assert bench.offer(kind) == ["A1"]

    row = bench.row(kind, "A1")
    assert (row.state, row.attempts, row.revision) == (State.QUEUED, 3, 1)
    assert bool(row.uncertain) == (state is State.UNKNOWN)  # P5: offering it again makes nothing certain


@each_kind
@pytest.mark.parametrize("state", [State.SENDING, *sorted(CLOSED)])
def test_nothing_else_is_ever_offered(bench: Bench, kind: DocumentKind, state: State) -> None:
    bench.bring(kind, "A1", state)
    bench.bring(kind, "HELD", State.UNKNOWN, due_at=None)
    before = bench.everything()
    bench.clock.forward(days=400)

    assert bench.offer(kind) == []
    assert bench.everything() == before


@each_kind
def test_an_offer_does_not_touch_what_a_worker_claimed_meanwhile(bench: Bench, kind: DocumentKind) -> None:
    bench.put(kind, ["A1", "A2"])
    bench.ledger.discover(kind, 10)
    other = bench.another_process()
    expires_at = bench.clock.now() + CLAIM

    with between(bench.engine, lambda: other.claim(kind, ["A1"], "w", expires_at=expires_at)):
        bench.offer(kind)

    assert (bench.row(kind, "A1").state, bench.row(kind, "A1").due_at) == (State.SENDING, expires_at)
    assert bench.row(kind, "A2").due_at == bench.clock.now() + REOFFER


@each_kind
def test_a_withdrawn_offer_is_due_again_at_once(bench: Bench, kind: DocumentKind) -> None:
    bench.queue(kind, ["A1", "A2", "A3"])
    bench.claim(kind, ["A3"])
    claimed = bench.row(kind, "A3")

    bench.ledger.withdraw_offer(kind, ["A1", "A3"])

    assert bench.offer(kind) == ["A1"]
    assert bench.row(kind, "A3") == claimed


def test_more_offers_than_one_statement_takes_are_withdrawn(bench: Bench) -> None:
    codes = [f"A{number:04}" for number in range(1500)]
    bench.queue(PHIEU_NHAP, codes)

    bench.ledger.withdraw_offer(PHIEU_NHAP, codes)

    assert bench.ledger.count_offered(PHIEU_NHAP, 5000) == 0


@each_kind
def test_only_what_lies_on_the_queue_counts_as_offered(bench: Bench, kind: DocumentKind) -> None:
    for state in State:
        bench.bring(kind, state, state)
    bench.queue(kind, [f"Q{number}" for number in range(4)])
    bench.put(kind, ["NEW"])
    bench.ledger.discover(kind, 10)
    other = next(each for each in ALL_KINDS if each is not kind)
    bench.queue(other, ["OTHER"])

    assert bench.ledger.count_offered(kind, 100) == 5
    assert bench.ledger.count_offered(kind, 3) == 3
    bench.clock.forward(minutes=5)
    assert bench.ledger.count_offered(kind, 100) == 0


# ---- claim, begin_send, release -------------------------------------------------------------------------


@each_kind
def test_a_claim_says_what_is_known_of_the_delivery(bench: Bench, kind: DocumentKind) -> None:
    first_seen_at = bench.clock.now()
    bench.bring(kind, "A1", State.UNKNOWN, attempts=2)
    bench.clock.forward(hours=2)
    bench.offer(kind)

    assert bench.claim(kind, ["A1", "NOWHERE"]) == [
        Claimed("A1", "CS01", 1, Standing(2, True), first_seen_at, deaths=0, sent=False)
    ]
    row = bench.row(kind, "A1")
    assert (row.state, row.claim_token, row.due_at) == (State.SENDING, "worker", bench.clock.now() + CLAIM)


@each_kind
@pytest.mark.parametrize("state", [state for state in State if state is not State.QUEUED])
def test_only_a_queued_delivery_can_be_claimed(bench: Bench, kind: DocumentKind, state: State) -> None:
    """P2, P4."""
    bench.bring(kind, "A1", state)
    before = bench.everything()

    assert bench.claim(kind, ["A1"], "another") == []
    assert bench.everything() == before


@each_kind
def test_a_claim_does_not_reach_another_kind(bench: Bench, kind: DocumentKind) -> None:
    for each in ALL_KINDS:
        bench.queue(each, ["SAME"])

    bench.claim(kind, ["SAME"])

    states = {each.name: bench.row(each, "SAME").state for each in ALL_KINDS}
    assert states == {each.name: State.SENDING if each is kind else State.QUEUED for each in ALL_KINDS}


@each_kind
def test_two_workers_never_claim_the_same_document(bench: Bench, kind: DocumentKind) -> None:
    """P2."""
    codes = [f"A{number:03}" for number in range(200)]
    bench.queue(kind, codes)
    ledgers = {"one": bench.ledger, "two": bench.another_process()}
    expires_at = bench.clock.now() + CLAIM

    def claim_in_bites(token: str) -> list[str]:
        bites = [codes[start : start + 10] for start in range(0, len(codes), 10)]
        return [each.code for bite in bites for each in ledgers[token].claim(kind, bite, token, expires_at=expires_at)]

    one, two = at_once(lambda: claim_in_bites("one"), lambda: claim_in_bites("two"))

    assert sorted(one + two) == codes
    assert {code: bench.row(kind, code).claim_token for code in codes} == {
        **dict.fromkeys(one, "one"),
        **dict.fromkeys(two, "two"),
    }


@each_kind
def test_sending_begins_only_under_a_claim_that_lives(bench: Bench, kind: DocumentKind) -> None:
    """P2: one claim lives, one is somebody else's, one was taken over, one document was never claimed."""
    bench.queue(kind, ["MINE", "OTHERS", "LOST", "QUEUED"])
    bench.claim(kind, ["LOST"])
    bench.begin_send(kind, ["LOST"])
    bench.clock.forward(minutes=2)
    bench.take_over(kind)
    bench.claim(kind, ["MINE"])
    bench.claim(kind, ["OTHERS"], "another")
    before = {code: bench.row(kind, code) for code in ("OTHERS", "LOST", "QUEUED")}

    assert bench.begin_send(kind, ["MINE", "OTHERS", "LOST", "QUEUED"]) == {"MINE"}

    assert bench.row(kind, "MINE").sent_at == bench.clock.now()
    assert {code: bench.row(kind, code) for code in before} == before


@each_kind
def test_sending_does_not_begin_under_an_expired_claim(bench: Bench, kind: DocumentKind) -> None:
    """P2."""
    bench.queue(kind, ["OLD", "NEW"])
    bench.claim(kind, ["OLD"])
    bench.clock.forward(minutes=1)
    bench.claim(kind, ["NEW"])
    bench.clock.forward(minutes=1)  # the first has expired this instant

    assert bench.begin_send(kind, ["OLD", "NEW"]) == {"NEW"}
    assert bench.begin_send(kind, ["OLD"]) == set()
    assert bench.row(kind, "OLD").sent_at is None


@each_kind
def test_beginning_to_send_renews_the_claim(bench: Bench, kind: DocumentKind) -> None:
    bench.queue(kind, ["A1"])
    bench.claim(kind, ["A1"])
    bench.clock.forward(seconds=119)

    assert bench.begin_send(kind, ["A1"]) == {"A1"}

    assert bench.row(kind, "A1").due_at == bench.clock.now() + CLAIM
    bench.clock.forward(seconds=119)
    assert bench.take_over(kind) == []


@each_kind
def test_only_what_was_never_sent_is_given_back(bench: Bench, kind: DocumentKind) -> None:
    """P5."""
    bench.queue(kind, ["SENT", "UNSENT", "OTHERS"])
    bench.claim(kind, ["SENT", "UNSENT"])
    bench.claim(kind, ["OTHERS"], "another")
    bench.begin_send(kind, ["SENT"])
    before = {code: bench.row(kind, code) for code in ("SENT", "OTHERS")}
    bench.clock.forward(seconds=1)

    assert bench.ledger.release(kind, ["SENT", "UNSENT", "OTHERS", "NOWHERE"], "worker") == 1

    row = bench.row(kind, "UNSENT")
    assert (row.state, row.claim_token, row.due_at) == (State.QUEUED, None, bench.clock.now())
    assert {code: bench.row(kind, code) for code in before} == before


@each_kind
def test_what_was_noted_as_sent_is_given_back_when_its_holder_knows_better(bench: Bench, kind: DocumentKind) -> None:
    bench.queue(kind, ["NOTED", "OTHERS"])
    bench.claim(kind, ["NOTED"])
    bench.claim(kind, ["OTHERS"], "another")
    for code, token in (("NOTED", "worker"), ("OTHERS", "another")):
        bench.begin_send(kind, [code], token)
    others = bench.row(kind, "OTHERS")

    assert bench.ledger.release(kind, ["NOTED", "OTHERS"], "worker", noted=True) == 1

    row = bench.row(kind, "NOTED")
    assert (row.state, row.claim_token, row.sent_at, row.deaths) == (State.QUEUED, None, None, 0)
    assert bench.row(kind, "OTHERS") == others


@each_kind
def test_a_claim_can_be_given_back_for_later(bench: Bench, kind: DocumentKind) -> None:
    bench.queue(kind, ["A1"])
    bench.claim(kind, ["A1"])

    assert bench.ledger.release(kind, ["A1"], "worker", due_at=bench.clock.now() + LATER) == 1

    bench.clock.forward(minutes=59)
    assert bench.offer(kind) == []
    bench.clock.forward(minutes=1)
    assert bench.offer(kind) == ["A1"]


# ---- settle ---------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("state", sorted(SOURCE_STATUS))
def test_settling_writes_ledger_source_and_log_together(bench: Bench, kind: DocumentKind, state: State) -> None:
    bench.queue(kind, ["A1", "UNTOUCHED"])
    untouched = bench.source_row(kind, "UNTOUCHED")
    bench.claim(kind, ["A1"])
    bench.begin_send(kind, ["A1"])
    bench.clock.forward(seconds=3)
    settlement = bench.settlement(kind, "A1", state, attempts=4, note="14/03/2026 ghi chú", sha="f" * 64)

    assert bench.ledger.settle(kind, [settlement], "worker") == {"A1"}

    known = bench.ledger.get(kind, "A1")
    decision, problem = settlement.decision, settlement.decision.problem
    assert known is not None
    assert (known.state, known.attempts, known.uncertain, known.due_at) == (
        state,
        4,
        decision.uncertain,
        decision.due_at,
    )
    assert (known.error_code, known.error_message) == ((problem.code, problem.message) if problem else (None, None))
    assert (known.national_code, known.payload_sha256) == (decision.national_code, "f" * 64)
    assert (known.updated_at, known.finished_at) == (bench.clock.now(), bench.clock.now() if state in CLOSED else None)
    row = bench.row(kind, "A1")
    assert (row.claim_token, row.sent_at) == (None, None)

    source = bench.source_row(kind, "A1")
    assert (source.status_phieu, source.note_log) == (SOURCE_STATUS[state], "14/03/2026 ghi chú")
    assert bench.source_row(kind, "UNTOUCHED") == untouched
    with bench.engine.connect() as connection:
        written = connection.scalar(select(kind.national_code).where(kind.code == "A1"))
    assert written == decision.national_code
    assert bench.gateway.attempt_log.of_document(kind.name, "A1") == [settlement.attempt]


@each_kind
def test_an_acceptance_without_a_national_code_keeps_the_one_that_is_known(bench: Bench, kind: DocumentKind) -> None:
    bench.bring(kind, "A1", State.ACCEPTED, sha="a" * 64)
    bench.ask_again(kind, "A1", 0)
    bench.ledger.discover(kind, 1)
    bench.claim(kind, ["A1"])
    bench.begin_send(kind, ["A1"])

    bench.ledger.settle(kind, [bench.settlement(kind, "A1", State.ACCEPTED, national_code=None)], "worker")

    known = bench.ledger.get(kind, "A1")
    assert known is not None
    assert (known.state, known.national_code, known.payload_sha256) == (State.ACCEPTED, "QG-A1", "a" * 64)
    with bench.engine.connect() as connection:
        assert connection.scalar(select(kind.national_code)) == "QG-A1"


@each_kind
def test_a_delivery_is_known_by_the_facility_it_was_sent_for(bench: Bench, kind: DocumentKind) -> None:
    """The source may have corrected it since the document was discovered."""
    bench.bring(kind, "A1", State.SENDING)
    settlement = bench.settlement(kind, "A1", State.ACCEPTED)
    settlement = replace(settlement, attempt=replace(settlement.attempt, facility="CS09"))

    bench.ledger.settle(kind, [settlement], "worker")

    assert bench.row(kind, "A1").facility == "CS09"


@each_kind
def test_one_settling_of_mixed_outcomes_writes_each_its_own(bench: Bench, kind: DocumentKind) -> None:
    outcomes = {f"A{number:03}": sorted(SOURCE_STATUS)[number % len(SOURCE_STATUS)] for number in range(100)}
    codes = list(outcomes)
    bench.queue(kind, codes)
    bench.claim(kind, codes)
    bench.begin_send(kind, codes)

    settled = [bench.settlement(kind, code, state, note=f"note {code}") for code, state in outcomes.items()]
    assert bench.ledger.settle(kind, settled, "worker") == set(codes)

    assert {code: bench.row(kind, code).state for code in codes} == outcomes
    for code, state in outcomes.items():
        source = bench.source_row(kind, code)
        assert (source.status_phieu, source.note_log) == (SOURCE_STATUS[state], f"note {code}")
    assert bench.gateway.attempt_log.count() == 100


@each_kind
def test_settling_without_the_claim_changes_nothing_but_the_log(bench: Bench, kind: DocumentKind) -> None:
    """P3: a wrong token, a document in no claim, one that the ledger does not know."""
    bench.bring(kind, "A1", State.SENDING)
    bench.queue(kind, ["QUEUED"])
    before = bench.everything()
    bench.clock.forward(seconds=9)
    codes = {"A1", "QUEUED", "NOWHERE"}

    settlements = [bench.settlement(kind, code, State.ACCEPTED) for code in codes]
    assert bench.ledger.settle(kind, settlements, "stranger") == set()

    assert bench.everything_but_the_log() == {**before, "hermes_attempt": []}
    assert {each.code for each in bench.late_answers()} == codes


@each_kind
def test_settling_after_the_claim_was_taken_over_changes_nothing_but_the_log(bench: Bench, kind: DocumentKind) -> None:
    """P3."""
    bench.bring(kind, "A1", State.SENDING)
    bench.clock.forward(minutes=2)
    assert [each.code for each in bench.take_over(kind)] == ["A1"]
    before = bench.everything()
    late = bench.settlement(kind, "A1", State.ACCEPTED)

    assert bench.ledger.settle(kind, [late], "worker") == set()

    assert bench.everything_but_the_log() == {**before, "hermes_attempt": []}
    assert [(each.id, each.record["response"]) for each in bench.late_answers()] == [(late.attempt.id, {"status": 200})]
    assert bench.ledger.settle(kind, [bench.settlement(kind, "A1", State.UNKNOWN)], "rescuer") == {"A1"}


@each_kind
def test_settling_twice_writes_once_and_counts_as_written(bench: Bench, kind: DocumentKind) -> None:
    """P3: a transaction whose commit went unnoticed is repeated."""
    bench.bring(kind, "A1", State.SENDING)
    settlement = bench.settlement(kind, "A1", State.ACCEPTED)
    bench.ledger.settle(kind, [settlement], "worker")
    before = bench.everything()

    assert bench.ledger.settle(kind, [settlement], "worker") == {"A1"}
    assert bench.everything() == before


@each_kind
def test_a_lost_claim_among_others_leaves_the_others_settled(bench: Bench, kind: DocumentKind) -> None:
    """P3, P7."""
    bench.bring(kind, "LOST", State.SENDING)
    bench.clock.forward(minutes=2)
    bench.take_over(kind)
    bench.bring(kind, "MINE", State.SENDING)
    lost, source = bench.row(kind, "LOST"), bench.source_row(kind, "LOST")

    settlements = [bench.settlement(kind, code, State.ACCEPTED) for code in ("LOST", "MINE")]
    assert bench.ledger.settle(kind, settlements, "worker") == {"MINE"}

    assert bench.row(kind, "MINE").state == State.ACCEPTED
    assert (bench.row(kind, "LOST"), bench.source_row(kind, "LOST")) == (lost, source)
    assert [each.code for each in bench.late_answers()] == ["LOST"]


def test_settling_nothing_is_no_error(bench: Bench) -> None:
    assert bench.ledger.settle(PHIEU_NHAP, [], "worker") == set()


@each_kind
@pytest.mark.parametrize("place", ["delivery", "source", "attempt"])
def test_a_failure_while_settling_rolls_all_back(bench: Bench, kind: DocumentKind, place: str) -> None:
    codes = ["A1", "A2", "A3"]
    bench.queue(kind, codes)
    bench.claim(kind, codes)
    bench.begin_send(kind, codes)
    table, code, verb = {
        "delivery": ("hermes_delivery", "code", "UPDATE"),
        "source": (kind.header.name, kind.code_column, "UPDATE"),
        "attempt": ("hermes_attempt", "code", "INSERT"),
    }[place]
    # Not by the UPDATE that looks whose claim lives.
    changed = " AND NOT {row}.state = 'sending'" if place == "delivery" else ""
    refuse(bench.engine, table, verb, f"{{row}}.{code} = 'A2'{changed}", "refused here")
    before = bench.everything()
    settlements = [bench.settlement(kind, code, State.ACCEPTED) for code in codes]

    with pytest.raises(RowRefused, match="refused here"):
        bench.ledger.settle(kind, settlements, "worker")

    assert bench.everything() == before
    bench.run("DROP TRIGGER refuse")
    assert bench.ledger.settle(kind, settlements, "worker") == set(codes)


def test_notes_and_national_codes_are_cut_to_what_the_source_columns_hold(bench: Bench) -> None:
    replace_header(bench.engine, HOA_DON)
    bench.run(
        "CREATE TABLE HoaDonHeader (ma_hoa_don NVARCHAR(50) PRIMARY KEY, ma_hoa_don_quoc_gia NVARCHAR(10),"
        " ma_co_so NVARCHAR(50), ma_don_thuoc_quoc_gia NVARCHAR(250), ngay_ban DATE, ho_ten_khach_hang NVARCHAR(255),"
        " ho_ten_nguoi_ban NVARCHAR(255), status_phieu INT, note_log NVARCHAR(20))"
    )
    bench.bring(HOA_DON, "A1", State.ACCEPTED, national_code="QG-0123456789", note="Đối tác đã nhận hóa đơn này")

    with bench.engine.connect() as connection:
        row = connection.execute(text("SELECT ma_hoa_don_quoc_gia, note_log FROM HoaDonHeader")).one()
    assert tuple(row) == ("QG-0123456", "Đối tác đã nhận hóa ")
    assert bench.row(HOA_DON, "A1").national_code == "QG-0123456789"


# ---- rescue ---------------------------------------------------------------------------------------------


@each_kind
def test_expired_claims_are_told_apart_by_whether_anything_was_sent(bench: Bench, kind: DocumentKind) -> None:
    """P1, P5."""
    seen_at = bench.clock.now()
    bench.queue(kind, ["SENT", "UNSENT", "LIVE-SENT", "LIVE-UNSENT"])
    bench.claim(kind, ["SENT", "UNSENT"])
    bench.begin_send(kind, ["SENT"])
    bench.clock.forward(minutes=2)
    bench.claim(kind, ["LIVE-SENT", "LIVE-UNSENT"])
    bench.begin_send(kind, ["LIVE-SENT"])
    live = [bench.row(kind, code) for code in ("LIVE-SENT", "LIVE-UNSENT")]

    assert bench.ledger.release_expired(kind) == 1
    assert bench.take_over(kind) == [Claimed("SENT", "CS01", 1, Standing(0, False), seen_at, deaths=1, sent=True)]

    row = bench.row(kind, "UNSENT")
    assert (row.state, row.claim_token, row.due_at) == (State.QUEUED, None, bench.clock.now())
    row = bench.row(kind, "SENT")
    assert (row.state, row.claim_token, row.due_at) == (State.SENDING, "rescuer", bench.clock.now() + CLAIM)
    assert [bench.row(kind, code) for code in ("LIVE-SENT", "LIVE-UNSENT")] == live
    assert (bench.ledger.release_expired(kind), bench.take_over(kind)) == (0, [])


@each_kind
@pytest.mark.parametrize("state", [state for state in State if state is not State.SENDING])
def test_rescue_touches_nothing_that_is_not_being_sent(bench: Bench, kind: DocumentKind, state: State) -> None:
    bench.bring(kind, "A1", state)
    bench.clock.forward(days=30)
    before = bench.everything()

    assert (bench.ledger.release_expired(kind), bench.take_over(kind)) == (0, [])
    assert bench.everything() == before


@each_kind
def test_rescue_of_one_kind_leaves_the_others(bench: Bench, kind: DocumentKind) -> None:
    for each in ALL_KINDS:
        bench.queue(each, ["SENT", "UNSENT"])
        bench.claim(each, ["SENT", "UNSENT"])
        bench.begin_send(each, ["SENT"])
    bench.clock.forward(minutes=2)

    assert (bench.ledger.release_expired(kind), len(bench.take_over(kind))) == (1, 1)

    untouched = [each for each in ALL_KINDS if each is not kind]
    assert [bench.row(each, code).claim_token for each in untouched for code in ("SENT", "UNSENT")] == ["worker"] * 4


@each_kind
def test_what_was_never_sent_is_released_and_not_taken_over(bench: Bench, kind: DocumentKind) -> None:
    """P5: it is certain that the partner has not seen it."""
    bench.queue(kind, ["UNSENT"])
    bench.claim(kind, ["UNSENT"])
    bench.clock.forward(minutes=2)

    assert bench.take_over(kind) == []
    assert bench.row(kind, "UNSENT").claim_token == WORKER
    assert bench.ledger.release_expired(kind) == 1


@each_kind
def test_a_take_over_is_bounded_and_starts_with_the_oldest(bench: Bench, kind: DocumentKind) -> None:
    for code in ("C3", "A1", "B2"):
        bench.bring(kind, code, State.SENDING)
        bench.clock.forward(seconds=1)
    bench.clock.forward(minutes=2)

    assert {each.code for each in bench.take_over(kind, limit=2)} == {"C3", "A1"}
    assert {each.code for each in bench.take_over(kind, "another", limit=2)} == {"B2"}


@each_kind
def test_a_document_that_processes_keep_dying_with_goes_alone_and_then_no_more(
    bench: Bench, kind: DocumentKind
) -> None:
    """P1, P7: it may be what kills them."""
    bench.queue(kind, ["DEADLY", "HARMLESS"])
    bench.claim(kind, ["HARMLESS"])
    bench.ledger.release(kind, ["HARMLESS"], "worker")
    for died in range(MOST_DEATHS - 1):
        bench.claim(kind, ["DEADLY"])
        bench.clock.forward(minutes=2)
        assert bench.ledger.release_expired(kind) == 1
        due = bench.ledger.offer_due(kind, 10, reoffer_at=bench.clock.now())
        assert sorted((each.code, each.alone) for each in due) == [("DEADLY", True), ("HARMLESS", False)], died
    bench.claim(kind, ["DEADLY"])
    bench.clock.forward(minutes=2)

    assert bench.ledger.release_expired(kind) == 0
    assert [(each.code, each.deaths, each.sent) for each in bench.take_over(kind)] == [("DEADLY", MOST_DEATHS, False)]


@each_kind
def test_an_answer_ends_the_count_of_deaths(bench: Bench, kind: DocumentKind) -> None:
    bench.queue(kind, ["A1"])
    bench.claim(kind, ["A1"])
    bench.clock.forward(minutes=2)
    bench.ledger.release_expired(kind)
    bench.claim(kind, ["A1"])
    bench.begin_send(kind, ["A1"])
    bench.ledger.settle(kind, [bench.settlement(kind, "A1", State.WAITING)], "worker")

    assert bench.row(kind, "A1").deaths == 0


@each_kind
def test_what_was_released_cannot_be_taken_over_nor_settled_by_its_old_holder(bench: Bench, kind: DocumentKind) -> None:
    """P2, P3."""
    bench.queue(kind, ["A1"])
    bench.claim(kind, ["A1"])
    bench.clock.forward(minutes=2)
    bench.ledger.release_expired(kind)

    assert bench.take_over(kind) == []
    assert bench.begin_send(kind, ["A1"]) == set()
    assert bench.ledger.settle(kind, [bench.settlement(kind, "A1", State.ACCEPTED)], "worker") == set()


@each_kind
def test_two_rescuers_at_once_take_over_each_claim_once(bench: Bench, kind: DocumentKind) -> None:
    """P2."""
    codes = [f"A{number:03}" for number in range(60)]
    bench.queue(kind, codes)
    bench.claim(kind, codes)
    bench.begin_send(kind, codes)
    bench.clock.forward(minutes=2)
    ledgers = {"one": bench.ledger, "two": bench.another_process()}
    expires_at = bench.clock.now() + CLAIM

    def rescue(token: str) -> list[str]:
        taken: list[str] = []
        for _ in range(len(codes)):
            taken += [
                each.code
                for each in ledgers[token].take_over_expired(kind, token, limit=7, expires_at=expires_at)
                if each.code not in taken
            ]
        return taken

    one, two = at_once(lambda: rescue("one"), lambda: rescue("two"))

    assert sorted(one + two) == codes


@each_kind
def test_a_claim_renewed_in_the_last_instant_is_not_taken_over(bench: Bench, kind: DocumentKind) -> None:
    """P2: a rescuer has seen it expired by its own clock; the holder settled before the rescuer could write."""
    bench.bring(kind, "A1", State.SENDING)
    other = bench.another_process()
    settlement = bench.settlement(kind, "A1", State.ACCEPTED)
    bench.clock.forward(minutes=2)

    with between(bench.engine, lambda: other.settle(kind, [settlement], "worker")):
        assert bench.take_over(kind) == []

    assert bench.row(kind, "A1").state == State.ACCEPTED


# ---- operators ------------------------------------------------------------------------------------------

SELECTIONS = [
    pytest.param({}, {"P", "Q", "R", "S"}, id="everything"),
    pytest.param({"kind": "phieu_nhap"}, {"P", "Q"}, id="kind"),
    pytest.param({"kind": "phieu_nhap", "codes": ("P", "R", "NOWHERE")}, {"P"}, id="codes"),
    pytest.param({"state": State.WAITING}, {"P", "R"}, id="state"),
    pytest.param({"error_code": "timeout"}, {"Q", "S"}, id="error_code"),
    pytest.param({"facility": "CS02"}, {"Q", "R"}, id="facility"),
    pytest.param({"date_from": date(2026, 3, 3)}, {"R", "S"}, id="date_from"),
    pytest.param({"date_to": date(2026, 3, 2)}, {"P", "Q"}, id="date_to"),
    pytest.param({"date_from": date(2026, 3, 2), "date_to": date(2026, 3, 3)}, {"Q", "R"}, id="dates"),
    pytest.param({"facility": "CS02", "state": State.UNKNOWN}, {"Q"}, id="two-fields"),
    pytest.param({"facility": "CS99"}, set(), id="nothing"),
]


@pytest.fixture
def population(bench: Bench) -> dict[str, DocumentKind]:
    """Four deliveries that can be retried and parked, told apart by each field; and one that can be neither."""
    receipt, issue, invoice = ALL_KINDS
    timeout = Problem(ErrorCode.TIMEOUT, "không trả lời")
    rows: list[tuple[DocumentKind, str, State, str, int, dict[str, Any]]] = [
        (receipt, "P", State.WAITING, "CS01", 1, {}),
        (receipt, "Q", State.UNKNOWN, "CS02", 2, {"problem": timeout}),
        (issue, "R", State.WAITING, "CS02", 3, {}),
        (invoice, "S", State.UNKNOWN, "CS03", 4, {"problem": timeout}),
        (invoice, "T", State.SENDING, "CS02", 2, {}),
    ]
    for kind, code, state, facility, day, decision in rows:
        at = datetime(2026, 3, day, 23, 59) if kind is receipt else date(2026, 3, day)  # noqa: DTZ001
        bench.bring(kind, code, state, columns={"ma_co_so": facility, kind.date_column: at}, **decision)
    bench.clock.forward(minutes=1)
    return {code: kind for kind, code, *_ in rows}


@pytest.mark.parametrize(("fields", "expected"), SELECTIONS)
def test_a_retry_moves_what_was_selected_and_nothing_else(
    bench: Bench, population: dict[str, DocumentKind], fields: dict[str, Any], expected: set[str]
) -> None:
    selection = Selection(**fields)
    before = {code: bench.row(kind, code) for code, kind in population.items()}

    assert bench.ledger.count(selection, OPERATOR_RETRY) == len(expected)
    assert bench.ledger.requeue(selection, OPERATOR_RETRY, who="lan", why="thử lại") == len(expected)

    for code, kind in population.items():
        row = bench.row(kind, code)
        if code in expected:
            assert (row.state, row.attempts, row.due_at) == (State.QUEUED, 0, bench.clock.now())
        else:
            assert row == before[code]
    assert {row.code for row in bench.audited()} == expected


@pytest.mark.parametrize(("fields", "expected"), SELECTIONS)
def test_parking_moves_what_was_selected_and_nothing_else(
    bench: Bench, population: dict[str, DocumentKind], fields: dict[str, Any], expected: set[str]
) -> None:
    selection = Selection(**fields)
    before = {code: (bench.row(kind, code), bench.source_row(kind, code)) for code, kind in population.items()}

    assert bench.ledger.count(selection, OPERATOR_PARK) == len(expected)
    assert bench.ledger.park(selection, who="lan", why="chờ", note="Tạm gác bởi lan: chờ") == len(expected)

    for code, kind in population.items():
        row, source = bench.row(kind, code), bench.source_row(kind, code)
        if code in expected:
            assert (row.state, row.due_at, row.finished_at) == (State.PARKED, None, bench.clock.now())
            assert (row.error_code, row.error_message) == (ErrorCode.PARKED_BY_OPERATOR, "Tạm gác bởi lan: chờ")
            assert (source.status_phieu, source.note_log) == (3, "Tạm gác bởi lan: chờ")
        else:
            assert (row, source) == before[code]
    assert {row.code for row in bench.audited()} == expected


@pytest.mark.parametrize(("fields", "expected"), SELECTIONS)
def test_a_page_lists_what_was_selected_in_order_of_kind_and_code(
    bench: Bench, population: dict[str, DocumentKind], fields: dict[str, Any], expected: set[str]
) -> None:
    listed = bench.ledger.page(Selection(**fields), ("", ""), 100)

    assert {each.code for each in listed if each.state is not State.SENDING} == expected
    assert [(each.kind, each.code) for each in listed] == sorted((each.kind, each.code) for each in listed)
    assert listed == [bench.ledger.get(population[each.code], each.code) for each in listed]


def test_pages_follow_each_other_without_gap_or_repeat(bench: Bench) -> None:
    for kind in ALL_KINDS:
        bench.queue(kind, [f"A{number}" for number in range(5)])
    listed: list[tuple[str, str]] = []
    after = ("", "")
    while page := bench.ledger.page(Selection(), after, 4):
        assert len(page) <= 4
        listed += [(each.kind, each.code) for each in page]
        after = listed[-1]

    assert listed == sorted((kind.name, f"A{number}") for kind in ALL_KINDS for number in range(5))


@each_kind
@pytest.mark.parametrize(
    ("state", "uncertain", "revision"),
    [
        (State.WAITING, False, 1),
        (State.UNKNOWN, True, 1),
        (State.REJECTED, False, 2),
        (State.REJECTED, True, 1),
        (State.PARKED, False, 1),
        (State.PARKED, True, 1),
    ],
)
def test_a_retry_starts_a_fresh_schedule_under_the_right_revision(
    bench: Bench, kind: DocumentKind, state: State, uncertain: bool, revision: int
) -> None:
    """P5: what may have arrived is sent again under the same idempotency key."""
    bench.bring(kind, "A1", state, uncertain=uncertain, attempts=5)

    assert bench.ledger.requeue(Selection(kind=kind.name), OPERATOR_RETRY, who="lan", why="") == 1

    row = bench.row(kind, "A1")
    assert (row.state, row.attempts, row.revision, bool(row.uncertain)) == (State.QUEUED, 0, revision, uncertain)
    assert row.finished_at is None


@each_kind
@pytest.mark.parametrize("state", [State.QUEUED, State.SENDING, State.ACCEPTED])
def test_a_retry_moves_neither_what_is_under_way_nor_what_was_accepted(
    bench: Bench, kind: DocumentKind, state: State
) -> None:
    """P2, P4."""
    bench.bring(kind, "A1", state)
    before = bench.everything()

    assert bench.ledger.requeue(Selection(), OPERATOR_RETRY, who="lan", why="") == 0
    assert bench.everything() == before


@each_kind
def test_an_accepted_document_is_sent_again_as_a_new_revision_when_an_operator_asks(
    bench: Bench, kind: DocumentKind
) -> None:
    """P4."""
    bench.bring(kind, "A1", State.ACCEPTED)
    selection = Selection(kind=kind.name, codes=("A1",), state=State.ACCEPTED)

    assert bench.ledger.requeue(selection, OPERATOR_RESEND, who="lan", why="đối tác mất dữ liệu") == 1
    row = bench.row(kind, "A1")
    assert (row.state, row.revision, row.national_code) == (State.QUEUED, 2, "QG-A1")


@each_kind
@pytest.mark.parametrize("state", [State.SENDING, *sorted(CLOSED)])
def test_what_is_being_sent_or_settled_for_good_cannot_be_parked(
    bench: Bench, kind: DocumentKind, state: State
) -> None:
    """P2: only the holder of the claim decides what becomes of it."""
    bench.bring(kind, "A1", state)
    before = bench.everything()

    assert bench.ledger.park(Selection(), who="lan", why="", note="gác") == 0
    assert bench.everything() == before


@each_kind
def test_a_parked_document_stays_parked_until_an_operator_retries_it(bench: Bench, kind: DocumentKind) -> None:
    bench.queue(kind, ["A1"])
    bench.ledger.park(Selection(), who="lan", why="", note="gác")
    bench.clock.forward(days=9)

    assert bench.ledger.discover(kind, 10) == 0
    assert bench.offer(kind) == []
    assert bench.claim(kind, ["A1"]) == []
    assert bench.ledger.requeue(Selection(), OPERATOR_RETRY, who="lan", why="") == 1
    assert [each.code for each in bench.claim(kind, ["A1"])] == ["A1"]


@each_kind
def test_every_operation_is_audited_with_who_and_why(bench: Bench, kind: DocumentKind) -> None:
    bench.queue(kind, ["A1", "A2"])
    parked_at = bench.clock.now()
    bench.ledger.park(Selection(codes=("A1", "A2")), who="lan", why="chờ lô mới", note="gác")
    retried_at = bench.clock.forward(hours=1)
    bench.ledger.requeue(Selection(codes=("A1",)), OPERATOR_RETRY, who="minh", why="đã sửa")

    assert bench.ledger.audit_of(kind, "A1") == [
        {"at": parked_at, "who": "lan", "action": "park", "why": "chờ lô mới"},
        {"at": retried_at, "who": "minh", "action": "retry", "why": "đã sửa"},
    ]
    assert [entry["action"] for entry in bench.ledger.audit_of(kind, "A2")] == ["park"]
    assert bench.ledger.audit_of(kind, "A3") == []
    first, second = (next(r for r in bench.audited() if r.code == code and r.action == "park") for code in ("A1", "A2"))
    assert first.operation_id == second.operation_id
    assert len({row.id for row in bench.audited()}) == 3


@each_kind
def test_a_document_claimed_in_the_meantime_is_neither_parked_nor_audited_nor_noted(
    bench: Bench, kind: DocumentKind
) -> None:
    """P2, P3: a worker was faster than the operator."""
    bench.queue(kind, ["A1", "A2", "A3"])
    other = bench.another_process()

    def claim_one() -> None:
        bench.clock.forward(milliseconds=1)
        other.claim(kind, ["A2"], "worker", expires_at=bench.clock.now() + CLAIM)

    with between(bench.engine, claim_one):
        assert bench.ledger.park(Selection(), who="lan", why="", note="gác") == 2

    assert {row.code for row in bench.audited()} == {"A1", "A3"}
    assert bench.row(kind, "A2").state == State.SENDING
    assert (bench.source_row(kind, "A2").status_phieu, bench.source_row(kind, "A2").note_log) == (0, None)
    assert bench.begin_send(kind, ["A2"]) == {"A2"}


@each_kind
def test_a_document_offered_in_the_meantime_is_not_audited_as_retried(bench: Bench, kind: DocumentKind) -> None:
    bench.bring(kind, "A1", State.WAITING)
    bench.bring(kind, "A2", State.WAITING, due_at=bench.clock.now() + timedelta(minutes=1))
    bench.clock.forward(minutes=2)
    other = bench.another_process()

    def offer_one() -> None:
        bench.clock.forward(milliseconds=1)
        assert len(other.offer_due(kind, 10, reoffer_at=bench.clock.now() + REOFFER)) == 1

    with between(bench.engine, offer_one):
        assert bench.ledger.requeue(Selection(), OPERATOR_RETRY, who="lan", why="") == 1

    assert {row.code for row in bench.audited()} == {"A1"}


def test_an_operation_reaches_more_documents_than_one_statement_takes(bench: Bench) -> None:
    bench.queue(PHIEU_NHAP, [f"A{number:04}" for number in range(2001)])

    assert bench.ledger.park(Selection(kind="phieu_nhap"), who="lan", why="", note="gác") == 2001
    assert len(bench.audited()) == 2001
    assert bench.ledger.status(PHIEU_NHAP).states == {State.PARKED: 2001}
    assert bench.ledger.requeue(Selection(kind="phieu_nhap"), OPERATOR_RETRY, who="lan", why="") == 2001


@each_kind
@pytest.mark.parametrize(
    ("transition", "national_code", "state"),
    [
        (RESOLVE_ACCEPTED, "QG-9", State.ACCEPTED),
        (RESOLVE_ACCEPTED, None, State.ACCEPTED),
        (RESOLVE_REJECTED, None, State.REJECTED),
    ],
)
def test_an_operator_can_say_what_became_of_an_unknown_document(
    bench: Bench, kind: DocumentKind, transition: Transition, national_code: str | None, state: State
) -> None:
    """P5."""
    for code in ("A1", "A2"):
        bench.bring(kind, code, State.UNKNOWN, due_at=None)
    other, source = bench.row(kind, "A2"), bench.source_row(kind, "A2")
    now = bench.clock.forward(hours=1)

    said = {"who": "lan", "why": "đã gọi điện", "note": "theo lan", "national_code": national_code}
    assert bench.ledger.resolve(kind, "A1", transition, **said)

    known = bench.ledger.get(kind, "A1")
    assert known is not None
    assert (known.state, known.uncertain, known.national_code) == (state, False, national_code)
    assert (known.due_at, known.finished_at) == (None, now)
    told = bench.source_row(kind, "A1")
    assert (told.status_phieu, told.note_log) == (SOURCE_STATUS[state], "theo lan")
    with bench.engine.connect() as connection:
        assert connection.scalar(select(kind.national_code).where(kind.code == "A1")) == national_code
    assert bench.ledger.audit_of(kind, "A1") == [{"at": now, "who": "lan", "action": "resolve", "why": "đã gọi điện"}]
    assert (bench.row(kind, "A2"), bench.source_row(kind, "A2")) == (other, source)
    assert bench.ledger.audit_of(kind, "A2") == []


@each_kind
@pytest.mark.parametrize("state", [state for state in State if state is not State.UNKNOWN])
def test_only_an_unknown_outcome_can_be_resolved(bench: Bench, kind: DocumentKind, state: State) -> None:
    """P3."""
    bench.bring(kind, "A1", state)
    before = bench.everything()

    for transition in (RESOLVE_ACCEPTED, RESOLVE_REJECTED):
        for code in ("A1", "NOWHERE"):
            assert not bench.ledger.resolve(kind, code, transition, who="lan", why="", note="", national_code="X")
    assert bench.everything() == before


# ---- reports --------------------------------------------------------------------------------------------


@each_kind
def test_status_counts_states_and_what_is_still_to_be_taken_up(bench: Bench, kind: DocumentKind) -> None:
    """P1: what waits is visible."""
    for number, state in enumerate(State):
        for copy in range(1 + number % 2):
            bench.bring(kind, f"{state}{copy}", state)
    bench.put(kind, ["NEW1", "NEW2"])
    bench.ask_again(kind, "accepted0", 0)

    status = bench.ledger.status(kind)

    assert status.kind == kind.name
    assert status.states == {state: 1 + number % 2 for number, state in enumerate(State)}
    assert (status.to_send, status.oldest_due_at, status.last_scan_at) == (3, None, None)


@each_kind
def test_status_tells_what_is_due_longest_and_when_the_last_scan_was(bench: Bench, kind: DocumentKind) -> None:
    due_since = bench.clock.now()
    bench.put(kind, ["A1"])
    bench.ledger.discover(kind, 1)
    bench.clock.forward(minutes=3)
    bench.put(kind, ["A2"])
    bench.ledger.discover(kind, 1)
    bench.ledger.beat(scan_heartbeat(kind))
    last_scan_at = bench.clock.forward(minutes=3)
    bench.ledger.beat(scan_heartbeat(kind))
    bench.clock.forward(minutes=3)

    status = bench.ledger.status(kind)

    assert (status.oldest_due_at, status.last_scan_at) == (due_since, last_scan_at)
    assert [bench.ledger.status(other).last_scan_at for other in ALL_KINDS if other is not kind] == [None, None]


@each_kind
def test_status_counts_the_workers_that_were_seen_lately(bench: Bench, kind: DocumentKind) -> None:
    assert bench.ledger.status(kind).workers == 0
    for node in ("a@one", "b@one", "b@one", "a" * 200, "hoa%don_@two"):
        bench.ledger.note_worker(kind, node)
    assert [bench.ledger.status(each).workers for each in ALL_KINDS] == [4 if each is kind else 0 for each in ALL_KINDS]

    bench.clock.forward(minutes=1, seconds=59)
    bench.ledger.note_worker(kind, "b@one")
    assert bench.ledger.status(kind).workers == 4
    bench.clock.forward(seconds=2)
    assert bench.ledger.status(kind).workers == 1


@each_kind
def test_the_next_due_moment_is_that_of_what_is_queued(bench: Bench, kind: DocumentKind) -> None:
    assert bench.ledger.next_due(kind) is None
    bench.bring(kind, "WAITING", State.WAITING)
    assert bench.ledger.next_due(kind) is None
    bench.queue(kind, ["A1"])
    offered_until = bench.clock.now() + REOFFER
    bench.clock.forward(seconds=1)
    bench.queue(kind, ["A2"])

    assert bench.ledger.next_due(kind) == offered_until


@each_kind
def test_an_empty_ledger_has_a_status_and_knows_no_document(bench: Bench, kind: DocumentKind) -> None:
    status = bench.ledger.status(kind)

    assert (status.states, status.to_send, status.oldest_due_at, status.last_scan_at) == ({}, 0, None, None)
    assert bench.ledger.get(kind, "A1") is None
    assert bench.ledger.page(Selection(), ("", ""), 10) == []


def test_two_processes_may_beat_for_the_first_time_at_once(bench: Bench) -> None:
    other = bench.another_process()

    with between(bench.engine, lambda: other.beat("scan:hoa_don"), reads=0):
        bench.ledger.beat("scan:hoa_don")
    at_once(lambda: bench.ledger.beat("scan:phieu_nhap"), lambda: other.beat("scan:phieu_nhap"))

    assert bench.ledger.status(HOA_DON).last_scan_at == bench.clock.now()
    assert bench.ledger.status(PHIEU_NHAP).last_scan_at == bench.clock.now()


# ---- an older source ------------------------------------------------------------------------------------


@pytest.fixture
def old_bench(bench: Bench) -> Bench:
    """The invoices' table as older databases have it: without a place for the national code."""
    replace_header(bench.engine, HOA_DON)
    bench.run(
        "CREATE TABLE HoaDonHeader (ma_hoa_don NVARCHAR(50) PRIMARY KEY, ma_co_so NVARCHAR(50),"
        " ma_don_thuoc_quoc_gia NVARCHAR(250), ngay_ban DATE, ho_ten_khach_hang NVARCHAR(255),"
        " ho_ten_nguoi_ban NVARCHAR(255), status_phieu INT, note_log NVARCHAR(4000))"
    )
    return bench


def old_source_row(bench: Bench, code: str) -> tuple[Any, ...]:
    with bench.engine.connect() as connection:
        found = text("SELECT status_phieu, note_log FROM HoaDonHeader WHERE ma_hoa_don = :code")
        return tuple(connection.execute(found, {"code": code}).one())


def test_without_a_column_for_it_the_national_code_is_kept_in_the_ledger(old_bench: Bench) -> None:
    old_bench.bring(HOA_DON, "A1", State.ACCEPTED, note="Đối tác đã nhận")

    known = old_bench.ledger.get(HOA_DON, "A1")
    assert known is not None
    assert (known.state, known.national_code) == (State.ACCEPTED, "QG-A1")
    assert old_source_row(old_bench, "A1") == (1, "Đối tác đã nhận")


@pytest.mark.parametrize("state", sorted(SOURCE_STATUS))
def test_an_older_source_is_settled_like_any_other(old_bench: Bench, state: State) -> None:
    old_bench.bring(HOA_DON, "A1", state, note="một dòng")

    assert old_source_row(old_bench, "A1") == (SOURCE_STATUS[state], "một dòng")
    assert old_bench.ledger.status(HOA_DON).states == {state: 1}


def test_an_older_source_can_be_loaded_parked_retried_and_reopened(old_bench: Bench) -> None:
    old_bench.bring(HOA_DON, "A1", State.ACCEPTED)
    old_bench.queue(HOA_DON, ["A2"])

    documents = old_bench.gateway.source.load(HOA_DON, ["A1", "A2"])
    assert set(documents) == {"A1", "A2"}
    assert "ma_hoa_don_quoc_gia" not in documents["A1"].header
    assert [[each.code for each in page] for page in old_bench.gateway.source.pending(HOA_DON)] == [["A2"]]

    assert old_bench.ledger.park(Selection(state=State.QUEUED), who="lan", why="", note="gác") == 1
    assert old_source_row(old_bench, "A2") == (3, "gác")
    assert old_bench.ledger.requeue(Selection(state=State.PARKED), OPERATOR_RETRY, who="lan", why="") == 1
    old_bench.run("UPDATE HoaDonHeader SET status_phieu = NULL WHERE ma_hoa_don = 'A1'")
    assert old_bench.ledger.discover(HOA_DON, 10) == 1
    assert old_bench.row(HOA_DON, "A1").revision == 2


def test_an_attempt_row_keeps_what_the_exchange_was(bench: Bench) -> None:
    bench.bring(PHIEU_NHAP, "A1", State.REJECTED)

    with bench.engine.connect() as connection:
        row = connection.execute(select(attempt)).one()
    assert (row.kind, row.code, row.outcome, row.error_code) == ("phieu_nhap", "A1", "rejected", "refused")
    assert row.record == '{"request":{"body":"Thuốc ho"},"response":{"status":200}}'


# ---- how it is found ------------------------------------------------------------------------------------


@only_sqlite
def test_a_batch_is_found_by_its_codes_and_not_among_all_that_are_queued(bench: Bench) -> None:
    codes = [f"A{number:03}" for number in range(100)]
    bench.put(PHIEU_NHAP, codes)
    bench.ledger.discover(PHIEU_NHAP, len(codes))
    with explained(bench.engine) as plans:
        bench.ledger.withdraw_offer(PHIEU_NHAP, codes)
        bench.claim(PHIEU_NHAP, codes)
        bench.ledger.release(PHIEU_NHAP, codes, WORKER)
        bench.claim(PHIEU_NHAP, codes)
        bench.gateway.source.load(PHIEU_NHAP, codes)
        bench.begin_send(PHIEU_NHAP, codes)
        settlements = [bench.settlement(PHIEU_NHAP, code, State.REJECTED) for code in codes]
        bench.ledger.settle(PHIEU_NHAP, settlements, WORKER)
        bench.ledger.requeue(Selection(kind=PHIEU_NHAP.name, codes=tuple(codes)), OPERATOR_RETRY, who="lan", why="")

    by_key = re.compile(
        r"SEARCH hermes_delivery USING (COVERING )?INDEX sqlite_autoindex_hermes_delivery_1 \(kind=\? AND "
    )
    assert len(plans) > 10
    assert [(plan, asked) for plan, asked in plans if not by_key.match(plan)] == []


@contextmanager
def explained(engine: Engine) -> Iterator[list[tuple[str, str]]]:
    """How SQLite finds deliveries meanwhile: (step of a plan, statement)."""
    plans: list[tuple[str, str]] = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE")):
            asked = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters[0] if many else parameters)
            plans.extend((step, statement) for *_, step in asked.fetchall() if "hermes_delivery" in step)

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(engine, "before_cursor_execute", explain)
