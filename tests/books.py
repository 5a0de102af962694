"""Filling the source, waiting, and comparing the three books: source rows, ledger, the partner's ledger."""

import time
from collections.abc import Callable
from datetime import date

from sqlalchemy import func, select

from app.db.engine import reading
from app.db.tables import delivery
from app.demo.sample_data import generate
from app.demo.show import insert_documents, prove
from app.documents import ALL_KINDS
from app.domain.states import State
from app.wiring import Gateway
from simulator.process import SimulatorHandle

TODAY = date(2026, 11, 20)


def fill_source(gateway: Gateway, per_kind: int, *, defect_every: int = 15, seed: int = 1) -> int:
    """Insert sample documents of all kinds; returns how many are defective."""
    defective = 0
    for kind in ALL_KINDS:
        documents = list(generate(kind.name, per_kind, seed=seed, today=TODAY, defect_every=defect_every))
        defective += sum(document.defect is not None for document in documents)
        insert_documents(gateway, kind, iter(documents))
    return defective


def states(gateway: Gateway) -> dict[State, int]:
    """Deliveries per state, all kinds together."""
    counts = select(delivery.c.state, func.count()).group_by(delivery.c.state)
    with reading(gateway.engine) as connection:
        return {State(state): count for state, count in connection.execute(counts)}


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for a condition; fail saying what did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.1)


def wait_until_closed(gateway: Gateway, documents: int, seconds: float = 60) -> dict[State, int]:
    """Wait until every document has its answer; returns the states."""

    def closed() -> bool:
        found = states(gateway)
        return found.get(State.ACCEPTED, 0) + found.get(State.REJECTED, 0) >= documents

    try:
        wait_until(closed, f"{documents} documents accepted or rejected", seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}; states: {states(gateway)}") from None
    return states(gateway)


def assert_books_agree(gateway: Gateway, partner: SimulatorHandle) -> None:
    """Lost 0, duplicated 0, disagreeing 0 (P1, P4)."""
    proof = prove(gateway, partner)
    assert proof.faults == []
    assert partner.totals()["duplicated_documents"] == 0
