"""Workers that do not talk to each other.

Celery's heartbeats, gossip and mingling are for monitors and for tasks that other workers revoke; nobody here listens.
Each of them waits for Redis: a worker starts a second later for it, and beside a Redis that does not answer it could
not stop in time. What Hermes needs to know of its workers it takes from their progress (`app.core.progress`).
"""

from celery.worker.consumer import Events, Gossip, Heart, Mingle


def install() -> None:
    """Leave these parts out of this process's worker, as Celery's own options would."""
    for part in (Events, Gossip, Heart, Mingle):
        part.include_if = _never


def _never(_part: object, _consumer: object) -> bool:
    return False
