"""Command line of the simulator: ``python -m simulator --help``.

Standard output carries exactly one line, ``{"listening": "http://127.0.0.1:PORT"}``, once requests are
taken; everything else goes to standard error.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from simulator.faults import BadScriptError, Preset, Rule, parse_rules, preset_rules
from simulator.ledger import LedgerError
from simulator.partner import Duplicates
from simulator.replies import AcceptedShape, RefusalShape
from simulator.server import Settings, serve

DENIED_STATUSES = {"401": 401, "403": 403}

EPILOG = """Examples:

python -m simulator --port 8088 --username demo --password demo

python -m simulator --port 0 --faults storm --hang-seconds 3 --ledger-file var/partner.db

python -m simulator --duplicates conflict --reply-shape cycle --refusal-shape cycle --deny-facility CS013=403

curl http://127.0.0.1:8088/_simulator/stats

curl -X PUT http://127.0.0.1:8088/_simulator/faults -d '[{"fault": "status", "status": 503, "rate": 0.5}]'
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EPILOG)
def main(
    host: Annotated[str, typer.Option(help="Address to listen on. Control endpoints ask for no login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")] = 8088,
    username: Annotated[str, typer.Option(envvar="SIMULATOR_USERNAME")] = "partner",
    password: Annotated[str, typer.Option(envvar="SIMULATOR_PASSWORD", show_default=False)] = "partner",  # noqa: S107
    reply_shape: Annotated[AcceptedShape, typer.Option(help="How an acceptance looks.")] = AcceptedShape.OBJECT,
    refusal_shape: Annotated[RefusalShape, typer.Option(help="Where a refusal keeps its reasons.")] = RefusalShape.MESS,
    refusal_status: Annotated[int, typer.Option(help="400 or 422.")] = 400,
    duplicates: Annotated[
        Duplicates,
        typer.Option(
            help="What happens to a document sent again. key: same key same answer, new key new revision."
            " same: always the same answer. conflict, conflict-bare: 409 with or without the national code."
            " accept: one more copy every time."
        ),
    ] = Duplicates.KEY,
    faults: Annotated[Preset, typer.Option(help="Ready-made misbehaviour.")] = Preset.NONE,
    fault_script: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON list of fault rules.")
    ] = None,
    hang_seconds: Annotated[
        float, typer.Option(min=0, max=3600, help="How long a hang lasts unless its rule says.")
    ] = 2.5,
    seed: Annotated[int, typer.Option(help="Another seed, other tries that misbehave.")] = 1,
    deny_facility: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE[=401|403]", help="Refuse this facility's documents; may be repeated."),
    ] = None,
    ledger_file: Annotated[
        Path | None, typer.Option(dir_okay=False, help="SQLite file that outlives the process.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="One line per request on standard error.")] = False,
    exit_with_stdin: Annotated[
        bool,
        typer.Option("--exit-with-stdin", help="End when standard input is closed: never outlive a parent."),
    ] = False,
) -> None:
    """The partner's API: strict about every field, a ledger of what it accepted, faults on request."""
    if refusal_status not in (400, 422):
        raise typer.BadParameter("must be 400 or 422", param_hint="--refusal-status")
    if fault_script is not None and faults is not Preset.NONE:
        raise typer.BadParameter("not together with --faults", param_hint="--fault-script")
    settings = Settings(
        host=host,
        port=port,
        username=username,
        password=password,
        reply_shape=reply_shape,
        refusal_shape=refusal_shape,
        refusal_status=refusal_status,
        duplicates=duplicates,
        denied_facilities=_denied(deny_facility or ()),
        rules=tuple(_script_rules(fault_script) if fault_script is not None else preset_rules(faults)),
        seed=seed,
        hang_seconds=hang_seconds,
        ledger_file=ledger_file,
        verbose=verbose,
    )
    try:
        asyncio.run(_run(settings, exit_with_stdin))
    except (LedgerError, OSError) as error:
        typer.echo(f"simulator: {error}", err=True)
        raise typer.Exit(1) from error


def _denied(options: Sequence[str]) -> dict[str, int]:
    denied = {}
    for option in options:
        facility, _, status = option.partition("=")
        if not facility or (status or "401") not in DENIED_STATUSES:
            raise typer.BadParameter(f"{option!r} is not CODE, CODE=401 or CODE=403", param_hint="--deny-facility")
        denied[facility] = DENIED_STATUSES[status or "401"]
    return denied


def _script_rules(file: Path) -> list[Rule]:
    try:
        return parse_rules(file.read_bytes())
    except BadScriptError as error:
        raise typer.BadParameter(f"{file}: {error}", param_hint="--fault-script") from error


async def _run(settings: Settings, exit_with_stdin: bool) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def end(*_: object) -> None:
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    if exit_with_stdin:
        threading.Thread(target=_await_end_of_stdin, args=(end,), daemon=True).start()
    await serve(settings, _announce, stop)


def _await_end_of_stdin(end: Callable[[], None]) -> None:
    # Unbuffered: a daemon thread inside a buffered read would hold a lock that interpreter exit needs.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    end()


def _announce(url: str) -> None:
    sys.stdout.write(json.dumps({"listening": url}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    app(prog_name="python -m simulator")
