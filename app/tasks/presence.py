"""Workers that send show that they are there: a line in the ledger, twice a minute. Only people read it."""

import threading
from collections.abc import Sequence
from contextlib import suppress

from app.documents import DocumentKind
from app.domain.errors import HermesError
from app.wiring import Gateway

INTERVAL_SECONDS = 30.0


class Presence:
    """A thread beside the worker's own, with a connection of its own: what hangs is not what tells."""

    def __init__(self, gateway: Gateway, kinds: Sequence[DocumentKind], node: str) -> None:
        self._gateway = gateway
        self._kinds = kinds
        self._node = node
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def begin(self) -> None:
        """Show it now, and from now on."""
        self._thread.start()

    def end(self) -> None:
        """Show it no more."""
        self._ended.set()

    def _run(self) -> None:
        while True:
            with suppress(HermesError):  # whoever sends meets it, too, and says so
                for kind in self._kinds:
                    self._gateway.ledger.note_worker(kind, self._node)
            if self._ended.wait(INTERVAL_SECONDS):
                self._gateway.engine.dispose()
                return
