"""What identifies a document, and the document itself, whatever its kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

_IDEMPOTENCY = UUID("6d9cf3a2-1f6b-5c3b-9d0a-5b1f0c8f2a77")


@dataclass(frozen=True, slots=True)
class Document:
    """One header row with its lines, as the source database holds them: column name → value."""

    kind: str
    code: str
    header: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]


def idempotency_key(kind: str, code: str, revision: int) -> str:
    """The key under which the partner recognises a repeated send: the same for the same (kind, code, revision)
    on every machine and for ever, and plain ASCII whatever the code contains."""
    return str(uuid5(_IDEMPOTENCY, f"{kind}\n{revision}\n{code}".encode("utf-8", "surrogatepass").hex()))
