"""From a reply on the wire to an outcome: the table of DESIGN's default profile, and nothing else.

A reply is hostile input: it may be cut, huge, no JSON, or JSON of any shape.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any

import msgspec

from app.core.config import Language
from app.core.texts import say
from app.domain.errors import ErrorCode, Problem
from app.domain.outcomes import Accepted, Defer, Outcome, Rejected, Retry, Scope, Unknown
from app.domain.redact import printable

LONGEST_NATIONAL_CODE = 250
LONGEST_REASON = 1000
_LONGEST_DETAIL = 200
_LONGEST_CLEANED = 64 * 1024
_MOST_PARTS = 50
_PROXYS_OWN = 520
"""From here on, status codes are a proxy's own: the origin timed out, broke off, …"""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: `body` as far as it was read; `complete` is False when it was cut or too long."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """How replies are read: where the national code stands, the operator's language, the time (aware; a
    Retry-After may name a date), and how text is cleaned of names and secrets before any of it is kept (P9)."""

    national_code_field: str
    language: Language
    now: datetime
    clean: Callable[[str], str] = str


def classify(reply: Reply, reading: Reading) -> Outcome:
    """What a reply means."""
    content = _decoded(reply)
    if 200 <= reply.status < 300:
        return _classify_success(reply, content, reading)
    return _classify_status(reply.status, reply, content, reading)


def _classify_success(reply: Reply, content: Any, reading: Reading) -> Outcome:
    if not reply.complete:
        return _unreadable(reading, say(reading.language, "reply_cut"))
    inner = _inner_status(content)
    if inner is not None and 400 <= inner < 600:
        return _classify_inner(inner, reply, content, reading)
    if isinstance(content, dict) and content.get("code") is not None and not (inner and 200 <= inner < 300):
        return _unreadable(reading, f"code = {_shortened(str(content['code']), reading, 40)}")
    national_code = _national_code(content, reading.national_code_field)
    if national_code is None:
        return _unreadable(reading, _excerpt(reply.body, reading) or say(reading.language, "reply_empty"))
    return Accepted(national_code)


def _classify_inner(inner: int, reply: Reply, content: Any, reading: Reading) -> Outcome:
    """A `code` of 4xx or 5xx inside a 2xx: the partner's own program answered, so even a 502 is its refusal
    for now and nothing got lost on the way."""
    if inner in {502, 504} or inner >= _PROXYS_OWN:
        return Retry(_problem(ErrorCode.PARTNER_ERROR, reading, status=inner, detail=_reason(content, reply, reading)))
    return _classify_status(inner, reply, content, reading)


def _classify_status(status: int, reply: Reply, content: Any, reading: Reading) -> Outcome:
    reason = _reason(content, reply, reading)
    after = _retry_after(reply, reading.now)
    match status:
        case 409:
            known = content if isinstance(content, dict) else None
            return Accepted(_national_code(known, reading.national_code_field), duplicate=True)
        case 401 | 403:
            problem = _problem(ErrorCode.CREDENTIALS_REFUSED, reading, status=status, detail=reason)
            return Defer(problem, Scope.FACILITY, after)
        case 429:
            return Defer(_problem(ErrorCode.RATE_LIMITED, reading, status=status), after=after)
        case 408 | 425 | 503:
            return Defer(_problem(ErrorCode.PARTNER_UNAVAILABLE, reading, status=status), after=after)
        case 404 | 405 if not isinstance(content, dict):
            # The partner's API refuses a document in JSON; this came from something else at that address.
            return Defer(_problem(ErrorCode.WRONG_ADDRESS, reading, status=status))
        case _ if 400 <= status < 500:
            return Rejected(Problem(ErrorCode.REFUSED, reason))
        case 502 | 504:
            return Unknown(_problem(ErrorCode.GATEWAY_ERROR, reading, status=status))
        case _ if status >= _PROXYS_OWN:
            return Unknown(_problem(ErrorCode.GATEWAY_ERROR, reading, status=status))
        case _ if status >= 500:
            return Retry(_problem(ErrorCode.PARTNER_ERROR, reading, status=status, detail=reason))
        case 302 | 303:
            # Not followed: the POST would become a GET. It may be a login page, or the page after a success (P5).
            return Unknown(_problem(ErrorCode.WRONG_ADDRESS, reading, status=status))
        case _:  # moved for good, or an answer that is none: the document was not looked at
            return Defer(_problem(ErrorCode.WRONG_ADDRESS, reading, status=status))


def _problem(code: ErrorCode, reading: Reading, **values: object) -> Problem:
    return Problem(code, say(reading.language, code.value, **values))


def _unreadable(reading: Reading, detail: str) -> Unknown:
    return Unknown(_problem(ErrorCode.UNREADABLE_REPLY, reading, detail=detail))


def _decoded(reply: Reply) -> Any:
    try:
        return msgspec.json.decode(reply.body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _inner_status(content: Any) -> int | None:
    code = content.get("code") if isinstance(content, dict) else None
    if isinstance(code, str) and code.strip().isascii() and code.strip().isdigit():
        return int(code) if len(code.strip()) <= 3 else None
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _national_code(content: Any, field: str) -> str | None:
    value = content.get(field) if isinstance(content, dict) else content
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    code = value.strip()
    return code if code and len(code) <= LONGEST_NATIONAL_CODE and code.isprintable() else None


def _reason(content: Any, reply: Reply, reading: Reading) -> str:
    """The best of what the partner says about a refusal, in one readable line."""
    if isinstance(content, dict):
        sentences = (_flat(content.get(name)) for name in ("mess", "message", "detail"))
        sentence = next(filter(None, sentences), "")
        details = _flat(content.get("errors"))
        text = f"{sentence} ({details})" if sentence and details else sentence or details
    else:
        text = _flat(content)
    if text:
        return _shortened(text, reading, LONGEST_REASON)
    unreadable = content is None and reply.body.strip() not in {b"", b"null"}
    return (unreadable and _excerpt(reply.body, reading)) or say(reading.language, "no_reason")


def _flat(value: Any, depth: int = 8) -> str:
    """Text of any JSON value: lists joined, objects by their message, else as `name: text`."""
    if value is None or isinstance(value, bool) or not depth:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_flat(each, depth - 1) for each in value[:_MOST_PARTS])))
    if isinstance(value, dict):
        for name in ("mess", "message", "msg", "detail"):
            if text := _flat(value.get(name), depth - 1):
                place = _place(value.get("loc"))
                return f"{place}: {text}" if place else text
        return "; ".join(f"{name}: {_flat(inner, depth - 1)}" for name, inner in islice(value.items(), _MOST_PARTS))
    return " ".join(str(value).split())


def _place(loc: Any) -> str:
    """`["body", "items", 0]` → `body.items.0`, as validation libraries say where a fault is."""
    if isinstance(loc, bool) or not isinstance(loc, list | str | int):
        return ""
    if not isinstance(loc, list):
        return str(loc)
    return ".".join(str(part) for part in loc[:_MOST_PARTS] if isinstance(part, str | int))


def _excerpt(body: bytes, reading: Reading) -> str:
    return _shortened(" ".join(body.decode("utf-8", "replace").split()), reading, _LONGEST_DETAIL)


def _shortened(text: str, reading: Reading, length: int) -> str:
    """Cleaned first and cut then: half a name would not be recognised any more."""
    return printable(reading.clean(text[:_LONGEST_CLEANED]))[:length]


def _retry_after(reply: Reply, now: datetime) -> timedelta | None:
    value = next((text for name, text in reply.headers.items() if name.lower() == "retry-after"), "").strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:9]), 10**8))
    try:
        moment = parsedate_to_datetime(value)
        return moment - now if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
