"""Commands that run: up, console, sync, scan, demo."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from typing import Annotated, Any

import structlog
import typer
from celery import signals
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.cli.output import AsJson, circuit_line, console, fields, kind_named, label, open_gateway, print_json, say, text
from app.core.config import Settings, get_settings
from app.core.progress import Pulse
from app.demo.show import Demo, Faults
from app.documents import ALL_KINDS, DocumentKind
from app.domain.errors import ConfigError, HermesError, LogStoreUnavailable
from app.domain.states import State
from app.main import BATCHES_AT_ONCE, celery_app
from app.services.deliver import DeliverReport
from app.tasks.celery_queue import CeleryQueue
from app.tasks.embedded import run_embedded
from app.web.application import create_app
from app.web.server import ConsoleServer, listen
from app.wiring import Gateway

log = structlog.get_logger(__name__)

KindOption = Annotated[str | None, typer.Option("--kind", help="Only this kind: phieu_nhap, phieu_xuat or hoa_don.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog="Example: hermes up")(up)
    app.command("console", epilog="Example: hermes console")(console_alone)
    app.command(epilog="Example: hermes sync --json")(sync)
    app.command(epilog="Example: hermes scan --kind hoa_don")(scan)
    app.command(epilog="Example: hermes demo --documents 300 --faults some")(demo)


def up(
    without_console: Annotated[bool, typer.Option("--without-console", help="Serve no console.")] = False,
) -> None:
    """Run scheduler, workers and console in one process, on whatever is configured, until Ctrl-C or SIGTERM."""
    gateway = open_gateway()
    gateway.require_partner()
    _ = gateway.ledger
    with nullcontext() if without_console else _console_beside(gateway.settings):
        raise typer.Exit(run_embedded())


def console_alone() -> None:
    """Serve the console until Ctrl-C or SIGTERM: where documents stand, what needs a person, who did what."""
    gateway = open_gateway()
    _ = (gateway.ledger, gateway.session_key)
    taken = listen(gateway.settings)
    server = ConsoleServer(create_app(gateway), gateway.settings, taken)
    _tell_where(gateway)
    server.run()
    gateway.engine.dispose()


@contextmanager
def _console_beside(settings: Settings) -> Iterator[None]:
    """The console, on connections of its own. That its port is taken must not keep documents from travelling."""
    settings.require_safe_console()
    try:
        taken = listen(settings)
    except ConfigError as error:
        log.error("console_failed", error=str(error))
        yield
        return
    gateway = Gateway(settings)
    pulse = Pulse(settings.longest_task_seconds + settings.scan_interval_seconds)

    def note(**_: Any) -> None:
        pulse.beat()

    signals.task_postrun.connect(note)
    _tell_where(gateway)
    with ConsoleServer(create_app(gateway, pulse=pulse), settings, taken).beside():
        yield
    gateway.engine.dispose()


def _tell_where(gateway: Gateway) -> None:
    url = gateway.settings.console_url
    say(text("console_at", url=url))
    token = gateway.access.setup_token()
    if token is not None:
        say(text("console_setup", url=f"{url}/setup/{token}"), style="bold")


def sync(as_json: AsJson = False, kind: KindOption = None) -> None:
    """Scan and deliver until nothing is due now, then exit. Needs no broker."""
    gateway = open_gateway(quiet=not as_json and console.is_terminal)
    gateway.require_partner()
    kinds = _kinds(kind)
    started = time.monotonic()
    with _progress(shown=not as_json and console.is_terminal) as progress:
        reports = _run_until_done(gateway, kinds, progress)
    paused = list(gateway.circuits.open_ones().values())
    gateway.engine.dispose()
    summary = {name: _sync_summary(report) for name, report in reports.items()}
    result = {
        "kinds": summary,
        "total": dict(sum((Counter(each) for each in summary.values()), Counter())),
        "stopped": gateway.stopping.is_set(),
        "paused": [fields(circuit) for circuit in paused],
        "seconds": round(time.monotonic() - started, 3),
    }
    if as_json:
        print_json(result)
        return
    for circuit in paused:
        say(circuit_line(circuit), style="yellow")
    for each in kinds:
        counts = ", ".join(f"{text(f'state_{state}')}: {reports[each.name].states[state]}" for state in State
                           if reports[each.name].states[state])  # fmt: skip
        say(f"{label(each)}: {counts or text('nothing_due')}")


def scan(as_json: AsJson = False, kind: KindOption = None) -> None:
    """Scan once: rescue expired claims, discover documents and put due ones on the queue. Needs Redis."""
    gateway = open_gateway(quiet=True)
    if get_settings().broker_url is None:
        raise ConfigError("REDIS_HOST (or REDIS_URL) is not set: there is no queue to scan for. Use: hermes sync")
    reports = [gateway.scan.run(each, CeleryQueue(celery_app)) for each in _kinds(kind)]
    if as_json:
        counted = {r.kind: {"rescued": r.rescued, "discovered": r.discovered, "offered": r.offered} for r in reports}
        print_json({"kinds": counted})
        return
    for report in reports:
        say(text("scanned", kind=label(kind_named(report.kind)), discovered=report.discovered, offered=report.offered))


def demo(
    documents: Annotated[int, typer.Option(min=3, help="How many documents, shared among the kinds.")] = 600,
    faults: Annotated[Faults, typer.Option(help="How the partner misbehaves.")] = Faults.NONE,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
) -> None:
    """Show it: sample documents travel from a database of their own to a simulated partner, and a proof is drawn."""
    raise typer.Exit(0 if Demo(documents=documents, faults=faults, keep=keep).run() else 1)


def _run_until_done(gateway: Gateway, kinds: list[DocumentKind], progress: Progress) -> dict[str, DeliverReport]:
    try:
        return asyncio.run(_sync(gateway, kinds, progress))
    except* HermesError as group:
        raise group.exceptions[0] from None


async def _sync(gateway: Gateway, kinds: list[DocumentKind], progress: Progress) -> dict[str, DeliverReport]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.stopping.set)
    try:
        await gateway.in_thread(gateway.open)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_sync_kind(gateway, kind, progress)) for kind in kinds]
        await gateway.in_thread(gateway.numbers.compact)
        with suppress(LogStoreUnavailable):  # the rows stay in SQL until the next run (P8)
            await gateway.in_thread(gateway.ship.run)
    finally:
        await gateway.close()
    return {report.kind: report for report in (task.result() for task in tasks)}


async def _sync_kind(gateway: Gateway, kind: DocumentKind, progress: Progress) -> DeliverReport:
    """Deliver one kind's batches, the next one claimed and loaded while the last one's answers come in."""
    total = DeliverReport(kind.name)
    bar = progress.add_task(label(kind), total=0)
    batches = gateway.scan.due(kind)
    under_way: set[asyncio.Task[DeliverReport]] = set()
    while True:
        codes = None if gateway.stopping.is_set() else await gateway.in_thread(next, batches, None)
        if codes is None and not under_way and await _soon_due(gateway, kind):
            batches = gateway.scan.due(kind)
            continue
        if codes:
            progress.update(bar, total=(progress.tasks[bar].total or 0) + len(codes))
            under_way.add(asyncio.create_task(gateway.deliver.run(kind, codes)))
        if not under_way:
            return total
        if codes is None or len(under_way) >= BATCHES_AT_ONCE:
            done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for report in (task.result() for task in done):
                total.add(report)
                progress.advance(bar, report.documents)


async def _soon_due(gateway: Gateway, kind: DocumentKind) -> bool:
    """Wait for documents whose lines are given a moment to be written; whether there were any."""
    grace = timedelta(seconds=gateway.settings.grace_seconds)
    wait = await gateway.in_thread(gateway.scan.seconds_to_next, kind, grace)
    if wait is None or gateway.stopping.is_set():
        return False
    await asyncio.sleep(wait)
    return True


def _sync_summary(report: DeliverReport) -> dict[str, int]:
    return {
        **{state.value: report.states[state] for state in SETTLED},
        "released": report.released,
        "claims_lost": report.lost,
    }


SETTLED = (State.ACCEPTED, State.REJECTED, State.WAITING, State.UNKNOWN, State.PARKED)


def _kinds(name: str | None) -> list[DocumentKind]:
    return list(ALL_KINDS) if name is None else [kind_named(name)]


@contextmanager
def _progress(*, shown: bool) -> Iterator[Progress]:
    columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not shown) as progress:
        yield progress
