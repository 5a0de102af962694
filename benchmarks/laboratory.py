"""One measurement of each thing that is measured: prepare, send, then prove that every document arrived once."""

import sqlite3
import time
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.database import KIND, with_backlog, with_finished
from benchmarks.partner import Books, Partner, running_partner
from benchmarks.processes import Failed, Process, started
from tests.redis_server import RedisServer

IN_FLIGHT = 64
"""Requests in flight where nothing else is said: Hermes' own default."""

STALLED_SECONDS = 60
POLL_SECONDS = 0.25
_HELD_QUEUE = "held_back"


@dataclass(frozen=True, slots=True)
class Run:
    """What one measurement found. `memory` is the peak of the largest process in MiB, 0 where it is not known."""

    documents: int
    seconds: float
    memory: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Documents per second."""
        return self.documents / self.seconds


class Laboratory:
    """Measures on databases in `folder`, and on a Redis that it empties each time."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self._folder = folder
        self._redis = redis

    def bare(self, documents: int, *, in_flight: int = IN_FLIGHT, latency: float = 0.0) -> Run:
        """Nothing but HTTP. `latency` of the partner is in seconds, here and below."""
        with self._partner(latency) as partner:
            sent = self._other_way("bare", documents, partner, in_flight)
            _prove_books(partner.close(), documents)
        return Run(documents, sent["seconds"], cpu_seconds=sent["cpu_seconds"])

    def naive(self, documents: int) -> Run:
        """The task as it is usually written."""
        with self._partner() as partner:
            sent = self._other_way("naive", documents, partner, in_flight=1)
            _prove_books(partner.close(), documents)
        return Run(documents, sent["seconds"], cpu_seconds=sent["cpu_seconds"])

    def sync(self, documents: int, *, in_flight: int = IN_FLIGHT, latency: float = 0.0) -> Run:
        """`hermes sync`: its own time, from opened to closed; Python's start-up is left out."""
        file = with_backlog(self._folder, documents)
        with self._partner(latency) as partner:
            settings = self._settings(file, partner, in_flight)
            with self._started("sync", "app", "sync", "--json", "--kind", KIND.name, **settings) as process:
                report, memory = process.result()
            _prove(file, partner.close(), documents)
        return Run(documents, report["seconds"], memory)

    def workers(self, documents: int, *, count: int = 1, in_flight: int = IN_FLIGHT, latency: float = 0.0) -> Run:
        """So many Celery workers of one process each on a full queue: from the first request's start to the last
        outcome written. They find the queue when all are ready."""
        file = with_backlog(self._folder, documents)
        with self._partner(latency) as partner, ExitStack() as stack:
            settings = self._settings(file, partner, in_flight)
            self._fill_queue(documents, settings)
            crew = [stack.enter_context(self._worker(number, settings)) for number in range(count)]
            for worker in crew:
                worker.wait_until_ready()
            self._redis.client().rename(_HELD_QUEUE, KIND.queue)
            self._wait_until_drained(file, crew)
            memory = max(worker.peak_memory() for worker in crew)
            for worker in crew:
                worker.end()
            _prove(file, partner.close(), documents)
        return Run(documents, _seconds_of_sending(file), memory)

    def scan_ticks(self, finished: int, *, new: int, ticks: int) -> list[float]:
        """Milliseconds of each of `ticks` scans that find `new` documents beside so many finished deliveries."""
        file = with_finished(self._folder, finished)
        with self._started("scan", "benchmarks.ticks", str(file), str(new), str(ticks)) as process:
            milliseconds, _ = process.result()
        return [float(each) for each in milliseconds]

    def stages(self, documents: int) -> dict[str, float]:
        """Microseconds of CPU per document and stage of a delivery."""
        file = with_backlog(self._folder, documents)
        with (
            self._partner() as partner,
            self._started("stages", "benchmarks.stages", str(file), partner.url) as process,
        ):
            micros, _ = process.result()
            _prove(file, partner.close(), documents)
        return {str(stage): float(value) for stage, value in micros.items()}

    def _other_way(self, way: str, documents: int, partner: Partner, in_flight: int) -> dict[str, float]:
        file = with_backlog(self._folder, documents)
        arguments = (way, str(file), partner.url, str(documents), str(in_flight))
        with self._started(way, "benchmarks.ways", *arguments) as process:
            sent: dict[str, float] = process.result()[0]
        return sent

    def _partner(self, latency: float = 0.0) -> AbstractContextManager[Partner]:
        return running_partner(self._folder, latency=latency)

    def _started(self, name: str, *arguments: str, **settings: object) -> AbstractContextManager[Process]:
        return started(self._folder, name, *arguments, **settings)

    def _worker(self, number: int, settings: dict[str, object]) -> AbstractContextManager[Process]:
        options = ("-Q", KIND.queue, "-n", f"bench{number}@%h")
        return self._started(f"worker{number}", "celery", "-A", "app.main.celery_app", "worker", *options, **settings)

    def _settings(self, file: Path, partner: Partner, in_flight: int) -> dict[str, object]:
        """Everything may be queued, and is offered only once: no scan runs while workers send."""
        return {
            "SOURCE_DATABASE_URL": f"sqlite:///{file}",
            "API_BASE_URL": partner.url,
            "API_USERNAME": "partner",
            "API_PASSWORD": "partner",
            "REDIS_URL": self._redis.url,
            "SEND_CONCURRENCY": in_flight,
            "MAX_QUEUED": 1_000_000,
            "REOFFER_SECONDS": 86_400,
        }

    def _fill_queue(self, documents: int, settings: dict[str, object]) -> None:
        """Scan until all is offered, and put the messages where no worker looks yet."""
        self._redis.client().flushall()
        offered = 0
        while offered < documents:
            with self._started("scan", "app", "scan", "--json", "--kind", KIND.name, **settings) as process:
                report, _ = process.result()
            new = report["kinds"][KIND.name]["offered"]
            if not new:
                raise Failed(f"The scans offered {offered} of {documents} documents.")
            offered += new
        self._redis.client().rename(KIND.queue, _HELD_QUEUE)

    def _wait_until_drained(self, file: Path, crew: list[Process]) -> None:
        left, changed_at = -1, time.monotonic()
        while left:
            for worker in crew:
                if not worker.is_running:
                    raise worker.failure("ended")
            # SQL is asked only when it can be done: counting must not get in the way of those who are measured.
            before, left = left, self._redis.client().llen(KIND.queue) or _unsettled(file)
            if left != before:
                changed_at = time.monotonic()
            elif time.monotonic() - changed_at > STALLED_SECONDS:
                raise crew[0].failure(f"nothing moves any more, {left} left")
            time.sleep(POLL_SECONDS)


def _unsettled(file: Path) -> int:
    return int(_ask(file, "SELECT count(*) FROM hermes_delivery WHERE kind = ? AND state IN ('queued', 'sending')"))


def _seconds_of_sending(file: Path) -> float:
    first = _ask(file, "SELECT min(julianday(started_at)) FROM hermes_attempt WHERE kind = ?")
    last = _ask(file, "SELECT max(julianday(finished_at)) FROM hermes_delivery WHERE kind = ?")
    return float(last - first) * 86_400


def _prove(file: Path, books: Books, documents: int) -> None:
    """Partner, ledger, source and log agree: every document was accepted, by one request. Raises Failed."""
    _prove_books(books, documents)
    counts = {
        "deliveries": "SELECT count(*) FROM hermes_delivery WHERE kind = ?",
        "accepted deliveries": "SELECT count(*) FROM hermes_delivery WHERE kind = ? AND state = 'accepted'",
        "attempts": "SELECT count(*) FROM hermes_attempt WHERE kind = ? AND outcome = 'accepted'",
        "accepted in the source": "SELECT count(*) FROM HoaDonHeader WHERE ? = 'hoa_don' AND status_phieu = 1",
    }
    found = {what: _ask(file, query) for what, query in counts.items()}
    if set(found.values()) != {documents}:
        raise Failed(f"{documents} documents were to be sent, but the database has {found}.")


def _prove_books(books: Books, documents: int) -> None:
    if books != Books(documents, documents):
        raise Failed(f"{documents} documents were to be sent, but the partner got {books}.")


def _ask(file: Path, query: str) -> Any:
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        (value,) = connection.execute(query, [KIND.name]).fetchone()
    return value
