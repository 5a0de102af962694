"""What the partner answers, in every shape in which it is known to answer.

Pure: a reply is a value; putting it on the wire, whole or broken, is done in ``wire.py``.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import cycle, repeat
from typing import Any, TypeVar

from simulator.routes import Route
from simulator.validation import Fault

JSON = "application/json; charset=utf-8"

ACCEPTED_TEXT = "Tiếp nhận thành công"


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


NO_REPLY = Reply(500, b"")
"""Stands where a fault gives its own answer, or none, to a document that was never looked at."""


class AcceptedShape(StrEnum):
    """How an acceptance looks: which fields stand beside the national code."""

    OBJECT = "object"
    OBJECT_STRING_CODE = "object-string-code"
    OBJECT_NO_CODE = "object-no-code"
    BARE_STRING = "bare-string"
    CYCLE = "cycle"


class RefusalShape(StrEnum):
    """Where a refusal keeps its reasons."""

    MESS = "mess"
    MESSAGE = "message"
    DETAIL = "detail"
    DETAIL_LIST = "detail-list"
    ERRORS = "errors"
    ERRORS_OBJECT = "errors-object"
    CYCLE = "cycle"


def json_bytes(value: Any) -> bytes:
    """UTF-8 JSON as the partner writes it: letters as they are, not escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def message_reply(status: int, text: str, *headers: tuple[str, str]) -> Reply:
    """An error that is not about the content of a document, as ``{"code": …, "mess": …}``."""
    return Reply(status, json_bytes({"code": status, "mess": text}), headers=headers)


_ACCEPTED: dict[AcceptedShape, Callable[[str, str], Any]] = {
    AcceptedShape.OBJECT: lambda field, code: {field: code, "code": 200, "mess": ACCEPTED_TEXT},
    AcceptedShape.OBJECT_STRING_CODE: lambda field, code: {
        "code": "200",
        "message": ACCEPTED_TEXT,
        field: code,
    },
    AcceptedShape.OBJECT_NO_CODE: lambda field, code: {field: code, "message": ACCEPTED_TEXT},
    AcceptedShape.BARE_STRING: lambda _field, code: code,
}


def _joined(faults: Sequence[Fault]) -> str:
    return "; ".join(fault.message for fault in faults)


def _by_field(faults: Sequence[Fault]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for fault in faults:
        grouped.setdefault(fault.field, []).append(fault.message)
    return grouped


_REFUSED: dict[RefusalShape, Callable[[int, Sequence[Fault]], Any]] = {
    RefusalShape.MESS: lambda status, faults: {"code": status, "mess": _joined(faults)},
    RefusalShape.MESSAGE: lambda status, faults: {"code": str(status), "message": _joined(faults)},
    RefusalShape.DETAIL: lambda _status, faults: {"detail": _joined(faults)},
    RefusalShape.DETAIL_LIST: lambda _status, faults: {
        "detail": [{"loc": ["body", fault.field], "msg": fault.message} for fault in faults]
    },
    RefusalShape.ERRORS: lambda _status, faults: {"errors": [fault.message for fault in faults]},
    RefusalShape.ERRORS_OBJECT: lambda status, faults: {
        "title": "Dữ liệu không hợp lệ",
        "status": status,
        "errors": _by_field(faults),
    },
}

Shape = TypeVar("Shape", AcceptedShape, RefusalShape)


def _turns(chosen: Shape, concrete: Sequence[Shape], cycling: Shape) -> Iterator[Shape]:
    return cycle(concrete) if chosen == cycling else repeat(chosen)


class ReplyWriter:
    """Writes replies in the configured shapes; ``cycle`` takes the shapes in turn, in their listed order."""

    def __init__(self, accepted: AcceptedShape, refused: RefusalShape, refusal_status: int) -> None:
        self._accepted = _turns(accepted, list(_ACCEPTED), AcceptedShape.CYCLE)
        self._refused = _turns(refused, list(_REFUSED), RefusalShape.CYCLE)
        self._refusal_status = refusal_status

    def accepted(self, route: Route, national_code: str) -> Reply:
        """Status 200 with the national code."""
        shape = _ACCEPTED[next(self._accepted)]
        return Reply(200, json_bytes(shape(route.national_code_field, national_code)))

    def refused(self, faults: Sequence[Fault]) -> Reply:
        """The configured status, 400 or 422, with every fault of the document."""
        shape = _REFUSED[next(self._refused)]
        return Reply(self._refusal_status, json_bytes(shape(self._refusal_status, faults)))

    def conflict(self, route: Route, code: str, national_code: str | None) -> Reply:
        """Status 409: the document is known; with its national code unless that is None."""
        body: dict[str, Any] = {"code": 409, "mess": f"Mã {code} đã tồn tại trên hệ thống"}
        if national_code is not None:
            body[route.national_code_field] = national_code
        return Reply(409, json_bytes(body))
