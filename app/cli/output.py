"""How the command speaks: results as one JSON object on standard output, everything for people on standard error."""

import json
import sys
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from app.core import texts
from app.core.clock import local
from app.core.config import get_settings
from app.core.logging import configure_logging
from app.documents import KINDS, DocumentKind
from app.domain.circuit import FOR_EVER, Circuit
from app.domain.errors import InputError
from app.domain.redact import printable
from app.wiring import Gateway, process_gateway

console = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]


def open_gateway(*, quiet: bool = False) -> Gateway:
    """The process's Gateway, with logging set up. `quiet`: warnings and errors only."""
    settings = get_settings()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}) if quiet else settings)
    return process_gateway()


def print_json(value: dict[str, Any]) -> None:
    """The one JSON object of a command."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_plain) + "\n")


def text(key: str, /, **values: object) -> str:
    """A sentence in the operator's language."""
    return texts.say(get_settings().hermes_lang, key, **values)


def safe(value: object) -> Text:
    """Text from outside, shown as it is: no markup, no control characters."""
    return Text(printable(str(value)))


def label(kind: DocumentKind) -> str:
    """The kind's name in the operator's language."""
    return kind.labels[get_settings().hermes_lang]


def say(sentence: str | Text, *, style: str = "") -> None:
    """One sentence for a person, broken only where the terminal breaks it."""
    console.print(safe(sentence) if isinstance(sentence, str) else sentence, style=style, soft_wrap=True)


def circuit_line(circuit: Circuit) -> str:
    """What is paused, until when and why."""
    whom = text("the_facility", facility=circuit.facility) if circuit.facility else text("the_partner")
    held = circuit.open_until >= FOR_EVER
    until = text("until_resumed") if held else f"{local(circuit.open_until):%H:%M:%S %d/%m/%Y}"
    return text("circuit", whom=whom, until=until, reason=circuit.reason)


def fields(value: Any) -> dict[str, Any]:
    """A frozen value as a JSON object."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def kind_named(name: str) -> DocumentKind:
    """The kind of that name. Raises InputError."""
    kind = KINDS.get(name)
    if kind is None:
        raise InputError(f"{printable(name)!r} is not a kind of document. Kinds: {', '.join(KINDS)}.")
    return kind


def fail(message: str, *, code: int) -> NoReturn:
    """Say what is wrong and end."""
    for line in message.splitlines():
        say(line, style="red")
    sys.exit(code)


def age(value: datetime) -> str:
    """How long ago, in its largest unit."""
    seconds = max(0, int((datetime.now(UTC) - value).total_seconds()))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} is no JSON value")
