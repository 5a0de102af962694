"""`python -m benchmarks`: measure, print tables, and write `results.json` with one SVG per benchmark."""

import argparse
import json
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from app.core.config import isolate
from benchmarks.laboratory import Laboratory
from benchmarks.processes import Failed
from benchmarks.results import Machine, Result, this_machine
from benchmarks.scenarios import FULL, QUICK, SCENARIOS
from tests.redis_server import RedisServer, find_redis_server

ROOT = Path(__file__).resolve().parents[1]
DATABASES = ROOT / "var" / "bench"
"""On the disk where Hermes' own database would be: a temporary folder may be memory."""

LEAST_WIDTH = 120

progress = Console(stderr=True, highlight=False)


def main() -> int:
    """Run what is asked for. Returns the exit code: 1 when a measurement proved nothing."""
    options = _options()
    out = options.out.resolve()
    machine, command = this_machine(), shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    console = Console(width=max(LEAST_WIDTH, progress.width), highlight=False)
    console.print(f"{command}\n{machine}\n", markup=False, soft_wrap=True)
    results = []
    try:
        with _laboratory() as laboratory:
            for name in options.only:
                result = SCENARIOS[name](laboratory, options.sizes, partial(_say, name))
                console.print(result.table())
                results.append(result)
    except Failed as error:
        progress.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    _write(results, machine, command, out)
    return 0


def _say(scenario: str, what: str) -> None:
    progress.print(f"{datetime.now(UTC):%H:%M:%S} {scenario}, {what}", style="dim", markup=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="NAME",
                        help=f"of {', '.join(SCENARIOS)}; all by default")  # fmt: skip
    parser.add_argument("--rounds", type=int, help="how often everything is measured; medians count")
    parser.add_argument("--documents", type=int, help="documents per measurement of speed")
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for JSON and plots")
    options = parser.parse_args()
    given = {name: getattr(options, name) for name in ("rounds", "documents") if getattr(options, name)}
    options.sizes = replace(QUICK if options.quick else FULL, **given)
    return options


@contextmanager
def _laboratory() -> Iterator[Laboratory]:
    """A place to measure in. Nothing of it is left behind, not even by Ctrl-C or SIGTERM."""
    redis_server = find_redis_server()
    if redis_server is None:
        raise Failed("There is no redis-server: install one, or run: make setup-dev")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    DATABASES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DATABASES) as name:
        isolate(Path(name), {})
        os.environ["PYTHONPATH"] = str(ROOT)
        redis = RedisServer(redis_server, Path(name))
        try:
            yield Laboratory(Path(name), redis)
        finally:
            redis.stop()
            os.chdir(ROOT)


def _write(results: list[Result], machine: Machine, command: str, out: Path) -> None:
    """`results.json` has what was measured in this run, and nothing of earlier ones: ratios hold within a run."""
    from benchmarks.plots import draw  # matplotlib is an extra

    out.mkdir(parents=True, exist_ok=True)
    written = {
        "command": command,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.as_json(),
        "benchmarks": {result.name: result.as_json() for result in results},
    }
    (out / "results.json").write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for result in results:
        draw(result, machine, out / f"{result.name}.svg")
    progress.print(f"{out}: results.json, {', '.join(f'{result.name}.svg' for result in results)}", soft_wrap=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
