"""The benchmarks: what is compared with what, and how large. Medians of rounds; ratios only within one run."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import median
from typing import Any, TypeVar

from benchmarks.database import LINES
from benchmarks.laboratory import IN_FLIGHT, Laboratory, Run
from benchmarks.results import Column, Plot, Result

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Say = Callable[[str], None]

MANY_IN_FLIGHT = 100
"""Requests in flight where the partner is slow."""
SLOW = 0.02
"""The latency, in seconds, at which workers are counted."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. Latencies are in seconds."""

    rounds: int
    documents: int
    naive_documents: int
    longest: float  # seconds that a measurement at a latency may take at its bound
    workers: tuple[int, ...]
    in_flight: tuple[int, ...]  # per worker, where workers are counted
    latencies: tuple[float, ...]
    backlogs: tuple[int, ...]
    finished: tuple[int, ...]
    ticks: int

    def at_most(self, in_flight: int, latency: float) -> int:
        """How many documents show a rate that is bounded by latency."""
        return min(self.documents, round(self.longest * in_flight / latency)) if latency else self.documents


FULL = Sizes(
    rounds=3,
    documents=20_000,
    naive_documents=200,
    longest=20,
    workers=(1, 2, 4),
    in_flight=(10, 20, 100),
    latencies=(0, 0.02, 0.2),
    backlogs=(10_000, 100_000),
    finished=(10_000, 1_000_000),
    ticks=30,
)

QUICK = Sizes(
    rounds=1,
    documents=1000,
    naive_documents=20,
    longest=2,
    workers=(1, 2),
    in_flight=(20,),
    latencies=(0.02,),
    backlogs=(500, 2000),
    finished=(1000, 20_000),
    ticks=5,
)

_RATE = Column("documents_per_second", "rate", "documents/s")
_RATES = Column("rates", "of rounds", "documents/s")
_MEMORY = Column("memory", "peak memory", "MiB", 1)
_WAY = Column("way", "way")
_BOUND = (Column("bound", "bound", "documents/s"), Column("of_bound", "of bound", "%", 1))
_LATENCY = Column("latency_ms", "latency", "ms")
_EACH = Column("in_flight", "in flight", "requests")


def throughput(lab: Laboratory, sizes: Sizes, say: Say) -> Result:
    """End to end, as fast as the machine can."""
    ways = {
        "bare aiohttp loop": partial(lab.bare, sizes.documents),
        "hermes sync": partial(lab.sync, sizes.documents),
        **{_crew(count): partial(lab.workers, sizes.documents, count=count) for count in sizes.workers},
        "naive design": partial(lab.naive, sizes.naive_documents),
    }
    runs = _interleaved(ways, sizes.rounds, say)
    bare, naive = (_rate(runs[way]) for way in ("bare aiohttp loop", "naive design"))
    rows = [
        {"way": way, **_figures(done), "to_bare": _rate(done) / bare, "to_naive": _rate(done) / naive}
        for way, done in runs.items()
    ]
    return Result(
        name="throughput",
        title=f"invoices of {LINES} lines, {IN_FLIGHT} requests in flight per process, a partner that answers at once",
        cases=(_WAY,),
        figures=(_RATE, _RATES, Column("to_bare", "ratio", "× bare", 3), Column("to_naive", "ratio", "× naive", 1),
                 _MEMORY),
        rows=rows,
        plot=Plot(_RATE.key, logarithmic=True),
    )  # fmt: skip


def latency(lab: Laboratory, sizes: Sizes, say: Say) -> Result:
    """A partner that takes its time."""
    ways = {"bare aiohttp loop": lab.bare, "hermes sync": lab.sync, _crew(1): lab.workers}
    cases = {
        (delay, name): partial(way, sizes.at_most(MANY_IN_FLIGHT, delay), in_flight=MANY_IN_FLIGHT, latency=delay)
        for delay, (name, way) in product(sizes.latencies, ways.items())
    }
    runs = _interleaved(cases, sizes.rounds, say)
    rows = [
        {
            "latency_ms": round(delay * 1000),
            "way": way,
            "documents": done[0].documents,
            **_figures(done),
            **_bound(_rate(done), MANY_IN_FLIGHT, delay),
            "to_bare": _rate(done) / _rate(runs[delay, "bare aiohttp loop"]),
        }
        for (delay, way), done in runs.items()
    ]
    return Result(
        name="latency",
        title=f"{MANY_IN_FLIGHT} requests in flight, by latency of the partner",
        cases=(_LATENCY, _WAY),
        figures=(_RATE, _RATES, *_BOUND, Column("to_bare", "ratio", "× bare", 3)),
        rows=rows,
        plot=Plot(_RATE.key, bound="bound"),
        note="bound: requests in flight ÷ latency",
    )


def scale(lab: Laboratory, sizes: Sizes, say: Say) -> Result:
    """More workers on one backlog, at a slow partner."""
    cases = {
        (in_flight, count): partial(
            lab.workers, sizes.at_most(in_flight * count, SLOW), count=count, in_flight=in_flight, latency=SLOW
        )
        for in_flight, count in product(sizes.in_flight, sizes.workers)
    }
    runs = _interleaved(cases, sizes.rounds, say)
    rows = [
        {
            "in_flight": in_flight,
            "way": _crew(count),
            **_figures(done),
            **_bound(_rate(done), in_flight * count, SLOW),
            "to_one": _rate(done) / _rate(runs[in_flight, sizes.workers[0]]),
        }
        for (in_flight, count), done in runs.items()
    ]
    return Result(
        name="scale",
        title=f"Celery workers on one queue, latency {SLOW * 1000:.0f} ms",
        cases=(_EACH, _WAY),
        figures=(_RATE, _RATES, *_BOUND, Column("to_one", "ratio", "× one worker", 2)),
        rows=rows,
        plot=Plot(_RATE.key, bound="bound"),
        note="in flight: per worker; the fewer, the less it is the machine that limits",
    )


def backlog(lab: Laboratory, sizes: Sizes, say: Say) -> Result:
    """Draining much beside draining little."""
    ways = {"hermes sync": lab.sync, _crew(1): lab.workers}
    cases = {(name, size): partial(way, size) for (name, way), size in product(ways.items(), sizes.backlogs)}
    runs = _interleaved(cases, sizes.rounds, say)
    rows = [
        {
            "way": way,
            "documents": size,
            "seconds": median(run.seconds for run in done),
            **_figures(done),
            "to_smallest": _ratio(_memory(done), _memory(runs[way, sizes.backlogs[0]])),
        }
        for (way, size), done in runs.items()
    ]
    return Result(
        name="backlog",
        title="draining a backlog",
        cases=(_WAY, Column("documents", "backlog", "documents")),
        figures=(Column("seconds", "time", "s", 1), _RATE, _RATES, _MEMORY,
                 Column("to_smallest", "memory", f"× at {sizes.backlogs[0]:,}", 3)),
        rows=rows,
        plot=Plot(_MEMORY.key),
    )  # fmt: skip


def scan(lab: Laboratory, sizes: Sizes, say: Say) -> Result:
    """A tick beside much that is done."""
    cases = {
        (new, finished): partial(lab.scan_ticks, finished, new=new, ticks=sizes.ticks)
        for new, finished in product((0, 100), sizes.finished)
    }
    # The first tick reads the schema and fills caches; a scheduler lives long.
    runs = _interleaved(cases, sizes.rounds, say)
    ticks = {case: [tick for run in done for tick in run[1:]] for case, done in runs.items()}
    rows = [
        {
            "new": new,
            "finished": finished,
            "milliseconds": median(taken),
            "slowest": max(taken),
            "to_smallest": median(taken) / median(ticks[new, sizes.finished[0]]),
        }
        for (new, finished), taken in ticks.items()
    ]
    return Result(
        name="scan",
        title="one scan tick beside finished deliveries",
        cases=(Column("new", "new", "documents"), Column("finished", "finished", "deliveries")),
        figures=(Column("milliseconds", "median tick", "ms", 2), Column("slowest", "slowest tick", "ms", 1),
                 Column("to_smallest", "ratio", f"× at {sizes.finished[0]:,}", 2)),
        rows=rows,
        plot=Plot("milliseconds"),
    )  # fmt: skip


def stages(lab: Laboratory, sizes: Sizes, say: Say) -> Result:
    """Where the time of a document goes."""
    cases: Mapping[str, Callable[[], dict[str, float]]] = {
        "stages": partial(lab.stages, sizes.documents),
        "bare": lambda: {"bare HTTP, for comparison": _micros(lab.bare(sizes.documents))},
    }
    runs = _interleaved(cases, sizes.rounds, say)
    found = {stage: median(run[stage] for run in runs["stages"]) for stage in runs["stages"][0]}
    total = sum(found.values())
    found |= {"all stages": total}
    found |= {stage: median(run[stage] for run in runs["bare"]) for stage in runs["bare"][0]}
    rows = [{"stage": stage, "micros": micros, "share": 100 * micros / total} for stage, micros in found.items()]
    return Result(
        name="stages",
        title="CPU time of one document in one process, stage by stage",
        cases=(Column("stage", "stage"),),
        figures=(Column("micros", "CPU time", "µs/document", 1), Column("share", "of all stages", "%", 1)),
        rows=rows,
        plot=Plot("micros"),
        note="discover and offer are the scan's, the others the worker's",
    )


SCENARIOS: Mapping[str, Callable[[Laboratory, Sizes, Say], Result]] = {
    "throughput": throughput,
    "latency": latency,
    "scale": scale,
    "backlog": backlog,
    "scan": scan,
    "stages": stages,
}


def _interleaved(cases: Mapping[K, Callable[[], T]], rounds: int, say: Say) -> dict[K, list[T]]:
    """Every case once a round, every other round backwards: what else the machine does harms all alike."""
    done: dict[K, list[T]] = {case: [] for case in cases}
    for number in range(rounds):
        for case in reversed([*cases]) if number % 2 else cases:
            say(f"round {number + 1} of {rounds}: {_words(case)}")
            done[case].append(cases[case]())
    return done


def _words(case: Hashable) -> str:
    return ", ".join(map(str, case)) if isinstance(case, tuple) else str(case)


def _crew(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _rate(done: list[Run]) -> float:
    return median(run.rate for run in done)


def _memory(done: list[Run]) -> float | None:
    """The highest of all rounds, in MiB; None where it is not known."""
    return max(run.memory for run in done) or None


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value and base else None


def _figures(done: list[Run]) -> dict[str, Any]:
    return {_RATE.key: _rate(done), _RATES.key: [run.rate for run in done], _MEMORY.key: _memory(done)}


def _bound(rate: float, in_flight: int, delay: float) -> dict[str, float]:
    """What cannot be exceeded, and how much of it was reached; nothing where the partner answers at once."""
    if not delay:
        return {}
    bound = in_flight / delay
    return {"bound": bound, "of_bound": 100 * rate / bound}


def _micros(run: Run) -> float:
    return run.cpu_seconds * 1e6 / run.documents
