"""The same files as on the pages, in the configured language: all of a list, whatever its length."""

from tempfile import TemporaryFile
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from app.core.clock import local
from app.domain.users import Role
from app.services.export import balance_export, delivery_export
from app.web.api.caller import Caller, needs
from app.web.api.deliveries import Wanted
from app.web.api.reconciliation import Period, balances, today
from app.web.files import CSV, XLSX, attachment, pieces

router = APIRouter(tags=["exports"])


def _a_file(media_type: str) -> dict[str, Any]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {"response_class": Response, "responses": {200: {"description": "The file.", "content": content}}}


@router.get("/exports/deliveries.csv", **_a_file("text/csv"))
def export_deliveries_csv(asked: Annotated[Wanted, Query()], caller: Caller = needs(Role.VIEWER)) -> Response:
    """All deliveries that match, as CSV."""
    found = caller.gateway.lists.each_delivery(asked.filter(), asked.sort)
    return attachment(delivery_export(caller.gateway.settings.hermes_lang).csv(found), _name(caller, "csv"), CSV)


@router.get("/exports/deliveries.xlsx", **_a_file(XLSX))
def export_deliveries_xlsx(asked: Annotated[Wanted, Query()], caller: Caller = needs(Role.VIEWER)) -> Response:
    """All deliveries that match, as a workbook."""
    found = caller.gateway.lists.each_delivery(asked.filter(), asked.sort)
    file = TemporaryFile()  # noqa: SIM115  closed when it has been sent
    delivery_export(caller.gateway.settings.hermes_lang).xlsx(found, file)
    return attachment(pieces(file), _name(caller, "xlsx"), XLSX)


@router.get("/exports/reconciliation.xlsx", **_a_file(XLSX))
def export_reconciliation_xlsx(asked: Annotated[Period, Query()], caller: Caller = needs(Role.VIEWER)) -> Response:
    """A reconciliation as a workbook."""
    first, last = asked.days(today(caller))
    found = balances(caller, asked, first, last)
    file = TemporaryFile()  # noqa: SIM115  closed when it has been sent
    rows = (each for each in found if each.is_open or not asked.open_only)
    balance_export(caller.gateway.settings.hermes_lang).xlsx(rows, file)
    return attachment(pieces(file), f"doi-soat_{first}_{last}.xlsx", XLSX)


def _name(caller: Caller, ending: str) -> str:
    return f"hermes-{local(caller.gateway.clock.now()):%Y%m%d-%H%M}.{ending}"
