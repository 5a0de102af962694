"""The queue of codes on Celery's broker."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from celery import Celery
from kombu.exceptions import KombuError

from app.documents import DocumentKind
from app.domain.errors import BrokerUnavailable
from app.main import process_task


class CeleryQueue:
    """One message per batch: `{"codes": [...]}` for the kind's task. Raises BrokerUnavailable."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def offer(self, kind: DocumentKind, codes: Sequence[str]) -> None:
        """Publish one message."""
        with self._translated():
            self._app.send_task(process_task(kind), kwargs={"codes": list(codes)}, queue=kind.queue)

    def waiting_messages(self, kind: DocumentKind) -> int:
        """How many messages nobody has taken yet."""
        with self._translated(), self._app.connection_for_write() as connection, connection.channel() as channel:
            return int(self._app.amqp.queues[kind.queue](channel).queue_declare().message_count)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        transport = self._app.connection_for_write().transport
        try:
            yield
        except (KombuError, OSError, *transport.connection_errors, *transport.channel_errors) as error:
            raise BrokerUnavailable(f"The message broker does not answer: {error}") from error
