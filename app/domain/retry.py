"""When to try again: a schedule an operator can read, with a little chance so that retries do not march in step."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_STEP = re.compile(r"([0-9]{1,7})([smhd])")

JITTER = 0.1
"""A delay varies by up to this share in both directions."""


def jittered(delay: timedelta, chance: float) -> timedelta:
    """`delay` ± 10 %; `chance` in [0, 1) decides where."""
    return delay * (1 + JITTER * (2 * chance - 1))


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The delays after the first, second, … failed attempt. When they are used up, a person must look."""

    delays: tuple[timedelta, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `30s,2m,10m,1h,6h,24h`. Raises ValueError with what is wrong."""
        steps = [step.strip() for step in text.split(",")]
        delays = []
        for step in steps:
            match = _STEP.fullmatch(step)
            if match is None or int(match[1]) == 0:
                raise ValueError(f"{step!r} is not a delay such as 30s, 2m, 1h or 1d")
            delays.append(timedelta(**{_UNITS[match[2]]: int(match[1])}))
        if max(delays) > timedelta(days=31):
            raise ValueError("a delay may not be longer than 31 days")
        return cls(tuple(delays))

    def delay_after(self, attempts: int, chance: float) -> timedelta | None:
        """How long to wait after `attempts` (1, 2, …) tries; None when the schedule is used up."""
        if attempts > len(self.delays):
            return None
        return jittered(self.delays[attempts - 1], chance)
