"""Health by progress: what counts as getting on, and what as stuck."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app import healthcheck
from app.core.config import get_settings, load_settings
from app.core.progress import Progress
from app.domain.errors import BrokerUnavailable, ConfigError
from app.healthcheck import main, stuck

SETTINGS = load_settings(redis_host="redis", claim_seconds=120)
LONG_AGO = SETTINGS.longest_task_seconds + 10


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    """The marks of a process in a folder of its own."""
    return Progress(tmp_path)


@pytest.fixture
def reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int | Exception], str | None]:
    """Why the process is stuck, with so many messages on its queues."""

    def ask(messages: int | Exception = 0) -> str | None:
        def waiting(*_: object) -> int:
            if isinstance(messages, Exception):
                raise messages
            return messages

        monkeypatch.setattr(healthcheck, "waiting", waiting)
        return stuck(SETTINGS.model_copy(update={"progress_folder": tmp_path}))

    return ask


def happened(folder: Path, mark: str, seconds_ago: float) -> None:
    """Let a mark be as old as that."""
    moment = time.time() - seconds_ago
    (folder / mark).touch()
    os.utime(folder / mark, (moment, moment))


def test_a_process_that_has_not_started_is_not_well(reason: Callable[..., str | None]) -> None:
    assert reason() == "not started yet"


def test_a_process_has_the_time_of_the_longest_task_to_finish_its_first(
    progress: Progress, reason: Callable[..., str | None]
) -> None:
    progress.start(["hoa_don_queue"])
    progress.take()
    assert reason(5) is None


def test_an_idle_worker_is_well_while_its_queue_is_empty_and_stuck_while_it_is_not(
    progress: Progress, reason: Callable[..., str | None], tmp_path: Path
) -> None:
    progress.start(["hoa_don_queue"])
    happened(tmp_path, "done", LONG_AGO)
    assert reason(0) is None
    assert "though 2 messages wait" in (reason(2) or "")


def test_a_worker_that_takes_work_and_finishes_none_is_stuck_whatever_its_queue_holds(
    progress: Progress, reason: Callable[..., str | None], tmp_path: Path
) -> None:
    progress.start(["hoa_don_queue"])
    happened(tmp_path, "done", LONG_AGO)
    progress.take()
    assert "though work was taken" in (reason(0) or "")
    progress.finish()
    assert reason(0) is None


def test_an_idle_worker_whose_broker_does_not_answer_is_not_well(
    progress: Progress, reason: Callable[..., str | None], tmp_path: Path
) -> None:
    progress.start(["hoa_don_queue"])
    happened(tmp_path, "done", LONG_AGO)
    assert "no route" in (reason(BrokerUnavailable("no route")) or "")


def test_a_scheduler_whose_ticks_do_not_reach_the_broker_is_stuck(
    progress: Progress, reason: Callable[..., str | None], tmp_path: Path
) -> None:
    progress.start()
    assert reason() is None
    happened(tmp_path, "done", LONG_AGO)
    assert "nothing was finished" in (reason() or "")


def test_a_restart_in_the_same_folder_begins_anew(
    progress: Progress, reason: Callable[..., str | None], tmp_path: Path
) -> None:
    progress.start(["hoa_don_queue"])
    happened(tmp_path, "done", LONG_AGO)
    progress.take()
    progress.start(["hoa_don_queue"])
    assert not progress.unfinished
    assert reason(5) is None


def test_without_a_folder_nothing_is_kept_and_the_check_says_what_to_set(tmp_path: Path) -> None:
    nowhere = Progress(None)
    nowhere.start(["hoa_don_queue"])
    nowhere.take()
    nowhere.finish()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="PROGRESS_FOLDER"):
        stuck(SETTINGS)


def test_a_folder_that_vanished_stops_no_delivery(progress: Progress, tmp_path: Path) -> None:
    gone = Progress(tmp_path / "gone")
    gone.take()
    gone.finish()
    assert gone.idle_seconds is None


def test_the_exit_code_tells_well_from_stuck_from_misconfigured(
    progress: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = []
    for value in ("", str(tmp_path / "empty"), str(tmp_path)):
        monkeypatch.setenv("PROGRESS_FOLDER", value)
        get_settings.cache_clear()
        progress.start()
        codes.append(main())
    get_settings.cache_clear()
    assert codes == [2, 1, 0]
    assert capsys.readouterr().err.splitlines()[1:] == ["not started yet"]
