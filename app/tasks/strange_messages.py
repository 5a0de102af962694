"""What is on a queue and is no message of this version's: one log line each, and the worker goes on.

Another version may put tasks or arguments there that this one does not know; another program, anything at all.
Celery would end the worker, or fill a screen. Nothing is lost: a message is a hint, and SQL knows what is due (P8).
"""

import inspect
import logging
from typing import Any

import structlog
from celery import Task
from celery.worker.consumer import consumer
from kombu.transport import redis

log = structlog.get_logger(__name__)

_SCREENFULS = {
    consumer.UNKNOWN_FORMAT,
    consumer.UNKNOWN_TASK_ERROR,
    consumer.INVALID_TASK_ERROR,
    consumer.MESSAGE_DECODE_ERROR,
}


def understood(task: Task, arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Whether the task takes these arguments; says so in the log when it does not."""
    try:
        inspect.signature(task.run).bind(*arguments, **named)
    except TypeError as error:
        not_understood(f"{task.name}: {error}")
        return False
    return True


def not_understood(why: str) -> None:
    """Note a message that is passed over."""
    log.error("message_not_understood", error=why)


class PatientChannel(redis.Channel):
    """Passes over what is not even an envelope of Celery's."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            not_understood(f"not a message of Celery's: {error!r}")
            return True


class _InOneLine(logging.Filter):
    """Celery's lines about such messages carry their whole content and a traceback: ours do not."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg in _SCREENFULS:
            not_understood(_reason(record))
        return record.msg not in _SCREENFULS


def _reason(record: logging.LogRecord) -> str:
    """What Celery has against a message, without its content."""
    if record.msg == consumer.UNKNOWN_FORMAT or not isinstance(record.args, tuple):
        return "not a message of Celery's"
    if record.msg == consumer.UNKNOWN_TASK_ERROR:
        return f"unknown task {record.args[0]}"
    return str(record.args[0])


def install() -> None:
    """Let this process's worker do so."""
    redis.Transport.Channel = PatientChannel
    consumer.logger.addFilter(_InOneLine())
