"""Backpressure: new work is refused while too many messages wait in its queue."""

from shared.domain.clock import Clock
from shared.domain.errors import QueueFull
from shared.queue.names import QueueName
from shared.redis.workers import WorkerRegistry

REFRESH_INTERVAL_S = 1.0


class QueueGuard:
    """Knows how long the queues of valuations are, to within a second.

    Args:
        workers: reads a queue's length.
        clock: the time of day.
        max_messages: from this length on, work is refused.
    """

    def __init__(self, workers: WorkerRegistry, clock: Clock, max_messages: int) -> None:
        self._workers = workers
        self._clock = clock
        self._max_messages = max_messages
        self._seen: dict[QueueName, tuple[float, int]] = {}
        """When each queue was looked at, and how many messages waited."""

    def check(self, queue: QueueName = QueueName.INTERACTIVE) -> None:
        """Let new work for a queue pass.

        Raises:
            QueueFull: too many messages wait.
            BrokerUnavailable: the broker does not answer.
        """
        now = self._clock()
        read_at, waiting = self._seen.get(queue, (0.0, 0))
        if not 0.0 <= now - read_at < REFRESH_INTERVAL_S:
            waiting = self._workers.queue_length(queue)
            self._seen[queue] = now, waiting
        if waiting >= self._max_messages:
            raise QueueFull(waiting=waiting)
