"""Pages for what went wrong: they say what to do and show nothing of the inside, nor of what was sent."""

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from app.domain.errors import InfrastructureError, InputError
from app.services.access import TooManyLogins
from app.web.addresses import asked_path
from app.web.api import PREFIX
from app.web.api.problems import problem
from app.web.console import Console
from app.web.language import N_, translations
from app.web.page import LoginNeeded, local_path

log = structlog.get_logger(__name__)

DATABASE_AWAY = 503
_FORM = "form"

TITLES = {
    400: N_("The request cannot be read"),
    403: N_("Not allowed"),
    404: N_("There is no such page"),
    405: N_("There is no such page"),
    413: N_("Too much at once"),
    422: N_("Something in the address or form is not right"),
    429: N_("Too many tries"),
    500: N_("Something went wrong in Hermes"),
    503: N_("The database does not answer"),
}
ADVICE = {
    400: N_("Go back and try again."),
    403: N_("Your role does not allow this. An admin can change it."),
    404: N_("The address may be mistyped, or what it named is gone."),
    405: N_("The address may be mistyped, or what it named is gone."),
    413: N_("Send less in one go."),
    422: N_("Go back and check what was entered: one of the values cannot be used."),
    429: N_("Wait five minutes, then try again."),
    500: N_("Nothing was changed by this page. Try again; if it stays, look for console_error in the log."),
    503: N_(
        "Nothing is lost: documents wait until it is back. Check the database server and the network, "
        "or run hermes check on the server."
    ),
}
FORM_ADVICE = N_("The form was too old or did not come from this page. Open the page anew and try again.")


def install(app: FastAPI) -> None:
    """Let the application answer errors with these pages."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, lambda request, _error: error_page(request, 422))
    app.add_exception_handler(InputError, _input)
    app.add_exception_handler(TooManyLogins, lambda request, _error: error_page(request, 429))
    app.add_exception_handler(InfrastructureError, _infrastructure)
    app.add_exception_handler(LoginNeeded, _login_needed)
    app.add_exception_handler(Exception, lambda request, _error: error_page(request, 500))


def error_page(request: Request, status: int, advice: str | None = None) -> Response:
    """The page for a status, in the reader's language; at the API's addresses, what programs read."""
    if request.scope["path"].startswith(f"{PREFIX}/"):
        return problem(status)
    console: Console = request.app.state.console
    status = status if status in TITLES else 500 if status >= 500 else 400
    html = console.render(
        console.language(request), "error.html", status=status, title=TITLES[status], advice=advice or ADVICE[status]
    )
    return HTMLResponse(html, status)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for it
    advice = FORM_ADVICE if error.detail == _FORM else None
    return error_page(request, error.status_code, advice)


def _input(request: Request, error: Exception) -> Response:
    console: Console = request.app.state.console
    return error_page(request, 422, translations(console.language(request)).gettext(str(error)))


def _infrastructure(request: Request, error: Exception) -> Response:
    log.error("console_cannot_read", error=str(error))
    return error_page(request, DATABASE_AWAY)


def _login_needed(request: Request, _error: Exception) -> Response:
    """To the login, and back to where the reader wanted to go; a page that updates itself goes there as a whole."""
    if request.headers.get("HX-Request"):
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if request.method != "GET":
        return RedirectResponse("/login", 303)
    wanted = local_path(asked_path(request))
    return RedirectResponse("/login" if wanted == "/" else f"/login?next={_quoted(wanted)}", 303)


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("&", "%26").replace("#", "%23").replace("+", "%2B")
