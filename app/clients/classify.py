"""From a reply on the wire to an outcome: the table of DESIGN's default profile, and nothing else.

A reply is hostile input: it may be cut, huge, no JSON, or JSON of any shape.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
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


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: `body` as far as it was read; `complete` is False when it was cut or too long."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True


def classify(reply: Reply, national_code_field: str, *, language: Language, now: datetime) -> Outcome:
    """What a reply means. `now` (aware) is needed for a Retry-After that names a date."""
    content = _decoded(reply)
    if 200 <= reply.status < 300:
        return _classify_success(reply, content, national_code_field, language, now)
    return _classify_status(reply.status, reply, content, national_code_field, language, now)


def _classify_success(
    reply: Reply, content: Any, national_code_field: str, language: Language, now: datetime
) -> Outcome:
    if not reply.complete:
        return _unreadable(language, "cut")
    national_code = _national_code(content, national_code_field)
    inner = _inner_status(content)
    if inner is not None and not 200 <= inner < 300:
        return _classify_inner(inner, reply, content, national_code_field, language, now)
    if isinstance(content, dict) and inner is None and content.get("code") is not None:
        return _unreadable(language, f"code = {str(content['code'])[:40]}")
    if national_code is None:
        return _unreadable(language, _excerpt(reply.body))
    return Accepted(national_code)


def _classify_inner(
    inner: int, reply: Reply, content: Any, national_code_field: str, language: Language, now: datetime
) -> Outcome:
    """`code` other than 200 inside a 2xx: the partner's own program answered, so a 5xx is its refusal for now."""
    if inner in {502, 504} or inner >= 520:
        return Retry(
            _problem(ErrorCode.PARTNER_ERROR, language, status=inner, detail=_reason(content, reply, language))
        )
    if 400 <= inner < 600:
        return _classify_status(inner, reply, content, national_code_field, language, now)
    return _unreadable(language, f"code = {inner}")


def _classify_status(
    status: int, reply: Reply, content: Any, national_code_field: str, language: Language, now: datetime
) -> Outcome:
    reason = _reason(content, reply, language)
    match status:
        case 409:
            return Accepted(_national_code(content, national_code_field), duplicate=True)
        case 401 | 403:
            problem = _problem(ErrorCode.CREDENTIALS_REFUSED, language, status=status, detail=reason)
            return Defer(problem, Scope.FACILITY, _retry_after(reply, now))
        case 429:
            return Defer(_problem(ErrorCode.RATE_LIMITED, language, status=status), after=_retry_after(reply, now))
        case 408 | 425 | 503:
            problem = _problem(ErrorCode.PARTNER_UNAVAILABLE, language, status=status)
            return Defer(problem, after=_retry_after(reply, now))
        case 404 | 405 if not isinstance(content, dict):
            # The partner's API refuses a document in JSON; this came from something else at that address.
            return Defer(_problem(ErrorCode.WRONG_ADDRESS, language, status=status))
        case _ if 400 <= status < 500:
            return Rejected(Problem(ErrorCode.REFUSED, reason))
        case 502 | 504:
            return Unknown(_problem(ErrorCode.GATEWAY_ERROR, language, status=status))
        case _ if status >= 520:  # a proxy's own codes (origin timed out, connection reset)
            return Unknown(_problem(ErrorCode.GATEWAY_ERROR, language, status=status))
        case _ if status >= 500:
            return Retry(_problem(ErrorCode.PARTNER_ERROR, language, status=status, detail=reason))
        case _:  # 1xx and 3xx: redirects are not followed, a POST would become a GET
            return Defer(_problem(ErrorCode.WRONG_ADDRESS, language, status=status))


def _problem(code: ErrorCode, language: Language, **values: object) -> Problem:
    return Problem(code, say(language, code.value, **values))


def _unreadable(language: Language, detail: str) -> Unknown:
    return Unknown(_problem(ErrorCode.UNREADABLE_REPLY, language, detail=detail))


def _decoded(reply: Reply) -> Any:
    try:
        return msgspec.json.decode(reply.body)
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


def _reason(content: Any, reply: Reply, language: Language) -> str:
    """The best of what the partner says about a refusal, in one readable line."""
    if isinstance(content, dict):
        sentence = next(filter(None, (_flat(content.get(name)) for name in ("mess", "message", "detail"))), "")
        details = _flat(content.get("errors"))
        text = f"{sentence} ({details})" if sentence and details else sentence or details
    else:
        text = _flat(content) or _excerpt(reply.body)
    return printable(text)[:LONGEST_REASON] or say(language, "no_reason")


def _flat(value: Any) -> str:
    """Text of any JSON value: lists joined, objects by their message, else as `name: text`."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, map(_flat, _first(value))))
    if isinstance(value, dict):
        for name in ("mess", "message", "msg", "detail"):
            if text := _flat(value.get(name)):
                place = ".".join(str(part) for part in value.get("loc") or () if not isinstance(part, dict | list))
                return f"{place}: {text}" if place else text
        return "; ".join(f"{name}: {_flat(inner)}" for name, inner in _first(value.items()))
    return " ".join(str(value).split())


def _first(values: Iterable[Any], limit: int = 50) -> list[Any]:
    return [value for _, value in zip(range(limit), values, strict=False)]


def _excerpt(body: bytes) -> str:
    text = printable(" ".join(body[: 4 * _LONGEST_DETAIL].decode("utf-8", "replace").split()))
    return text[:_LONGEST_DETAIL] or "empty"


def _retry_after(reply: Reply, now: datetime) -> timedelta | None:
    value = next((text for name, text in reply.headers.items() if name.lower() == "retry-after"), "").strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:9]), 10**8))
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment - now if moment.tzinfo else None
