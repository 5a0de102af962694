"""Upkeep on the scheduler's queue: moving the detailed log on."""

from app.main import SHIP_TASK, celery_app
from app.tasks.runtime import HermesTask, runtime


@celery_app.task(name=SHIP_TASK, base=HermesTask)
def ship_logs() -> None:
    """Add up the counts of past hours, and move log rows from SQL to MongoDB."""
    runtime().gateway.numbers.compact()
    runtime().gateway.ship.run()
