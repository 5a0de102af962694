"""Strict reading and checking of documents, driven by tables of fields.

Hand-written rather than modelled with a library because it sits on the hot path, and because a
second, independent reading of the protocol is the point of this program. Which fields exist is said
in ``routes.py``; what a field of a given type may hold is said here.

Every message is Vietnamese, names the field and never repeats its value: values may be names of
persons.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

MAX_INT = 2**31 - 1  # the source columns are SQL Server ``int``
MAX_WHOLE_DIGITS = {2: 16, 4: 14}  # decimal(18,2) and decimal(18,4)
NAME_SHOWN = 60  # characters of an unknown field's name that a message repeats

Check = Callable[[Any], str | None]
"""Says what is wrong with a present value, as a Vietnamese predicate; None when it is right."""


class Fault(NamedTuple):
    """One thing wrong with a document: JSON path (``items[1].batchNumber``) and a Vietnamese sentence."""

    field: str
    message: str


class UnreadableError(ValueError):
    """The body is not one JSON object; the text says why, in Vietnamese."""


@dataclass(frozen=True, slots=True)
class Field:
    """One JSON field: its name, what people call it, what it may hold, and whether it must be there."""

    name: str
    label: str
    check: Check
    required: bool = True


FieldTable = Mapping[str, Field]


def table(*fields: Field) -> FieldTable:
    """Fields by name, in the order in which their faults are reported."""
    return {field.name: field for field in fields}


# --- what a value may be ----------------------------------------------------------------------------


def text(max_length: int | None = None) -> Check:
    """A string that is not blank and has at most ``max_length`` characters."""

    def check(value: Any) -> str | None:
        if type(value) is not str:
            return "phải là chuỗi ký tự"
        if not value or value.isspace():
            return "không được để trống"
        if max_length is not None and len(value) > max_length:
            return f"dài {len(value)} ký tự, tối đa {max_length}"
        return None

    return check


def integer(*, above: int | None = None) -> Check:
    """A JSON number without fraction that fits an SQL ``int`` and, if said, is greater than ``above``."""

    def check(value: Any) -> str | None:
        if type(value) is not int:  # bool is an int to isinstance, but not to the partner
            return "phải là số nguyên"
        if abs(value) > MAX_INT:
            return "vượt quá phạm vi số nguyên 32 bit"
        if above is not None and value <= above:
            return f"phải lớn hơn {above}"
        return None

    return check


def decimal(places: int, *, at_least: int | None = None) -> Check:
    """An exact JSON number written with at most ``places`` decimals and 18 digits in all."""
    limit = Decimal(10) ** MAX_WHOLE_DIGITS[places]

    def check(value: Any) -> str | None:
        if type(value) is not int:
            if type(value) is not Decimal:
                return "phải là số"
            if int(value.as_tuple().exponent) < -places:
                return f"chỉ được có tối đa {places} chữ số thập phân"
        if not -limit < value < limit:
            return "vượt quá 18 chữ số"
        if at_least is not None and value < at_least:
            return f"không được nhỏ hơn {at_least}"
        return None

    return check


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]")


@lru_cache(maxsize=8192)  # a day's documents name few distinct dates
def _is_date(value: str) -> bool:
    if _DATE.fullmatch(value) is None:
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def iso_date(value: Any) -> str | None:
    """A date that exists, written exactly ``YYYY-MM-DD``."""
    if type(value) is str and _is_date(value):
        return None
    return "phải là ngày có thật, đúng dạng YYYY-MM-DD"


def iso_datetime(value: Any) -> str | None:
    """A moment written exactly ``YYYY-MM-DDTHH:MM:SS``: no zone, no fraction of a second."""
    if type(value) is str and value[10:11] == "T" and _is_date(value[:10]) and _TIME.fullmatch(value[11:]):
        return None
    return "phải là thời điểm có thật, đúng dạng YYYY-MM-DDTHH:MM:SS"


# --- a body becomes a document ----------------------------------------------------------------------


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise UnreadableError("Nội dung JSON có trường bị lặp lại")
    return members


def _no_constant(_: str) -> Any:
    raise UnreadableError("Nội dung JSON có số không hợp lệ (NaN hoặc Infinity)")


def _exact(literal: str) -> Decimal:
    number = Decimal(literal)
    if abs(number.adjusted()) > 1000:  # 1e999999999 would be expanded digit by digit further on
        raise UnreadableError("Nội dung JSON có số nằm ngoài phạm vi cho phép")
    return number


def read_document(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``, numbers with a fraction or exponent as Decimal, never float.

    Raises UnreadableError when it is not UTF-8, not JSON, not an object, or says one field twice.
    """
    try:
        document = json.loads(
            body.decode("utf-8"), parse_float=_exact, parse_constant=_no_constant, object_pairs_hook=_object
        )
        if b"\\u" in body:  # a lone surrogate is legal JSON but no text
            json.dumps(document, ensure_ascii=False, default=str).encode("utf-8")
    except UnreadableError:
        raise
    except UnicodeError as error:
        raise UnreadableError("Nội dung không phải UTF-8 hợp lệ") from error
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise UnreadableError("Nội dung không phải JSON hợp lệ") from error
    if not isinstance(document, dict):
        raise UnreadableError("Nội dung phải là một đối tượng JSON")
    return document


def payload_sha256(document: Mapping[str, Any]) -> str:
    """Fingerprint (64 hex digits) that does not depend on blanks, order of fields or trailing zeroes.

    Canonical form: UTF-8 JSON, sorted keys, no blanks, no escapes beyond what JSON requires; a number
    with a fraction is written as a string without trailing zeroes (12.50 becomes ``"12.5"``).
    """
    return sha256(_CANONICAL.encode(document).encode("utf-8")).hexdigest()


def _canonical_number(number: Decimal) -> int | str:
    whole = int(number)
    return whole if number == whole else format(number.normalize(), "f")


_CANONICAL = json.JSONEncoder(
    sort_keys=True,
    separators=(",", ":"),
    ensure_ascii=False,
    check_circular=False,
    default=_canonical_number,
)


# --- a document against its table -------------------------------------------------------------------


def find_faults(header: FieldTable, line: FieldTable, document: Mapping[str, Any]) -> list[Fault]:
    """Everything wrong with ``document``, in reading order; empty when it can be accepted."""
    faults: list[Fault] = []
    _check_fields(header, document, "", "", faults, besides="items")
    items = document.get("items")
    if not isinstance(items, list):
        text = "Danh sách hàng (items) phải là một mảng" if "items" in document else "Thiếu danh sách hàng (items)"
        faults.append(Fault("items", text))
    elif not items:
        faults.append(Fault("items", "Danh sách hàng (items) phải có ít nhất một dòng"))
    else:
        for index, item in enumerate(items):
            _check_line(line, item, index, faults)
    return faults


def _check_line(line: FieldTable, item: Any, index: int, faults: list[Fault]) -> None:
    path, place = f"items[{index}]", f"Dòng {index + 1}: "
    if not isinstance(item, dict):
        faults.append(Fault(path, f"{place}phải là một đối tượng JSON"))
        return
    _check_fields(line, item, f"{path}.", place, faults)
    made, expires = item.get("manufactureDate", ""), item.get("expiryDate", "")
    # ISO dates compare as text, provided that both are dates.
    if iso_date(made) is None and iso_date(expires) is None and expires < made:
        words = f"{place}hạn dùng (expiryDate) trước ngày sản xuất (manufactureDate)"
        faults.append(Fault(f"{path}.expiryDate", words))


def _check_fields(
    fields: FieldTable,
    values: Mapping[str, Any],
    path: str,
    place: str,
    faults: list[Fault],
    besides: str | None = None,
) -> None:
    for name, field in fields.items():
        if name in values:
            problem = field.check(values[name])
            if problem is not None:
                faults.append(Fault(path + name, _sentence(place, _problem_text(field, values[name], problem))))
        elif field.required:
            faults.append(Fault(path + name, _sentence(place, f"thiếu {field.label} ({name})")))
    for name in values:
        if name not in fields and name != besides:
            shown = name[:NAME_SHOWN]
            faults.append(Fault(path + shown, _sentence(place, f'không có trường nào tên là "{shown}"')))


def _problem_text(field: Field, value: Any, problem: str) -> str:
    if not field.required and (value is None or value == ""):
        problem = "không có giá trị thì phải bỏ hẳn, không gửi null hay chuỗi rỗng"
    return f"{field.label} ({field.name}) {problem}"


def _sentence(place: str, words: str) -> str:
    return place + words if place else words[0].upper() + words[1:]
