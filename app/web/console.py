"""What all requests share: the gateway, the templates in each language, the sessions, what was read lately."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app import __version__
from app.core.config import Language
from app.core.progress import Pulse
from app.documents import ALL_KINDS
from app.domain.decide import UnknownPolicy
from app.domain.numbers import HourTally
from app.domain.refusals import Refusals
from app.services.attention import Concern, concerns
from app.services.health import Status
from app.services.measures import RecentAttempts
from app.web import language as languages
from app.web.area import Area
from app.web.formats import filters
from app.web.plots import WEEK
from app.web.recent import Recent
from app.web.sessions import Sessions
from app.wiring import Gateway

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
STATUS_SECONDS = 2.0
ATTEMPTS_SECONDS = 10.0
TALLIES_SECONDS = 10.0
REFUSALS_SECONDS = 10.0


class Console:
    """One console on one gateway."""

    def __init__(self, gateway: Gateway, areas: Sequence[Area], pulse: Pulse | None) -> None:
        self.gateway = gateway
        self.pulse = pulse
        hours = timedelta(hours=gateway.settings.console_session_hours)
        self.sessions = Sessions(lambda: gateway.session_key, gateway.clock, hours)
        self.status: Recent[Status] = Recent(lambda: gateway.health.status(ALL_KINDS), STATUS_SECONDS)
        self.attempts: Recent[RecentAttempts] = Recent(lambda: gateway.measures.recent(), ATTEMPTS_SECONDS)
        self.tallies: Recent[list[HourTally]] = Recent(lambda: gateway.numbers.hours(WEEK), TALLIES_SECONDS)
        self.refusals: Recent[Refusals] = Recent(lambda: gateway.refusals.groups(), REFUSALS_SECONDS)
        self._environments = {language: _environment(language, areas) for language in Language}

    def render(self, language: Language, template: str, **values: Any) -> str:
        """A template in a language."""
        return self._environments[language].get_template(template).render(**values)

    def concerns(self, status: Status, now: datetime) -> list[Concern]:
        """What needs a person, most urgent first."""
        settings = self.gateway.settings
        holds = settings.unknown_outcome_policy is UnknownPolicy.HOLD
        return concerns(status, now, scan_interval_seconds=settings.scan_interval_seconds, holds_unknown=holds)

    def language(self, request: Request) -> Language:
        """The language of whoever asks."""
        return languages.chosen(request.cookies.get(languages.COOKIE), self.gateway.settings.hermes_lang)

    def is_secure(self, request: Request) -> bool:
        """Whether the reader's browser speaks HTTPS, to us or to the proxy before us."""
        return request.url.scheme == "https" or self.gateway.settings.console_url.startswith("https:")


def _environment(language: Language, areas: Sequence[Area]) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_translations(  # type: ignore[attr-defined]
        languages.translations(language), newstyle=True
    )
    environment.filters.update(filters(language))
    environment.globals |= {"areas": areas, "asset": _asset_addresses().__getitem__, "language": language}
    environment.globals |= {"languages": list(Language), "version": __version__}
    return environment


def _asset_addresses() -> dict[str, str]:
    """Each asset's address changes with its content, so that browsers may keep it for ever."""
    files = [file for file in STATIC.iterdir() if file.suffix in {".css", ".js", ".svg"}]
    return {file.name: f"/static/{file.name}?v={hashlib.sha256(file.read_bytes()).hexdigest()[:12]}" for file in files}
