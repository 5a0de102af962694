"""Where the time of one document goes: every stage of a delivery by itself, in the order in which they run.

`python -m benchmarks.stages FILE URL` delivers all that is pending in a database, a batch at a time, and prints
{stage: microseconds of CPU per document}, medians of all batches.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from statistics import median
from typing import ParamSpec, TypeVar

from app.core.config import load_settings
from app.core.logging import configure_logging, written_together
from app.domain.deliveries import Exchange, Settlement
from app.domain.kinds import idempotency_key
from app.partners import Prepared
from app.services.deliver import _log_attempt
from app.wiring import Gateway
from benchmarks.database import KIND

BATCH = 128
IN_FLIGHT = 64
_MOST_DISCOVERED = 50_000

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """CPU time of each stage, batch by batch, in microseconds per document."""

    def __init__(self) -> None:
        self._taken: dict[str, list[float]] = defaultdict(list)

    @property
    def medians(self) -> dict[str, float]:
        """Of each stage, in the order in which they were first timed."""
        return {stage: median(taken) for stage, taken in self._taken.items()}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done for one batch."""
        started = time.process_time()
        yield
        self.add(name, started, BATCH)

    def add(self, name: str, started: float, documents: int) -> None:
        """Note what was done since `started`, in seconds of CPU."""
        self._taken[name].append((time.process_time() - started) * 1e6 / documents)

    def timed(self, stage: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it for one batch, as a stage."""
        with self.stage(stage):
            return call(*args, **kwargs)


async def profile(gateway: Gateway) -> dict[str, float]:
    """Deliver everything. Documents that do not fill a batch are delivered last, and not timed."""
    watch, ledger = Stopwatch(), gateway.ledger
    until = gateway.clock.now() + timedelta(hours=1)
    started = time.process_time()
    found = ledger.discover(KIND, _MOST_DISCOVERED)
    watch.add("discover", started, found)
    started = time.process_time()
    codes = [each.code for each in ledger.offer_due(KIND, found, reoffer_at=until)]
    watch.add("offer", started, found)
    whole = found - found % BATCH
    for start in range(0, whole, BATCH):
        await _deliver(gateway, watch, codes[start : start + BATCH])
    await gateway.deliver.run(KIND, codes[whole:])
    await gateway.close()
    return watch.medians


async def _deliver(gateway: Gateway, watch: Stopwatch, codes: Sequence[str]) -> None:
    """What `services.deliver` does with a batch, without doing any two things at once."""
    ledger, token = gateway.ledger, "bench"
    until = gateway.clock.now() + timedelta(hours=1)
    endpoint = gateway.client.profile.endpoints[KIND.name]
    claimed = {each.code: each for each in watch.timed("claim", ledger.claim, KIND, codes, token, expires_at=until)}
    documents = watch.timed("load", gateway.source.load, KIND, codes)
    with watch.stage("validate and encode"):
        ready = {code: _sendable(endpoint.prepare(documents[code])) for code in codes}
    watch.timed("note as sent", ledger.begin_send, KIND, codes, token, expires_at=until)
    with watch.stage("send and classify"):
        exchanges = await _send(gateway, ready)
    judge = gateway._judge
    with watch.stage("decide"):
        settlements = [
            judge.settlement(KIND, claimed[code], exchanges[code], ready[code].sha256) for code in codes
        ]  # fmt: skip
    watch.timed("settle", ledger.settle, KIND, settlements, token)
    watch.timed("write log lines", _log, settlements)


async def _send(gateway: Gateway, ready: dict[str, Prepared]) -> dict[str, Exchange]:
    waiting = iter(ready.items())
    exchanges: dict[str, Exchange] = {}

    async def sender() -> None:
        for code, prepared in waiting:
            key = idempotency_key(KIND.name, code, 1)
            exchanges[code] = await gateway.client.submit(KIND.name, prepared, key)

    await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))
    return exchanges


def _sendable(prepared: object) -> Prepared:
    if not isinstance(prepared, Prepared):
        raise ValueError(f"not fit to be sent: {prepared}")
    return prepared


def _log(settlements: Sequence[Settlement]) -> None:
    with written_together():
        for settlement in settlements:
            _log_attempt(settlement)


if __name__ == "__main__":
    settings = load_settings(
        source_database_url=f"sqlite:///{sys.argv[1]}",
        api_base_url=sys.argv[2],
        api_username="partner",
        api_password="partner",
    )
    configure_logging(settings)
    sys.stdout.write(json.dumps(asyncio.run(profile(Gateway(settings)))))
