"""What /metrics says, in Prometheus' text format.

Workers are other processes, so nothing is counted here: figures are read from the ledger, and tries from the log,
over the last five minutes. Labels are kinds, states and outcomes, never codes, facilities or persons (P9).
"""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app import __version__
from app.domain.circuit import PARTNER
from app.domain.measures import LATENCY_BOUNDS_MS, AttemptMeasure
from app.domain.states import State
from app.services.health import Status
from app.services.measures import RecentAttempts


class _Figures(Collector):
    """One answer's figures."""

    def __init__(self, status: Status, attempts: RecentAttempts, now: datetime) -> None:
        self._status = status
        self._attempts = attempts
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Every metric; docs/reference/metrics.md explains each."""
        yield InfoMetricFamily("hermes_build", "The program's version", {"version": __version__})
        yield from self._deliveries()
        yield from self._circuits()
        yield GaugeMetricFamily("hermes_unshipped_log_rows", "Log rows in SQL", value=self._status.unshipped_log_rows)
        yield from self._tries()

    def _deliveries(self) -> Iterator[Metric]:
        deliveries = GaugeMetricFamily("hermes_deliveries", "Deliveries in the ledger", labels=["kind", "state"])
        to_send = GaugeMetricFamily("hermes_documents_to_send", "Not yet in the ledger", labels=["kind"])
        due = GaugeMetricFamily("hermes_oldest_due_age_seconds", "How long the oldest is due", labels=["kind"])
        scan = GaugeMetricFamily("hermes_scan_age_seconds", "Time since the last scan", labels=["kind"])
        workers = GaugeMetricFamily("hermes_workers", "Workers seen within two minutes", labels=["kind"])
        for each in self._status.kinds:
            workers.add_metric([each.kind], each.workers)
            for state in State:
                deliveries.add_metric([each.kind, state], each.states.get(state, 0))
            to_send.add_metric([each.kind], each.to_send)
            due.add_metric([each.kind], self._age(each.oldest_due_at) or 0.0)
            if (age := self._age(each.last_scan_at)) is not None:
                scan.add_metric([each.kind], age)
        yield from (deliveries, to_send, due, scan, workers)

    def _circuits(self) -> Iterator[Metric]:
        paused = {each.facility for each in self._status.circuits if each.is_open(self._now)}
        partner = GaugeMetricFamily("hermes_partner_paused", "1: nothing is sent to anybody")
        partner.add_metric([], int(PARTNER in paused))
        yield partner
        facilities = GaugeMetricFamily("hermes_facilities_paused", "Facilities for which nothing is sent")
        facilities.add_metric([], len(paused - {PARTNER}))
        yield facilities

    def _tries(self) -> Iterator[Metric]:
        complete = GaugeMetricFamily("hermes_recent_attempts_complete", "0: MongoDB could not be asked")
        complete.add_metric([], int(self._attempts.complete))
        yield complete
        tries = GaugeMetricFamily(
            "hermes_recent_attempts", "Tries begun within five minutes", labels=["kind", "outcome"]
        )
        latency = GaugeHistogramMetricFamily(
            "hermes_recent_partner_seconds", "Answered requests begun within five minutes", labels=["kind"]
        )
        for each in self._attempts.by_outcome:
            tries.add_metric([each.kind, each.outcome], each.attempts)
        for kind, measure in _by_kind(self._attempts).items():
            buckets = [
                (str(bound / 1000), float(count))
                for bound, count in zip(LATENCY_BOUNDS_MS, measure.within, strict=True)
            ]
            latency.add_metric([kind], [*buckets, ("+Inf", float(measure.answered))], measure.duration_ms / 1000)
        yield from (tries, latency)

    def _age(self, moment: datetime | None) -> float | None:
        return None if moment is None else max(0.0, (self._now - moment).total_seconds())


def exposition(status: Status, attempts: RecentAttempts, now: datetime) -> bytes:
    """The whole answer."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(status, attempts, now))
    return generate_latest(registry)


def _by_kind(attempts: RecentAttempts) -> dict[str, AttemptMeasure]:
    found: dict[str, AttemptMeasure] = {}
    for each in attempts.by_outcome:
        found[each.kind] = found[each.kind].plus(each) if each.kind in found else each
    return found
