"""`python -m app.healthcheck`: does this container's process get on? Exit code 0 yes, 1 no, 2 wrong configuration.

The answer rests on progress, not on a process being there. The scheduler is well while its ticks reach the broker.
A worker is well while it finishes what it takes, or while there is nothing to take: an idle worker beside a queue
that is not empty is stuck. Everything may take as long as the longest task (`CLAIM_SECONDS` decides).

It is a program of its own because it runs twice a minute in every container: it imports a tenth of `hermes`.
"""

import sys

from app.core.config import Settings, get_settings
from app.core.progress import Progress
from app.db.redis import waiting
from app.domain.errors import BrokerUnavailable, ConfigError


def stuck(settings: Settings) -> str | None:
    """Why the process does not get on; None when it does. Raises ConfigError."""
    settings.require("progress_folder")
    progress = Progress(settings.progress_folder)
    idle = progress.idle_seconds
    if idle is None:
        return "not started yet"
    if idle <= settings.longest_task_seconds:
        return None
    since = f"nothing was finished for {idle:.0f} seconds"
    if not progress.queues:
        return since
    if progress.unfinished:
        return f"{since}, though work was taken"
    return _beside_waiting_work(settings, progress.queues, since)


def _beside_waiting_work(settings: Settings, queues: list[str], since: str) -> str | None:
    if settings.broker_url is None:
        settings.require("redis_host")
    try:
        found = waiting(settings, queues)
    except BrokerUnavailable as error:
        return f"{since}, and the broker does not say whether there is work: {error}"
    return f"{since}, though {found} messages wait" if found else None


def main() -> int:
    """Say what is wrong on standard error; returns the exit code."""
    try:
        reason = stuck(get_settings())
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if reason is not None:
        sys.stderr.write(f"{reason}\n")
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
