"""What the partner has accepted: every copy of every document, for proofs.

One SQLite table, in memory or in a file. A copy is committed before it is answered, so a simulator
that was killed and started again on the same file still knows what it told the world. Durability is
against the death of the process, not of the machine: nothing waits for the disk.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from simulator.routes import Route

_SCHEMA = """
CREATE TABLE IF NOT EXISTS copy (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    code TEXT NOT NULL,
    facility TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    national_code TEXT NOT NULL,
    payload_sha256 TEXT NOT NULL,
    payload TEXT NOT NULL,
    accepted_at TEXT NOT NULL,
    repeats INTEGER NOT NULL DEFAULT 0,
    changed_repeats INTEGER NOT NULL DEFAULT 0,
    last_repeat_at TEXT
);
CREATE INDEX IF NOT EXISTS copy_of_document ON copy (kind, code, idempotency_key);
CREATE INDEX IF NOT EXISTS copy_of_key ON copy (idempotency_key);
"""

_TOTALS = """
SELECT COUNT(*) AS documents,
       COALESCE(SUM(copies), 0) AS copies,
       COALESCE(SUM(keys), 0) AS keys,
       COALESCE(SUM(keys > 1), 0) AS revised_documents,
       COALESCE(SUM(most > 1), 0) AS duplicated_documents,
       COALESCE(SUM(repeats), 0) AS repeats,
       COALESCE(SUM(changed_repeats), 0) AS changed_repeats
FROM (
    SELECT SUM(n) AS copies, COUNT(*) AS keys, MAX(n) AS most,
           SUM(repeats) AS repeats, SUM(changed) AS changed_repeats
    FROM (
        SELECT kind, code, COUNT(*) AS n, SUM(repeats) AS repeats, SUM(changed_repeats) AS changed
        FROM copy WHERE {filter}
        GROUP BY kind, code, idempotency_key
    )
    GROUP BY kind, code
)
"""

_FILTER = "(:kind IS NULL OR kind = :kind) AND (:code IS NULL OR code = :code)"


class LedgerError(Exception):
    """The ledger file cannot be opened, is not a ledger, or is held by another simulator."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One accepted copy, as far as decisions about duplicates need it."""

    id: int
    kind: str
    code: str
    idempotency_key: str
    national_code: str
    payload_sha256: str


@dataclass(frozen=True, slots=True)
class NewCopy:
    """What is recorded when a document is accepted; ``payload`` is its JSON exactly as received."""

    route: Route
    code: str
    facility: str
    idempotency_key: str
    year: str
    payload: str
    payload_sha256: str


class Ledger:
    """Accepted copies, counted per idempotency key and listed per document."""

    def __init__(self, file: Path | None = None) -> None:
        """Opens or creates the ledger; raises LedgerError."""
        try:
            self._db = sqlite3.connect(file or ":memory:", isolation_level=None, timeout=1)
            # Held exclusively, so that two simulators cannot hand out the same national codes.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            self._last_id: int = self._db.execute("SELECT COALESCE(MAX(id), 0) FROM copy").fetchone()[0]
        except sqlite3.Error as error:
            raise LedgerError(f"ledger file {file}: {error}") from error

    def close(self) -> None:
        """Closes the file; what was recorded stays."""
        self._db.close()

    def find(self, kind: str, code: str, idempotency_key: str) -> list[Copy]:
        """Copies of this document, and copies recorded under this key, oldest first."""
        rows = self._db.execute(
            "SELECT id, kind, code, idempotency_key, national_code, payload_sha256 FROM copy"
            " WHERE idempotency_key = ? OR (kind = ? AND code = ?) ORDER BY id",
            (idempotency_key, kind, code),
        )
        return [Copy(*row) for row in rows]

    def record(self, new: NewCopy) -> str:
        """Records and commits one more copy; returns its national code (``QG-PN-2026-00000123``)."""
        number = self._last_id + 1
        national_code = f"{new.route.national_code_prefix}-{new.year}-{number:08d}"
        self._db.execute(
            "INSERT INTO copy (id, kind, code, facility, idempotency_key, national_code,"
            " payload_sha256, payload, accepted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                new.route.kind,
                new.code,
                new.facility,
                new.idempotency_key,
                national_code,
                new.payload_sha256,
                new.payload,
                _now(),
            ),
        )
        self._last_id = number
        return national_code

    def record_repeat(self, copy: Copy, payload_sha256: str) -> None:
        """Counts that a known copy was sent once more, and whether its content had changed meanwhile."""
        self._db.execute(
            "UPDATE copy SET repeats = repeats + 1, changed_repeats = changed_repeats + ?,"
            " last_repeat_at = ? WHERE id = ?",
            (payload_sha256 != copy.payload_sha256, _now(), copy.id),
        )

    def totals(self, kind: str | None = None, code: str | None = None) -> dict[str, int]:
        """Counts over the whole ledger, or over one kind or code of it."""
        with closing(self._db.execute(_TOTALS.format(filter=_FILTER), {"kind": kind, "code": code})) as rows:
            names = [column[0] for column in rows.description]
            return dict(zip(names, rows.fetchone(), strict=True))

    def page_json(
        self,
        *,
        kind: str | None = None,
        code: str | None = None,
        after: str | None = None,
        limit: int = 1000,
        payloads: bool = False,
    ) -> str:
        """Up to ``limit`` documents in order of kind and code, as the JSON text of the ledger endpoint.

        ``after`` is the ``next_after`` of the page before. Totals come with the first page only: they
        cost a pass over the whole ledger. Payloads are inserted as they were received, digit by digit.
        """
        after_kind, _, after_code = (after or "").partition("/")
        parameters = {"kind": kind, "code": code, "after_kind": after_kind, "after_code": after_code}
        documents = self._db.execute(
            f"SELECT DISTINCT kind, code FROM copy WHERE {_FILTER}"  # noqa: S608 - a constant
            " AND (kind, code) > (:after_kind, :after_code) ORDER BY kind, code LIMIT :limit",
            {**parameters, "limit": limit + 1},
        ).fetchall()
        more, documents = len(documents) > limit, documents[:limit]
        entries = self._entries(parameters, documents[-1], payloads) if documents else iter(())
        totals = self.totals(kind, code) if after is None else None
        next_after = "/".join(documents[-1]) if more else None
        return f'{{"totals":{json.dumps(totals)},"next_after":{_json(next_after)},"documents":[{",".join(entries)}]}}'

    def _entries(self, page: dict[str, Any], last: tuple[str, str], payloads: bool) -> Iterator[str]:
        cursor = self._db.cursor()
        cursor.row_factory = sqlite3.Row
        rows = cursor.execute(
            "SELECT kind, code, facility, idempotency_key, national_code, payload_sha256,"  # noqa: S608
            " accepted_at, repeats, changed_repeats, last_repeat_at, payload"
            f" FROM copy WHERE {_FILTER} AND (kind, code) > (:after_kind, :after_code)"
            " AND (kind, code) <= (:last_kind, :last_code) ORDER BY kind, code, id",
            {**page, "last_kind": last[0], "last_code": last[1]},
        )
        for (kind, code), copies in groupby(rows, key=itemgetter("kind", "code")):
            yield _document_json(kind, code, list(copies), payloads)


def _document_json(kind: str, code: str, rows: list[sqlite3.Row], payloads: bool) -> str:
    keys: dict[str, list[sqlite3.Row]] = {}
    for row in rows:
        keys.setdefault(row["idempotency_key"], []).append(row)
    head = {
        "kind": kind,
        "code": code,
        "facility": rows[-1]["facility"],
        "copies": len(rows),
        "duplicated": any(len(copies) > 1 for copies in keys.values()),
    }
    return _with_list(head, "keys", [_key_json(key, copies, payloads) for key, copies in keys.items()])


def _key_json(key: str, rows: list[sqlite3.Row], payloads: bool) -> str:
    head = {
        "idempotency_key": key,
        "copies": len(rows),
        "repeats": sum(row["repeats"] for row in rows),
        "changed_repeats": sum(row["changed_repeats"] for row in rows),
    }
    return _with_list(head, "accepted", [_copy_json(row, payloads) for row in rows])


def _copy_json(row: sqlite3.Row, payloads: bool) -> str:
    head = {name: row[name] for name in ("national_code", "payload_sha256", "accepted_at", "last_repeat_at")}
    return f'{_json(head)[:-1]},"payload":{row["payload"]}}}' if payloads else _json(head)


def _with_list(head: dict[str, Any], name: str, members: list[str]) -> str:
    return f'{_json(head)[:-1]},"{name}":[{",".join(members)}]}}'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
