"""Commands that look: status, show, check, validate."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from app.cli.output import (
    AsJson,
    age,
    circuit_line,
    console,
    fail,
    fields,
    kind_named,
    label,
    open_gateway,
    print_json,
    safe,
    say,
    text,
)
from app.core.clock import local
from app.core.config import get_settings
from app.core.logging import configure_logging
from app.doctor import Doctor
from app.documents import ALL_KINDS, DocumentKind
from app.domain.deliveries import Attempt, CheckStep, Delivery, KindStatus
from app.domain.errors import ConfigError
from app.domain.redact import printable
from app.domain.states import State
from app.domain.stories import Detail
from app.partners import Invalid
from app.services.story import next_step
from app.wiring import Gateway, process_gateway


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog="Example: hermes status --json")(status)
    app.command(epilog="Example: hermes show hoa_don HD0001")(show)
    app.command(epilog="Example: hermes check")(check)
    app.command(epilog="Example: hermes validate --kind phieu_nhap")(validate)


def status(as_json: AsJson = False) -> None:
    """How things stand: documents per kind and state, the oldest due, the last scan."""
    found = open_gateway(quiet=True).health.status(ALL_KINDS)
    if as_json:
        kinds = {each.kind: _status_json(each) for each in found.kinds}
        circuits = [fields(each) for each in found.circuits]
        print_json(
            {
                "kinds": kinds,
                "circuits": circuits,
                "unshipped_log_rows": found.unshipped_log_rows,
                "log_store": found.log_store,
            }
        )
        return
    table = Table()
    table.add_column("")
    for kind in ALL_KINDS:
        table.add_column(label(kind), justify="right")
    table.add_row(text("to_send"), *(str(each.to_send) for each in found.kinds))
    for state in State:
        table.add_row(text(f"state_{state}"), *(str(each.states.get(state, 0)) for each in found.kinds))
    table.add_row(text("oldest_due"), *(_age_or(each.oldest_due_at, "none_due") for each in found.kinds))
    table.add_row(text("last_scan"), *(_age_or(each.last_scan_at, "never") for each in found.kinds))
    table.add_row(text("workers"), *(str(each.workers) for each in found.kinds))
    console.print(table)
    for circuit in found.circuits:
        say(circuit_line(circuit), style="yellow")
    say(text("unshipped" if found.log_store else "log_in_sql", count=found.unshipped_log_rows))


def show(
    kind: Annotated[str, typer.Argument(help="phieu_nhap, phieu_xuat or hoa_don")],
    code: Annotated[str, typer.Argument(help="The document's code")],
    as_json: AsJson = False,
) -> None:
    """One document's story: its state, every attempt, the last request and reply (persons' names masked)."""
    which = kind_named(kind)
    story = open_gateway(quiet=True).stories.tell(which, code)
    if story is None:
        fail(text("not_in_ledger", kind=label(which), code=printable(code)), code=1)
    if as_json:
        print_json(
            {
                "delivery": fields(story.delivery),
                "attempts": [fields(attempt) for attempt in story.attempts],
                "audit": list(story.audit),
                "log_complete": story.log_complete,
            }
        )
        return
    _print_story(which, story)


def check(as_json: AsJson = False) -> None:
    """Look at every precondition and say what to do: settings, database, Redis, MongoDB, partner, clocks."""
    steps = _check_steps()
    ok = all(step.ok is not False for step in steps)
    if as_json:
        print_json({"ok": ok, "steps": [fields(step) for step in steps]})
    else:
        for step in steps:
            _print_step(step)
    raise typer.Exit(0 if ok else 1)


def validate(
    as_json: AsJson = False,
    kind: Annotated[str | None, typer.Option("--kind", help="Only this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many refused documents.")] = 100,
) -> None:
    """Dry run: check every document that waits to be sent, and say what would be refused. Changes nothing."""
    gateway = open_gateway(quiet=True)
    kinds = list(ALL_KINDS) if kind is None else [kind_named(kind)]
    checked, refused = 0, []
    for each in kinds:
        for code, found in _validated(gateway, each):
            checked += 1
            if found is not None:
                refused.append((each, code, found))
    if as_json:
        print_json({"documents": checked, "invalid": [_refusal_json(*each) for each in refused]})
    elif not refused:
        say(text("valid_all", count=checked))
    else:
        say(text("valid_some", invalid=len(refused), count=checked))
        for each, code, found in refused[:limit]:
            say(Text.assemble((f"{label(each)} ", "bold"), safe(code), ": ", safe(found.message)))
    raise typer.Exit(1 if refused else 0)


def _validated(gateway: Gateway, kind: DocumentKind) -> Iterator[tuple[str, Invalid | None]]:
    endpoint = gateway.client.profile.endpoints[kind.name]
    for documents in gateway.source.pending(kind):
        for document in documents:
            prepared = endpoint.prepare(document)
            yield document.code, prepared if isinstance(prepared, Invalid) else None


def _refusal_json(kind: DocumentKind, code: str, found: Invalid) -> dict[str, Any]:
    return {"kind": kind.name, "code": code, "faults": [fields(fault) for fault in found.faults]}


def _status_json(status: KindStatus) -> dict[str, Any]:
    return {
        "to_send": status.to_send,
        "states": {state.value: status.states.get(state, 0) for state in State},
        "oldest_due_at": status.oldest_due_at,
        "last_scan_at": status.last_scan_at,
        "workers": status.workers,
    }


def _age_or(moment: datetime | None, otherwise: str) -> str:
    return text(otherwise) if moment is None else text("ago", age=age(moment))


def _check_steps() -> list[CheckStep]:
    try:
        configure_logging(get_settings().model_copy(update={"log_level": "ERROR"}))
    except ConfigError as error:  # without settings there is nothing else to look at, nor a language
        name, remedy = "Cấu hình · Configuration", "Sửa .env · Correct the environment or .env"
        return [CheckStep("configuration", name, False, False, "configuration_wrong", str(error), remedy)]
    return Doctor(process_gateway()).examine()


def _print_step(step: CheckStep) -> None:
    mark, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "dim")}[step.ok]
    if step.warning:
        mark, style = "!", "yellow"
    remedy = f" → {step.remedy}" if step.remedy else ""
    say(Text.assemble((f"{mark} {step.name}: ", style), safe(step.detail), safe(remedy)))


def _print_story(kind: DocumentKind, story: Detail) -> None:
    delivery = story.delivery
    say(Text.assemble((f"{label(kind)} ", "bold"), (printable(delivery.code), "bold"), f" · {delivery.facility}"))
    say(Text.assemble((text(f"state_{delivery.state}"), "bold"), f" · {_next_step(delivery)}"))
    if delivery.national_code:
        say(text("national_code", code=delivery.national_code))
    if delivery.error_message:
        say(delivery.error_message, style="red")
    if delivery.uncertain:
        say(text("maybe_accepted"), style="yellow")
    say("")
    say(f"{text('history')}:" if story.attempts else text("no_attempts"))
    for attempt in story.attempts:
        say(_attempt_line(attempt))
    for entry in story.audit:
        say(safe(f"{local(entry['at']):%d/%m/%Y %H:%M:%S} {entry['action']} · {entry['who']}: {entry['why']}"))
    if not story.log_complete:
        say(text("log_incomplete"), style="yellow")
    for key in ("request", "response"):
        last = next((a.record[key] for a in reversed(story.attempts) if key in a.record), None)
        if last is not None:
            say("")
            say(f"{text('last_request' if key == 'request' else 'last_reply')}:")
            say(_pretty(last))


def _next_step(delivery: Delivery) -> str:
    due = "" if delivery.due_at is None else f"{local(delivery.due_at):%H:%M:%S %d/%m/%Y}"
    return text(f"next_{next_step(delivery)}", due=due)


def _attempt_line(attempt: Attempt) -> Text:
    status = f" · HTTP {attempt.http_status}" if attempt.http_status else ""
    reason = f" · {attempt.record['message']}" if "message" in attempt.record else ""
    late = f" · {text('late_answer')}" if attempt.record.get("late") else ""
    line = f"{attempt.outcome}{late}{status} · {attempt.duration_ms} ms{reason}"
    return safe(f"  {attempt.attempt}. {local(attempt.started_at):%d/%m/%Y %H:%M:%S} · {line}")


def _pretty(side: dict[str, Any]) -> Text:
    shown = dict(side)
    body = shown.pop("body", None)
    lines = [f"  {name}: {value}" for name, value in shown.items()]
    if body:
        with suppress(ValueError):
            body = json.dumps(json.loads(body), ensure_ascii=False, indent=2)
        lines += ["  " + printable(line) for line in body.splitlines()]
    return Text("\n".join(lines))
