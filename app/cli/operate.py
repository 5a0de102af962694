"""Commands that change what happens to documents: retry, park. They ask first, and they are audited."""

import getpass
import sys
from datetime import date, datetime
from typing import Annotated

import typer

from app.cli.output import AsJson, kind_named, open_gateway, print_json, say, text
from app.domain.deliveries import Selection
from app.domain.errors import InputError
from app.domain.states import State
from app.services.replay import Action

Codes = Annotated[list[str] | None, typer.Argument(help="Document codes; with --kind.")]
Kind = Annotated[str | None, typer.Option("--kind", help="phieu_nhap, phieu_xuat or hoa_don.")]
InState = Annotated[State | None, typer.Option("--state", help="Only deliveries in this state.")]
Error = Annotated[str | None, typer.Option("--error", help="Only with this error code, for instance refused.")]
Facility = Annotated[str | None, typer.Option("--facility", help="Only of this facility (ma_co_so).")]
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


def retry(
    codes: Codes = None, kind: Kind = None, state: InState = None, error: Error = None, facility: Facility = None,
    since: Since = None, until: Until = None, everything: All = False, yes: Yes = False,
    why: Why = "", who: Who = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Send documents again at once: waiting, unknown, rejected or parked ones.

    Accepted documents only with --state accepted, --kind and their codes (P4).
    """
    _operate(
        Action.RETRY, _selection(codes, kind, state, error, facility, since, until, everything), yes, why, who, as_json
    )


def park(
    codes: Codes = None, kind: Kind = None, state: InState = None, error: Error = None, facility: Facility = None,
    since: Since = None, until: Until = None, everything: All = False, yes: Yes = False,
    why: Why = "", who: Who = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Put documents aside until somebody runs `hermes retry`: queued, waiting, unknown or rejected ones."""
    _operate(
        Action.PARK, _selection(codes, kind, state, error, facility, since, until, everything), yes, why, who, as_json
    )


def _selection(
    codes: list[str] | None,
    kind: str | None,
    state: State | None,
    error: str | None,
    facility: str | None,
    since: datetime | None,
    until: datetime | None,
    everything: bool,
) -> Selection:
    selection = Selection(
        kind=None if kind is None else kind_named(kind).name,
        codes=tuple(codes or ()),
        state=state,
        error_code=error,
        facility=facility,
        date_from=_day(since),
        date_to=_day(until),
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


def _day(value: datetime | None) -> date | None:
    return None if value is None else value.date()
