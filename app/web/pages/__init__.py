"""The areas of the console, in the order of the navigation."""

from app.web.pages import audit, deliveries, document, health, login, overview, users

AREAS = (overview.AREA, deliveries.AREA, document.AREA, audit.AREA, users.AREA, login.AREA, health.AREA)
