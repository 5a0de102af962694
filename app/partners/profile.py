"""What a partner profile is: where each kind goes, as which payload, and where the national code comes back.

A profile's payload models read source rows directly (`validation_alias` is the source column), write the
partner's names (`serialization_alias`), and carry the Vietnamese name of each field in `title`, from which
the sentences about a faulty document are made.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from app.domain.kinds import Document
from app.domain.redact import mask_name, printable

_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Payload(BaseModel):
    """Base of all payload models. Strings are sent as they stand in the source; numbers for text are accepted."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a document: `line` counts from 1 (None: the header), `field` is the source column."""

    line: int | None
    field: str
    message: str

    def __str__(self) -> str:
        if self.line is None:
            return self.message[:1].upper() + self.message[1:]
        return f"Dòng {self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Invalid:
    """A document that must not be sent, with all its faults at once."""

    faults: tuple[Fault, ...]

    @property
    def message(self) -> str:
        """All faults in one line, in Vietnamese."""
        return "; ".join(str(fault) for fault in self.faults)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request body ready to send.

    `payload` is what `body` encodes, by wire name; `masked` is the same with persons' names masked;
    `names` are those names, to be masked wherever the partner echoes them (P9).
    """

    body: bytes = field(repr=False)
    sha256: str
    payload: Mapping[str, Any] = field(repr=False)
    masked: Mapping[str, Any] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)

    def text(self, *, masked: bool) -> str:
        """The body as the detailed log may keep it."""
        if masked and self.names:
            return _ENCODER.encode(self.masked).decode()
        return self.body.decode()


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """Where and how one kind is sent. `personal_columns` are the source columns that hold persons' names."""

    path: str
    payload: type[Payload]
    national_code_field: str
    personal_columns: frozenset[str] = frozenset()
    method: str = "POST"
    lookup_path: str | None = None
    """Where the partner says with GET what it has under `{code}`, 404 for nothing; None: it cannot be asked."""

    def prepare(self, document: Document) -> Prepared | Invalid:
        """Validate a document and encode it; every fault of it at once when it must not be sent."""
        lines = [_without_blanks(line) for line in document.lines]
        try:
            model = self.payload.model_validate({**_without_blanks(document.header), "items": lines})
        except ValidationError as error:
            return Invalid(tuple(self._faults(error.errors(include_url=False, include_context=True))))
        payload = model.model_dump(by_alias=True, exclude_none=True)
        body = _ENCODER.encode(payload)
        personal = [name for name in _personal_names(self) if name in payload]
        return Prepared(
            body=body,
            sha256=hashlib.sha256(body).hexdigest(),
            payload=payload,
            masked={**payload, **{name: mask_name(payload[name]) for name in personal}},
            names=tuple(payload[name] for name in personal),
        )

    @property
    def personal_names(self) -> tuple[str, ...]:
        """The partner's names of the fields that hold persons' names."""
        return _personal_names(self)

    @property
    def wire_labels(self) -> Mapping[str, str]:
        """What people call the fields, by the partner's names for them."""
        return _wire_labels(self.payload)

    def _faults(self, errors: Iterable[ErrorDetails]) -> Iterable[Fault]:
        for error in errors:
            location = error["loc"]
            in_line = location[0] == "items" and len(location) > 1
            column = str(location[2] if in_line and len(location) > 2 else location[0])
            label = _labels(self.payload).get(column, column)
            yield Fault(
                line=int(location[1]) + 1 if in_line else None,
                field=column,
                message=_sentence(error, label, show_value=column not in self.personal_columns),
            )


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """One partner API. `endpoints` has an entry for every kind the partner takes."""

    name: str
    endpoints: Mapping[str, Endpoint]


_SENTENCES = {
    "greater_than": "{label} phải lớn hơn {gt}",
    "greater_than_equal": "{label} không được nhỏ hơn {ge}",
    "less_than_equal": "{label} không được lớn hơn {le}",
    "string_unicode": "{label} chứa ký tự không hợp lệ",
    "string_type": "{label} không phải là chữ",
    "too_short": "không có dòng thuốc nào",
}


def _without_blanks(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what is NULL or blank text: to a partner both are absent."""
    return {
        name: value
        for name, value in row.items()
        if value is not None and not (isinstance(value, str) and (not value or value.isspace()))
    }


def _sentence(error: ErrorDetails, label: str, *, show_value: bool) -> str:
    context = error.get("ctx", {})
    if "sentence" in context:
        return str(context["sentence"])
    if error["type"] == "missing" or error["input"] is None:
        return f"thiếu {label}"
    if template := _SENTENCES.get(error["type"]):
        return template.format(label=label, **context)
    value = f": {printable(str(error['input']))[:60]}" if show_value else ""
    return f"{label} không hợp lệ{value}"


@cache
def _labels(model: type[Payload]) -> dict[str, str]:
    labels = {}
    for name, info in model.model_fields.items():
        labels[str(info.validation_alias or name)] = info.title or name
        for inner in getattr(info.annotation, "__args__", ()):
            if isinstance(inner, type) and issubclass(inner, Payload):
                labels |= _labels(inner)
    return labels


@cache
def _wire_labels(model: type[Payload]) -> dict[str, str]:
    labels = {}
    for name, info in model.model_fields.items():
        labels[str(info.serialization_alias or name)] = info.title or name
        for inner in getattr(info.annotation, "__args__", ()):
            if isinstance(inner, type) and issubclass(inner, Payload):
                labels |= _wire_labels(inner)
    return labels


@cache
def _personal_names(endpoint: Endpoint) -> tuple[str, ...]:
    return tuple(
        str(info.serialization_alias)
        for info in endpoint.payload.model_fields.values()
        if info.validation_alias in endpoint.personal_columns
    )
