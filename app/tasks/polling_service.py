"""The scans: one task per kind on the scheduler's queue, ticked by beat."""

from collections.abc import Callable

from app.documents import ALL_KINDS, DocumentKind
from app.main import celery_app, scan_task
from app.tasks.celery_queue import CeleryQueue
from app.tasks.runtime import HermesTask, runtime


def _scan(kind: DocumentKind) -> Callable[[], None]:
    def scan() -> None:
        runtime().gateway.scan.run(kind, CeleryQueue(celery_app))

    return scan


for _kind in ALL_KINDS:
    celery_app.task(_scan(_kind), name=scan_task(_kind), base=HermesTask)
