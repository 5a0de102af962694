"""The promises under a misbehaving partner and dying workers, in one process on a clock of the test's own: the real
services, a real database, the simulated partner over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import delete, insert, select, update

from app.core.config import load_settings
from app.db.engine import reading, writing
from app.db.tables import attempt, delivery
from app.demo.sample_data import generate
from app.demo.show import insert_documents
from app.documents import ALL_KINDS, HOA_DON, PHIEU_NHAP, DocumentKind
from app.domain.deliveries import Claimed, Delivery, Exchange, Selection, Settlement
from app.domain.errors import ConfigError, DatabaseUnavailable, ErrorCode, Problem
from app.domain.outcomes import Retry
from app.domain.states import State
from app.partners import PROFILES, Prepared, Profile
from app.services.deliver import DeliverReport
from app.services.replay import Action, Verdict
from app.wiring import Gateway
from simulator.process import SimulatorHandle, running_simulator
from tests.books import TODAY, states, wait_until
from tests.clocks import SettableClock
from tests.databases import refuse


@pytest.fixture(scope="module")
def shared_partner() -> Iterator[SimulatorHandle]:
    with running_simulator() as handle:
        yield handle


@pytest.fixture
def partner(shared_partner: SimulatorHandle) -> SimulatorHandle:
    shared_partner.clear_faults()
    return shared_partner


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


Make = Callable[..., Gateway]
Handler = Callable[[web.Request], Awaitable[web.Response]]


@pytest.fixture
async def make(ready_url: str, clock: SettableClock, partner: SimulatorHandle) -> AsyncIterator[Make]:
    """Gateways on one fresh database and the test's clock; keyword arguments are settings."""
    made: list[Gateway] = []

    def _make(**settings: Any) -> Gateway:
        values = {
            "source_database_url": ready_url,
            "api_base_url": partner.url,
            "api_username": "partner",
            "api_password": "partner",
            **settings,
        }
        gateway = Gateway(load_settings(**values), clock=clock)
        made.append(gateway)
        return gateway

    yield _make
    for gateway in made:
        await gateway.close()


_runs = iter(range(10**6))


def fill(gateway: Gateway, kind: DocumentKind, count: int, *, facility: str | None = None) -> list[str]:
    """Insert good documents with codes no other test uses; returns the codes."""
    run = next(_runs)
    documents = list(generate(kind.name, count, seed=run, today=TODAY, defect_every=0))
    for number, document in enumerate(documents):
        document.header[kind.code_column] = f"{run}-{kind.name}-{number:05d}"
        if facility is not None:
            document.header["ma_co_so"] = facility
    insert_documents(gateway, kind, iter(documents))
    return [str(document.header[kind.code_column]) for document in documents]


async def tick(gateway: Gateway, *kinds: DocumentKind) -> DeliverReport:
    """Scan and deliver until nothing is due now."""
    total = DeliverReport("all")
    for kind in kinds or ALL_KINDS:
        for codes in gateway.scan.due(kind):
            total.add(await gateway.deliver.run(kind, codes))
    return total


def one(gateway: Gateway, kind: DocumentKind, code: str) -> Delivery:
    found = gateway.ledger.get(kind, code)
    assert found is not None
    return found


def copies(partner: SimulatorHandle, kind: DocumentKind, code: str) -> int:
    return partner.totals(kind=kind.name, code=code)["copies"]


def requests(partner: SimulatorHandle) -> int:
    return sum(partner.stats()["requests"].values())


async def test_a_partner_down_for_half_an_hour_costs_no_attempt_and_few_calls_and_the_backlog_drains(
    make: Make, partner: SimulatorHandle, clock: SettableClock
) -> None:
    """P6."""
    gateway = make()
    for kind in ALL_KINDS:
        fill(gateway, kind, 3334)
    partner.set_faults([{"fault": "status", "status": 503}])
    before = requests(partner)
    for _ in range(60):
        await tick(gateway)
        clock.move(seconds=30)
    assert requests(partner) - before < 100
    with reading(gateway.engine) as connection:
        assert connection.scalars(select(delivery.c.attempts).distinct()).all() == [0]
    partner.clear_faults()
    for _ in range(10):
        clock.move(minutes=11)
        await tick(gateway)
    assert states(gateway) == {State.ACCEPTED: 10_002}


async def test_an_unreachable_partner_opens_the_circuit_and_it_is_shown(make: Make, clock: SettableClock) -> None:
    gateway = make(api_base_url="http://127.0.0.1:9")
    fill(gateway, HOA_DON, 100)
    await tick(gateway, HOA_DON)
    (circuit,) = gateway.health.status(ALL_KINDS).circuits
    assert circuit.facility == ""
    assert "đối tác" in circuit.reason
    assert clock.now() + timedelta(seconds=25) < circuit.open_until < clock.now() + timedelta(seconds=35)


async def test_rejections_never_open_a_circuit(make: Make, partner: SimulatorHandle) -> None:
    gateway = make()
    fill(gateway, HOA_DON, 100)
    partner.set_faults([{"fault": "status", "status": 422}])
    report = await tick(gateway, HOA_DON)
    assert report.states == {State.REJECTED: 100}
    assert gateway.health.status(ALL_KINDS).circuits == ()


async def test_one_document_that_always_fails_does_not_stop_the_others(make: Make, partner: SimulatorHandle) -> None:
    """P7."""
    gateway = make()
    codes = fill(gateway, HOA_DON, 50)
    partner.set_faults([{"fault": "status", "status": 500, "code": codes[7]}])
    report = await tick(gateway, HOA_DON)
    assert report.states == {State.ACCEPTED: 49, State.WAITING: 1}


async def test_a_refused_account_pauses_only_its_own_facility(
    make: Make, partner: SimulatorHandle, clock: SettableClock
) -> None:
    """P6, P7: 5,000 documents of one facility wait; the other's new ones go within two ticks."""
    gateway = make()
    fill(gateway, HOA_DON, 5000, facility="WRONG")
    partner.set_faults([{"fault": "status", "status": 401, "facility": "WRONG"}])
    before = requests(partner)
    await tick(gateway, HOA_DON)
    fill(gateway, HOA_DON, 20, facility="RIGHT")
    clock.move(seconds=60)
    report = await tick(gateway, HOA_DON)
    clock.move(seconds=60)
    report.add(await tick(gateway, HOA_DON))
    assert report.states[State.ACCEPTED] == 20
    assert requests(partner) - before < 20 + 20
    with reading(gateway.engine) as connection:
        wrong = select(delivery.c.attempts).where(delivery.c.facility == "WRONG").distinct()
        assert connection.scalars(wrong).all() == [0]
    partner.clear_faults()
    clock.move(minutes=15)
    await tick(gateway, HOA_DON)
    clock.move(minutes=15)
    await tick(gateway, HOA_DON)
    assert states(gateway) == {State.ACCEPTED: 5020}


async def test_credentials_refused_to_everybody_stop_everything(
    make: Make, partner: SimulatorHandle, clock: SettableClock
) -> None:
    gateway = make(api_password="wrong")
    fill(gateway, HOA_DON, 300)
    before = requests(partner)
    await tick(gateway, HOA_DON)
    assert requests(partner) - before < 50
    assert states(gateway).get(State.REJECTED, 0) == 0


async def test_a_backlog_of_one_facility_does_not_starve_another(make: Make, clock: SettableClock) -> None:
    """P7: turn by turn, whoever came first."""
    gateway = make()
    fill(gateway, HOA_DON, 500, facility="LARGE")
    gateway.ledger.discover(HOA_DON, 10_000)
    clock.move(seconds=5)
    late = fill(gateway, HOA_DON, 3, facility="SMALL")
    gateway.ledger.discover(HOA_DON, 10_000)
    offered = gateway.ledger.offer_due(HOA_DON, 6, reoffer_at=clock.now() + timedelta(minutes=5))
    assert set(late) <= {each.code for each in offered}


async def test_an_operators_pause_holds_until_resumed_and_is_audited(
    make: Make, partner: SimulatorHandle, clock: SettableClock
) -> None:
    gateway = make()
    fill(gateway, HOA_DON, 5, facility="A")
    fill(gateway, HOA_DON, 5, facility="B")
    gateway.replay.pause("A", who="trực đêm", why="đổi mật khẩu")
    assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 5}
    clock.move(days=3)
    assert (await tick(gateway, HOA_DON)).states == {}
    assert gateway.replay.resume("A", who="trực đêm", why="xong")
    assert not gateway.replay.resume("A", who="trực đêm", why="lần nữa")
    clock.move(seconds=2)
    assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 5}


@pytest.mark.parametrize("fault", ["cut-after-commit", "hang-after-commit", "half-body"])
async def test_what_may_have_arrived_is_unknown_and_resent_under_the_same_key(
    make: Make, partner: SimulatorHandle, clock: SettableClock, fault: str
) -> None:
    """P5: the partner has one copy."""
    gateway = make(request_timeout_seconds=1)
    (code,) = fill(gateway, HOA_DON, 1)
    partner.set_faults([{"fault": fault, "first_tries": 1}])
    assert (await tick(gateway, HOA_DON)).states == {State.UNKNOWN: 1}
    assert one(gateway, HOA_DON, code).uncertain
    clock.move(minutes=1)
    assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 1}
    assert copies(partner, HOA_DON, code) == 1
    assert one(gateway, HOA_DON, code).attempts == 2


async def test_an_answer_to_the_second_try_does_not_settle_the_first(
    make: Make, partner: SimulatorHandle, clock: SettableClock
) -> None:
    """P5: "not now" after a timeout leaves it unknown, never waiting or parked."""
    gateway = make(retry_schedule="1s,1s,1s")
    (code,) = fill(gateway, HOA_DON, 1)
    partner.set_faults([{"fault": "cut-after-commit", "first_tries": 1}, {"fault": "status", "status": 500}])
    for _ in range(5):
        await tick(gateway, HOA_DON)
        assert one(gateway, HOA_DON, code).state is State.UNKNOWN
        clock.move(minutes=30)
    assert one(gateway, HOA_DON, code).due_at is None


async def test_hold_waits_for_a_person_and_resolve_carries_out_their_word(
    make: Make, partner: SimulatorHandle, clock: SettableClock
) -> None:
    gateway = make(unknown_outcome_policy="hold")
    there, gone, again = fill(gateway, HOA_DON, 3)
    partner.set_faults([{"fault": "cut-after-commit", "first_tries": 1}])
    assert (await tick(gateway, HOA_DON)).states == {State.UNKNOWN: 3}
    clock.move(days=2)
    assert (await tick(gateway, HOA_DON)).states == {}
    who = {"who": "kế toán", "why": "xem trên cổng của đối tác"}
    assert gateway.replay.resolve(HOA_DON, there, Verdict.ACCEPTED, national_code="QG-9", **who)
    assert gateway.replay.resolve(HOA_DON, gone, Verdict.REJECT, **who)
    assert gateway.replay.resolve(HOA_DON, again, Verdict.RESEND, **who)
    assert not gateway.replay.resolve(HOA_DON, there, Verdict.REJECT, **who)
    assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 1}
    assert one(gateway, HOA_DON, there).national_code == "QG-9"
    assert one(gateway, HOA_DON, gone).state is State.REJECTED
    assert copies(partner, HOA_DON, again) == 1
    header = HOA_DON.header.c
    with reading(gateway.engine) as connection:
        rows = select(HOA_DON.code, header.status_phieu, header.ma_hoa_don_quoc_gia).where(
            HOA_DON.code.in_([there, gone])
        )
        told = {code: (status, national) for code, status, national in connection.execute(rows)}
    assert told == {there: (1, "QG-9"), gone: (3, None)}
    assert [entry["who"] for entry in gateway.ledger.audit_of(HOA_DON, there)] == ["kế toán"]


async def test_a_dead_worker_leaves_what_was_sent_unknown_and_the_rest_queued(
    make: Make, clock: SettableClock, partner: SimulatorHandle
) -> None:
    """P1, P5: only what may have been sent is uncertain."""
    gateway = make()
    codes = fill(gateway, HOA_DON, 10)
    gateway.ledger.discover(HOA_DON, 100)
    expires_at = clock.now() + timedelta(seconds=120)
    gateway.ledger.claim(HOA_DON, codes, "dead", expires_at=expires_at)
    gateway.ledger.begin_send(HOA_DON, codes[:4], "dead", expires_at=expires_at)
    clock.move(seconds=121)
    assert gateway.scan.run(HOA_DON, _NoQueue()).rescued == 10
    found = {code: one(gateway, HOA_DON, code) for code in codes}
    assert [found[code].state for code in codes] == [State.UNKNOWN] * 4 + [State.QUEUED] * 6
    assert [found[code].attempts for code in codes] == [1] * 4 + [0] * 6


async def test_a_late_answer_changes_nothing_and_is_kept_in_the_log(
    make: Make, clock: SettableClock, partner: SimulatorHandle
) -> None:
    """P3: the claim is taken over while the answer is under way."""
    gateway = make(request_timeout_seconds=5)
    (code,) = fill(gateway, HOA_DON, 1)
    partner.set_faults([{"fault": "latency", "seconds": 0.6}])
    gateway.ledger.discover(HOA_DON, 10)
    sending = asyncio.create_task(gateway.deliver.run(HOA_DON, [code]))
    await asyncio.to_thread(wait_until, lambda: partner.stats()["in_flight"] > 0, "the request is out")
    clock.move(seconds=121)
    await asyncio.to_thread(gateway.scan.run, HOA_DON, _NoQueue())
    report = await sending
    assert report.lost == 1
    story = gateway.health.story(HOA_DON, code)
    assert story is not None
    assert story.delivery.state is State.UNKNOWN
    kept = {(each.outcome, each.record.get("late", False)) for each in story.attempts}
    assert kept == {("accepted", True), ("unknown", False)}
    partner.clear_faults()
    clock.move(minutes=1)
    assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 1}
    assert copies(partner, HOA_DON, code) == 1


async def test_a_document_that_kills_its_workers_is_parked_and_its_neighbours_are_not(
    make: Make, clock: SettableClock, partner: SimulatorHandle
) -> None:
    """P7: from the first death on, each goes alone."""
    gateway = make()
    codes = fill(gateway, HOA_DON, 8)
    poison = codes[3]

    async def worker() -> None:
        for batch in gateway.scan.due(HOA_DON):
            if poison in batch:  # the process dies after its claim, whatever else it claimed
                gateway.ledger.claim(
                    HOA_DON, batch, f"dead {clock.now()}", expires_at=clock.now() + timedelta(minutes=2)
                )
            else:
                await gateway.deliver.run(HOA_DON, batch)

    for _ in range(5):
        await worker()
        clock.move(minutes=3)
    assert states(gateway) == {State.ACCEPTED: 7, State.PARKED: 1}
    parked = one(gateway, HOA_DON, poison)
    assert (parked.state, parked.error_code) == (State.PARKED, "worker_lost")
    assert "bị dừng nhiều lần" in (parked.error_message or "")


async def test_what_a_process_died_with_runs_by_itself(
    make: Make, partner: SimulatorHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P7: a batch in the same process would die with it, too."""
    gateway = make()
    suspect, *others = fill(gateway, HOA_DON, 4)
    gateway.ledger.discover(HOA_DON, 10)
    steps: list[tuple[str, bool]] = []
    claim, settle = gateway.ledger.claim, gateway.ledger.settle

    def claiming(kind: DocumentKind, codes: Sequence[str], token: str, *, expires_at: datetime) -> list[Claimed]:
        steps.append(("claim", suspect in codes))
        return claim(kind, codes, token, expires_at=expires_at)

    def settling(kind: DocumentKind, settlements: Sequence[Settlement], token: str) -> set[str]:
        steps.append(("settle", suspect in {settlement.code for settlement in settlements}))
        return settle(kind, settlements, token)

    monkeypatch.setattr(gateway.ledger, "claim", claiming)
    monkeypatch.setattr(gateway.ledger, "settle", settling)
    partner.set_faults([{"fault": "latency", "seconds": 0.5, "code": suspect}])
    await asyncio.gather(
        gateway.deliver.run(HOA_DON, others[:1] * 2),
        gateway.deliver.run(HOA_DON, [suspect]),
        gateway.deliver.run(HOA_DON, others[1:]),
    )
    mine = [steps.index(("claim", True)), steps.index(("settle", True))]
    assert mine[1] == mine[0] + 1, steps
    assert mine[0] > 0, "it overtook the batch before it"
    assert steps[-1] == ("settle", False), "the batch after it overtook it"
    assert states(gateway) == {State.ACCEPTED: 4}


async def test_batches_that_wait_for_each_other_give_back_what_would_expire(
    make: Make, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2, P7: else the claims of good documents expire and count as deaths."""
    gateway = make(send_concurrency=1, claim_seconds=120)
    codes = fill(gateway, HOA_DON, 4)
    gateway.ledger.discover(HOA_DON, 10)
    submit = gateway.client.submit

    async def slowly(kind: str, document: Prepared, idempotency_key: str) -> Exchange:
        clock.move(seconds=61)
        return await submit(kind, document, idempotency_key)

    monkeypatch.setattr(gateway.client, "submit", slowly)
    reports = await asyncio.gather(*(gateway.deliver.run(HOA_DON, pair) for pair in (codes[:2], codes[2:])))
    assert sum(report.released for report in reports) == 3
    assert states(gateway) == {State.ACCEPTED: 1, State.QUEUED: 3}
    with reading(gateway.engine) as connection:
        assert set(connection.scalars(select(delivery.c.deaths))) == {0}


async def test_an_error_of_our_own_ends_the_batch_and_leaves_nothing_waiting_for_ever(
    make: Make, monkeypatch: pytest.MonkeyPatch, clock: SettableClock
) -> None:
    """P1, P7: a fault of the program in judging one answer."""
    gateway = make(send_concurrency=2)
    bad, *good = fill(gateway, HOA_DON, 4)
    gateway.ledger.discover(HOA_DON, 10)
    submit = gateway.client.submit

    async def unspeakably(kind: str, document: Prepared, idempotency_key: str) -> Exchange:
        exchange = await submit(kind, document, idempotency_key)
        is_bad = document.payload["billCode"] == bad
        return replace(exchange, outcome="no outcome at all") if is_bad else exchange  # type: ignore[arg-type]

    monkeypatch.setattr(gateway.client, "submit", unspeakably)
    with pytest.raises(AttributeError):
        await gateway.deliver.run(HOA_DON, [bad, *good])
    monkeypatch.setattr(gateway.client, "submit", submit)
    for _ in range(3):
        clock.move(minutes=10)
        await tick(gateway, HOA_DON)
    assert states(gateway) == {State.ACCEPTED: 4}


@pytest.mark.parametrize("trouble", ["circuit", "stop", "clock"])
async def test_what_was_noted_as_sent_but_did_not_go_out_is_given_back(
    make: Make, partner: SimulatorHandle, clock: SettableClock, trouble: str
) -> None:
    """P2, P6: between the note and the request the partner's circuit opened, the process is to stop, or the time in
    which the request must start ran out. Nobody takes these documents for uncertain."""
    gateway = make(send_concurrency=4)
    fill(gateway, HOA_DON, 8)
    assert await tick(gateway, HOA_DON)
    codes = fill(gateway, HOA_DON, 8)
    gateway.ledger.discover(HOA_DON, 10)
    partner.set_faults([{"fault": "latency", "seconds": 0.5}])
    sent_before = requests(partner)
    run = asyncio.create_task(gateway.deliver.run(HOA_DON, codes))
    await asyncio.to_thread(wait_until, lambda: len(noted(gateway)) == 8, "notes ahead")
    if trouble == "circuit":
        gateway.gate.report([("", Retry(Problem(ErrorCode.PARTNER_ERROR, "thử")))] * 100)
    elif trouble == "stop":
        gateway.stopping.set()
    else:
        clock.move(seconds=91)
    report = await run
    assert (report.states, report.released) == ({State.ACCEPTED: 4}, 4)
    assert requests(partner) - sent_before == 4
    assert states(gateway) == {State.ACCEPTED: 12, State.QUEUED: 4}
    assert not noted(gateway)


def noted(gateway: Gateway) -> list[str]:
    with reading(gateway.engine) as connection:
        return list(connection.scalars(select(delivery.c.code).where(delivery.c.sent_at.is_not(None))))


async def test_a_header_whose_lines_are_still_being_written_is_given_time(
    make: Make, clock: SettableClock, partner: SimulatorHandle
) -> None:
    gateway = make(grace_seconds=30)
    (code, empty) = fill(gateway, HOA_DON, 2)
    with writing(gateway.engine) as connection:
        lines = connection.execute(select(HOA_DON.lines).where(HOA_DON.line_code == code)).mappings().all()
        connection.execute(delete(HOA_DON.lines))
    assert (await tick(gateway, HOA_DON)).states == {}
    with writing(gateway.engine) as connection:
        connection.execute(insert(HOA_DON.lines), [dict(line) for line in lines])
    clock.move(seconds=31)
    assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 1, State.REJECTED: 1}
    assert one(gateway, HOA_DON, empty).error_message == "Không có dòng thuốc nào"


async def test_a_clock_set_back_does_not_prolong_the_time_for_lines(make: Make, clock: SettableClock) -> None:
    gateway = make(grace_seconds=30)
    (code,) = fill(gateway, HOA_DON, 1)
    with writing(gateway.engine) as connection:
        connection.execute(delete(HOA_DON.lines))
    gateway.ledger.discover(HOA_DON, 10)
    clock.move(hours=-5)
    assert (await tick(gateway, HOA_DON)).states == {State.REJECTED: 1}
    assert one(gateway, HOA_DON, code).error_message == "Không có dòng thuốc nào"


async def test_a_clock_set_back_does_not_prolong_a_circuits_pause(
    make: Make, clock: SettableClock, partner: SimulatorHandle
) -> None:
    gateway = make()
    fill(gateway, HOA_DON, 1, facility="CS-LOCKED")
    partner.set_faults([{"fault": "status", "status": 401}])
    await tick(gateway, HOA_DON)
    assert gateway.circuits.open_ones()
    partner.clear_faults()
    clock.move(days=-2)
    assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 1}
    assert not gateway.circuits.open_ones()


async def test_a_document_deleted_while_it_waits_ends_visibly(make: Make, clock: SettableClock) -> None:
    """P1."""
    gateway = make()
    (code,) = fill(gateway, HOA_DON, 1)
    gateway.ledger.discover(HOA_DON, 10)
    with writing(gateway.engine) as connection:
        connection.execute(delete(HOA_DON.lines))
        connection.execute(delete(HOA_DON.header))
    await tick(gateway, HOA_DON)
    assert (one(gateway, HOA_DON, code).state, one(gateway, HOA_DON, code).error_code) == (
        State.REJECTED,
        "document_gone",
    )


async def test_a_document_changed_while_queued_is_sent_as_it_is_now(
    make: Make, partner: SimulatorHandle, clock: SettableClock
) -> None:
    gateway = make()
    (code,) = fill(gateway, PHIEU_NHAP, 1)
    gateway.ledger.discover(PHIEU_NHAP, 10)
    with writing(gateway.engine) as connection:
        connection.execute(update(PHIEU_NHAP.header).values(ghi_chu="đã sửa"))
    await tick(gateway, PHIEU_NHAP)
    (sent,) = partner.documents(kind="phieu_nhap", code=code, payloads=True)
    assert sent["keys"][0]["accepted"][0]["payload"]["note"] == "đã sửa"


@pytest.mark.parametrize("hours", [-6, 6])
async def test_a_clock_that_jumps_neither_loses_nor_doubles(
    make: Make, clock: SettableClock, partner: SimulatorHandle, hours: int
) -> None:
    gateway = make()
    codes = fill(gateway, HOA_DON, 10)
    gateway.ledger.discover(HOA_DON, 100)
    gateway.ledger.offer_due(HOA_DON, 5, reoffer_at=clock.now() + timedelta(minutes=5))
    gateway.ledger.claim(HOA_DON, codes[:2], "dead", expires_at=clock.now() + timedelta(minutes=2))
    clock.move(hours=hours)
    for _ in range(3):
        await tick(gateway, HOA_DON)
        clock.move(minutes=6)
    assert states(gateway) == {State.ACCEPTED: 10}
    assert all(copies(partner, HOA_DON, code) == 1 for code in codes)


async def test_requests_keep_to_the_rate_limit(make: Make, partner: SimulatorHandle) -> None:
    gateway = make(rate_limit="20/second")
    fill(gateway, HOA_DON, 50)
    start = asyncio.get_running_loop().time()
    report = await tick(gateway, HOA_DON)
    assert report.states == {State.ACCEPTED: 50}
    assert asyncio.get_running_loop().time() - start > 1.9


async def test_a_facility_that_exceeds_its_rate_does_not_slow_the_others(make: Make, partner: SimulatorHandle) -> None:
    gateway = make(rate_limit_per_facility="4/second")
    fill(gateway, HOA_DON, 10, facility="BUSY")
    others = [fill(gateway, HOA_DON, 1, facility=f"CALM{number}")[0] for number in range(10)]
    await tick(gateway, HOA_DON)
    assert states(gateway) == {State.ACCEPTED: 20}
    with reading(gateway.engine) as connection:
        ended = select(attempt.c.code).order_by(attempt.c.started_at, attempt.c.id)
        order = connection.scalars(ended).all()
    assert all(order.index(code) < 20 for code in others)


async def test_retrying_parked_or_rejected_documents_starts_a_fresh_schedule(
    make: Make, partner: SimulatorHandle, clock: SettableClock
) -> None:
    gateway = make(retry_schedule="1s")
    (code,) = fill(gateway, HOA_DON, 1)
    partner.set_faults([{"fault": "status", "status": 500}])
    for _ in range(2):
        await tick(gateway, HOA_DON)
        clock.move(minutes=1)
    assert one(gateway, HOA_DON, code).state is State.PARKED
    partner.clear_faults()
    assert gateway.replay.run(Action.RETRY, Selection(kind="hoa_don", codes=(code,)), who="x", why="y") == 1
    assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 1}
    assert copies(partner, HOA_DON, code) == 1


async def test_a_row_that_the_database_refuses_stops_no_other(
    make: Make, partner: SimulatorHandle, clock: SettableClock
) -> None:
    """P7: a trigger of the customer's raises for one document; it is not sent under another key either."""
    gateway = make()
    codes = fill(gateway, HOA_DON, 20)
    refuse(gateway.engine, "HoaDonHeader", "UPDATE", f"{{row}}.ma_hoa_don = '{codes[5]}'", "closed period")
    assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 19}
    for _ in range(5):
        clock.move(minutes=3)
        await tick(gateway, HOA_DON)
    assert one(gateway, HOA_DON, codes[5]).state is State.SENDING
    with writing(gateway.engine) as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse")
    clock.move(minutes=3)
    await tick(gateway, HOA_DON)
    assert one(gateway, HOA_DON, codes[5]).state is State.UNKNOWN
    gateway.replay.resolve(HOA_DON, codes[5], Verdict.RESEND, who="x", why="y")
    await tick(gateway, HOA_DON)
    assert states(gateway) == {State.ACCEPTED: 20}
    assert copies(partner, HOA_DON, codes[5]) == 1


async def test_answers_wait_for_a_database_that_is_away_for_a_moment(
    make: Make, partner: SimulatorHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P4: nothing that was accepted is sent once more because of it."""
    gateway = make()
    codes = fill(gateway, HOA_DON, 10)
    settle, away = gateway.ledger.settle, iter([True, True])

    def sometimes(*arguments: Any) -> set[str]:
        if next(away, False):
            raise DatabaseUnavailable("away")
        return settle(*arguments)

    monkeypatch.setattr(gateway.ledger, "settle", sometimes)
    monkeypatch.setattr("app.services.deliver.DATABASE_PAUSE_SECONDS", 0.01)
    assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 10}
    assert all(copies(partner, HOA_DON, code) == 1 for code in codes)


@asynccontextmanager
async def askable_partner(
    monkeypatch: pytest.MonkeyPatch, submit: Handler, look_up: Handler
) -> AsyncIterator[dict[str, str]]:
    """A partner that takes invoices and can be asked for them; yields the settings that name it."""
    application = web.Application()
    application.add_routes([web.post("/hoadon", submit), web.get("/hoadon/{code}", look_up)])
    endpoints = PROFILES["basic"].endpoints
    asked = {name: replace(each, lookup_path=each.path + "/{code}") for name, each in endpoints.items()}
    monkeypatch.setitem(PROFILES, "askable", Profile("askable", asked))
    async with TestServer(application) as server:
        yield {
            "api_base_url": str(server.make_url("")),
            "partner_profile": "askable",
            "unknown_outcome_policy": "lookup",
        }


@pytest.mark.parametrize("partner_has_it", [True, False])
async def test_lookup_asks_before_it_sends_again(
    make: Make, clock: SettableClock, monkeypatch: pytest.MonkeyPatch, partner_has_it: bool
) -> None:
    """P5: a partner that can be asked and does not recognise duplicates gets no second copy."""
    posts: list[str] = []

    async def submit(request: web.Request) -> web.Response:
        posts.append(request.headers["Idempotency-Key"])
        if len(posts) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"ma_hoa_don_quoc_gia": "QG-1"})

    async def look_up(request: web.Request) -> web.Response:
        if partner_has_it:
            return web.json_response({"ma_hoa_don_quoc_gia": "QG-0"})
        return web.json_response({"mess": "không có"}, status=404)

    async with askable_partner(monkeypatch, submit, look_up) as settings:
        gateway = make(**settings)
        (code,) = fill(gateway, HOA_DON, 1)
        assert (await tick(gateway, HOA_DON)).states == {State.UNKNOWN: 1}
        clock.move(minutes=1)
        assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 1}
    assert one(gateway, HOA_DON, code).national_code == ("QG-0" if partner_has_it else "QG-1")
    assert len(posts) == (1 if partner_has_it else 2)
    assert len(set(posts)) == 1


async def test_lookup_does_not_take_the_earlier_revision_for_this_one(
    make: Make, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []

    async def submit(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 2:
            assert request.transport is not None
            request.transport.abort()  # and nothing was kept
        return web.json_response({"ma_hoa_don_quoc_gia": f"QG-{len(set(keys))}"})

    async def look_up(request: web.Request) -> web.Response:
        return web.json_response({"ma_hoa_don_quoc_gia": "QG-1"})

    async with askable_partner(monkeypatch, submit, look_up) as settings:
        gateway = make(**settings)
        (code,) = fill(gateway, HOA_DON, 1)
        await tick(gateway, HOA_DON)
        with writing(gateway.engine) as connection:
            connection.execute(update(HOA_DON.header).values(status_phieu=0))
        assert (await tick(gateway, HOA_DON)).states == {State.UNKNOWN: 1}
        clock.move(minutes=1)
        assert (await tick(gateway, HOA_DON)).states == {State.ACCEPTED: 1}
    assert (one(gateway, HOA_DON, code).revision, one(gateway, HOA_DON, code).national_code) == (2, "QG-2")
    assert len(keys) == 3
    assert keys[1] == keys[2] != keys[0]


async def test_lookup_is_refused_where_the_partner_cannot_be_asked(make: Make) -> None:
    with pytest.raises(ConfigError, match="UNKNOWN_OUTCOME_POLICY=lookup"):
        make(unknown_outcome_policy="lookup").require_partner()


class _NoQueue:
    """A queue that nobody reads."""

    def offer(self, kind: DocumentKind, codes: object) -> None:
        """Forget them."""

    def waiting_messages(self, kind: DocumentKind) -> int:
        """None."""
        return 0
