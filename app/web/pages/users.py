"""Who may use the console: for admins."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import Response

from app.domain.errors import InputError
from app.domain.users import SHORTEST_PASSWORD, Role
from app.web.area import Area
from app.web.language import N_
from app.web.page import Page, requires

router = APIRouter(prefix="/users")
AREA = Area(router, path="/users", label=N_("Users"), role=Role.ADMIN)

Text = Annotated[str, Form(max_length=300)]


@router.get("")
def users(page: Page = requires(Role.ADMIN)) -> Response:
    """Everybody, with what can be changed."""
    return _show(page)


@router.post("")
def add_user(name: Text, role: Annotated[Role, Form()], password: Text, page: Page = requires(Role.ADMIN)) -> Response:
    """Add a user."""
    try:
        page.console.gateway.access.add(name, role, password, who=page.user.name)
    except InputError as error:
        return _show(page, 422, str(error))
    return page.redirect("/users")


@router.post("/{name}/role")
def change_role(name: str, role: Annotated[Role, Form()], page: Page = requires(Role.ADMIN)) -> Response:
    """Give a user another role; this ends the user's sessions."""
    try:
        page.console.gateway.access.set_role(name, role, who=page.user.name)
    except InputError as error:
        return _show(page, 422, str(error))
    return page.redirect("/users")


@router.post("/{name}/disabled")
def change_disabled(name: str, disabled: Annotated[bool, Form()], page: Page = requires(Role.ADMIN)) -> Response:
    """Let a user in no more, or again."""
    try:
        page.console.gateway.access.set_disabled(name, disabled, who=page.user.name)
    except InputError as error:
        return _show(page, 422, str(error))
    return page.redirect("/users")


@router.post("/{name}/password")
def change_password(name: str, password: Text, page: Page = requires(Role.ADMIN)) -> Response:
    """Give a user another password."""
    try:
        page.console.gateway.access.set_password(name, password, who=page.user.name)
    except InputError as error:
        return _show(page, 422, str(error))
    return page.redirect("/users")


def _show(page: Page, status: int = 200, fault: str = "") -> Response:
    everybody = page.console.gateway.users.all()
    return page.render(
        "users.html", status, everybody=everybody, fault=page.say(fault) if fault else "", roles=list(Role),
        shortest=SHORTEST_PASSWORD,
    )  # fmt: skip
