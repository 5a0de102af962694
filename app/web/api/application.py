"""The API's application, mounted beside the pages: its own errors, its own description, no cookies."""

from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.routing import APIRoute

from app import __version__
from app.web.api import (
    audit,
    circuits,
    deliveries,
    exports,
    overview,
    problems,
    reconciliation,
    refusals,
    replays,
    users,
)
from app.web.api.description import INTRODUCTION, PREFIX, Api, least_role
from app.web.console import Console

ROUTERS: tuple[APIRouter, ...] = (
    overview.router,
    deliveries.router,
    refusals.router,
    replays.router,
    reconciliation.router,
    circuits.router,
    audit.router,
    users.router,
    exports.router,
)


def operation_id(route: APIRoute) -> str:
    """The name by which programs know an operation: its function's."""
    return route.name


def operations(routers: Sequence[APIRouter] = ROUTERS) -> list[APIRoute]:
    """Every route. Raises RuntimeError for one that does not say who may use it."""
    found = []
    for each in (route for router in routers for route in router.routes):
        if not isinstance(each, APIRoute):
            raise RuntimeError(f"{each} is not a route that can say who may use it")
        least_role(each)
        found.append(each)
    return found


def create_api(console: Console | None) -> Api:
    """The API on a console's gateway; None: only to be described.

    Raises RuntimeError when a route does not say who may use it.
    """
    api = Api(
        operations(),
        title="Hermes",
        version=__version__,
        description=INTRODUCTION,
        servers=[{"url": PREFIX}],
        root_path_in_servers=False,
        docs_url=None,  # its pages would load from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    api.state.console = console
    for router in ROUTERS:
        api.include_router(router)
    problems.install(api)
    return api
