"""What all kinds' workers share: the task that delivers one batch."""

from collections.abc import Sequence
from typing import Any

from app.documents import DocumentKind
from app.main import celery_app, process_task
from app.tasks.runtime import HermesTask, runtime


def delivery_task(kind: DocumentKind) -> Any:
    """Register the task that delivers batches of `kind`; its message is `{"codes": [...]}`."""

    def process(codes: Sequence[str]) -> None:
        worker = runtime()
        worker.run(worker.gateway.deliver.run(kind, codes))

    return celery_app.task(process, name=process_task(kind), base=HermesTask)
