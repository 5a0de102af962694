"""What the partner decides about a document, without HTTP: check it, recognise it, record it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from simulator.ledger import Copy, Ledger, NewCopy
from simulator.replies import Reply, ReplyWriter
from simulator.routes import Route
from simulator.validation import Fault, find_faults, payload_sha256

MAX_KEY_LENGTH = 255

KEY_HEADER = "Idempotency-Key"

Result = Literal["accepted", "repeated", "conflict", "refused"]


class Duplicates(StrEnum):
    """What the partner does with a document that it has already.

    ``key``: the same key gets the same answer; another key is a new revision and one more copy.
    ``same``: the same answer for the same key, and for the same document under another key.
    ``conflict``: 409 with the national code. ``conflict-bare``: 409 without it.
    ``accept``: notices nothing and records one more copy every time.
    """

    KEY = "key"
    SAME = "same"
    CONFLICT = "conflict"
    CONFLICT_BARE = "conflict-bare"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a document, and how the partner would say so if nothing went wrong."""

    result: Result
    reply: Reply

    @property
    def recorded(self) -> bool:
        """Whether the ledger has the document now."""
        return self.result != "refused"


class Partner:
    """The partner's mind: its rules, its ledger and its way of speaking."""

    def __init__(self, ledger: Ledger, replies: ReplyWriter, duplicates: Duplicates) -> None:
        self._ledger = ledger
        self._replies = replies
        self._policy = duplicates

    def receive(self, route: Route, document: dict[str, Any], body: bytes, key: str) -> Verdict:
        """Checks and records one document; when this returns, an accepted document is committed.

        ``body`` is the JSON as received, ``document`` its content, ``key`` the Idempotency-Key ("" if none).
        """
        faults = _key_faults(key) + find_faults(route.header, route.line, document)
        if faults:
            return self._refuse(faults)
        code: str = document[route.code_field]
        new = NewCopy(
            route=route,
            code=code,
            facility=document["facilityCode"],
            idempotency_key=key,
            year=document[route.date_field][:4],
            payload=body.decode("utf-8"),
            payload_sha256=payload_sha256(document),
        )
        if self._policy == Duplicates.ACCEPT:
            return self._accept(new)
        found = self._ledger.find(route.kind, code, key)
        copies = [copy for copy in found if copy.code == code and copy.kind == route.kind]
        if len(copies) < len(found):
            return self._refuse([Fault(KEY_HEADER, f"{KEY_HEADER} đã được dùng cho một chứng từ khác")])
        known = _known_copy(self._policy, copies, key)
        return self._accept(new) if known is None else self._recognise(new, known)

    def _accept(self, new: NewCopy) -> Verdict:
        return Verdict("accepted", self._replies.accepted(new.route, self._ledger.record(new)))

    def _recognise(self, new: NewCopy, known: Copy) -> Verdict:
        self._ledger.record_repeat(known, new.payload_sha256)
        match self._policy:
            case Duplicates.CONFLICT:
                return Verdict("conflict", self._replies.conflict(new.route, new.code, known.national_code))
            case Duplicates.CONFLICT_BARE:
                return Verdict("conflict", self._replies.conflict(new.route, new.code, None))
            case _:
                return Verdict("repeated", self._replies.accepted(new.route, known.national_code))

    def _refuse(self, faults: list[Fault]) -> Verdict:
        return Verdict("refused", self._replies.refused(faults))


def _known_copy(policy: Duplicates, copies: list[Copy], key: str) -> Copy | None:
    """The earlier copy that this one repeats in the eyes of the policy, the same key before any other."""
    same_key = next((copy for copy in copies if copy.idempotency_key == key), None)
    if policy == Duplicates.KEY or same_key is not None:
        return same_key
    return copies[-1] if copies else None


def _key_faults(key: str) -> list[Fault]:
    if not key.strip():
        return [Fault(KEY_HEADER, f"Thiếu header {KEY_HEADER}")]
    if len(key) > MAX_KEY_LENGTH:
        return [Fault(KEY_HEADER, f"{KEY_HEADER} dài {len(key)} ký tự, tối đa {MAX_KEY_LENGTH}")]
    if not (key.isascii() and key.isprintable()):
        return [Fault(KEY_HEADER, f"{KEY_HEADER} chỉ được gồm ký tự ASCII in được")]
    return []
