"""`hermes demo`: documents travel before one's eyes, and the books are compared at the end.

Everything runs as it does in earnest (`hermes up` as a process of its own, the partner as another), but in a
folder, on a database and with settings of the demo alone: nothing of the operator's own configuration is used.
"""

import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import insert, select

from app.core.clock import VIETNAM
from app.core.config import Language, get_settings, isolate
from app.core.texts import say
from app.db.engine import patiently, reading, writing
from app.db.migrate import upgrade
from app.db.source import create_source_tables
from app.demo.sample_data import SampleDocument, generate
from app.documents import ALL_KINDS, DocumentKind
from app.domain.deliveries import Delivery, Selection
from app.domain.errors import InfrastructureError, InputError
from app.domain.states import CLOSED, SOURCE_STATUS, State
from app.domain.users import Role
from app.wiring import Gateway, process_gateway
from simulator.process import SimulatorHandle, is_simulator, running_simulator

FOLDER = Path("var/demo")
VISITOR = "demo"
LOG_FILE = "hermes.log"
PATIENCE_SECONDS = 110
_SEED = 20_261
_PAGE = 2000
_LINE = re.compile(r"^Dòng \d+: ")
_VALUE = re.compile(r"(: .*| \(.*\).*)$")


class Faults(StrEnum):
    """How the simulated partner misbehaves."""

    NONE = "none"
    SOME = "some"
    STORM = "storm"


@dataclass(slots=True)
class Proof:
    """The comparison of three books: source rows, our ledger, the partner's ledger."""

    accepted: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every accepted document is at the partner exactly once, and no other is."""
        return not self.faults


class Demo:
    """One run of the demo. `run` returns whether the proof holds."""

    def __init__(self, *, documents: int, faults: Faults, keep: bool) -> None:
        self._documents = documents
        self._faults = faults
        self._keep = keep
        self._console = Console(highlight=False)

    def run(self) -> bool:
        """Seed, send, show, prove."""
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        password = secrets.token_urlsafe(12)
        simulator = running_simulator(
            username="demo", password=password, faults=self._faults.value, hang_seconds=2, stderr=FOLDER / "partner.log"
        )
        with simulator as partner:
            isolate(FOLDER, self._settings(partner.url, password))
            gateway = process_gateway()
            self._seed(gateway)
            with _hermes_up():
                seconds = self._watch(gateway)
                proof = prove(gateway, partner)
                self._report(gateway, proof, seconds)
                if self._keep:
                    self._wait_for_interrupt(gateway, partner)
            return proof.holds

    def _settings(self, url: str, password: str) -> dict[str, str]:
        settings = {
            "API_BASE_URL": url,
            "API_USERNAME": "demo",
            "API_PASSWORD": password,
            "SOURCE_DATABASE_URL": "sqlite:///hermes.db",
            "SCAN_INTERVAL_SECONDS": "1",
            "CONSOLE_PORT": str(_free_port(get_settings().console_port)),
            "GRACE_SECONDS": "1",
            "HERMES_LANG": get_settings().hermes_lang.value,
        }
        if self._faults is not Faults.NONE:  # minutes would be hours
            settings |= {
                "REQUEST_TIMEOUT_SECONDS": "4",
                "RETRY_SCHEDULE": "1s,1s,2s,3s,4s,6s,8s,10s,10s",
                "DEFER_SECONDS": "1",
            }
        return settings

    def _seed(self, gateway: Gateway) -> None:
        upgrade(gateway.engine)
        create_source_tables(gateway.engine)
        gateway.access.add(VISITOR, Role.ADMIN, None, who="hermes demo")
        insert_samples(gateway, self._documents)
        self._say("demo_seeded", documents=self._documents)

    def _watch(self, gateway: Gateway) -> float:
        """Show how the kinds get on until all documents have their answer, or patience ends; returns seconds."""
        started = time.monotonic()
        totals = {kind.name: gateway.ledger.status(kind).to_send for kind in ALL_KINDS}
        columns = (TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as progress:
            bars = {kind.name: progress.add_task(self._label(kind), total=totals[kind.name]) for kind in ALL_KINDS}
            done = 0
            while done < self._documents and time.monotonic() - started < PATIENCE_SECONDS:
                time.sleep(0.25)
                finished = {kind.name: _finished(gateway, kind) for kind in ALL_KINDS}
                done = sum(finished.values())
                for name, count in finished.items():
                    progress.update(bars[name], completed=count)
        return time.monotonic() - started

    def _report(self, gateway: Gateway, proof: Proof, seconds: float) -> None:
        table = Table(show_lines=True)
        for heading in ("kind", "state_accepted", "state_rejected", "demo_reasons", "demo_waiting"):
            table.add_column(say(self._language, heading).capitalize(), justify="left")
        for kind in ALL_KINDS:
            states = gateway.ledger.status(kind).states
            rejected, closed = states.get(State.REJECTED, 0), sum(states.get(state, 0) for state in CLOSED)
            reasons = "\n".join(f"{count} × {reason}" for reason, count in _commonest_reasons(gateway, kind))
            table.add_row(
                self._label(kind),
                str(states.get(State.ACCEPTED, 0)),
                str(rejected),
                reasons or "–",
                str(sum(states.values()) - closed + states.get(State.PARKED, 0)),
            )
        self._console.print(table)
        self._say(
            "demo_throughput",
            documents=self._documents,
            seconds=f"{seconds:.1f}",
            rate=f"{self._documents / seconds:.0f}",
        )
        for fault in proof.faults[:20]:
            self._console.print(f"  {fault}", style="red", markup=False)
        self._say(
            "demo_proof" if proof.holds else "demo_proof_fails", accepted=proof.accepted, faults=len(proof.faults)
        )

    def _wait_for_interrupt(self, gateway: Gateway, partner: SimulatorHandle) -> None:
        token = gateway.access.login_token(VISITOR, lasts=timedelta(days=1))
        self._say("console_link", url=f"{gateway.settings.console_url}/enter/{token}")
        self._say("demo_kept", folder=FOLDER, log=LOG_FILE, partner=f"{partner.url}/_simulator/ledger")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            signal.pause()

    @property
    def _language(self) -> Language:
        return get_settings().hermes_lang

    def _label(self, kind: DocumentKind) -> str:
        return kind.labels[self._language]

    def _say(self, key: str, **values: object) -> None:
        self._console.print(say(self._language, key, **values), markup=False, soft_wrap=True)


def insert_samples(gateway: Gateway, documents: int) -> None:
    """Write so many sample documents into the source tables, shared among the kinds."""
    share, rest = divmod(documents, len(ALL_KINDS))
    today = datetime.now(VIETNAM).date()
    for number, kind in enumerate(ALL_KINDS):
        count = share + (number < rest)
        insert_documents(gateway, kind, generate(kind.name, count, seed=_SEED, today=today))


def offer_samples(gateway: Gateway, documents: int) -> bool:
    """Write sample documents where there are none of any kind yet; returns whether it did.

    Raises InputError unless the partner is a simulator: what is made up must not reach anybody in earnest.
    """
    gateway.require_partner()
    url = gateway.settings.api_base_url or ""
    try:
        harmless = is_simulator(url)
    except OSError as error:
        raise InfrastructureError(f"{url} does not answer: {error}") from error
    if not harmless:
        raise InputError(f"API_BASE_URL={url} is not a simulated partner. Sample documents are not for a real one.")
    if any(_has_documents(gateway, kind) for kind in ALL_KINDS):
        return False
    insert_samples(gateway, documents)
    return True


@patiently
def _has_documents(gateway: Gateway, kind: DocumentKind) -> bool:
    with reading(gateway.engine) as connection:
        return connection.execute(select(kind.code).limit(1)).first() is not None


def insert_documents(gateway: Gateway, kind: DocumentKind, documents: Iterator[SampleDocument]) -> None:
    """Write sample documents into the source tables."""
    while some := list(islice(documents, _PAGE)):
        code = kind.code_column
        lines = [{**line, code: document.header[code]} for document in some for line in document.lines]
        with writing(gateway.engine) as connection:
            connection.execute(insert(kind.header), [document.header for document in some])
            if lines:
                connection.execute(insert(kind.lines), lines)


def _free_port(wanted: int) -> int:
    """The wanted port, else one that is free."""
    for port in (wanted, 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
            return int(probe.getsockname()[1])
    raise InfrastructureError("This machine has no free port for the console.")


@contextmanager
def _hermes_up() -> Iterator[None]:
    with Path(LOG_FILE).open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "app", "up"], stderr=log, stdout=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def _finished(gateway: Gateway, kind: DocumentKind) -> int:
    states = gateway.ledger.status(kind).states
    return sum(count for state, count in states.items() if state in CLOSED)


def _deliveries(gateway: Gateway, selection: Selection) -> Iterator[Delivery]:
    after = ("", "")
    while page := gateway.ledger.page(selection, after, _PAGE):
        yield from page
        after = (page[-1].kind, page[-1].code)


def _commonest_reasons(gateway: Gateway, kind: DocumentKind) -> list[tuple[str, int]]:
    """The three commonest faults of rejected documents, without line numbers and values."""
    reasons: Counter[str] = Counter()
    for delivery in _deliveries(gateway, Selection(kind=kind.name, state=State.REJECTED)):
        faults = (delivery.error_message or "").split("; ")
        reasons.update({_VALUE.sub("", _LINE.sub("", fault)).lower() for fault in faults})
    return reasons.most_common(3)


def prove(gateway: Gateway, partner: SimulatorHandle) -> Proof:
    """Compare: what we call accepted is at the partner exactly once under the same national code, nothing that
    we do not know of is there, and each source row says what the ledger says."""
    proof = Proof()
    theirs = {(each["kind"], each["code"]): each for each in partner.documents()}
    for kind in ALL_KINDS:
        rows = _source_rows(gateway, kind)
        for delivery in _deliveries(gateway, Selection(kind=kind.name)):
            copy = theirs.pop((kind.name, delivery.code), None)
            copies = 0 if copy is None else copy["copies"]
            name = f"{kind.name} {delivery.code}"
            if delivery.state is State.ACCEPTED:
                proof.accepted += 1
                codes = (
                    [] if copy is None else [each["national_code"] for key in copy["keys"] for each in key["accepted"]]
                )
                if codes != [delivery.national_code]:
                    proof.faults.append(f"{name}: accepted as {delivery.national_code}, at the partner: {codes}")
                if rows[delivery.code][1] != delivery.national_code:
                    proof.faults.append(f"{name}: source row has national code {rows[delivery.code][1]}")
            elif copies and not delivery.uncertain:
                proof.faults.append(f"{name}: {delivery.state}, but the partner has it")
            elif copies > 1:
                proof.faults.append(f"{name}: {copies} copies at the partner")
            status = SOURCE_STATUS.get(delivery.state)
            if status is not None and rows[delivery.code][0] != status:
                proof.faults.append(f"{name}: {delivery.state}, but status_phieu is {rows[delivery.code][0]}")
    proof.faults += [f"{kind} {code}: at the partner, but not in the ledger" for kind, code in theirs]
    return proof


def _source_rows(gateway: Gateway, kind: DocumentKind) -> dict[str, tuple[int | None, str | None]]:
    with reading(gateway.engine) as connection:
        rows = connection.execute(select(kind.code, kind.header.c.status_phieu, kind.national_code))
        return {code: (status, national_code) for code, status, national_code in rows}
