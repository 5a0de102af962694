"""Celery, with one death: the process that reaches a seam for the COUNT-th time kills itself with SIGKILL.

    python -m tests.chaos.dying [--marker FILE] SEAM COUNT celery -A app.main.celery_app worker …

Each process counts for itself. One death per marker: whoever creates the file first dies, and what is started again
afterwards lives.
"""

import os
import signal
import sys
from argparse import REMAINDER, ArgumentParser
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from celery.__main__ import main as celery_main

from app.core import seams
from app.core.seams import Seam
from tests.chaos.quick import shorten_pauses


def death_at(seam: Seam, count: int, marker: Path) -> Callable[[Seam], None]:
    """A hook for `app.core.seams` that lets one process die at its `count`-th arrival at `seam`."""
    lock = Lock()  # seams are passed on the event loop's thread and on those that wait for SQL
    arrivals = 0

    def reached(passed: Seam) -> None:
        nonlocal arrivals
        if passed is not seam:
            return
        with lock:
            arrivals += 1
            if arrivals == count and _is_first(marker):
                os.kill(os.getpid(), signal.SIGKILL)

    return reached


def _is_first(marker: Path) -> bool:
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def main() -> None:
    """Install the hook, then be celery."""
    parser = ArgumentParser(prog="python -m tests.chaos.dying")
    parser.add_argument("--marker", type=Path, default=Path("died"), help="created by the one that dies")
    parser.add_argument("seam", type=Seam, metavar="SEAM", help=", ".join(Seam))
    parser.add_argument("count", type=int, metavar="COUNT")
    parser.add_argument("command", nargs=REMAINDER, metavar="celery …")
    given = parser.parse_args()
    if given.command[:1] != ["celery"]:
        parser.error("after COUNT comes a celery command")
    seams.hook = death_at(given.seam, given.count, given.marker.absolute())
    shorten_pauses()
    sys.argv = given.command
    celery_main()


if __name__ == "__main__":
    main()
