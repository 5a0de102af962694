"""Kombu's bookkeeping of taken messages, made to survive a Redis that does not answer.

When acknowledging a message fails, kombu keeps its place in the prefetch window for ever. With a window of one
that worker takes no message any more until it is restarted, while all looks well. Our messages are hints (P8):
the place is freed whether or not Redis learns of it, and the worst that can come of it is a hint given twice.
"""

from kombu.transport import redis, virtual


class ForgivingQoS(redis.QoS):
    """Frees a message's place even when Redis cannot be told."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge; a failure is raised as before, but leaves no place taken."""
        try:
            super().ack(delivery_tag)
        except BaseException:
            virtual.QoS.ack(self, delivery_tag)
            raise


def install() -> None:
    """Let this process's Redis connections use it."""
    redis.Channel.QoS = ForgivingQoS
