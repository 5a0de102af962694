"""`hermes up`: beat and workers of all queues in one process, on Redis or on Celery's in-memory broker."""

from celery.beat import EmbeddedService

from app.documents import ALL_KINDS
from app.main import BATCHES_AT_ONCE, SCHEDULER_QUEUE, celery_app
from app.tasks.runtime import close_runtime


def run_embedded() -> int:
    """Run until SIGTERM or Ctrl-C; returns the process's exit code."""
    queues = [SCHEDULER_QUEUE, *(kind.queue for kind in ALL_KINDS)]
    celery_app.conf.update(hermes_embedded=True)
    beat = EmbeddedService(celery_app, thread=True)
    worker = celery_app.Worker(queues=queues, concurrency=BATCHES_AT_ONCE * len(queues), quiet=True)
    beat.start()
    try:
        worker.start()
    finally:
        beat.stop()
        close_runtime()
    return int(worker.exitcode or 0)
