"""Backpressure: new work is refused while too much waits already."""

from shared.adapters.redis_workers import RedisWorkers
from shared.domain.errors import QueueFull
from shared.names import QueueName
from shared.ports import Clock

LOOK_INTERVAL_S = 1.0


class QueueGuard:
    """Knows how long the interactive queue is, to within a second.

    Args:
        workers: reads the queue's length.
        clock: the time of day.
        max_messages: from this length on, work is refused.
    """

    def __init__(self, workers: RedisWorkers, clock: Clock, max_messages: int) -> None:
        self._workers = workers
        self._clock = clock
        self._max_messages = max_messages
        self._looked_at = 0.0
        self._waiting = 0

    def check(self) -> None:
        """Let new work pass.

        Raises:
            QueueFull: too many messages wait.
            BrokerUnavailable: the broker does not answer.
        """
        now = self._clock()
        if not 0.0 <= now - self._looked_at < LOOK_INTERVAL_S:
            self._waiting = self._workers.queue_length(QueueName.INTERACTIVE)
            self._looked_at = now
        if self._waiting >= self._max_messages:
            raise QueueFull(waiting=self._waiting)
