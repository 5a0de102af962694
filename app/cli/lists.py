"""Commands that list: list, refusals, reconcile, audit."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.table import Table

from app.cli.operate import day_of
from app.cli.output import (
    AsJson,
    console,
    fields,
    kind_named,
    label,
    open_gateway,
    print_json,
    safe,
    say,
    text,
)
from app.core.clock import VIETNAM, local
from app.core.config import get_settings
from app.documents import ALL_KINDS, KINDS
from app.domain.deliveries import Delivery
from app.domain.errors import InputError
from app.domain.listing import AuditFilter, Filter, Sort
from app.domain.reconciliation import DayBalance, Fate, total
from app.domain.states import State
from app.services.export import Export, balance_export, delivery_export

Kind = Annotated[str | None, typer.Option("--kind", help="phieu_nhap, phieu_xuat or hoa_don.")]
States = Annotated[list[State] | None, typer.Option("--state", help="Only in this state; may be repeated.")]
Error = Annotated[str | None, typer.Option("--error", help="Only with this error code.")]
Cause = Annotated[str | None, typer.Option("--cause", help="Only refused for this cause; see hermes refusals.")]
Facility = Annotated[str | None, typer.Option("--facility", help="Only of this facility (ma_co_so).")]
Since = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First document date.")]
Until = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last document date.")]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write all of it to this file; - is standard output.")]
Xlsx = Annotated[Path | None, typer.Option("--xlsx", help="Write all of it to this workbook.")]
Limit = Annotated[int, typer.Option(min=1, help="Show at most so many.")]

_SHOPS = 5
_CAUSE = 16


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("list", epilog="Example: hermes list --state rejected --kind hoa_don --xlsx rejected.xlsx")(list_)
    app.command(epilog="Example: hermes refusals")(refusals)
    app.command(epilog="Example: hermes reconcile --from 2026-11-16 --to 2026-11-22 --xlsx week.xlsx")(reconcile)
    app.command(epilog="Example: hermes audit --action retry --from 2026-11-01")(audit)


def list_(
    kind: Kind = None, state: States = None, facility: Facility = None, since: Since = None, until: Until = None,
    error: Error = None, cause: Cause = None,
    ever_failed: Annotated[bool, typer.Option("--ever-failed", help="Only those of which a try ever failed.")] = False,
    code: Annotated[str | None, typer.Option("--code", help="Only this code.")] = None,
    prefix: Annotated[str | None, typer.Option("--prefix", help="Only codes that begin so.")] = None,
    sort: Annotated[Sort, typer.Option(help="The order; with --from or --to it is that of document dates.")]
    = Sort.CHANGED,
    limit: Limit = 50, as_json: AsJson = False, csv: Csv = None, xlsx: Xlsx = None,
) -> None:  # fmt: skip
    """Deliveries that match; CSV and XLSX have all of them, whatever --limit says."""
    wanted = Filter(
        kind=None if kind is None else kind_named(kind).name,
        states=tuple(state or ()),
        facility=facility,
        date_from=day_of(since),
        date_to=day_of(until),
        error_code=error,
        cause=cause,
        ever_failed=ever_failed,
        code=code,
        code_prefix=prefix,
    )
    if as_json and (csv is not None or xlsx is not None):
        raise InputError("Choose: --json, or a file by --csv or --xlsx.")
    lists = open_gateway(quiet=True).lists
    if csv is not None or xlsx is not None:
        _write(delivery_export(get_settings().hermes_lang), lambda: lists.each_delivery(wanted, sort), csv, xlsx)
        return
    found = list(islice(lists.each_delivery(wanted, sort), limit))
    count = lists.count(wanted)
    if as_json:
        print_json({"deliveries": [fields(each) for each in found], "count": count.count, "counted": count.complete})
        return
    _print_deliveries(found)
    say(text("list_count", shown=len(found), count=count))


def refusals(as_json: AsJson = False) -> None:
    """Why documents are refused: rejected, parked, and unknown ones that await a person, grouped by cause."""
    gateway = open_gateway(quiet=True)
    found = gateway.refusals.groups()
    if as_json:
        print_json({"groups": [_group_json(each) for each in found.groups], "complete": found.complete})
        return
    if not found.groups:
        say(text("nothing_refused"))
        return
    table = Table("")
    table.add_column(text("cause"), no_wrap=True, min_width=_CAUSE)  # to be copied whole
    for name in ("error_message", "facility", "last_seen", "example"):
        table.add_column(text(name), overflow="fold")
    for each in found.groups:
        all_shops = each.facilities_complete and len(each.facilities) <= _SHOPS
        shops = ", ".join([*each.facilities[:_SHOPS], *([] if all_shops else ["…"])])
        table.add_row(
            str(each.documents), each.cause, safe(each.message), safe(shops), _moment(each.last_seen_at),
            safe(f"{each.example_kind} {each.example_code}"),
        )  # fmt: skip
    console.print(table)


def reconcile(
    since: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First document date.")],
    until: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last document date.")],
    facility: Facility = None, kind: Kind = None,
    codes: Annotated[Fate | None, typer.Option(help="Name the documents behind this figure, too.")] = None,
    as_json: AsJson = False, xlsx: Xlsx = None,
) -> None:  # fmt: skip
    """Did everything arrive? Per day, facility and kind: in the source, delivered, waiting, refused, never seen.

    Exit code 1 when something of the period has not been delivered.
    """
    service = open_gateway(quiet=True).reconcile
    kinds = list(ALL_KINDS) if kind is None else [kind_named(kind)]
    found = service.balances(kinds, since.date(), until.date(), facility)
    sums = total(found)
    if xlsx is not None:
        _write(balance_export(get_settings().hermes_lang), lambda: iter(found), None, xlsx)
    named = [] if codes is None else [
        {"kind": each.kind, "day": each.day, "facility": each.facility, **fields(document)}
        for each in found if getattr(each, codes)
        for document in service.each_document(each, KINDS[each.kind], codes)
    ]  # fmt: skip
    if as_json:
        print_json({"rows": [_balance_json(each) for each in found], "total": _sums(sums), "documents": named})
    else:
        _print_balances(found, sums)
        for each in named:
            say(safe(f"{each['day'] or '–'} {each['facility']} {each['kind']} {each['code']} "
                     f"status_phieu={each['status']} {each['error_message'] or ''}"))  # fmt: skip
    raise typer.Exit(0 if sums.settled else 1)


def audit(
    who: Annotated[str | None, typer.Option("--who", help="Only by this person.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Only this action, for instance retry.")] = None,
    kind: Kind = None,
    code: Annotated[str | None, typer.Option("--code", help="Only this document, facility or replay.")] = None,
    since: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")] = None,
    until: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Show at most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Who did what, when and why; the latest first."""
    if since and until and since > until:
        raise InputError(f"The first day ({since:%Y-%m-%d}) is after the last ({until:%Y-%m-%d}).")
    wanted = AuditFilter(who, action, kind, code, _midnight(day_of(since)), _midnight(day_of(until), after=1))
    page = open_gateway(quiet=True).lists.audit(wanted, size=limit)
    if as_json:
        print_json({"entries": [fields(each) for each in page.rows], "more": page.next is not None})
        return
    for each in page.rows:
        say(safe(f"{_moment(each.at)} {each.action} {each.kind} {each.code} · {each.who}: {each.why}"))
    if not page.rows:
        say(text("nothing_audited"))


def _write(export: Export[Any], rows: Callable[[], Iterator[Any]], csv: Path | None, xlsx: Path | None) -> None:
    """What is wrong with the rows' filter is said before a file is touched."""
    if csv is not None:
        pieces = export.csv(rows())
        if str(csv) == "-":
            sys.stdout.buffer.writelines(pieces)
        else:
            with _opened(csv) as file:
                file.writelines(pieces)
            say(text("written_to", file=csv))
    if xlsx is not None:
        found = rows()
        with _opened(xlsx) as file:
            count = export.xlsx(found, file)
        say(text("written", count=count, file=xlsx))


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("wb")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from None


def _print_deliveries(found: Iterable[Delivery]) -> None:
    headings = ("kind", "code", "facility", "document_date", "state", "updated_at", "error_message")
    table = Table(*(text(name) for name in headings))
    for each in found:
        day = "" if each.document_date is None else f"{each.document_date:%d/%m/%Y}"
        cells = (label(KINDS[each.kind]), each.code, each.facility, day, text(f"state_{each.state}"),
                 _moment(each.updated_at), (each.error_message or "")[:120])  # fmt: skip
        table.add_row(*(safe(cell) for cell in cells))
    console.print(table)


def _print_balances(found: Iterable[DayBalance], sums: DayBalance) -> None:
    names = ("in_source", "delivered", "waiting", "refused", "never_seen", "gone")
    table = Table(text("document_date"), text("kind"), text("facilities"))
    for name in names:
        table.add_column(text("balance_waiting" if name == "waiting" else name), justify="right")
    days: dict[tuple[date | None, str], list[DayBalance]] = defaultdict(list)
    for each in found:
        days[each.day, each.kind].append(each)
    for (day, kind), shops in sorted(days.items(), key=lambda item: (item[0][0] or date.max, item[0][1])):
        of_day = total(shops)
        when = text("undated") if day is None else f"{day:%d/%m/%Y}"
        table.add_row(when, label(KINDS[kind]), str(len(shops)), *(str(getattr(of_day, name)) for name in names))
    table.add_row(text("total"), "", "", *(str(getattr(sums, name)) for name in names), style="bold")
    console.print(table)


def _balance_json(each: DayBalance) -> dict[str, Any]:
    return {"kind": each.kind, "day": each.day, "facility": each.facility, **_sums(each)}


def _sums(each: DayBalance) -> dict[str, int]:
    return {"in_source": each.in_source, **{fate.value: getattr(each, fate) for fate in Fate}}


def _group_json(each: Any) -> dict[str, Any]:
    states = {state.value: count.count for state, count in each.states.items()}
    return {**fields(each), "documents": each.documents.count, "counted": each.documents.complete, "states": states}


def _midnight(day: date | None, *, after: int = 0) -> datetime | None:
    return None if day is None else datetime.combine(day + timedelta(days=after), time(), VIETNAM).astimezone(UTC)


def _moment(moment: datetime) -> str:
    return f"{local(moment):%d/%m/%Y %H:%M:%S}"
