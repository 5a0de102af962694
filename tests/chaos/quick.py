"""Celery with circuits that pause for a second or two: the pauses are no setting, and a round has no minutes.

python -m tests.chaos.quick celery -A app.main.celery_app worker …
"""

import sys
from datetime import timedelta
from functools import partial

from celery.__main__ import main as celery_main

from app.services import gate


def shorten_pauses() -> None:
    """Circuits of this process, and of those it forks, open as ever but soon let a document try again."""
    gate.CircuitPolicy = partial(  # type: ignore[misc,assignment]
        gate.CircuitPolicy, first_pause=timedelta(seconds=1), longest_pause=timedelta(seconds=2)
    )


if __name__ == "__main__":
    shorten_pauses()
    sys.argv = sys.argv[1:]
    celery_main()
