"""The statements that take a document from its claim to its outcome. Each is built once for each kind, because
building one costs more than running it; what changes from call to call is bound.
"""

from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    Unicode,
    Update,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    null,
    select,
    update,
)

from app.db.tables import delivery
from app.documents import DocumentKind
from app.domain.states import CLAIM

_D = delivery.c
_YES: ColumnElement[int] = literal_column("1")
_NO: ColumnElement[int] = literal_column("0")
_CODES: BindParameter[Any] = bindparam("codes", expanding=True)


@cache
def claiming(kind: DocumentKind) -> Update:
    """Claim what is still queued among `codes`, for `token` until `expires_at`."""
    return (
        update(delivery)
        .where(_D.kind == kind.name, _D.code.in_(_CODES), only_if(_D.state.in_(CLAIM.sources)))
        .values(
            state=CLAIM.target,
            claim_token=bindparam("token"),
            sent_at=null(),
            due_at=bindparam("expires_at"),
            updated_at=bindparam("now"),
        )
    )


@cache
def claimed(kind: DocumentKind) -> Select[Any]:
    """What a worker has to know of those among `codes` that are claimed for `token`."""
    columns = (_D.facility, _D.revision, _D.attempts, _D.uncertain, _D.first_seen_at, _D.deaths, _D.sent_at)
    return select(_D.code, _D.national_code, *columns).where(_held(kind))


@cache
def beginning(kind: DocumentKind) -> Update:
    """Note that requests go out `now` for those among `codes` whose claim still lives, until `expires_at`."""
    return (
        update(delivery)
        .where(_held(kind, _D.due_at > bindparam("now")))
        .values(sent_at=bindparam("now"), due_at=bindparam("expires_at"))
    )


@cache
def begun(kind: DocumentKind) -> Select[Any]:
    """The codes of those that were so noted `now`."""
    return select(_D.code).where(_held(kind, _D.sent_at == bindparam("now")))


@cache
def locking(kind: DocumentKind) -> Update:
    """Lock the rows that are claimed for `token`. A column set to what it is changes no index: that costs little."""
    return update(delivery).where(_held(kind)).values(claim_token=bindparam("token"))


@cache
def locked(kind: DocumentKind) -> Select[Any]:
    """The codes of those rows."""
    return select(_D.code).where(_held(kind))


@cache
def settling(kind: DocumentKind) -> Update:
    """What became of the delivery `of_code`, claimed for `token`. What is bound as null among the national code, the
    hash and the failure leaves what is there."""
    return (
        update(delivery)
        .where(_D.kind == kind.name, _D.code == bindparam("of_code"), only_if(_D.claim_token == bindparam("token")))
        .values(
            state=bindparam("to_state"),
            facility=bindparam("to_facility"),
            attempts=bindparam("to_attempts"),
            uncertain=bindparam("to_uncertain"),
            deaths=bindparam("to_deaths"),
            due_at=bindparam("to_due_at"),
            national_code=func.coalesce(bindparam("to_national_code", type_=Unicode(250)), _D.national_code),
            error_code=bindparam("to_error_code"),
            error_message=bindparam("to_error_message"),
            payload_sha256=func.coalesce(bindparam("to_sha256", type_=Unicode(64)), _D.payload_sha256),
            finished_at=bindparam("to_finished_at"),
            failed_at=func.coalesce(bindparam("to_failed_at", type_=_D.failed_at.type), _D.failed_at),
            cause=bindparam("to_cause"),
            updated_at=bindparam("to_updated_at"),
            claim_token=null(),
            sent_at=null(),
        )
    )


@cache
def telling(kind: DocumentKind, *, with_code: bool) -> Update:
    """What the source row `of_code` is told of it."""
    told: dict[str, Any] = {"status_phieu": bindparam("to_status"), "note_log": bindparam("to_note")}
    if with_code:
        told[kind.national_code_column] = bindparam("to_national_code")
    return update(kind.header).where(kind.code == bindparam("of_code")).values(told)


def only_if(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """What must hold of rows that are found by their key. Written so that no planner looks for them by anything else:
    by state or due time it would read the whole backlog for each batch, or lock what other workers hold."""
    return case((and_(*conditions), _YES), else_=_NO) == _YES


def _held(kind: DocumentKind, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    claimed = only_if(_D.state == CLAIM.target, _D.claim_token == bindparam("token"), *conditions)
    return (_D.kind == kind.name) & _D.code.in_(_CODES) & claimed
