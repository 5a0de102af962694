"""How values are shown: times of Viet Nam with their age, numbers and dates in the reader's convention, names in words.

All are Jinja filters, made once per language.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from babel.dates import format_date, format_timedelta
from babel.numbers import format_decimal
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from app.core import texts
from app.core.clock import local
from app.core.config import Language
from app.documents import KINDS
from app.domain.circuit import FOR_EVER
from app.domain.redact import printable
from app.domain.states import State
from app.domain.users import Role
from app.web.addresses import document_path
from app.web.language import N_, translations

SHORT_DATES = {Language.VI: "dd/MM", Language.EN: "d MMM"}
DATES = {Language.VI: "dd/MM/yyyy", Language.EN: "d MMM yyyy"}
TIMES = {Language.VI: "%H:%M:%S", Language.EN: "%H:%M:%S"}

_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?", re.ASCII)

OUTCOMES = {
    "accepted": N_("accepted"),
    "rejected": N_("rejected"),
    "retry": N_("to be tried again"),
    "defer": N_("put off, no try counted"),
    "unknown": N_("outcome unknown"),
}
BALANCES: dict[str, str] = {"waiting": "balance_waiting"}
ROLES = {Role.VIEWER: N_("viewer"), Role.OPERATOR: N_("operator"), Role.ADMIN: N_("admin")}
ACTIONS = {
    "retry": N_("sent again"),
    "park": N_("put aside"),
    "resolve": N_("outcome settled"),
    "pause": N_("sending paused"),
    "resume": N_("sending resumed"),
    "replay": N_("replayed"),
    "replay_pause": N_("replay paused"),
    "replay_resume": N_("replay resumed"),
    "replay_abort": N_("replay aborted"),
    "user_add": N_("user added"),
    "user_role": N_("role changed"),
    "user_disable": N_("user disabled"),
    "user_enable": N_("user enabled"),
    "user_password": N_("password changed"),
    "login_refused": N_("login refused"),
    "token_create": N_("token made"),
    "token_revoke": N_("token revoked"),
    "names": N_("names shown"),
}


def filters(language: Language) -> dict[str, Callable[..., Any]]:
    """Every filter, in one language."""
    say = translations(language).gettext

    def day(value: date | None) -> str:
        return "" if value is None else format_date(value, DATES[language], locale=language.value)

    def number(value: int | float) -> str:
        return format_decimal(value, locale=language.value)

    def clock(value: datetime) -> str:
        shown = local(value)
        return f"{shown:{TIMES[language]}} {day(shown.date())}"

    def age(value: datetime, now: datetime) -> str:
        return format_timedelta(value - now, add_direction=True, locale=language.value, threshold=1.2)

    def value(shown: Any) -> str:
        """A value of the source, of which SQLite keeps times as text, or of a request."""
        shown = _as_time(shown)
        if isinstance(shown, datetime):
            return f"{shown:%H:%M:%S} {day(shown.date())}"
        if isinstance(shown, date):
            return day(shown)
        if isinstance(shown, Decimal | float):
            return str(format_decimal(shown, locale=language.value, decimal_quantization=False))
        return "" if shown is None else str(shown)

    @pass_context
    def moment(context: Context, value: datetime | None) -> Markup:
        """When, with its age beside it."""
        if value is None:
            return Markup("–")
        if value >= FOR_EVER:
            return escape(say("somebody resumes"))
        stamp = value.astimezone(UTC).isoformat(timespec="seconds")
        return Markup('<time datetime="{}">{} <span class="age">{}</span></time>').format(
            stamp, clock(value), age(value, context["now"])
        )

    @pass_context
    def since(context: Context, value: datetime | None) -> Markup:
        """How long ago, with the time itself to be looked up."""
        if value is None:
            return Markup("–")
        stamp = value.astimezone(UTC).isoformat(timespec="seconds")
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            stamp, clock(value), age(value, context["now"])
        )

    return {
        "at_least": lambda value: number(value.count) + ("" if value.complete else "+"),
        "action_name": lambda action: say(ACTIONS[action]) if action in ACTIONS else action,
        "balance_name": lambda name: texts.say(language, BALANCES.get(name, str(name))),
        "day": day,
        "document_path": document_path,
        "kind_name": lambda name: KINDS[name].labels[language] if name in KINDS else name,
        "moment": moment,
        "number": number,
        "outcome_name": lambda outcome: say(OUTCOMES[outcome]) if outcome in OUTCOMES else outcome,
        "printable": lambda value: printable(str(value)),
        "replay_count_name": lambda name: texts.say(language, f"replay_count_{name}"),
        "replay_state_name": lambda state: texts.say(language, f"replay_{state}"),
        "role_name": lambda role: say(ROLES[role]),
        "short_day": lambda value: format_date(value, SHORT_DATES[language], locale=language.value),
        "since": since,
        "value": value,
        "state_name": lambda state: texts.say(language, f"state_{State(state)}"),
    }


def _as_time(value: Any) -> Any:
    """The day or moment that a text is; anything else as it is, malformed ones too."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return value
    with suppress(ValueError):
        return datetime.fromisoformat(value) if len(value) > len("2026-03-14") else date.fromisoformat(value)
    return value
