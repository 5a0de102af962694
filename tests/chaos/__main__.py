"""`python -m tests.chaos`: play rounds, show the table; exit code 1 when a round did not hold."""

import shlex
import signal
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console

from app.core.config import isolate
from tests.chaos.report import show, write_json, write_markdown
from tests.chaos.rounds import SCENARIOS, Round, play

WIDTH = 150
"""Of a table that goes into a file."""


def main(arguments: Sequence[str]) -> int:
    """Play what the arguments ask for; returns the exit code."""
    given = _parsed(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    if given.list:
        for each in SCENARIOS.values():
            console.print(f"{each.name:30} {each.meaning}", markup=False)
        return 0
    # A SIGTERM must end as Ctrl-C does: no process may be left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="hermes-chaos-"))
    isolate(folder, {})
    rounds: list[Round] = []
    interrupted = False
    try:
        for played in _played(given, folder):
            rounds.append(played)
            _tell(console, played)
    except KeyboardInterrupt:
        interrupted = True
    show(console, rounds)
    seconds = time.monotonic() - started
    if given.json:
        write_json(given.json, rounds)
    if given.report:
        write_markdown(given.report, rounds, f"python -m tests.chaos {shlex.join(arguments)}".strip(), seconds)
    if interrupted:
        return 130
    return 0 if all(each.holds for each in rounds) else 1


def _played(given: Namespace, folder: Path) -> Iterator[Round]:
    seeds = range(given.seed, given.seed + given.rounds)
    wanted = [(SCENARIOS[name], seed) for seed in seeds for name in given.scenario or SCENARIOS]
    with ThreadPoolExecutor(given.jobs) as pool:
        jobs = [pool.submit(play, scenario, seed, folder, keep=given.keep) for scenario, seed in wanted]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # waits for the rounds under way: they clean up
            raise


def _tell(console: Console, played: Round) -> None:
    recovered = "" if played.recovered_seconds is None else f", recovered in {played.recovered_seconds:.1f} s"
    text = f"{played.scenario}, seed {played.seed}: {'holds' if played.holds else 'FAILS'}{recovered}"
    console.print(f"{text} ({played.seconds:.0f} s in all)", style=None if played.holds else "red", markup=False)


def _parsed(arguments: Sequence[str]) -> Namespace:
    parser = ArgumentParser(prog="python -m tests.chaos", description="Nothing lost, nothing sent twice: under faults.")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="of each scenario (20)")
    parser.add_argument("--scenario", nargs="+", choices=SCENARIOS, metavar="NAME", help="only these; see --list")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next has the next seed (1)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="rounds at the same time (1)")
    parser.add_argument("--json", type=lambda text: Path(text).absolute(), metavar="FILE")
    parser.add_argument("--report", type=lambda text: Path(text).absolute(), metavar="FILE.md")
    parser.add_argument("--keep", action="store_true", help="keep the folders of rounds that hold as well")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
