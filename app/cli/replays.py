"""`hermes replay …`: many documents again, after an incident."""

import getpass
import sys
from typing import Annotated

import typer
from rich.table import Table

from app.cli.operate import Codes, Error, Facility, InState, Kind, Since, Until, Who, Why, Yes, selection_of
from app.cli.output import AsJson, console, fail, fields, open_gateway, print_json, safe, say, text
from app.domain.errors import InputError
from app.domain.replays import Pace, Progress
from app.services.bulk import BulkReplays

app = typer.Typer(help="Send many documents again after an incident: named, paced, steered.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The incident's name.")]
Cause = Annotated[str | None, typer.Option("--cause", help="Only refused for this cause; see hermes refusals.")]
PerMinute = Annotated[int | None, typer.Option("--per-minute", help="Release so many a minute.")]
WhileQueued = Annotated[
    int | None, typer.Option("--while-queued", help="Release while fewer than so many documents are queued.")
]
AcceptedAgain = Annotated[
    bool, typer.Option("--accepted-again", help="Yes, send accepted documents again; with --state accepted.")
]
Items = Annotated[int, typer.Option("--items", min=0, help="Show so many of its documents, too.")]


@app.command(epilog="Example: hermes replay create 'lot numbers 20/11' --cause 3f0c9a1b22d4e871 --per-minute 300")
def create(
    name: Name, codes: Codes = None, kind: Kind = None, state: InState = None, error: Error = None, cause: Cause = None,
    facility: Facility = None, since: Since = None, until: Until = None, per_minute: PerMinute = None,
    while_queued: WhileQueued = None, accepted_again: AcceptedAgain = False, yes: Yes = False,
    why: Why = "", who: Who = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Freeze what matches now, and let every scan send some of it, in the original order.

    Accepted documents only with --state accepted and --accepted-again.
    """
    selection = selection_of(codes, kind, state, error, facility, since, until, everything=False, cause=cause)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("Nobody can be asked here: add --yes.")
        if not typer.confirm(text("confirm_replay", name=name), err=True):
            say(text("aborted"))
            raise typer.Exit(1)
    made = open_gateway(quiet=True).replays.create(
        name,
        selection,
        Pace(per_minute, while_queued),
        who=who or getpass.getuser(),
        why=why,
        accepted_again=accepted_again,
    )
    if as_json:
        print_json({"replay": fields(made)})
    else:
        say(text("replay_created", name=made.name, count=made.documents))


@app.command("list", epilog="Example: hermes replay list")
def list_(as_json: AsJson = False) -> None:
    """The latest 200 replays."""
    found = open_gateway(quiet=True).replays.all()
    if as_json:
        print_json({"replays": [fields(each) for each in found]})
        return
    table = Table(text("replay_name"), text("state"), text("replay_turns"), text("who"), text("why"))
    for each in found:
        turns = f"{each.turns} / {each.documents}"
        table.add_row(safe(each.name), text(f"replay_{each.state}"), turns, safe(each.who), safe(each.why))
    console.print(table)


@app.command(epilog="Example: hermes replay show 'lot numbers 20/11'")
def show(name: Name, items: Items = 0, as_json: AsJson = False) -> None:
    """How far a replay is: waiting, accepted, refused again, under way, skipped."""
    service = open_gateway(quiet=True).replays
    found = _progress(service, name)
    some = service.items(name, limit=items) if items else []
    if as_json:
        counts = {each: getattr(found, each) for each in _COUNTS}
        print_json({"replay": fields(found.replay), **counts, "items": [fields(each) for each in some]})
        return
    say(safe(f"{found.replay.name} · {text(f'replay_{found.replay.state}')} · {found.replay.who}: {found.replay.why}"))
    for each in _COUNTS:
        say(f"  {text(f'replay_count_{each}')}: {getattr(found, each)}")
    for item in some:
        say(safe(f"  {item.position}. {item.kind} {item.code} · {text(f'state_{item.state}')}"))


@app.command(epilog="Example: hermes replay pause 'lot numbers 20/11' --why 'the partner is slow'")
def pause(name: Name, why: Why = "", who: Who = None) -> None:
    """Release nothing more until it is resumed."""
    _steer(name, open_gateway(quiet=True).replays.pause(name, who=who or getpass.getuser(), why=why))


@app.command(epilog="Example: hermes replay resume 'lot numbers 20/11'")
def resume(name: Name, why: Why = "", who: Who = None) -> None:
    """Go on with a paused replay."""
    _steer(name, open_gateway(quiet=True).replays.resume(name, who=who or getpass.getuser(), why=why))


@app.command(epilog="Example: hermes replay abort 'lot numbers 20/11' --why 'wrong set'")
def abort(name: Name, why: Why = "", who: Who = None) -> None:
    """Release nothing more, ever. What was released goes on."""
    _steer(name, open_gateway(quiet=True).replays.abort(name, who=who or getpass.getuser(), why=why))


_COUNTS = ("waiting", "under_way", "accepted", "refused", "skipped")


def _progress(service: BulkReplays, name: str) -> Progress:
    found = service.progress(name)
    if found is None:
        fail(text("no_replay", name=name), code=1)
    return found


def _steer(name: str, done: bool) -> None:
    found = _progress(open_gateway(quiet=True).replays, name)
    say(text("replay_now" if done else "replay_unchanged", name=name, state=text(f"replay_{found.replay.state}")))
    raise typer.Exit(0 if done else 1)
