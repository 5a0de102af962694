"""The seams: named points between two steps at which a process may die.

They do nothing. A test that wants to see what a death at a seam leaves behind installs a hook in a process of
its own making; no setting and no environment variable can.
"""

from collections.abc import Callable
from enum import StrEnum

hook: "Callable[[Seam], None] | None" = None
"""Called with each seam that is reached; None outside tests."""


class Seam(StrEnum):
    """Where a death is worth a test, in the order a document passes them."""

    AFTER_DISCOVER = "after_discover"  # in the ledger, not yet offered
    BEFORE_OFFER = "before_offer"  # marked as offered, the message not yet published
    AFTER_OFFER = "after_offer"  # published
    AFTER_CLAIM = "after_claim"
    AFTER_LOAD = "after_load"
    BEFORE_SEND = "before_send"  # noted as sent, the request not yet out
    AFTER_ANSWER = "after_answer"  # the partner has committed and answered
    BEFORE_SETTLE = "before_settle"
    INSIDE_SETTLE = "inside_settle"  # ledger written, source row not yet, nothing committed
    AFTER_SETTLE = "after_settle"  # committed, the message not yet done
    SHIP_BEFORE_DELETE = "ship_before_delete"  # log rows in the log store and still in SQL


def reached(seam: Seam) -> None:
    """Pass a seam."""
    if hook is not None:
        hook(seam)
