"""Every statement of the SQL adapters, as SQL Server would get it.

The adapters run against SQLite here; what they execute is caught before it is compiled, compiled once more for
SQL Server, and looked at. That no statement is left out is proved from their source: every call that executes
something must have been reached.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from itertools import count, product
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
import sqlglot
from sqlalchemy import (
    Delete,
    Engine,
    Enum,
    Insert,
    String,
    Unicode,
    Update,
    delete,
    event,
    insert,
    text,
    update,
)
from sqlalchemy.dialects import mssql
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlglot import exp

from app.core.config import load_settings
from app.db import (
    attempt_log,
    audit,
    circuits,
    examine_sql,
    ledger,
    listing,
    reconciliation,
    refusals,
    replays,
    source,
    tables,
    tallies,
    tokens,
    users,
)
from app.db.attempt_log import SqlAttemptLog
from app.db.audit import SqlAudit
from app.db.circuits import SqlCircuits
from app.db.engine import MOST_PARAMETERS
from app.db.examine_sql import SqlExamination
from app.db.ledger import SqlLedger
from app.db.listing import SqlListing, begins
from app.db.migrate import VERSION_TABLE, upgrade
from app.db.reconciliation import SqlReconciliation
from app.db.refusals import SqlRefusals
from app.db.replays import SqlReplays
from app.db.source import SqlSource, create_source_tables
from app.db.tallies import SqlTallies
from app.db.tokens import SqlTokens
from app.db.users import SqlUsers
from app.documents import ALL_KINDS, PHIEU_NHAP, SOURCE, DocumentKind
from app.domain.decide import Decision
from app.domain.deliveries import Attempt, Selection, Settlement
from app.domain.diagnosis import Verdict
from app.domain.errors import ErrorCode, Problem
from app.domain.listing import AuditFilter, Filter, Sort, Turn
from app.domain.outcomes import Accepted, Rejected
from app.domain.reconciliation import Fate
from app.domain.replays import Pace, ReplayState
from app.domain.states import CLOSED, OPERATOR_RETRY, RESOLVE_ACCEPTED, SOURCE_STATUS, State
from app.domain.tokens import ApiToken
from app.domain.users import Role
from app.wiring import Gateway

MODULES: dict[type, ModuleType] = {
    SqlLedger: ledger,
    SqlSource: source,
    SqlAttemptLog: attempt_log,
    SqlCircuits: circuits,
    SqlExamination: examine_sql,
    SqlAudit: audit,
    SqlUsers: users,
    SqlTokens: tokens,
    SqlListing: listing,
    SqlReconciliation: reconciliation,
    SqlRefusals: refusals,
    SqlReplays: replays,
    SqlTallies: tallies,
}
SPEAKING = tuple(MODULES.values())
FILES = {str(Path(str(module.__file__))): module for module in SPEAKING}

MOST_BOUND = 2000
"""SQL Server takes 2,100 parameters in one statement; drivers add some of their own."""

MOST = MOST_PARAMETERS
"""The largest batch that a service hands over."""

CODES = [f"PN{number:04}" for number in range(MOST)]
NOT_THERE = "NOT-THERE"
TOKEN = "worker"


def sql_server_2016() -> Dialect:
    """The dialect as it is after it asked a server for its version; parameters are question marks."""
    dialect = mssql.dialect(paramstyle="qmark")
    dialect.server_version_info = (13,)
    dialect._setup_version_attributes()
    return dialect


DIALECT = sql_server_2016()


@dataclass(eq=False)
class Statement:
    """A statement that an adapter executed, and from where."""

    clause: ClauseElement
    given: Mapping[str, Any]
    place: tuple[str, int]
    method: str

    @cached_property
    def compiled(self) -> Any:
        return self.clause.compile(dialect=DIALECT, column_keys=list(self.given) or None)  # type: ignore[call-arg]

    @cached_property
    def expanded(self) -> Any:
        """As SQL Server's driver would get it: one question mark for each parameter, lists written out."""
        return self.compiled.construct_expanded_state(dict(self.given))

    @property
    def text(self) -> str:
        return str(self.expanded.statement)

    @cached_property
    def parsed(self) -> list[exp.Expression | None]:
        return sqlglot.parse(self.text, read="tsql")

    @property
    def bound(self) -> int:
        """How many parameters it binds."""
        return len(self.expanded.positiontup)


class Clock:
    """Stands still until it is moved."""

    moment = datetime(2026, 3, 14, 2, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def forward(self, **by: float) -> None:
        self.moment += timedelta(**by)


class Exercise:
    """Calls every public method of the adapters, with the largest batches and on every way through them."""

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self.gateway = gateway
        self.clock = clock
        self.ledger = gateway.ledger
        self.source = gateway.source
        self.log = gateway.attempt_log
        self.circuits = SqlCircuits(gateway.engine, clock)
        self.called: set[tuple[type, str]] = set()

    def call(self, adapter: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        self.called.add((type(adapter), method))
        return getattr(adapter, method)(*args, **kwargs)

    def run(self) -> None:
        for kind in ALL_KINDS:
            self.read_source(kind)
            self.scan(kind)
            self.deliver(kind)
            self.rescue(kind)
            self.operate(kind)
            self.report(kind)
        self.list()
        self.group_refusals()
        self.replay()
        self.tally()
        self.keep_log()
        self.break_circuits()
        self.let_in()
        self.let_programs_in()
        self.examine()

    def examine(self) -> None:
        examination = SqlExamination(lambda: self.gateway.engine)
        for method in ("database", "ledger", "ledger_writes", "indexes", "collation", "isolation"):
            assert {each.verdict for each in self.call(examination, method)} <= {Verdict.MET, Verdict.SKIPPED}
        for kind in ALL_KINDS:
            for method in ("source", "source_writes"):
                assert {each.verdict for each in self.call(examination, method, kind)} == {Verdict.MET}
        self.call(examination, "now")

    @property
    def later(self) -> datetime:
        return self.clock.now() + timedelta(minutes=2)

    def read_source(self, kind: DocumentKind) -> None:
        with self.gateway.engine.begin() as connection:
            headers = [{kind.code_column: code, "ma_co_so": "CS01", "status_phieu": 0} for code in CODES]
            connection.execute(insert(kind.header), headers)
            connection.execute(insert(kind.lines), [{kind.code_column: code} for code in CODES])
        # Whole pages of codes that no statement can name: the walk through the table goes on by their number.
        into = f"{kind.header.name} ({kind.code_column})"
        broken = f"INSERT INTO {into} VALUES (CAST(X'21EDA080' AS TEXT) || :number)"  # noqa: S608
        with self.gateway.engine.begin() as connection:
            connection.execute(text(broken), [{"number": number} for number in range(MOST)])
        self.call(self.source, "tables", kind)
        self.call(self.source, "header_columns", kind)
        assert sum(len(page) for page in self.call(self.source, "pending", kind)) == MOST

    def scan(self, kind: DocumentKind) -> None:
        assert self.call(self.ledger, "discover", kind, 5 * MOST) == MOST
        with self.gateway.engine.begin() as connection:
            connection.execute(delete(kind.header).where(kind.code.not_in(CODES)))
        assert len(self.call(self.ledger, "offer_due", kind, MOST, reoffer_at=self.later)) == MOST
        self.call(self.ledger, "count_offered", kind, MOST)
        self.call(self.ledger, "withdraw_offer", kind, CODES)
        self.call(self.ledger, "next_due", kind)
        for _ in range(2):
            self.call(self.ledger, "beat", f"scan:{kind.name}")
            self.call(self.ledger, "note_worker", kind, "celery@host")

    def claim(self, kind: DocumentKind) -> None:
        assert len(self.call(self.ledger, "claim", kind, CODES, TOKEN, expires_at=self.later)) == MOST

    def begin_send(self, kind: DocumentKind) -> None:
        send = partial(self.call, self.ledger, "begin_send", kind, token=TOKEN, expires_at=self.later)
        assert len(send([*CODES[1:], NOT_THERE])) == MOST - 1
        assert len(send(CODES)) == MOST

    def deliver(self, kind: DocumentKind) -> None:
        self.claim(kind)
        assert len(self.call(self.source, "load", kind, CODES)) == MOST
        self.call(self.ledger, "release", kind, CODES, TOKEN)
        self.claim(kind)
        self.begin_send(kind)
        states = sorted(SOURCE_STATUS)
        late = [self.settlement(kind, code, State.ACCEPTED) for code in CODES]
        settlements = [self.settlement(kind, code, states[n % len(states)]) for n, code in enumerate(CODES)]
        assert self.call(self.ledger, "settle", kind, late, "stranger") == set()
        lost = [self.settlement(kind, NOT_THERE, State.ACCEPTED)]
        assert len(self.call(self.ledger, "settle", kind, settlements[1:] + lost, TOKEN)) == MOST - 1
        assert len(self.call(self.ledger, "settle", kind, settlements[:1], TOKEN)) == 1

    def settlement(self, kind: DocumentKind, code: str, state: State) -> Settlement:
        problem = None if state is State.ACCEPTED else Problem(ErrorCode.REFUSED, "sai số lô")
        national_code = None if problem else "QG-1"
        now = self.clock.now()
        row = Attempt(
            str(uuid4()), kind.name, code, "CS01", 1, 1, "accepted", ErrorCode.REFUSED, 200, now, 5, {"body": "Thuốc"}
        )
        outcome = Rejected(problem) if problem else Accepted(national_code)
        decision = Decision(state, 1, False, problem=problem, national_code=national_code)
        return Settlement(code, outcome, decision, "một dòng", row, "f" * 64)

    def rescue(self, kind: DocumentKind) -> None:
        with self.gateway.engine.begin() as connection:
            connection.execute(update(kind.header).values(status_phieu=0))
        closed = self.call(self.ledger, "status", kind).states
        assert self.call(self.ledger, "discover", kind, 5 * MOST) == sum(closed.get(state, 0) for state in CLOSED)
        self.call(self.ledger, "requeue", Selection(kind=kind.name), OPERATOR_RETRY, who="lan", why="")
        self.claim(kind)
        self.clock.forward(minutes=2)
        assert self.call(self.ledger, "release_expired", kind) == MOST
        self.claim(kind)
        self.begin_send(kind)
        self.clock.forward(minutes=2)
        taken = self.call(self.ledger, "take_over_expired", kind, TOKEN, limit=5 * MOST, expires_at=self.later)
        assert len(taken) == MOST
        unknown = [self.settlement(kind, code, State.UNKNOWN) for code in CODES]
        assert len(self.call(self.ledger, "settle", kind, unknown, TOKEN)) == MOST

    def operate(self, kind: DocumentKind) -> None:
        said = {"who": "lan", "why": "đã gọi điện"}
        for code in (CODES[0], NOT_THERE):
            self.call(
                self.ledger, "resolve", kind, code, RESOLVE_ACCEPTED, note="ghi chú", national_code="QG-2", **said
            )
        self.clock.forward(seconds=1)
        everything = Selection(
            kind=kind.name,
            codes=tuple(CODES),
            state=State.UNKNOWN,
            error_code="refused",
            facility="CS01",
            date_from=None,
            date_to=None,
        )
        assert self.call(self.ledger, "count", everything, OPERATOR_RETRY) == MOST - 1
        dates = {"date_from": self.clock.now().date(), "date_to": self.clock.now().date()}
        self.call(self.ledger, "page", Selection(kind=kind.name, codes=tuple(CODES), **dates), ("", ""), MOST)
        # Between the operator's look and the operator's move, a worker takes one of the documents.
        with between(self.gateway.engine, partial(self.take_one, kind, CODES[1])):
            assert self.call(self.ledger, "requeue", everything, OPERATOR_RETRY, **said) == MOST - 2
        assert self.call(self.ledger, "park", Selection(kind=kind.name), note="gác", **said) == MOST - 2

    def take_one(self, kind: DocumentKind, code: str) -> None:
        with self.gateway.engine.begin() as connection:
            taken = (ledger.delivery.c.kind == kind.name) & (ledger.delivery.c.code == code)
            connection.execute(update(ledger.delivery).where(taken).values(state=State.SENDING))

    def report(self, kind: DocumentKind) -> None:
        self.call(self.ledger, "get", kind, CODES[2])
        self.call(self.ledger, "audit_of", kind, CODES[2])
        books = SqlReconciliation(self.gateway.engine)
        day = self.clock.now().date()
        self.call(books, "balances", kind, day, day, "CS01")
        for fate, when in product(Fate, (day, None)):
            self.call(books, "documents", kind, when, "CS01" if when else "", fate, "", MOST)

    def list(self) -> None:
        """Every order, forwards and backwards, by both ways to a page."""
        ledger, audit = SqlListing(self.gateway.engine), SqlAudit(self.gateway.engine, self.clock)
        now = self.clock.now()
        day = now.date()
        wide = Filter(date_from=day, date_to=day, facility="CS01", code_prefix="PN", ever_failed=True)
        rare = Filter("hoa_don", tuple(State), "CS01", day, day, "refused", "no such cause", True, "PN1", "PN")
        refused = Filter(states=(State.REJECTED, State.PARKED))
        lists = (Filter(), Filter(code_prefix="PN"), wide, refused, Filter(error_code="refused"), rare)
        values = {Sort.CHANGED: now, Sort.DUE: now, Sort.DATE: day, Sort.CODE: None}
        with patched(listing, NARROW=2):
            for wanted, sort, backwards in product(lists, Sort, (False, True)):
                for value in (values[sort], None) if sort is Sort.DATE else (values[sort],):
                    turn = Turn((value, CODES[5], "hoa_don"), backwards)
                    self.call(ledger, "deliveries", wanted, sort, turn, MOST)
                self.call(ledger, "count", wanted, MOST)
        self.call(ledger, "deliveries", Filter(code=CODES[1]), Sort.DATE, Turn((day, CODES[5], "hoa_don")), MOST)
        self.call(ledger, "count", Filter(code=CODES[1]), MOST)
        self.call(audit, "note", who="lan", action="names", kind="hoa_don", code=CODES[0], why="khách hỏi")
        for backwards in (False, True):
            wanted = AuditFilter("lan", "names", "hoa_don", CODES[0], now, now + timedelta(days=1))
            self.call(audit, "entries", wanted, Turn((now, TOKEN, ""), backwards), MOST)

    def group_refusals(self) -> None:
        book = SqlRefusals(self.gateway.engine)
        (group, *_) = self.call(book, "groups").groups
        self.call(book, "counts", group.cause, [self.clock.now(), self.later])

    def replay(self) -> None:
        store = SqlReplays(self.gateway.engine, self.clock)
        said = {"who": "lan", "why": "sai số lô"}
        every = Selection(kind="hoa_don", codes=tuple(CODES), cause=None)
        made = self.call(store, "create", "sự cố", every, OPERATOR_RETRY, Pace(100, 1000), **said)
        assert made.documents == MOST - 2
        assert [each.name for each in self.call(store, "running")] == ["sự cố"]
        assert self.call(store, "count_queued", MOST) >= 0
        assert self.call(store, "release", made, MOST) is not None
        assert self.call(store, "progress", "sự cố").under_way == MOST - 2
        assert len(self.call(store, "items", "sự cố", 0, MOST)) == MOST - 2
        self.call(store, "get", "sự cố")
        self.call(store, "all", MOST)
        self.call(store, "change", "sự cố", [ReplayState.FINISHED], ReplayState.ABORTED, action="replay_abort", **said)

    def tally(self) -> None:
        counts = SqlTallies(self.gateway.engine, self.clock)
        self.call(counts, "hours", self.clock.now())
        self.clock.forward(hours=2)
        assert self.call(counts, "compact") > 0

    def keep_log(self) -> None:
        assert self.call(self.log, "measure", self.clock.now() - timedelta(days=1))
        rows = self.call(self.log, "oldest", 5 * MOST)
        assert len(rows) == MOST
        self.call(self.log, "of_document", "phieu_nhap", CODES[0])
        self.call(self.log, "count")
        self.call(self.log, "delete", [row.id for row in rows])
        assert self.call(self.log, "delete_before", self.clock.now() + timedelta(days=1)) == MOST

    def break_circuits(self) -> None:
        facilities = [f"CS{number:03}" for number in range(MOST)]
        self.call(self.circuits, "count", "", 5, 3, timedelta(seconds=30))
        self.call(self.circuits, "open", "CS001", until=self.later, reason="sai mật khẩu", level=0)
        self.clock.forward(minutes=3)
        self.call(self.circuits, "lease_probe", "CS001", until=self.later)
        self.call(self.circuits, "open", "CS001", until=self.later, reason="sai mật khẩu", level=1)
        self.call(self.circuits, "pause", "CS002", who="lan", why="nghỉ")
        assert set(self.call(self.circuits, "open_ones")) == {"CS001", "CS002"}
        assert self.call(self.circuits, "resume", "CS002", who="lan", why="xong")
        self.call(self.circuits, "close", facilities)

    def let_in(self) -> None:
        them = self.gateway.users
        assert self.call(them, "is_empty")
        with between(self.gateway.engine, partial(self.keep_secret, "console")):
            assert self.call(them, "kept_secret", "console") == "một khóa"
        self.keep_secret("other")
        assert self.call(them, "kept_secret", "other") == "một khóa"
        self.call(them, "add_link", "setup", "", expires_at=self.later)
        assert self.call(them, "has_setup_link", "setup")
        assert self.call(them, "set_up", "setup", "lan", "$argon2id$…")
        assert self.call(them, "add", "minh", Role.VIEWER, None, who="lan")
        assert not self.call(them, "add", "minh", Role.VIEWER, None, who="lan")
        for change in (("set_role", Role.OPERATOR), ("set_disabled", True), ("set_disabled", False)):
            assert self.call(them, change[0], "minh", change[1], who="lan")
            assert self.call(them, change[0], "lan", change[1], who="lan") == (change[1] is False)
        assert self.call(them, "set_password", "minh", "$argon2id$…", who="lan")
        assert self.call(them, "password_hash", "minh") == "$argon2id$…"
        self.call(them, "end_sessions", "minh")
        self.call(them, "note_refusal", "minh", "192.0.2.1")
        self.call(them, "add_link", "login", "minh", expires_at=self.later)
        assert self.call(them, "spend_link", "login").name == "minh"
        assert [each.name for each in self.call(them, "all")] == ["lan", "minh"]
        assert self.call(them, "get", "lan").role is Role.ADMIN

    def let_programs_in(self) -> None:
        kept, now = SqlTokens(self.gateway.engine, self.clock), self.clock.now()
        token = ApiToken("1a2b3c4d", "lan", Role.VIEWER, "báo cáo đêm", now, self.later, None, None)
        assert self.call(kept, "add", token, "f" * 64, who="lan")
        assert not self.call(kept, "add", token, "f" * 64, who="lan")
        self.call(kept, "note_use", token.prefix, unless_since=now)
        assert self.call(kept, "revoke", token.prefix, who="lan")
        assert not self.call(kept, "revoke", token.prefix, who="lan")
        (found,) = self.call(kept, "all")
        assert (found.last_used_at, found.revoked_at) == (now, now)
        assert self.call(kept, "get", token.prefix)[1].name == "lan"

    def keep_secret(self, name: str) -> None:
        with self.gateway.engine.begin() as connection:
            connection.execute(insert(tables.secret).values(name=name, value="một khóa"))


@contextmanager
def patched(module: ModuleType, **values: Any) -> Iterator[None]:
    """A module with other constants."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setattr(module, name, value)
        yield


@contextmanager
def between(engine: Engine, act: Callable[[], None]) -> Iterator[None]:
    """Let `act` happen after the engine's first connection (which reads) and before its second (which writes)."""
    connections = count()

    def on_connect(_connection: Any) -> None:
        if next(connections) == 1:
            act()

    event.listen(engine, "engine_connect", on_connect)
    try:
        yield
    finally:
        event.remove(engine, "engine_connect", on_connect)


@pytest.fixture(scope="module")
def exercise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Exercise, list[Statement]]]:
    """All adapters exercised once, with everything they executed."""
    file = tmp_path_factory.mktemp("tsql") / "hermes.db"
    gateway = Gateway(load_settings(source_database_url=f"sqlite:///{file}"), clock=(clock := Clock()))
    upgrade(gateway.engine)
    create_source_tables(gateway.engine)
    statements: list[Statement] = []

    def note(_connection: Any, clause: Any, multiparams: Any, params: Any, _options: Any) -> None:
        place = _adapter_frame()
        if isinstance(clause, ClauseElement) and place is not None:
            given = multiparams[0] if multiparams else params
            statements.append(Statement(clause, given or {}, place[:2], place[2]))

    event.listen(gateway.engine, "before_execute", note)
    done = Exercise(gateway, clock)
    done.run()
    yield done, statements
    gateway.engine.dispose()


@pytest.fixture(scope="module")
def statements(exercise: tuple[Exercise, list[Statement]]) -> list[Statement]:
    """What the adapters executed, each text from each line once."""
    return list({(each.place, each.text): each for each in exercise[1]}.values())


def _adapter_frame() -> tuple[str, int, str] | None:
    """The innermost line of an adapter that is being run."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename in FILES:
            return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back  # type: ignore[assignment]
    return None


ON_SQL_SERVER_ALONE = {"connection.execute(asked)"}
"""What is asked of its catalogue; it runs in the integration suites, on a server."""


def executing_calls(code: str) -> list[tuple[int, int, str]]:
    """The calls in a module that send a statement: their first and last line, and the call itself."""
    calls = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in {"execute", "scalar", "scalars", "fetch", "exec_driver_sql"}:
                calls.append((node.lineno, node.end_lineno or node.lineno, ast.unparse(node)))
    return calls


# ---- nothing is left out --------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", MODULES, ids=lambda adapter: adapter.__name__)
def test_every_public_method_is_exercised(exercise: tuple[Exercise, list[Statement]], adapter: type) -> None:
    public = {name for name, _ in inspect.getmembers(adapter, inspect.isfunction) if not name.startswith("_")}

    assert {name for each, name in exercise[0].called if each is adapter} == public


@pytest.mark.parametrize("module", SPEAKING, ids=lambda module: module.__name__)
def test_every_call_that_executes_something_is_reached(
    exercise: tuple[Exercise, list[Statement]], module: ModuleType
) -> None:
    reached = {line for file, line in (each.place for each in exercise[1]) if FILES[file] is module}
    calls = executing_calls(inspect.getsource(module))

    calls = [each for each in calls if each[2] not in ON_SQL_SERVER_ALONE]
    assert calls
    assert [call for first, last, call in calls if not reached & set(range(first, last + 1))] == []


def test_every_module_that_speaks_sql_is_looked_at() -> None:
    folder = Path(str(ledger.__file__)).parent
    speaking = {file.stem for file in folder.glob("*.py") if executing_calls(file.read_text(encoding="utf-8"))}

    # The engine executes what the adapters hand it; what is asked of SQL Server's drivers alone runs on a server; and
    # SQLite alone is told statistics.
    assert speaking - {"engine", "drivers", "statistics"} == {module.__name__.rpartition(".")[2] for module in SPEAKING}


# ---- what SQL Server would get --------------------------------------------------------------------------


def test_every_statement_is_sql_that_sql_server_reads(statements: list[Statement]) -> None:
    for each in statements:
        assert len(each.parsed) == 1, each.text
        assert isinstance(each.parsed[0], exp.Select | exp.Insert | exp.Update | exp.Delete), each.text


def test_no_statement_needs_what_only_one_database_understands(statements: list[Statement]) -> None:
    """No MERGE, lock hints, CTEs, temporary tables, RETURNING or OUTPUT; every UPDATE and DELETE says which rows."""
    forbidden = (exp.Merge, exp.WithTableHint, exp.CTE, exp.Returning, exp.Lock, exp.Hint, exp.Into)
    for each in statements:
        (parsed,) = each.parsed
        assert parsed is not None
        assert [type(found).__name__ for found in parsed.find_all(*forbidden)] == [], each.text
        assert not {table.name for table in parsed.find_all(exp.Table) if table.name.startswith(("#", "@"))}, each.text
        assert "OUTPUT" not in each.text.upper().split(), each.text
        if isinstance(parsed, exp.Update | exp.Delete):
            assert parsed.args.get("where") is not None, each.text


def test_what_the_previous_test_forbids_would_be_found() -> None:
    for written in (
        "MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN UPDATE SET y = 1;",
        "UPDATE a WITH (ROWLOCK, READPAST) SET x = 1 WHERE y = 2",
        "WITH c AS (SELECT TOP 5 * FROM a) UPDATE c SET x = 1 WHERE y = 2",
        "INSERT INTO a (x) OUTPUT inserted.x VALUES (1)",
        "SELECT x INTO #t FROM a",
    ):
        statement = Statement(text(written), {}, ("", 0), "")
        with pytest.raises(AssertionError):
            test_no_statement_needs_what_only_one_database_understands([statement])


def test_no_statement_binds_more_parameters_than_sql_server_takes(statements: list[Statement]) -> None:
    assert max(each.bound for each in statements) > MOST  # the exercise did hand over its largest batches
    assert [(each.method, each.bound) for each in statements if each.bound > MOST_BOUND] == []


def test_a_selection_of_very_many_codes_still_fits_into_one_statement(
    exercise: tuple[Exercise, list[Statement]],
) -> None:
    """An operator may paste any number of codes."""
    done, caught = exercise
    before = len(caught)
    many = Selection(kind=PHIEU_NHAP.name, codes=tuple(f"X{number}" for number in range(5000)))
    done.ledger.count(many, OPERATOR_RETRY)
    done.ledger.requeue(many, OPERATOR_RETRY, who="lan", why="")
    done.ledger.page(many, ("", ""), 10)

    assert max(each.bound for each in caught[before:]) <= MOST_BOUND


def test_all_text_is_bound_as_unicode(statements: list[Statement]) -> None:
    """Text bound as varchar loses Vietnamese letters; text bound as nvarchar against varchar loses the index."""
    for each in statements:
        for name, bind in each.compiled.binds.items():
            kind = _plain(bind.type)
            assert not isinstance(kind, Enum), (each.method, name)
            if isinstance(bind.value, str) or isinstance(kind, String):
                assert isinstance(kind, Unicode), (each.method, name, bind.type)
            if isinstance(bind.value, list | tuple) and any(isinstance(value, str) for value in bind.value):
                assert isinstance(kind, Unicode), (each.method, name, bind.type)


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def test_limits_are_written_as_sql_server_writes_them(statements: list[Statement]) -> None:
    walked = [each.text for each in statements if getattr(each.clause, "_offset_clause", None) is not None]
    limited = [each.text for each in statements if getattr(each.clause, "_limit_clause", None) is not None]

    assert walked
    assert [
        written for written in walked if not re.search(r"ORDER BY .*\sOFFSET \? ROWS\s+FETCH ", written, re.S)
    ] == []
    assert [written for written in limited if written not in walked and "SELECT TOP" not in written] == []
    assert [written for written in limited if "LIMIT" in written] == []


def test_codes_that_begin_so_are_a_range_for_either_database() -> None:
    """SQL Server makes a range of a LIKE by its own collation; wildcards in a code are escaped."""
    code = tables.delivery.c.code
    like = str(begins(code, "PN%", sqlite=False).compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
    assert like == "hermes_delivery.code LIKE N'PN/%' + '%' ESCAPE '/'"
    between_them = str(begins(code, "PN%", sqlite=True))
    assert between_them == "hermes_delivery.code >= :code_1 AND hermes_delivery.code <= :code_2"


# ---- what the login needs -------------------------------------------------------------------------------


def granted() -> dict[tuple[str, str], set[str]]:
    """What the login script in the documents grants: (verb, table) → columns, none where it is the whole table."""
    page = (Path(__file__).parents[2] / "docs/howto/use-sql-server.md").read_text(encoding="utf-8")
    found = {}
    for verbs, table, columns in re.findall(r"^ *GRANT ([A-Z, ]+) ON dbo\.(\w+)(?: \((.+)\))? TO hermes;", page, re.M):
        for verb in verbs.split(", "):
            found[verb, table] = set(columns.split(", ")) if columns else set()
    return found


def needed(statements: list[Statement]) -> dict[tuple[str, str], set[str]]:
    """What the statements need; of an UPDATE of a source table, the columns it sets."""
    found: dict[tuple[str, str], set[str]] = {}
    own = {table.lower(): table for table in [*tables.LEDGER.tables, *SOURCE.tables]}
    for each in statements:
        (parsed,) = each.parsed
        assert parsed is not None
        verb = type(parsed).__name__.upper()
        target = None if verb == "SELECT" else parsed.find(exp.Table)
        for table in parsed.find_all(exp.Table):
            if table is not target and table.name.lower() in own:
                found.setdefault(("SELECT", own[table.name.lower()]), set())
        if target is not None:
            changed = found.setdefault((verb, own[target.name.lower()]), set())
            if verb == "UPDATE" and own[target.name.lower()] in SOURCE.tables:
                changed |= {each.this.name for each in parsed.expressions}
    return found


def test_the_login_script_grants_what_the_statements_need_and_nothing_more(statements: list[Statement]) -> None:
    needs = needed(statements)
    # An UPDATE or DELETE that says which rows reads them; the ledger's version is read when a process starts.
    needs |= {("SELECT", table): set() for verb, table in needs if verb in {"UPDATE", "DELETE"}}
    assert granted() == needs | {("SELECT", VERSION_TABLE): set()}


def test_the_doctor_tries_every_write_that_is_granted_on_the_ledger(
    exercise: tuple[Exercise, list[Statement]],
) -> None:
    engine = exercise[0].gateway.engine
    tried: set[tuple[str, str]] = set()

    def note(_connection: Any, clause: Any, *_: Any) -> None:
        if isinstance(clause, Insert | Update | Delete):
            tried.add((type(clause).__name__.upper(), clause.table.name))

    event.listen(engine, "before_execute", note)
    (found,) = SqlExamination(lambda: engine).ledger_writes()
    event.remove(engine, "before_execute", note)

    assert found.verdict is Verdict.MET
    assert tried == {(verb, table) for verb, table in granted() if verb != "SELECT" and table in tables.LEDGER.tables}


# ---- what only SQL Server is asked -----------------------------------------------------------------------


def test_what_only_sql_server_is_asked_is_sql_that_it_reads(
    exercise: tuple[Exercise, list[Statement]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ClauseElement] = []
    moment = datetime(2026, 3, 14, 2, 0)  # noqa: DTZ001  SYSUTCDATETIME has no offset

    def answer(_examination: object, statement: ClauseElement) -> object:
        asked.append(statement)
        return moment

    monkeypatch.setattr(SqlExamination, "_is_sql_server", True)
    monkeypatch.setattr(SqlExamination, "_ask", answer)
    examination = SqlExamination(lambda: exercise[0].gateway.engine)
    assert examination.now() == moment.replace(tzinfo=UTC)
    examination.isolation()
    statements = [Statement(each, {}, ("", 0), "") for each in asked]
    test_every_statement_is_sql_that_sql_server_reads(statements)
    assert [re.sub(r"\s+", " ", each.text) for each in statements] == [
        "SELECT sysutcdatetime() AS sysutcdatetime_1",
        "SELECT sys.databases.is_read_committed_snapshot_on FROM sys.databases "
        "WHERE sys.databases.database_id = db_id()",
    ]
