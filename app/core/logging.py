"""Log lines: one wide line per event, for people or as JSON, without secrets and persons' names (P9)."""

import logging
import sys
from collections.abc import Iterable
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
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _local_time,
        _without_nothing,
        structlog.processors.format_exc_info,
        _without_secrets(settings.secrets),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.log_format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
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
    for noisy in ("alembic", "kombu", *celerys):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _local_time(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = local(datetime.now(UTC)).isoformat(timespec="milliseconds")
    return event


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
