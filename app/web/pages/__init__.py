"""The areas of the console, in the order of the navigation."""

from app.web.pages import (
    audit,
    deliveries,
    document,
    health,
    login,
    overview,
    reconciliation,
    refusals,
    replays,
    tokens,
    users,
)

AREAS = (
    overview.AREA,
    deliveries.AREA,
    document.AREA,
    refusals.AREA,
    replays.AREA,
    reconciliation.AREA,
    audit.AREA,
    users.AREA,
    tokens.AREA,
    login.AREA,
    health.AREA,
)
