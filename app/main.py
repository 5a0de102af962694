"""`celery_app`: queues, routes and the beat schedule. No logic.

    celery -A app.main.celery_app beat
    celery -A app.main.celery_app worker -Q hoa_don_queue

Importing it reads no settings; Celery does when it starts. Messages are hints (kind and codes): acknowledged
early, one at a time, without results. SQL alone owns retries.
"""

from typing import Any

from celery import Celery
from kombu.entity import Exchange, Queue

from app.core.broker import transport_options
from app.core.config import Settings, get_settings
from app.documents import ALL_KINDS, DocumentKind
from app.domain.errors import ConfigError

SCHEDULER_QUEUE = "scheduler_queue"
SHIP_TASK = "tasks.ship_logs"
SHIP_INTERVAL_SECONDS = 10
EMBEDDED_BROKER = "memory://"
BATCHES_AT_ONCE = 2


def scan_task(kind: DocumentKind) -> str:
    """The name of the task that scans a kind."""
    return f"tasks.scan_{kind.name}"


def process_task(kind: DocumentKind) -> str:
    """The name of the task that delivers a batch of a kind."""
    return f"tasks.process_{kind.name}"


def routes() -> dict[str, dict[str, str]]:
    """Which queue each task's messages go to."""
    scheduled = [SHIP_TASK, *(scan_task(kind) for kind in ALL_KINDS)]
    return {name: {"queue": SCHEDULER_QUEUE} for name in scheduled} | {
        process_task(kind): {"queue": kind.queue} for kind in ALL_KINDS
    }


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's configuration for these settings."""
    return {
        "broker_url": settings.broker_url or EMBEDDED_BROKER,
        "broker_connection_retry_on_startup": True,
        # Celery would give up after a hundred tries: within the hour.
        "broker_connection_max_retries": None,
        "broker_transport_options": transport_options(settings) if settings.broker_url else {},
        "task_publish_retry": False,
        "task_queues": [_queue(SCHEDULER_QUEUE), *(_queue(kind.queue) for kind in ALL_KINDS)],
        "task_create_missing_queues": False,
        "task_default_queue": SCHEDULER_QUEUE,
        "task_routes": routes(),
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "result_expires": None,
        "task_acks_late": False,
        "worker_prefetch_multiplier": 1,
        # Threads: the batches of a process share one event loop and its SEND_CONCURRENCY requests in flight. Two, so
        # that the next batch is claimed and loaded while the last answers to one are awaited. More processes: more
        # workers.
        "worker_pool": "threads",
        "worker_concurrency": BATCHES_AT_ONCE,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "timezone": "Asia/Ho_Chi_Minh",
        "enable_utc": True,
        # Ticks repeat by themselves, so what ticked when need not survive a restart.
        "beat_scheduler": "celery.beat:Scheduler",
        "beat_schedule": _beat_schedule(settings),
    }


def _queue(name: str) -> Queue:
    """A queue that gets the messages sent to its name and no others."""
    return Queue(name, Exchange(name), routing_key=name)


def _beat_schedule(settings: Settings) -> dict[str, Any]:
    """A tick that nobody took up by the time of the next one expires."""
    ticks = {scan_task(kind): settings.scan_interval_seconds for kind in ALL_KINDS}
    ticks[SHIP_TASK] = SHIP_INTERVAL_SECONDS
    return {
        name: {"task": name, "schedule": float(seconds), "options": {"expires": float(seconds)}}
        for name, seconds in ticks.items()
    }


def _configuration_or_exit() -> dict[str, Any]:
    try:
        return configuration(get_settings())
    except ConfigError as error:  # process boundary: an operator reads a sentence, not a traceback
        raise SystemExit(str(error)) from None


celery_app = Celery(
    "hermes",
    include=[
        "app.tasks.runtime",
        "app.tasks.polling_service",
        "app.tasks.phieu_nhap_worker",
        "app.tasks.phieu_xuat_worker",
        "app.tasks.hoa_don_worker",
        "app.tasks.maintenance",
    ],
)
celery_app.add_defaults(_configuration_or_exit)
