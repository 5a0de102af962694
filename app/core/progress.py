"""What a process last achieved: in memory, for checks by the process itself, or as the times of files in a folder,
proof for health checks of the same container.

Nothing is kept in files where no folder is named (`PROGRESS_FOLDER`).
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


class Pulse:
    """When work was last done in this process."""

    def __init__(self, longest_seconds: float) -> None:
        self._longest = longest_seconds
        self._last = time.monotonic()

    def beat(self) -> None:
        """Note that work was done."""
        self._last = time.monotonic()

    @property
    def stands_still(self) -> bool:
        """Whether nothing was done for longer than anything may take."""
        return time.monotonic() - self._last > self._longest


class Progress:
    """The marks of one scheduler, or of one worker."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def start(self, queues: Iterable[str] = ()) -> None:
        """Note that the process begins, and which queues it works on. Raises OSError."""
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / "taken").unlink(missing_ok=True)
            (self._folder / "queues").write_text("\n".join(queues), encoding="utf-8")
            (self._folder / "done").touch()

    def take(self) -> None:
        """Note that work was begun."""
        self._touch("taken")

    def finish(self) -> None:
        """Note that work was done."""
        self._touch("done")

    @property
    def queues(self) -> list[str]:
        """What the process works on; nothing for the scheduler, which makes its own work."""
        assert self._folder is not None  # noqa: S101  who asks has looked
        return (self._folder / "queues").read_text(encoding="utf-8").split()

    @property
    def idle_seconds(self) -> float | None:
        """How long nothing was finished; None when the process has not started."""
        done = self._time_of("done")
        return None if done is None else max(0.0, time.time() - done)

    @property
    def unfinished(self) -> bool:
        """Whether work was begun after the last that was finished."""
        taken, done = self._time_of("taken"), self._time_of("done")
        return taken is not None and done is not None and taken > done

    def _touch(self, name: str) -> None:
        if self._folder is not None:
            with suppress(OSError):  # a full disk must not stop deliveries; the check sees that nothing is noted
                (self._folder / name).touch()

    def _time_of(self, name: str) -> float | None:
        assert self._folder is not None  # noqa: S101  who asks has looked
        try:
            return (self._folder / name).stat().st_mtime
        except FileNotFoundError:
            return None
