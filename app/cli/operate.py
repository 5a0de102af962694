"""Commands that change what happens to documents: retry, park. They ask first, and they are audited."""

import getpass
import sys
from datetime import date, datetime
from typing import Annotated

import typer

from app.cli.output import AsJson, kind_named, label, open_gateway, print_json, say, text
from app.domain.circuit import PARTNER
from app.domain.deliveries import Selection
from app.domain.errors import InputError
from app.domain.redact import printable
from app.domain.states import State
from app.services.replay import Action, Verdict

Codes = Annotated[list[str] | None, typer.Argument(help="Document codes; with --kind.")]
Kind = Annotated[str | None, typer.Option("--kind", help="phieu_nhap, phieu_xuat or hoa_don.")]
InState = Annotated[State | None, typer.Option("--state", help="Only deliveries in this state.")]
Error = Annotated[str | None, typer.Option("--error", help="Only with this error code, for instance refused.")]
Facility = Annotated[str | None, typer.Option("--facility", help="Only of this facility (ma_co_so).")]
OfFacility = Annotated[str | None, typer.Option("--facility", help="Only this facility; default: the partner.")]
Since = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First document date.")]
Until = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last document date.")]
All = Annotated[bool, typer.Option("--all", help="Mean every delivery when nothing narrows the choice.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for the audit.")]
Who = Annotated[str | None, typer.Option("--who", help="Your name, for the audit; default: the login name.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog="Example: hermes retry --kind hoa_don --error refused --from 2026-11-01")(retry)
    app.command(epilog="Example: hermes park PN0001 --kind phieu_nhap --why 'waiting for a corrected lot'")(park)
    app.command(epilog="Example: hermes resolve hoa_don HD0001 --accepted QG-123 --why 'seen in their portal'")(resolve)
    app.command(epilog="Example: hermes pause --facility CS01 --why 'new password on Monday'")(pause)
    app.command(epilog="Example: hermes resume --facility CS01 --why 'password changed'")(resume)


def retry(
    codes: Codes = None, kind: Kind = None, state: InState = None, error: Error = None, facility: Facility = None,
    since: Since = None, until: Until = None, everything: All = False, yes: Yes = False,
    why: Why = "", who: Who = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Send documents again at once: waiting, unknown, rejected or parked ones.

    Accepted documents only with --state accepted, --kind and their codes (P4).
    """
    _operate(
        Action.RETRY,
        selection_of(codes, kind, state, error, facility, since, until, everything),
        yes,
        why,
        who,
        as_json,
    )


def park(
    codes: Codes = None, kind: Kind = None, state: InState = None, error: Error = None, facility: Facility = None,
    since: Since = None, until: Until = None, everything: All = False, yes: Yes = False,
    why: Why = "", who: Who = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Put documents aside until somebody runs `hermes retry`: queued, waiting or unknown ones."""
    selection = selection_of(codes, kind, state, error, facility, since, until, everything)
    _operate(Action.PARK, selection, yes, why, who, as_json)


def resolve(
    kind: Annotated[str, typer.Argument(help="phieu_nhap, phieu_xuat or hoa_don")],
    code: Annotated[str, typer.Argument(help="The document's code")],
    accepted: Annotated[str | None, typer.Option(help="The partner has it, under this national code.")] = None,
    resend: Annotated[bool, typer.Option("--resend", help="Send it again under the same idempotency key.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="The partner does not have it and must not get it.")] = False,
    why: Why = "",
    who: Who = None,
    as_json: AsJson = False,
) -> None:
    """Say what became of a document of which it is unknown whether the partner accepted it; audited."""
    given = [name for name, value in (("accepted", accepted), ("resend", resend), ("reject", reject)) if value]
    if len(given) != 1:
        raise InputError("Say one of: --accepted NATIONAL_CODE, --resend, --reject.")
    which = kind_named(kind)
    done = open_gateway(quiet=True).replay.resolve(
        which, code, Verdict(given[0]), who=who or getpass.getuser(), why=why, national_code=accepted
    )
    sentence = text("resolved" if done else "not_unknown", kind=label(which), code=printable(code))
    _report(int(done), sentence, as_json)
    raise typer.Exit(0 if done else 1)


def pause(facility: OfFacility = None, why: Why = "", who: Who = None) -> None:
    """Send nothing to the partner, or nothing of one facility, until `hermes resume`. Nothing is lost; audited."""
    open_gateway(quiet=True).replay.pause(facility or PARTNER, who=who or getpass.getuser(), why=why)
    say(text("paused", whom=_whom(facility)))


def resume(facility: OfFacility = None, why: Why = "", who: Who = None) -> None:
    """End a pause, whether an operator or the partner's failures began it; audited."""
    done = open_gateway(quiet=True).replay.resume(facility or PARTNER, who=who or getpass.getuser(), why=why)
    say(text("resumed" if done else "not_paused", whom=_whom(facility)))
    raise typer.Exit(0 if done else 1)


def _whom(facility: str | None) -> str:
    return text("the_facility", facility=printable(facility)) if facility else text("the_partner")


def selection_of(
    codes: list[str] | None,
    kind: str | None,
    state: State | None,
    error: str | None,
    facility: str | None,
    since: datetime | None,
    until: datetime | None,
    everything: bool,
    cause: str | None = None,
) -> Selection:
    """What the options of a command mean. Raises InputError when they make no sense."""
    selection = Selection(
        kind=None if kind is None else kind_named(kind).name,
        codes=tuple(codes or ()),
        state=state,
        error_code=error,
        cause=cause,
        facility=facility,
        date_from=day_of(since),
        date_to=day_of(until),
    )
    if selection.codes and selection.kind is None:
        raise InputError("Codes are unique only within a kind: add --kind phieu_nhap, phieu_xuat or hoa_don.")
    if selection == Selection() and not everything:
        raise InputError("Nothing narrows the choice. Name a kind, codes, a state or an error; or say --all.")
    return selection


def _operate(action: Action, selection: Selection, yes: bool, why: str, who: str | None, as_json: bool) -> None:
    replay = open_gateway(quiet=True).replay
    count = replay.count(action, selection)
    if not count:
        _report(0, text("nothing_selected"), as_json)
        raise typer.Exit(1)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("Nobody can be asked here: add --yes.")
        if not typer.confirm(text(f"confirm_{action}", count=count), err=True):
            say(text("aborted"))
            raise typer.Exit(1)
    moved = replay.run(action, selection, who=who or getpass.getuser(), why=why)
    _report(moved, text(f"done_{action}", count=moved), as_json)


def _report(moved: int, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json({"documents": moved})
    else:
        say(sentence)


def day_of(value: datetime | None) -> date | None:
    """The day of an option."""
    return None if value is None else value.date()
