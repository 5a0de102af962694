"""What a worker process has: one Gateway, one event loop in a thread of its own, one HTTP session.

Opened on the first task, closed when the process ends. The threads of Celery's pool run their batches on the one
loop: while the last answers to one come in, the next is claimed and loaded, and the partner is kept busy.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from celery import Task, signals

from app.core.config import get_settings
from app.core.logging import configure_logging
from app.core.progress import Progress
from app.documents import ALL_KINDS
from app.domain.errors import ConfigError, HermesError
from app.main import celery_app
from app.tasks import forgiving_qos, quiet_workers, strange_messages
from app.tasks.presence import Presence
from app.wiring import Gateway, process_gateway

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Runtime:
    """The event loop and the Gateway of this process."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="event-loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop_taking(self) -> None:
        """Let what is in flight finish; what was claimed and not sent goes back."""
        self.gateway.stopping.set()

    def close(self) -> None:
        """Close connections and end the loop."""
        self.run(self.gateway.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self._loop.close()


_runtime: Runtime | None = None
_presence: Presence | None = None
_opening = threading.Lock()


def runtime() -> Runtime:
    """This process's runtime, opened on first use. Raises HermesError; the next task tries again."""
    global _runtime
    with _opening:
        if _runtime is None:
            gateway = process_gateway()
            gateway.open()
            _runtime = Runtime(gateway)
        return _runtime


class HermesTask(Task):  # type: ignore[misc]
    """A task whose expected troubles (database away, broker away) are one log line, not a traceback: the next
    tick tries again, and SQL knows what is due. A message of another version that it does not take is passed over."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task's function; what was achieved is noted for the health check."""
        if not strange_messages.understood(self, args, kwargs):
            return None
        progress = Progress(get_settings().progress_folder)
        progress.take()
        try:
            result = self.run(*args, **kwargs)
        except HermesError as error:
            log.error("task_failed", task=self.name, error_type=type(error).__name__, error=str(error))
            return None
        progress.finish()
        return result


def close_runtime() -> None:
    """Close this process's runtime, if it was opened."""
    global _runtime
    with _opening:
        opened, _runtime = _runtime, None
    if opened is not None:
        opened.close()


@signals.setup_logging.connect
def _use_our_logging(**_: Any) -> None:
    configure_logging(get_settings())


@signals.celeryd_init.connect
def _survive_a_silent_redis_and_strange_messages(**_: Any) -> None:
    forgiving_qos.install()
    quiet_workers.install()
    strange_messages.install()


@signals.celeryd_after_setup.connect
def _check_worker(**_: Any) -> None:
    _announce("worker")
    consumed = set(celery_app.amqp.queues.consume_from)
    if consumed & {kind.queue for kind in ALL_KINDS}:
        _or_exit(process_gateway().require_partner)
    _note_start([] if _embedded() else sorted(consumed))


@signals.beat_init.connect
def _scan_at_once(sender: Any, **_: Any) -> None:
    """Beat would wait a whole interval before its first tick."""
    _announce("beat")
    if not _embedded():
        _note_start([])
        signals.after_task_publish.connect(_note_tick)
    for entry in sender.scheduler.schedule.values():
        entry.last_run_at = datetime(2000, 1, 1, tzinfo=UTC)


@signals.worker_ready.connect
def _show_presence(sender: Any, **_: Any) -> None:
    """With a Gateway of its own: a pool may fork after this."""
    global _presence
    consumed = set(celery_app.amqp.queues.consume_from)
    kinds = [kind for kind in ALL_KINDS if kind.queue in consumed]
    if kinds:
        _presence = Presence(process_gateway(), kinds, sender.hostname)
        _presence.begin()


@signals.worker_shutting_down.connect
def _stop_on_shutdown(**_: Any) -> None:
    if _runtime is not None:
        _runtime.stop_taking()


@signals.worker_shutdown.connect
def _close_on_shutdown(**_: Any) -> None:
    if _presence is not None:
        _presence.end()
    close_runtime()


def _announce(role: str) -> None:
    if _embedded():
        return
    settings = get_settings()
    if settings.broker_url is None:
        sys.exit(f"{role}: REDIS_HOST (or REDIS_URL) is not set. Separate processes need Redis; or run: hermes up")
    log.info("starting", role=role, **settings.summary())


def _note_start(queues: list[str]) -> None:
    try:
        Progress(get_settings().progress_folder).start(queues)
    except OSError as error:
        sys.exit(f"PROGRESS_FOLDER cannot be written to: {error}")


def _note_tick(**_: Any) -> None:
    """The scheduler's progress is a tick that reached the broker."""
    Progress(get_settings().progress_folder).finish()


def _embedded() -> bool:
    return bool(celery_app.conf.get("hermes_embedded"))


def _or_exit(check: Callable[[], None]) -> None:
    try:
        check()
    except ConfigError as error:  # process boundary: an operator reads a sentence, not a traceback
        sys.exit(str(error))
