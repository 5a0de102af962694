"""Coming in and going out: login, one-time links, the first user, one's own password, the language."""

from typing import Annotated

from fastapi import APIRouter, Form, Query
from fastapi.responses import Response

from app.core.config import Language
from app.domain.errors import InputError
from app.domain.users import SHORTEST_PASSWORD, Role
from app.services.access import TooManyLogins
from app.web import language as languages
from app.web.area import Area
from app.web.language import N_
from app.web.page import Page, local_path, public, requires

router = APIRouter()
AREA = Area(router)

Text = Annotated[str, Form(max_length=300)]
Path = Annotated[str, Form(max_length=2000)]

WRONG = N_("Name or password is wrong.")
TOO_MANY = N_("Too many tries. Wait five minutes, then try again.")
WRONG_OLD = N_("The current password is wrong.")
DIFFERENT = N_("The two new passwords are not the same.")
SPENT = N_("This link was used or has expired.")


@router.get("/login")
def login_form(page: Page = public(), back_to: Annotated[str, Query(alias="next", max_length=2000)] = "/") -> Response:
    """Ask who it is."""
    if page.found_user is not None:
        return page.redirect(local_path(back_to))
    return page.render("login.html", back_to=local_path(back_to), name="", fault="")


@router.post("/login")
def login(name: Text, password: Text, back_to: Path = "/", page: Page = public()) -> Response:
    """Let a user in."""
    fault, status = WRONG, 401
    try:
        user = page.console.gateway.access.log_in(name, password, address=page.address)
    except TooManyLogins:
        user, fault, status = None, TOO_MANY, 429
    if user is None:
        return page.render("login.html", status, back_to=local_path(back_to), name=name, fault=page.say(fault))
    return page.log_in(user, local_path(back_to))


@router.post("/logout")
def logout(page: Page = requires(Role.VIEWER)) -> Response:
    """End all of this user's sessions."""
    page.console.gateway.access.log_out(page.user)
    return page.log_out()


@router.get("/enter/{token}")
def enter(token: str, page: Page = public()) -> Response:
    """Let in whom a one-time link names."""
    user = page.console.gateway.access.enter(token)
    if user is not None:
        return page.log_in(user)
    return page.render("login.html", 403, back_to="/", name="", fault=page.say(SPENT))


@router.get("/setup/{token}")
def setup_form(token: str, page: Page = public()) -> Response:
    """Ask who the first user is to be."""
    if not page.console.gateway.access.can_set_up(token):
        return page.render("login.html", 403, back_to="/", name="", fault=page.say(SPENT))
    return page.render("setup.html", token=token, name="", fault="", shortest=SHORTEST_PASSWORD)


@router.post("/setup/{token}")
def setup(token: str, name: Text, password: Text, again: Text, page: Page = public()) -> Response:
    """Make the first user, an admin."""
    access = page.console.gateway.access
    if not access.can_set_up(token):
        return page.render("login.html", 403, back_to="/", name="", fault=page.say(SPENT))
    try:
        if password != again:
            raise InputError(DIFFERENT)
        user = access.set_up(token, name, password)
    except InputError as error:
        fault = page.say(str(error))
        return page.render("setup.html", 422, token=token, name=name, fault=fault, shortest=SHORTEST_PASSWORD)
    if user is None:
        return page.render("login.html", 403, back_to="/", name="", fault=page.say(SPENT))
    return page.log_in(user)


@router.get("/password")
def password_form(page: Page = requires(Role.VIEWER)) -> Response:
    """Ask for one's own new password."""
    return page.render("password.html", fault="", shortest=SHORTEST_PASSWORD)


@router.post("/password")
def change_password(old: Text, password: Text, again: Text, page: Page = requires(Role.VIEWER)) -> Response:
    """Change it; this ends all sessions but the one that goes on here."""
    access = page.console.gateway.access
    try:
        if password != again:
            raise InputError(DIFFERENT)
        if not access.change_own_password(page.user, old, password, address=page.address):
            raise InputError(WRONG_OLD)
    except InputError as error:
        return page.render("password.html", 422, fault=page.say(str(error)), shortest=SHORTEST_PASSWORD)
    user = page.console.gateway.users.get(page.user.name)
    return page.log_out() if user is None else page.log_in(user)


@router.post("/language")
def choose_language(choice: Annotated[Language, Form()], back_to: Path = "/", page: Page = public()) -> Response:
    """Remember the reader's language."""
    answer = page.redirect(local_path(back_to))
    answer.set_cookie(languages.COOKIE, choice, max_age=365 * 86_400, httponly=True, samesite="lax")
    return answer
