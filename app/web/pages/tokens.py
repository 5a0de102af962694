"""Which programs may use the JSON API: for admins. A new token is shown once, in the answer to its own form."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import Response

from app.domain.errors import InputError
from app.domain.tokens import LONGEST_PURPOSE, MOST_DAYS, ApiToken
from app.domain.users import Role
from app.web.area import Area
from app.web.language import N_
from app.web.page import Page, requires

router = APIRouter(prefix="/tokens")
AREA = Area(router, path="/tokens", label=N_("Tokens"), role=Role.ADMIN)

Text = Annotated[str, Form(max_length=300)]

GOOD, EXPIRED, REVOKED, ORPHANED = N_("good"), N_("expired"), N_("revoked"), N_("its owner is disabled")


@router.get("")
def tokens(page: Page = requires(Role.ADMIN)) -> Response:
    """Every token, never the tokens themselves."""
    return _show(page)


@router.post("")
def make_token(
    owner: Text, purpose: Text, role: Annotated[Role, Form()], days: Annotated[int, Form()],
    page: Page = requires(Role.ADMIN),
) -> Response:  # fmt: skip
    """Make one, and show it."""
    try:
        made = page.console.gateway.tokens.create(owner, role, purpose, days=days, who=page.user.name)
    except InputError as error:
        return _show(page, 422, fault=str(error))
    return _show(page, made=made.text)


@router.post("/{prefix}/revoke")
def revoke_token(prefix: str, page: Page = requires(Role.ADMIN)) -> Response:
    """Let one in no more."""
    try:
        page.console.gateway.tokens.revoke(prefix, who=page.user.name)
    except InputError as error:
        return _show(page, 422, fault=str(error))
    return page.redirect("/tokens")


def _show(page: Page, status: int = 200, *, fault: str = "", made: str = "") -> Response:
    everybody = page.console.gateway.users.all()
    disabled = {each.name for each in everybody if each.disabled}
    found = page.console.gateway.tokens.all()
    return page.render(
        "tokens.html", status, tokens=[(each, page.say(_state(each, page, disabled))) for each in found],
        owners=[each.name for each in everybody if not each.disabled], roles=list(Role), made=made,
        fault=page.say(fault) if fault else "", longest=LONGEST_PURPOSE, most_days=MOST_DAYS,
    )  # fmt: skip


def _state(token: ApiToken, page: Page, disabled: set[str]) -> str:
    if token.revoked_at is not None:
        return REVOKED
    if not token.is_good(page.now):
        return EXPIRED
    return ORPHANED if token.owner in disabled else GOOD
