"""How long a scan takes: `python -m benchmarks.ticks FILE NEW TICKS` prints the milliseconds of each tick as JSON.

One long-lived process, as the scheduler's worker is. Nothing listens to the queue, so that no broker's constant share
hides what grows. NEW documents are written to the source before each tick.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from app.core.config import load_settings
from app.core.logging import configure_logging
from app.documents import DocumentKind
from app.wiring import Gateway
from benchmarks.database import KIND, insert_new


class _Nowhere:
    """A queue that is always empty."""

    def offer(self, kind: DocumentKind, codes: Sequence[str]) -> None:
        """Forget them."""

    def waiting_messages(self, kind: DocumentKind) -> int:
        """None."""
        return 0


def ticks(file: Path, new: int, count: int) -> list[float]:
    """Milliseconds of each of `count` ticks. Raises RuntimeError when a tick does not find the new documents."""
    settings = load_settings(source_database_url=f"sqlite:///{file}")
    configure_logging(settings)
    gateway = Gateway(settings)
    gateway.open()
    taken = []
    for number in range(count):
        insert_new(file, f"NEW-{number}", new)
        started = time.perf_counter()
        report = gateway.scan.run(KIND, _Nowhere())
        taken.append((time.perf_counter() - started) * 1000)
        if report.offered != new:
            raise RuntimeError(f"{new} documents are new, {report.offered} were offered")
    gateway.engine.dispose()
    return taken


if __name__ == "__main__":
    sys.stdout.write(json.dumps(ticks(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
