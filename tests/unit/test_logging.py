"""Where log lines go, and what happens when they cannot."""

import subprocess
import sys
from pathlib import Path

import pytest

LOGS = """
import sys, structlog
from app.core.config import load_settings
from app.core.logging import configure_logging, written_together
configure_logging(load_settings())
log = structlog.get_logger("test")
log.info("one")
with written_together():
    log.info("two")
print("went on")
"""


@pytest.mark.parametrize("stderr", ["/dev/full", "closed pipe"])
def test_a_log_that_cannot_be_written_stops_nothing(stderr: str, tmp_path: Path) -> None:
    """P1: a full disk or a journal that went away must not keep outcomes from being written."""
    command = [sys.executable, "-c", LOGS] if stderr != "closed pipe" else _to_a_closed_pipe()
    with Path(stderr if stderr != "closed pipe" else "/dev/null").open("w") as sink:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=sink, text=True, timeout=60, cwd=Path(__file__).parents[2]
        )
    assert done.stdout == "went on\n"


def _to_a_closed_pipe() -> list[str]:
    closing = "import os; r, w = os.pipe(); os.close(r); os.dup2(w, 2)"
    return [sys.executable, "-c", f"{closing}\n{LOGS}"]
