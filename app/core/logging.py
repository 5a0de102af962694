"""Log lines: one wide line per event, for people or as JSON, without secrets and persons' names (P9)."""

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core.clock import local
from app.core.config import LogFormat, Settings
from app.domain.redact import mask_secrets, printable


def configure_logging(settings: Settings) -> None:
    """Send all log lines of this process, ours and the libraries', to standard error in one form."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        _local_time,
        _without_nothing,
        structlog.processors.format_exc_info,
        _without_secrets(settings.secrets),
    ]
    renderer: Processor = _as_text
    if settings.log_format is LogFormat.JSON:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    elif sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer(pad_event_to=0)
    # Ours do not go through the standard library's: a line per attempt is a line that must cost little.
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=lambda *names: _Lines(*names),
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    # Celery's lines about a message taken and done carry its codes, and say nothing that ours do not.
    celerys = ("celery.beat", "celery.worker.request", "celery.worker.strategy", "celery.app.trace")
    for noisy in ("alembic", "kombu", "uvicorn.error", *celerys):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@contextmanager
def written_together() -> Iterator[None]:
    """Write the lines logged within at once, at the end."""
    lines: list[str] = []
    token = _held_back.set(lines)
    try:
        yield
    finally:
        _held_back.reset(token)
        if lines:
            _write(lines)


_held_back: ContextVar[list[str] | None] = ContextVar("lines held back", default=None)


class _Lines:
    """Where a module's rendered lines go."""

    def __init__(self, name: str = "hermes") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        held_back = _held_back.get()
        if held_back is None:
            _write([line])
        else:
            held_back.append(line)

    debug = info = warning = error = critical = exception = msg


def _write(lines: Iterable[str]) -> None:
    with suppress(OSError, ValueError):  # a full disk or a closed pipe must not stop deliveries
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def _local_time(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = local(datetime.now(UTC)).isoformat(timespec="milliseconds")
    return event


def _as_text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """As structlog's console shows it, without its colours and at a tenth of its cost."""
    head = f"{event.pop('timestamp', '')} [{event.pop('level', '')}] {event.pop('event', '')}"
    exception = event.pop("exception", None)
    rest = "".join(f" {name}={_quoted(value)}" for name, value in event.items())
    return f"{head}{rest}" if exception is None else f"{head}{rest}\n{exception}"


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and not text.isspace() and " " not in text else repr(text)


def _without_nothing(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: value for name, value in event.items() if value is not None}


def _without_secrets(secrets: Iterable[str]) -> Processor:
    known = tuple(secrets)

    def mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        for name, value in event.items():
            if isinstance(value, str):
                masked = mask_secrets(value, known)
                event[name] = masked if name == "exception" else printable(masked)
        return event

    return mask
