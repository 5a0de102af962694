"""What lists, reports and bulk replays say of a real ledger, and that it is the same by every way to it."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from itertools import product
from typing import Any
from zipfile import ZipFile

import pytest
from sqlalchemy import insert, select, update

from app.core.config import Language
from app.db import listing, refusals
from app.db.tables import audit, delivery, tally
from app.db.tallies import SqlTallies
from app.documents import HOA_DON, PHIEU_NHAP, PHIEU_XUAT
from app.domain.causes import cause_of, normalised
from app.domain.deliveries import Delivery, Selection
from app.domain.errors import ErrorCode, InputError, Problem
from app.domain.listing import AuditFilter, Filter, Sort, place_of
from app.domain.numbers import AtLeast
from app.domain.reconciliation import Fate, total
from app.domain.replays import Pace, ReplayState, Step, allowance
from app.domain.states import State
from app.domain.stories import NextStep
from app.services import export
from app.services.export import Column, Export, delivery_export
from app.wiring import Gateway
from tests.integration.test_ledger import Bench

SAID = {"who": "lan", "why": "sai số lô"}
ALWAYS = Pace(per_minute=60)


@pytest.fixture
def bench(open_gateway: Callable[[], Gateway], clock: Any, put_headers: Callable[..., None]) -> Bench:
    return Bench(open_gateway, clock, put_headers)


@pytest.fixture
def many(bench: Bench) -> list[Delivery]:
    """Two hundred deliveries of all kinds, states, shops and days; many changed at the same moment."""
    states = list(State)
    start = datetime(2026, 3, 1, tzinfo=UTC)
    rows = []
    for number in range(200):
        state = states[number % 7]
        failed = state in (State.WAITING, State.UNKNOWN, State.REJECTED, State.PARKED) or number % 11 == 0
        open_ = state in (State.QUEUED, State.SENDING, State.WAITING)
        moment = start + timedelta(minutes=number % 13)
        rows.append({
            "kind": ("hoa_don", "phieu_nhap", "phieu_xuat")[number % 3], "code": f"{'PQ'[number % 2]}{number // 2:03}",
            "facility": f"CS{number % 5}", "document_date": date(2026, 3, 1 + number % 9) if number % 10 else None,
            "state": state, "attempts": 1, "revision": 1, "deaths": 0, "uncertain": False,
            "due_at": moment if open_ else None, "updated_at": moment, "first_seen_at": moment,
            "failed_at": moment if failed else None,
            "error_code": "refused" if state in (State.WAITING, State.REJECTED) else None,
            "cause": "c1" if state is State.REJECTED else None,
        })  # fmt: skip
    with bench.engine.begin() as connection:
        connection.execute(insert(delivery), rows)
    return bench.ledger.page(Selection(), ("", ""), 1000)


def matches(each: Delivery, wanted: Filter) -> bool:
    day = each.document_date
    return all((
        wanted.kind in (None, each.kind),
        not wanted.states or each.state in wanted.states,
        wanted.facility in (None, each.facility),
        wanted.error_code in (None, each.error_code),
        wanted.cause in (None, each.cause),
        wanted.code in (None, each.code),
        each.code.startswith(wanted.code_prefix or ""),
        not wanted.ever_failed or each.failed_at is not None,
        wanted.date_from is None or (day is not None and day >= wanted.date_from),
        wanted.date_to is None or (day is not None and day <= wanted.date_to),
    ))  # fmt: skip


def expected(many: list[Delivery], wanted: Filter, sort: Sort) -> list[tuple[str, str]]:
    """The same by sorting in memory."""
    found = [each for each in many if matches(each, wanted) and (sort is not Sort.DUE or each.due_at is not None)]
    latest_first = sort in (Sort.CHANGED, Sort.DATE)
    places = [place_of(each, sort) for each in found]
    ranked = sorted(((v is not None, "" if v is None else v.isoformat(), c, k) for v, c, k in places))
    return [(kind, code) for _, _, code, kind in (reversed(ranked) if latest_first else ranked)]


FILTERS = [
    Filter(),
    Filter(kind="hoa_don"),
    Filter(states=(State.REJECTED, State.PARKED)),
    Filter(states=(State.ACCEPTED,), error_code="refused"),
    Filter(facility="CS1", kind="phieu_nhap"),
    Filter(error_code="refused"),
    Filter(cause="c1"),
    Filter(ever_failed=True, states=(State.ACCEPTED,)),
    Filter(code="P007"),
    Filter(code_prefix="P00"),
    Filter(code_prefix="P", facility="CS2"),
    Filter(code="no such code"),
]
PERIODS = [
    Filter(date_from=date(2026, 3, 3)),
    Filter(date_from=date(2026, 3, 2), date_to=date(2026, 3, 4), kind="hoa_don"),
]


@pytest.mark.parametrize("narrow", [0, 5000], ids=["walked", "sorted"])
@pytest.mark.parametrize("wanted", FILTERS + PERIODS, ids=repr)
def test_pages_show_what_matches_once_in_order_forwards_and_backwards(
    bench: Bench, many: list[Delivery], monkeypatch: pytest.MonkeyPatch, wanted: Filter, narrow: int
) -> None:
    monkeypatch.setattr(listing, "NARROW", narrow)
    lists = bench.gateway.lists
    for sort in Sort if wanted in FILTERS else [Sort.DATE]:
        pages, cursor = [], None
        while True:
            page = lists.deliveries(wanted, sort, cursor=cursor, size=23)
            pages.append(page)
            if (cursor := page.next) is None:
                break
        shown = [(each.kind, each.code) for page in pages for each in page.rows]
        assert shown == expected(many, wanted, sort), sort
        assert shown == [(each.kind, each.code) for each in lists.each_delivery(wanted, sort)]
        back = pages[-1]
        for page in reversed(pages[:-1]):
            assert back.previous is not None
            back = lists.deliveries(wanted, sort, cursor=back.previous, size=23)
            assert back.rows == page.rows
        assert back.previous is None
    assert lists.count(wanted, 1000) == AtLeast(len([each for each in many if matches(each, wanted)]), True)


def test_a_count_stops_where_it_is_told_to(bench: Bench, many: list[Delivery]) -> None:
    assert str(bench.gateway.lists.count(Filter(), 50)) == "50+"
    assert bench.gateway.lists.count(Filter(), 200) == AtLeast(200, True)


def test_with_a_period_the_order_is_that_of_document_dates(bench: Bench, many: list[Delivery]) -> None:
    period = PERIODS[0]
    found = [(each.kind, each.code) for each in bench.gateway.lists.deliveries(period, Sort.CODE, size=500).rows]
    assert found == expected(many, period, Sort.DATE)


@pytest.mark.parametrize("cursor", ["x", "%%%", "eyJhIjoxfQ", "W10", "A" * 3000, "ấ", "WzEsMiwzLDQsNSw2XQ"])
def test_what_is_no_cursor_is_refused(bench: Bench, cursor: str) -> None:
    with pytest.raises(InputError, match="first page"):
        bench.gateway.lists.deliveries(Filter(), cursor=cursor)


def test_a_cursor_of_another_list_is_refused(bench: Bench, many: list[Delivery]) -> None:
    cursor = bench.gateway.lists.deliveries(Filter(), size=5).next
    for wanted, sort in ((Filter(kind="hoa_don"), Sort.CHANGED), (Filter(), Sort.CODE)):
        with pytest.raises(InputError, match="other filters"):
            bench.gateway.lists.deliveries(wanted, sort, cursor=cursor)


def test_an_impossible_period_is_refused(bench: Bench) -> None:
    with pytest.raises(InputError, match="after the last"):
        bench.gateway.lists.count(Filter(date_from=date(2026, 3, 2), date_to=date(2026, 3, 1)))


# ---- what settling adds ---------------------------------------------------------------------------------


def test_a_try_that_failed_is_remembered_after_acceptance_and_its_cause_is_not(bench: Bench) -> None:
    bench.bring(PHIEU_NHAP, "PN1", State.REJECTED)
    first = bench.row(PHIEU_NHAP, "PN1")
    assert first.failed_at == bench.clock.now()
    assert first.cause == cause_of(Problem(ErrorCode.REFUSED, "sai số lô"))
    bench.ask_again(PHIEU_NHAP, "PN1", 0)
    bench.clock.forward(minutes=1)
    bench.ledger.discover(PHIEU_NHAP, 5)
    bench.offer(PHIEU_NHAP)
    bench.claim(PHIEU_NHAP, ["PN1"])
    bench.ledger.settle(PHIEU_NHAP, [bench.settlement(PHIEU_NHAP, "PN1", State.ACCEPTED)], "worker")
    then = bench.row(PHIEU_NHAP, "PN1")
    assert (then.failed_at, then.cause) == (first.failed_at, None)


def test_outcomes_are_counted_per_hour_and_kind_and_adding_up_changes_no_sum(bench: Bench) -> None:
    for number, state in enumerate([State.ACCEPTED, State.ACCEPTED, State.REJECTED, State.WAITING, State.UNKNOWN]):
        bench.bring(PHIEU_NHAP, f"PN{number}", state)
    bench.clock.forward(hours=1)
    bench.bring(HOA_DON, "HD1", State.PARKED)
    before = bench.gateway.numbers.hours(24)
    assert [(each.kind, each.accepted, each.rejected, each.again) for each in before] == [
        ("phieu_nhap", 2, 1, 2),
        ("hoa_don", 0, 0, 1),
    ]
    assert bench.gateway.numbers.hours(1) == before[1:]
    assert bench.gateway.numbers.compact() == 4
    assert bench.gateway.numbers.hours(24) == before
    with bench.engine.connect() as connection:
        assert len(list(connection.execute(select(tally)))) == 2
    assert bench.gateway.numbers.compact() == 0


def test_a_lost_claim_counts_nothing(bench: Bench) -> None:
    bench.queue(PHIEU_NHAP, ["PN1"])
    bench.ledger.settle(PHIEU_NHAP, [bench.settlement(PHIEU_NHAP, "PN1", State.ACCEPTED)], "stranger")
    assert bench.gateway.numbers.hours(24) == []


def test_counts_of_long_ago_are_forgotten(bench: Bench) -> None:
    bench.bring(PHIEU_NHAP, "PN1", State.ACCEPTED)
    bench.clock.forward(days=401)
    assert SqlTallies(bench.engine, bench.clock).compact() == 1
    assert bench.gateway.numbers.hours(24 * 1000) == []


# ---- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("Dòng 2: thiếu số lô; Dòng 7: thiếu số lô", "Dòng #: thiếu số lô"),
        ("Dòng 2: thiếu số lô; Dòng 1: đơn giá sai", "Dòng #: thiếu số lô; Dòng #: đơn giá sai"),
        ("Medicine T001-A is not known", "Medicine # is not known"),
        ("unknown code \"PANADOL\"", "unknown code …"),
        ("Ngày nhập không hợp lệ: the day before; thiếu mã cơ sở", "Ngày nhập không hợp lệ: …; thiếu mã cơ sở"),
        ("hạn dùng (31/01/2028) trước ngày sản xuất (01/02/2029)", "hạn dùng (#) trước ngày sản xuất (#)"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_cause_is_a_message_without_its_particulars(message: str, cause: str) -> None:
    assert normalised(message) == cause


def test_refusals_are_grouped_by_cause_and_a_group_can_be_listed_and_replayed(bench: Bench) -> None:
    for number in range(3):
        problem = Problem(ErrorCode.REFUSED, f"Dòng {number + 1}: thuốc T{number} chưa có")
        columns = {"ma_co_so": f"CS{number}"}
        bench.bring(HOA_DON, f"HD{number}", State.REJECTED, columns=columns, problem=problem)
        bench.clock.forward(minutes=1)
    bench.bring(PHIEU_NHAP, "PN1", State.PARKED, problem=Problem(ErrorCode.PARTNER_ERROR, "lỗi 500"))
    bench.bring(PHIEU_NHAP, "PN2", State.UNKNOWN, problem=Problem(ErrorCode.TIMEOUT, "quá 30 giây"), due_at=None)
    bench.bring(PHIEU_NHAP, "PN3", State.UNKNOWN, problem=Problem(ErrorCode.TIMEOUT, "quá 31 giây"))
    bench.bring(PHIEU_NHAP, "PN4", State.WAITING)

    found = bench.gateway.refusals.groups()

    assert found.complete
    first, *others = found.groups
    assert (first.message, first.documents, first.facilities) == (
        "Dòng #: thuốc # chưa có", AtLeast(3, True), ("CS0", "CS1", "CS2"),
    )  # fmt: skip
    assert (first.states, first.facilities_complete) == ({State.REJECTED: AtLeast(3, True)}, True)
    assert first.last_seen_at - first.first_seen_at == timedelta(minutes=2)
    assert (first.example_kind, first.example_code) == ("hoa_don", "HD2")
    assert {(each.error_code, each.example_code) for each in others} == {("partner_error", "PN1"), ("timeout", "PN2")}
    listed = bench.gateway.lists.deliveries(Filter(cause=first.cause), Sort.CODE)
    assert [each.code for each in listed.rows] == ["HD0", "HD1", "HD2"]
    trend = bench.gateway.refusals.trend(first.cause, days=3)
    assert [day.documents.count for day in trend] == [0, 0, 3]
    assert trend[-1].day == date(2026, 3, 14)
    made = bench.gateway.replays.create("thuốc mới", Selection(cause=first.cause), ALWAYS, **SAID)
    assert made.documents == 3


def test_many_refusals_are_counted_no_further_than_the_bound(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "COUNTED", 2)
    monkeypatch.setattr(refusals, "MOST_CAUSES", 1)
    for number in range(3):
        bench.bring(HOA_DON, f"HD{number}", State.REJECTED)
    bench.bring(HOA_DON, "HD9", State.REJECTED, problem=Problem(ErrorCode.INVALID_DOCUMENT, "khác"))
    found = bench.gateway.refusals.groups()
    assert len(found.groups) == 1
    assert not found.complete
    assert bench.gateway.refusals.groups().groups[0].documents.count <= 2


# ---- bulk replays ---------------------------------------------------------------------------------------


def refused(bench: Bench, codes: list[str]) -> None:
    for code in codes:
        bench.bring(PHIEU_NHAP, code, State.REJECTED)
        bench.clock.forward(seconds=1)


def tick(bench: Bench) -> int:
    """What a scan releases."""
    return bench.open_gateway().scan._replays.run()


def test_a_replay_goes_at_its_pace_in_original_order_whatever_process_ticks(bench: Bench) -> None:
    refused(bench, ["PN3", "PN1", "PN2"])
    bench.gateway.replays.create("sự cố", Selection(state=State.REJECTED), Pace(per_minute=2), **SAID)
    refused(bench, ["PN0"])  # not in the set: it is frozen
    bench.clock.forward(seconds=-1)
    assert tick(bench) == 0
    bench.clock.forward(seconds=31)
    assert tick(bench) == 1
    assert tick(bench) == 0
    assert bench.row(PHIEU_NHAP, "PN3").state == State.QUEUED
    bench.clock.forward(days=1)
    assert tick(bench) == 2
    progress = bench.gateway.replays.progress("sự cố")
    assert progress is not None
    assert (progress.replay.state, progress.under_way, progress.waiting) == (ReplayState.FINISHED, 3, 0)
    assert [item.code for item in bench.gateway.replays.items("sự cố")] == ["PN3", "PN1", "PN2"]
    assert bench.row(PHIEU_NHAP, "PN0").state == State.REJECTED
    assert [row.action for row in bench.audited() if row.code == "PN1"] == ["replay"]


def test_a_replay_releases_only_while_few_are_queued(bench: Bench) -> None:
    refused(bench, ["PN1", "PN2", "PN3"])
    bench.gateway.replays.create("sự cố", Selection(kind="phieu_nhap"), Pace(most_queued=2), **SAID)
    assert tick(bench) == 2
    assert tick(bench) == 0
    bench.offer(PHIEU_NHAP)
    bench.claim(PHIEU_NHAP, ["PN1"])
    assert tick(bench) == 1


def test_two_scans_at_once_release_each_item_once(bench: Bench) -> None:
    refused(bench, ["PN1", "PN2"])
    made = bench.gateway.replays.create("sự cố", Selection(kind="phieu_nhap"), ALWAYS, **SAID)
    bench.clock.forward(minutes=1)
    one, other = (bench.open_gateway().replays._replays for _ in range(2))
    assert one.release(made, 1) is not None
    assert other.release(made, 1) is None


def test_a_replay_never_sends_what_was_accepted_meanwhile(bench: Bench) -> None:
    refused(bench, ["PN1", "PN2"])
    bench.gateway.replays.create("sự cố", Selection(kind="phieu_nhap"), ALWAYS, **SAID)
    bench.run("UPDATE hermes_delivery SET state = 'accepted' WHERE code = 'PN1'")
    bench.clock.forward(minutes=1)
    assert tick(bench) == 2
    assert bench.row(PHIEU_NHAP, "PN1").state == State.ACCEPTED
    progress = bench.gateway.replays.progress("sự cố")
    assert progress is not None
    assert (progress.skipped, progress.under_way) == (1, 1)
    assert [item.step for item in bench.gateway.replays.items("sự cố")] == [Step.SKIPPED, Step.RELEASED]


def test_accepted_documents_are_replayed_only_when_asked_for_twice(bench: Bench) -> None:
    bench.bring(PHIEU_NHAP, "PN1", State.ACCEPTED)
    accepted, any_state = Selection(state=State.ACCEPTED), Selection(kind="phieu_nhap")
    create = bench.gateway.replays.create
    for selection, again in ((accepted, False), (any_state, True)):
        with pytest.raises(InputError, match="asked for twice"):
            create("sự cố", selection, ALWAYS, accepted_again=again, **SAID)
    with pytest.raises(InputError, match="nothing to replay"):
        create("sự cố", any_state, ALWAYS, **SAID)
    create("sự cố", accepted, ALWAYS, accepted_again=True, **SAID)
    bench.clock.forward(minutes=1)
    assert tick(bench) == 1
    found = bench.row(PHIEU_NHAP, "PN1")
    assert (found.state, found.revision) == (State.QUEUED, 2)


def test_done_and_failed_again_are_told_apart(bench: Bench) -> None:
    refused(bench, ["PN1", "PN2"])
    bench.gateway.replays.create("sự cố", Selection(kind="phieu_nhap"), ALWAYS, **SAID)
    bench.clock.forward(minutes=1)
    tick(bench)
    bench.offer(PHIEU_NHAP)
    bench.claim(PHIEU_NHAP, ["PN1", "PN2"])
    settled = [bench.settlement(PHIEU_NHAP, "PN1", State.ACCEPTED), bench.settlement(PHIEU_NHAP, "PN2", State.REJECTED)]
    bench.ledger.settle(PHIEU_NHAP, settled, "worker")
    progress = bench.gateway.replays.progress("sự cố")
    assert progress is not None
    assert (progress.accepted, progress.refused, progress.under_way) == (1, 1, 0)


def test_a_replay_can_be_paused_resumed_and_aborted(bench: Bench) -> None:
    refused(bench, ["PN1", "PN2"])
    replays = bench.gateway.replays
    replays.create("sự cố", Selection(kind="phieu_nhap"), Pace(per_minute=1), **SAID)
    assert not replays.resume("sự cố", **SAID)
    assert replays.pause("sự cố", **SAID)
    bench.clock.forward(minutes=5)
    assert tick(bench) == 0
    assert replays.resume("sự cố", **SAID)
    assert tick(bench) == 0  # what the pause was worth is not made up for
    bench.clock.forward(minutes=1)
    assert tick(bench) == 1
    assert replays.abort("sự cố", **SAID)
    assert not replays.resume("sự cố", **SAID)
    bench.clock.forward(minutes=5)
    assert tick(bench) == 0
    assert [each.state for each in replays.all()] == [ReplayState.ABORTED]
    actions = [row.action for row in bench.audited() if row.code == "sự cố"]
    assert sorted(actions) == ["replay", "replay_abort", "replay_pause", "replay_resume"]


@pytest.mark.parametrize(
    ("name", "selection", "pace", "says"),
    [
        (" ", Selection(kind="hoa_don"), ALWAYS, "named after"),
        ("x" * 101, Selection(kind="hoa_don"), ALWAYS, "named after"),
        ("x", Selection(), ALWAYS, "Nothing narrows"),
        ("x", Selection(kind="hoa_don"), Pace(), "how fast"),
        ("x", Selection(kind="hoa_don"), Pace(per_minute=0), "from 1 to"),
        ("x", Selection(kind="hoa_don"), ALWAYS, "nothing to replay"),
    ],
)
def test_a_replay_that_makes_no_sense_is_refused_and_leaves_nothing(
    bench: Bench, name: str, selection: Selection, pace: Pace, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        bench.gateway.replays.create(name, selection, pace, **SAID)
    assert bench.gateway.replays.all() == []
    assert bench.audited() == []


def test_a_replays_name_is_taken_once(bench: Bench) -> None:
    refused(bench, ["PN1"])
    bench.gateway.replays.create("sự cố", Selection(kind="phieu_nhap"), ALWAYS, **SAID)
    with pytest.raises(InputError, match="Choose another name"):
        bench.gateway.replays.create("sự cố", Selection(kind="phieu_nhap"), ALWAYS, **SAID)


@pytest.mark.parametrize(
    ("pace", "seconds", "queued", "worth"),
    [
        (Pace(per_minute=60), 30, 0, 30),
        (Pace(per_minute=60), 86_400, 0, 120),
        (Pace(per_minute=1), 59, 0, 0),
        (Pace(per_minute=60), -5, 0, 0),
        (Pace(most_queued=10), 0, 4, 6),
        (Pace(most_queued=10), 0, 40, 0),
        (Pace(60, 10), 30, 4, 6),
    ],
)
def test_a_pace_is_worth_so_many(pace: Pace, seconds: float, queued: int, worth: int) -> None:
    assert allowance(pace, seconds=seconds, queued=queued) == worth


# ---- reconciliation -------------------------------------------------------------------------------------

DAY = date(2026, 3, 14)


@pytest.fixture
def books(bench: Bench) -> Bench:
    """One receipt of every fate, one on the next day, one of another shop, one without a date."""
    for state in (State.ACCEPTED, State.WAITING, State.UNKNOWN, State.REJECTED, State.PARKED):
        bench.bring(PHIEU_NHAP, f"PN-{state}", state)
    bench.put(PHIEU_NHAP, ["PN-NEW"])
    bench.put(PHIEU_NHAP, ["PN-OLD"], status_phieu=1)
    bench.put(PHIEU_NHAP, ["PN-ODD"], status_phieu=9, ma_co_so="CS02")
    bench.put(PHIEU_NHAP, ["PN-TOMORROW"], status_phieu=7, ngay_nhap=datetime(2026, 3, 15))  # noqa: DTZ001
    bench.put(PHIEU_NHAP, ["PN-UNDATED"], status_phieu=7, ngay_nhap=None)
    bench.bring(PHIEU_NHAP, "PN-GONE", State.REJECTED)
    bench.run("DELETE FROM \"PhieuNhapHeader\" WHERE ma_phieu = 'PN-GONE'")
    return bench


def test_the_books_say_what_became_of_every_document_of_the_source(books: Bench) -> None:
    first, second, undated = books.gateway.reconcile.balances([PHIEU_NHAP], DAY, DAY)
    assert (first.day, first.facility) == (DAY, "CS01")
    assert (first.delivered, first.waiting, first.refused, first.never_seen, first.gone) == (1, 3, 2, 1, 1)
    assert first.in_source == 7
    assert (second.facility, second.never_seen, second.settled) == ("CS02", 1, False)
    assert (undated.day, undated.never_seen) == (None, 1)
    assert total([first, second]).in_source == 8


def test_the_books_of_a_period_shop_and_other_kinds_are_apart(books: Bench) -> None:
    balances = books.gateway.reconcile.balances
    assert [each.day for each in balances([PHIEU_NHAP], DAY, DAY + timedelta(days=1), "CS01")] == [
        DAY, DAY + timedelta(days=1), None,
    ]  # fmt: skip
    assert balances([PHIEU_XUAT, HOA_DON], DAY, DAY) == []


def test_the_documents_behind_every_figure_can_be_named(books: Bench) -> None:
    service = books.gateway.reconcile
    for balance, fate in product(service.balances([PHIEU_NHAP], DAY, DAY), Fate):
        named = list(service.each_document(balance, PHIEU_NHAP, fate))
        assert len(named) == getattr(balance, fate), (balance, fate)
    (old,) = service.documents(PHIEU_NHAP, DAY, "CS01", Fate.NEVER_SEEN)
    assert (old.code, old.status, old.state) == ("PN-OLD", 1, None)
    (gone,) = service.documents(PHIEU_NHAP, DAY, "CS01", Fate.GONE)
    assert (gone.code, gone.state) == ("PN-GONE", State.REJECTED)


def test_a_reconciliation_of_an_impossible_period_is_refused(bench: Bench) -> None:
    for first, last in ((DAY, DAY - timedelta(days=1)), (DAY, DAY + timedelta(days=366))):
        with pytest.raises(InputError):
            bench.gateway.reconcile.balances([PHIEU_NHAP], first, last)


# ---- export ---------------------------------------------------------------------------------------------


def test_csv_is_for_excel_in_vietnamese_and_starts_no_formula(bench: Bench) -> None:
    bench.bring(HOA_DON, "=HYPERLINK(1)", State.REJECTED, problem=Problem(ErrorCode.REFUSED, '@sai, "lô"\x07'))
    rows = bench.gateway.lists.each_delivery(Filter())
    written = b"".join(delivery_export(Language.VI).csv(rows))
    assert written.startswith(b"\xef\xbb\xbfLo\xe1\xba\xa1i,M\xc3\xa3,")
    _, line, end = written.decode().split("\r\n")
    assert line.startswith('Hóa đơn bán,\'=HYPERLINK(1),CS01,2026-03-14,bị từ chối,1,,refused,"\'@sai, ""lô""\ufffd"')
    assert line.endswith("2026-03-14 09:00:00")
    assert end == ""


def test_xlsx_has_dates_and_numbers_as_such_and_text_as_text(bench: Bench) -> None:
    bench.bring(HOA_DON, "=1+1", State.ACCEPTED)
    file = BytesIO()
    assert delivery_export(Language.VI).xlsx(bench.gateway.lists.each_delivery(Filter()), file) == 1
    with ZipFile(file) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        styles = book.read("xl/styles.xml").decode()
    assert "<f>" not in sheet
    assert "=1+1" in sheet
    formats = dict(re.findall(r'<numFmt numFmtId="(\d+)" formatCode="(.*?)"/>', styles))
    cells = re.findall(r'<xf numFmtId="(\d+)"', styles.partition("<cellXfs")[2])
    found = re.search(r'<c r="D2" s="(\d+)"><v>46095</v></c>', sheet)  # 14 March 2026
    assert found is not None
    assert formats[cells[int(found[1])]] == "dd/mm/yyyy"
    assert '<c r="F2"><v>1</v></c>' in sheet


def test_a_long_export_goes_on_on_further_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "XLSX_ROWS", 2)
    file = BytesIO()
    numbers: Export[int] = Export("deliveries", [Column("code", 10, lambda each: each)], Language.EN)
    assert numbers.xlsx(iter(range(5)), file) == 5
    with ZipFile(file) as book:
        sheets = [name for name in book.namelist() if name.startswith("xl/worksheets/sheet")]
        assert len(sheets) == 3
        assert '<c r="A2"><v>4</v></c>' in book.read("xl/worksheets/sheet3.xml").decode()


# ---- the audit ------------------------------------------------------------------------------------------


def test_the_audit_is_listed_by_who_what_and_when_page_by_page(bench: Bench) -> None:
    for number in range(7):
        bench.gateway.audit.note(who=f"u{number % 2}", action="names", kind="hoa_don", code=f"HD{number}", why="hỏi")
        bench.clock.forward(minutes=number % 2)
    audit_of = bench.gateway.lists.audit
    pages, cursor = [], None
    while True:
        page = audit_of(AuditFilter(), cursor=cursor, size=3)
        pages.append(page)
        if (cursor := page.next) is None:
            break
    assert [len(page.rows) for page in pages] == [3, 3, 1]
    moments = [each.at for page in pages for each in page.rows]
    assert moments == sorted(moments, reverse=True)
    assert len({each.id for page in pages for each in page.rows}) == 7
    assert audit_of(AuditFilter(), cursor=pages[1].previous, size=3).rows == pages[0].rows
    assert {each.code for each in audit_of(AuditFilter(who="u1")).rows} == {"HD1", "HD3", "HD5"}
    assert len(audit_of(AuditFilter(code="HD2", kind="hoa_don", action="names")).rows) == 1
    since = min(moments) + timedelta(minutes=1)
    assert len(audit_of(AuditFilter(since=since)).rows) + len(audit_of(AuditFilter(until=since)).rows) == 7


# ---- one document ---------------------------------------------------------------------------------------


NAME = "Nguyễn Văn An"


@pytest.fixture
def invoice(bench: Bench) -> Bench:
    """An accepted invoice whose request the log has in clear, as LOG_PAYLOADS=full keeps it."""
    line = {"ma_thuoc": "T1", "ten_thuoc": "Panadol", "so_lo": "L1", "han_dung": date(2030, 1, 1), "so_luong": 5,
            "don_gia": 10, "don_vi_tinh": "Hộp"}  # fmt: skip
    bench.bring(HOA_DON, "HD1", State.QUEUED, columns={"ho_ten_khach_hang": NAME})
    with bench.engine.begin() as connection:
        connection.execute(insert(HOA_DON.lines).values(ma_hoa_don="HD1", **line))
    endpoint = bench.gateway.client.profile.endpoints["hoa_don"]
    prepared = endpoint.prepare(bench.gateway.source.load(HOA_DON, ["HD1"])["HD1"])
    bench.claim(HOA_DON, ["HD1"])
    settlement = bench.settlement(HOA_DON, "HD1", State.REJECTED, problem=Problem(ErrorCode.REFUSED, f"sai tên {NAME}"))
    record = {"request": {"body": prepared.text(masked=False)}, "response": {"body": f"no {NAME.upper()}"}}  # type: ignore[union-attr]
    bench.ledger.settle(HOA_DON, [replace(settlement, attempt=replace(settlement.attempt, record=record))], "worker")
    return bench


def test_a_story_shows_the_document_with_labels_and_what_differs_from_what_was_sent(invoice: Bench) -> None:
    same = invoice.gateway.stories.tell(HOA_DON, "HD1")
    assert same is not None
    assert same.next_step is NextStep.PERSON
    assert same.difference is not None
    assert same.difference.differences == ()
    assert ("ngay_ban", "Ngày bán") in [(cell.column, cell.label) for cell in same.header]
    with invoice.engine.begin() as connection:
        connection.execute(update(HOA_DON.lines).values(so_luong=7))
        connection.execute(update(HOA_DON.header).values(ma_co_so="CS09"))
        line = {"ma_thuoc": "T2", "ten_thuoc": "X", "so_lo": "L2", "so_luong": 1, "don_gia": 1, "don_vi_tinh": "Hộp"}
        connection.execute(insert(HOA_DON.lines).values(ma_hoa_don="HD1", han_dung=date(2030, 1, 1), **line))
    story = invoice.gateway.stories.tell(HOA_DON, "HD1")
    assert story is not None
    assert story.difference is not None
    found = {(each.line, each.field): (each.label, each.sent, each.now) for each in story.difference.differences}
    assert found[None, "facilityCode"] == ("mã cơ sở", "CS01", "CS09")
    assert found[1, "quantity"] == ("số lượng", 5, 7)
    assert found[2, "medicineCode"] == ("mã thuốc", None, "T2")


def test_names_are_masked_everywhere_unless_they_are_asked_for(invoice: Bench) -> None:
    masked = repr(invoice.gateway.stories.tell(HOA_DON, "HD1"))
    assert "Nguyễn" not in masked
    assert "NGUYỄN" not in masked
    assert "N*** V*** A***" in masked
    clear = invoice.gateway.stories.tell(HOA_DON, "HD1", names=True)
    assert clear is not None
    assert NAME in [cell.value for cell in clear.header]
    assert NAME in clear.attempts[0].record["request"]["body"]
    with invoice.engine.begin() as connection:  # the name that was sent is masked though the source has another now
        connection.execute(update(HOA_DON.header).values(ho_ten_khach_hang="Trần Thị Bình"))
        connection.execute(update(HOA_DON.lines).values(lieu_dung=f"cho {NAME}", duong_dung="cô TRẦN THỊ BÌNH"))
    changed = invoice.gateway.stories.tell(HOA_DON, "HD1")
    assert changed is not None
    assert not re.search("Nguyễn|Trần", repr(changed), re.IGNORECASE)
    assert changed.difference is not None
    now = {(each.line, each.field): each.now for each in changed.difference.differences}
    assert now[None, "customerName"] == "T*** T*** B***"
    assert now[1, "dosage"] == "cho N*** V*** A***"
    invoice.run('UPDATE "HoaDonDetail" SET so_lo = NULL, han_dung = :who', who=f"của {NAME}")
    story = invoice.gateway.stories.tell(HOA_DON, "HD1")
    assert story is not None
    assert {(each.line, each.field) for each in story.faults} == {(1, "so_lo"), (1, "han_dung")}
    assert not re.search("Nguyễn|Trần", repr(story), re.IGNORECASE)
    assert story.difference is None
    with invoice.engine.begin() as connection:
        connection.execute(HOA_DON.lines.delete())
        connection.execute(HOA_DON.header.delete())
    gone = invoice.gateway.stories.tell(HOA_DON, "HD1")
    assert gone is not None
    assert (gone.in_source, gone.header, gone.faults) == (False, (), ())
    assert invoice.gateway.stories.tell(HOA_DON, "no such code") is None


def test_nothing_of_this_is_audited_by_itself(invoice: Bench) -> None:
    invoice.gateway.stories.tell(HOA_DON, "HD1", names=True)
    with invoice.engine.connect() as connection:
        assert list(connection.execute(select(audit))) == []
