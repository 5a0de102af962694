"""What all kinds' workers share: the task that delivers one batch."""

from typing import Any, TypeGuard

from app.documents import DocumentKind
from app.main import celery_app, process_task
from app.tasks.runtime import HermesTask, runtime
from app.tasks.strange_messages import not_understood


def delivery_task(kind: DocumentKind) -> Any:
    """Register the task that delivers batches of `kind`; its message is `{"codes": [...]}`, and what a later version
    may add to that is ignored."""

    def process(codes: object, **_of_a_later_version: object) -> None:
        if not _are_codes(codes):
            not_understood(f"{process_task(kind)}: codes must be a list of texts")
            return
        worker = runtime()
        worker.run(worker.gateway.deliver.run(kind, codes))

    return celery_app.task(process, name=process_task(kind), base=HermesTask)


def _are_codes(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
