"""The application: areas, errors, headers, and the refusal of routes that do not say who may use them."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from app.core.progress import Pulse
from app.domain.users import Role
from app.web import errors
from app.web.api import PREFIX, create_api
from app.web.area import Area
from app.web.console import STATIC, Console
from app.web.hardening import Hardening
from app.web.page import SAFE_METHODS, ForMachines, Requirement
from app.web.pages import AREAS
from app.wiring import Gateway

THREADS = 8
"""Requests that may wait for the database at once: more than its pool has connections would only queue there."""


def create_app(gateway: Gateway, *, pulse: Pulse | None = None, areas: Sequence[Area] = AREAS) -> ASGIApp:
    """The console on a gateway. `pulse` tells of other work in this process whose standstill makes it unwell.

    Raises RuntimeError when a route does not say who may use it.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=_few_threads)
    app.state.console = console = Console(gateway, [area for area in areas if area.label], pulse)
    for area in areas:
        app.include_router(area.router)
    for route in routes(areas):
        required_role(route)
    app.mount(PREFIX, create_api(console))
    app.mount("/static", Assets(directory=STATIC))
    errors.install(app)
    return Hardening(app, console.is_secure)


def routes(areas: Sequence[Area] = AREAS) -> Iterator[APIRoute]:
    """Every route of these areas. Raises RuntimeError for one of another kind, which nobody would guard."""
    for area in areas:
        for route in area.router.routes:
            if not isinstance(route, APIRoute):
                raise RuntimeError(f"{route} is not a route that can say who may use it")
            yield route


def required_role(route: APIRoute) -> Role | None:
    """Who may use a route at least; None: everybody. Raises RuntimeError when it does not say."""
    found = [each.call for each in route.dependant.dependencies if isinstance(each.call, Requirement | ForMachines)]
    if len(found) != 1:
        raise RuntimeError(f"{route.path} does not say who may use it: page: Page = requires(Role.…) or public()")
    if isinstance(found[0], Requirement):
        return found[0].role
    if not set(route.methods or ()) <= SAFE_METHODS:
        raise RuntimeError(f"{route.path} is for programs and must not change anything")
    return None


class Assets(StaticFiles):
    """Files whose address changes with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, to be kept by browsers."""
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer


@asynccontextmanager
async def _few_threads(_app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = THREADS
    yield
