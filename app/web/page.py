"""What every page has: who asks, in which language, the time, the form token; and who may use a route at all.

A route takes `page: Page = requires(Role.OPERATOR)` or `page: Page = public()`. Changes (every method but GET and
HEAD) are refused without the session's form token, whoever may use the route.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote, urlsplit

from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from app.core.config import Language
from app.domain.users import Role, User
from app.web import language as languages
from app.web.addresses import asked_path
from app.web.console import Console
from app.web.sessions import Session

SAFE_METHODS = frozenset({"GET", "HEAD"})
FORM_FIELD = "form_token"
FORM_HEADER = "X-Form-Token"


class LoginNeeded(Exception):
    """Nobody is logged in, or no longer."""


@dataclass(frozen=True, slots=True)
class Page:
    """One request as a page sees it."""

    request: Request
    console: Console
    language: Language
    session: Session
    now: datetime
    new_visit: str | None
    found_user: User | None

    @property
    def user(self) -> User:
        """Who asks, on pages that are not public."""
        assert self.found_user is not None  # noqa: S101  requires() has seen to it
        return self.found_user

    @property
    def address(self) -> str:
        """Where the request comes from."""
        return self.request.client.host if self.request.client else "?"

    def say(self, sentence: str, **values: object) -> str:
        """A sentence in the reader's language."""
        found = languages.translations(self.language).gettext(sentence)
        return found % values if values else found

    def render(self, template: str, status_code: int = 200, /, **values: Any) -> Response:
        """A template as an answer."""
        token = self.console.sessions.form_token(self.session)
        html = self.console.render(
            self.language,
            template,
            now=self.now,
            user=self.found_user,
            path=self.request.scope["path"],
            here=local_path(asked_path(self.request)),
            form_token=token,
            csrf_field=lambda: Markup('<input type="hidden" name="{}" value="{}">').format(FORM_FIELD, token),
            **values,
        )
        return self._with_visit(HTMLResponse(html, status_code))

    def redirect(self, path: str) -> Response:
        """Go on there, by GET."""
        return self._with_visit(RedirectResponse(path, 303))

    def log_in(self, user: User, path: str = "/") -> Response:
        """Begin a session, and go on there."""
        answer = RedirectResponse(path, 303)
        lasts = int(self.console.sessions.lasts.total_seconds())
        self._set_cookie(answer, "session", self.console.sessions.begin(user), lasts)
        self._set_cookie(answer, "visit", "", 0)
        return answer

    def log_out(self) -> Response:
        """End the session here, and go to the login."""
        answer = RedirectResponse("/login", 303)
        self._set_cookie(answer, "session", "", 0)
        return answer

    def _with_visit(self, answer: Response) -> Response:
        if self.new_visit is not None:
            self._set_cookie(answer, "visit", self.new_visit, None)
        return answer

    def _set_cookie(self, answer: Response, name: str, value: str, lasts: int | None) -> None:
        secure = self.console.is_secure(self.request)
        answer.set_cookie(
            _cookie_name(name, secure), value, max_age=lasts, httponly=True, secure=secure, samesite="lax", path="/"
        )


async def _form_token(request: Request) -> str:
    """The token that came with a change, in a header or in the form."""
    if request.method in SAFE_METHODS:
        return ""
    header = request.headers.get(FORM_HEADER)
    if header is not None:
        return header
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return ""
    given = (await request.form()).get(FORM_FIELD, "")
    return given if isinstance(given, str) else ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Who may use a route: at least `role`; None: everybody."""

    role: Role | None

    def __call__(self, request: Request, token: str = Depends(_form_token)) -> Page:
        """The page, for whom it is meant. Raises LoginNeeded, HTTPException."""
        page = _page(request)
        if self.role is not None and page.found_user is None:
            raise LoginNeeded
        if self.role is not None and not page.user.role.includes(self.role):
            raise HTTPException(403)
        if request.method not in SAFE_METHODS and not page.console.sessions.is_form_token(page.session, token):
            raise HTTPException(403, "form")
        return page


@dataclass(frozen=True, slots=True)
class ForMachines:
    """A route without sessions, which may only be read: it answers while the database is away, too."""

    def __call__(self, request: Request) -> Console:
        """What all requests share."""
        return cast(Console, request.app.state.console)


def machines() -> Any:
    """This route is for programs: `console: Console = machines()`. What guards it, it says itself."""
    return Depends(ForMachines())


def requires(role: Role) -> Any:
    """This route is for users with at least this role."""
    return Depends(Requirement(role))


def public() -> Any:
    """This route is for everybody, logged in or not."""
    return Depends(Requirement(None))


def local_path(text: str) -> str:
    """`text` when it is a path of this console, else the overview: no way to send a reader elsewhere."""
    parts = urlsplit(text) if text.isprintable() and "\\" not in text else None
    if parts is None or parts.scheme or parts.netloc or not text.startswith("/") or text.startswith("//"):
        return "/"
    return quote(text, safe="/?&=%+:;,.@!~*'()$-_")


def _page(request: Request) -> Page:
    console = cast(Console, request.app.state.console)
    secure = console.is_secure(request)
    session = console.sessions.read(request.cookies.get(_cookie_name("session", secure)))
    user = None
    if session is not None and session.user is not None:
        user = console.gateway.access.session(session.user, session.epoch)
    new_visit = None
    if session is None or user is None:
        session = console.sessions.read(request.cookies.get(_cookie_name("visit", secure)))
    if session is None:
        new_visit = console.sessions.visit()
        session = console.sessions.read(new_visit)
        assert session is not None  # noqa: S101  it was made just now
    return Page(
        request=request,
        console=console,
        language=console.language(request),
        session=session,
        now=console.gateway.clock.now(),
        new_visit=new_visit,
        found_user=user,
    )


def _cookie_name(name: str, secure: bool) -> str:
    """Over HTTPS no other host, and no page over HTTP, can set a cookie of this name."""
    return f"__Host-hermes_{name}" if secure else f"hermes_{name}"
