"""Refusals and errors as RFC 9457 has them: what is wrong, where, and what to do; nothing of the inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from app.domain.errors import InfrastructureError, InputError
from app.domain.redact import printable

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

DETAILS = {
    400: "The body is not JSON.",
    401: "Show a good token: Authorization: Bearer hermes_…",
    403: "The role of this token does not allow it.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    409: "The state does not allow it; nothing was changed.",
    413: "A request has at most 64 KiB.",
    422: "A value cannot be used; nothing was changed.",
    429: "Too many wrong tokens came from this address. Wait five minutes.",
    500: "An error in Hermes itself. Nothing was changed if this was a look; else look before trying again.",
    503: "The database does not answer. Nothing is lost; try again later.",
}
_LONGEST_PLACE = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """One value that cannot be used: where it stands (`query.limit`, `body.pace.per_minute`) and why."""

    where: str
    detail: str


class Refusal(Exception):
    """The API says no: with a status, a sentence, and where that is known the values that are to blame."""

    def __init__(self, status: int, detail: str = "", *faults: Fault, **headers: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.faults = faults
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def problem(
    status: int, detail: str = "", faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """The answer for a status."""
    status = status if status in DETAILS else 500 if status >= 500 else 400
    content: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    content["detail"] = detail or DETAILS[status]
    if faults:
        content["errors"] = [{"where": each.where, "detail": each.detail} for each in faults]
    return JSONResponse(content, status, dict(headers or {}), media_type=MEDIA_TYPE)


def install(api: FastAPI) -> None:
    """Let the API answer errors so."""
    api.add_exception_handler(Refusal, _refusal)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(RequestValidationError, _validation)
    api.add_exception_handler(InputError, lambda _request, error: problem(422, str(error)))
    api.add_exception_handler(InfrastructureError, _infrastructure)
    api.add_exception_handler(Exception, lambda _request, _error: problem(500))


def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101  registered for it
    return problem(error.status, error.detail, error.faults, error.headers)


def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for it
    return problem(error.status_code, headers=error.headers)


def _validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for it
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return problem(400)
    return problem(422, faults=[Fault(_place(each["loc"]), str(each["msg"])) for each in found[:20]])


def _place(loc: Sequence[object]) -> str:
    """Names that a caller made up come back, too, but short and printable."""
    return printable(".".join(str(part)[:_LONGEST_PLACE] for part in loc))


def _infrastructure(_request: Request, error: Exception) -> Response:
    log.error("console_cannot_read", error=str(error))
    return problem(503)
