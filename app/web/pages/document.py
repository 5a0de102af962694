"""One document: how it stands, what happens next, every try, the source as it is now; and what may be done about it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Query
from fastapi.responses import Response

from app.documents import KINDS, DocumentKind, column_label
from app.domain.deliveries import Attempt, Delivery, Selection
from app.domain.errors import InputError
from app.domain.states import (
    OPEN,
    OPERATOR_PARK,
    OPERATOR_RESEND,
    OPERATOR_RETRY,
    RESOLVE_ACCEPTED,
    RESOLVE_REJECTED,
    RESOLVE_RESEND,
    State,
)
from app.domain.stories import Cell, Detail, NextStep
from app.domain.users import Role
from app.services.replay import Action, Replay, Verdict
from app.web.addresses import document_path
from app.web.area import Area
from app.web.formats import filters
from app.web.language import N_
from app.web.page import Page, requires
from app.web.space import Cut, Space, pretty

router = APIRouter()
AREA = Area(router)

ROOM = 24_000
"""Bytes for what others wrote: with assets and all else, a page stays below 100 kB."""

LONGEST_BODY = 5_000
UNDER_WAY = (State.QUEUED, State.SENDING)
REFRESH_SECONDS = 3
MOST_ATTEMPTS = 20
MOST_ENTRIES = 10
LONGEST_NATIONAL_CODE = 250

Kind = Annotated[str, Path(pattern=f"^({'|'.join(KINDS)})$")]
Code = Annotated[str, Path(max_length=200)]
Dots = Annotated[str, Query(max_length=2)]
Text = Annotated[str, Form(max_length=1000)]


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that an operator may do: from which states, what is asked before, what is said after."""

    sources: frozenset[State]
    label: str
    question: str
    meaning: str
    done: str
    carry_out: Callable[[Replay, DocumentKind, str, dict[str, str]], object]


def _run(action: Action, state: State | None = None) -> Callable[[Replay, DocumentKind, str, dict[str, str]], object]:
    return lambda replay, kind, code, said: replay.run(action, Selection(kind.name, (code,), state), **said)


def _resolve(verdict: Verdict) -> Callable[[Replay, DocumentKind, str, dict[str, str]], object]:
    def settle(replay: Replay, kind: DocumentKind, code: str, said: dict[str, str]) -> object:
        return replay.resolve(kind, code, verdict, **said)

    return settle


DEEDS: Mapping[str, Deed] = {
    "now": Deed(
        OPERATOR_RETRY.sources & (OPEN - RESOLVE_RESEND.sources),
        N_("Send now…"),
        N_("Send this document now?"),
        N_("It is read from the source as it is then, and sent at once with a fresh set of tries."),
        N_("It will be sent at once. This page shows the outcome as soon as it is known."),
        _run(Action.RETRY),
    ),
    "retry": Deed(
        OPERATOR_RETRY.sources - OPEN,
        N_("Build again and send…"),
        N_("Build this document again and send it now?"),
        N_("It is read from the source as it is then, and sent at once with a fresh set of tries."),
        N_("It will be sent at once. This page shows the outcome as soon as it is known."),
        _run(Action.RETRY),
    ),
    "accepted": Deed(
        RESOLVE_ACCEPTED.sources,
        N_("The partner has it…"),
        N_("Does the partner have this document?"),
        N_("It counts as accepted with this national code, and is not sent again."),
        N_("It counts as accepted."),
        _resolve(Verdict.ACCEPTED),
    ),
    "resend": Deed(
        RESOLVE_RESEND.sources,
        N_("Send again…"),
        N_("Send this document again, though it may have arrived?"),
        N_("It is sent at once under the same key, by which the partner can recognise it."),
        N_("It will be sent at once. This page shows the outcome as soon as it is known."),
        _resolve(Verdict.RESEND),
    ),
    "reject": Deed(
        RESOLVE_REJECTED.sources,
        N_("The partner refused it…"),
        N_("Did the partner refuse this document?"),
        N_("It counts as rejected, and is sent again only when somebody asks."),
        N_("It counts as rejected."),
        _resolve(Verdict.REJECT),
    ),
    "again": Deed(
        OPERATOR_RESEND.sources,
        N_("Send once more…"),
        N_("Send this document once more, although the partner accepted it?"),
        N_("The partner gets it a second time, under a new key. Do this only when the partner lost it or asks for it."),
        N_("It will be sent at once. This page shows the outcome as soon as it is known."),
        _run(Action.RETRY, State.ACCEPTED),
    ),
    "park": Deed(
        OPERATOR_PARK.sources,
        N_("Put aside…"),
        N_("Put this document aside?"),
        N_("It is not sent until somebody asks for it; the source shows that it needs a person."),
        N_("It is put aside."),
        _run(Action.PARK),
    ),
}
NOTHING_DONE = N_("Nothing was changed: the document is in another state by now.")

NEXT = {
    NextStep.RUNNING: N_("It is being sent; the outcome is awaited."),
    NextStep.DUE: N_("Hermes goes on by itself; nobody has to do anything."),
    NextStep.RESOLVE: N_("It may have arrived. Ask the partner whether they have it, then say so here."),
    NextStep.PERSON: N_(
        "Find the reason below. Correct the document in the source program, then have it sent again here, or set its "
        "status_phieu to 0: then it is sent by itself."
    ),
    NextStep.NOTHING: N_("The partner has it; there is nothing to do."),
}


@router.get("/deliveries/{kind}/{code:path}")
def document(
    kind: Kind, code: Code, dots: Dots = "", done: str = "", page: Page = requires(Role.VIEWER)
) -> Response:  # fmt: skip
    """The page."""
    told = NOTHING_DONE if done == "nothing" else DEEDS[done].done if done in DEEDS else ""
    return _show(page, KINDS[kind], code or dots, told=page.say(told) if told else "")


@router.post("/deliveries/{kind}/{code:path}")
def act(
    kind: Kind, code: Code, do: Annotated[str, Form(max_length=20)], why: Text = "", national_code: Text = "",
    sure: Annotated[str, Form(max_length=3)] = "", dots: Dots = "", page: Page = requires(Role.OPERATOR),
) -> Response:  # fmt: skip
    """Do something about it: asked for with a reason, confirmed, audited. Or show persons' names, once."""
    which, code, why, national_code = KINDS[kind], code or dots, why.strip(), national_code.strip()
    known = page.console.gateway.ledger.get(which, code)
    if known is None:
        return _show(page, which, code)
    if fault := _fault(do, why, national_code):
        return _show(page, which, known.code, 422, fault=page.say(fault))
    if do == "names":
        page.console.gateway.audit.note(who=page.user.name, action="names", kind=kind, code=known.code, why=why)
        return _show(page, which, known.code, names=True)
    if sure != "yes":
        return _ask(page, known, do, why, national_code)
    said = {"who": page.user.name, "why": why} | ({"national_code": national_code} if do == "accepted" else {})
    done = DEEDS[do].carry_out(page.console.gateway.replay, which, known.code, said)
    page.console.status.forget()
    return page.redirect(document_path(kind, known.code, done=do if done else "nothing"))


def _fault(do: str, why: str, national_code: str) -> str:
    if do not in DEEDS and do != "names":
        raise InputError("There is no such action.")
    if not why:
        return N_("Give a reason: whoever asks later finds it in the audit.")
    if do == "accepted" and not national_code:
        return N_("Enter the national code that the partner gave the document.")
    return N_("A national code has at most 250 characters.") if len(national_code) > LONGEST_NATIONAL_CODE else ""


def _ask(page: Page, delivery: Delivery, do: str, why: str, national_code: str) -> Response:
    return page.render(
        "document_confirm.html", delivery=delivery, do=do, deed=DEEDS[do], why=why, national_code=national_code,
        allowed=delivery.state in DEEDS[do].sources,
    )  # fmt: skip


def _show(
    page: Page, kind: DocumentKind, code: str, status: int = 200, *, names: bool = False, told: str = "",
    fault: str = "",
) -> Response:  # fmt: skip
    story = page.console.gateway.stories.tell(kind, code, names=names, language=page.language)
    if story is None:
        return page.render("document_unknown.html", 404, kind=kind.name, code=code)
    state = story.delivery.state
    return page.render(
        "document.html", status, **_View(page, kind, story).values(), told=told, fault=fault, names=names,
        next_step=NEXT[story.next_step], personal=bool(kind.personal_columns),
        deeds={do: deed for do, deed in DEEDS.items() if state in deed.sources},
        under_way=state in UNDER_WAY, refresh_seconds=REFRESH_SECONDS,
        may_act=page.user.role.includes(Role.OPERATOR),
        audit_path=f"/audit?{urlencode({'kind': kind.name, 'code': story.delivery.code})}",
    )  # fmt: skip


class _View:
    """A story as it is shown: what matters most takes its room first."""

    def __init__(self, page: Page, kind: DocumentKind, story: Detail) -> None:
        self._space = Space(ROOM)
        self._value: Callable[[Any], str] = filters(page.language)["value"]
        self._number: Callable[[int], str] = filters(page.language)["number"]
        self._language = page.language
        self._kind = kind
        self._story = story

    def values(self) -> dict[str, Any]:
        story, delivery = self._story, self._story.delivery
        reason = self._space.word(delivery.error_message or "", 1500)
        now = story.faults or story.last_faults
        faults = [
            (each.line, column_label(each.field, self._language.value), self._space.word(each.message))
            for each in self._space.rows(now[:50], 90)
        ]
        attempts = list(self._attempts())
        changes = list(self._changes())
        header = [(cell.label, self._cell(cell), self._is_wrong(None, cell)) for cell in story.header if _tells(cell)]
        columns = self._columns()
        lines = [
            {name: (self._cell(cells[name], number), self._is_wrong(number, cells[name])) for name in columns}
            for number, cells in self._space.rows(self._numbered(), 60 + 10 * len(columns))
        ]
        audit = [
            {**entry, "who": self._space.word(entry["who"]), "why": self._space.word(entry["why"])}
            for entry in self._space.rows(story.audit[-MOST_ENTRIES:], 200)
        ]
        return {
            "delivery": delivery, "story": story, "reason": reason, "faults": faults, "faults_now": bool(story.faults),
            "more_faults": len(now) - len(faults), "attempts": attempts,
            "more_attempts": len(story.attempts) - len(attempts), "changes": changes, "header": header,
            "more_changes": len(story.difference.differences) - len(changes) if story.difference else 0,
            "lines": lines, "more_lines": len(story.lines) - len(lines), "columns": columns, "amounts": self._amounts(),
            "entries": audit[::-1],
        }  # fmt: skip

    def _attempts(self) -> Iterator[tuple[Attempt, str, Cut | None, Cut | None]]:
        latest = self._story.attempts[::-1][:MOST_ATTEMPTS]
        for each in self._space.rows(latest, 500):
            message = each.record.get("message")
            reason = self._space.word(str(message), 600) if message else ""
            yield each, reason, self._side(each, "request"), self._side(each, "response")

    def _side(self, attempt: Attempt, name: str) -> Cut | None:
        """A request or a reply: its few facts, then its body."""
        side = attempt.record.get(name)
        if not isinstance(side, dict):
            return None
        headers = side.get("headers")
        facts = {key: value for key, value in side.items() if key not in ("headers", "body", "complete")}
        facts |= headers if isinstance(headers, dict) else {}
        lines = [self._space.word(f"{key}: {value}", 300) for key, value in facts.items()]
        body = side.get("body")
        shown = self._space.text(pretty(body), LONGEST_BODY) if isinstance(body, str) and body else Cut("", True)
        whole = shown.whole and side.get("complete") is not False
        return Cut("\n".join([*lines, "", shown.text] if shown.text else lines), whole)

    def _changes(self) -> Iterator[tuple[int | None, str, str, str]]:
        if self._story.difference is not None:
            for each in self._space.rows(self._story.difference.differences[:50], 120):
                sent, now = (self._space.word(self._shown(side, each.line)) for side in (each.sent, each.now))
                yield each.line, each.label, sent, now

    def _cell(self, cell: Cell, line: int | None = None) -> str:
        return self._space.word(self._shown(cell.value, line))

    def _shown(self, value: Any, line: int | None) -> str:
        """Whole numbers of a line count something; those of the header are codes."""
        counts = line is not None and isinstance(value, int)
        return self._number(value) if counts else self._value(value)

    def _is_wrong(self, line: int | None, cell: Cell) -> bool:
        return any(each.line == line and each.field == cell.column for each in self._story.faults)

    def _columns(self) -> dict[str, str]:
        """The columns in which any line has a value, but for the document's own code."""
        return {
            cell.column: cell.label
            for line in self._story.lines
            for cell in line
            if _tells(cell) and cell.column != self._kind.code_column
        }

    def _amounts(self) -> set[str]:
        """The columns of quantities and amounts."""
        return {
            cell.column for line in self._story.lines for cell in line if isinstance(cell.value, int | float | Decimal)
        }

    def _numbered(self) -> Iterator[tuple[int, dict[str, Cell]]]:
        for number, line in enumerate(self._story.lines, 1):
            yield number, {cell.column: cell for cell in line}


def _tells(cell: Cell) -> bool:
    return cell.value not in (None, "")
