"""Backpressure: refuses new work while the queue is too long or memory is scarce."""

from api.valuations.waiting import has_space
from shared.domain.clock import Clock
from shared.domain.errors import QueueFull
from shared.domain.ids import CallerId
from shared.queue.names import QueueName
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.fair_queues.queues import FairQueues, QueueLoad
from shared.redis.job_store.memory import BrokerMemory

QUEUE_LENGTH_MAX_AGE_S = 1.0
"""Maximum age of the queue length on which a refusal is based."""

MAX_KEPT_LOADS = 1000
"""Callers whose load is kept in memory."""


class QueueGuard:
    """Backpressure: refuses new work while too many messages wait, or memory is scarce.

    Args:
        client: connection to the broker instance.
        fair_queues: where jobs wait.
        clock: the time of day.
        max_messages: from this length of the queue on, work is refused.
        memory: refuses work while the broker lacks memory; None: the broker alone refuses.
    """

    def __init__(
        self,
        client: RedisClient,
        fair_queues: FairQueues,
        clock: Clock,
        max_messages: int,
        memory: BrokerMemory | None = None,
    ) -> None:
        self._memory = memory
        self._client = client
        self._fair_queues = fair_queues
        self._clock = clock
        self._max_messages = max_messages
        self._loads: dict[tuple[QueueName, CallerId | None], tuple[float, QueueLoad]] = {}
        """When each load was read, and the load."""

    def check(self) -> None:
        """Return if the interactive queue takes a micro-batch, which jobs do not delay.

        Raises:
            QueueFull: too many messages wait.
            BrokerFull: the broker has no memory for more work.
            BrokerUnavailable: the broker does not answer.
        """
        waiting = self._load(QueueName.INTERACTIVE, None).total
        if waiting >= self._max_messages:
            raise QueueFull(waiting=waiting)
        self.check_memory()

    def check_job(self, queue: QueueName, caller: CallerId) -> None:
        """Return if a queue takes another job of a caller.

        Raises: as `check`; QueueFull also if too many of this caller wait.
        """
        load = self._load(queue, caller)
        if not has_space(own=load.own, total=load.total, maximum=self._max_messages):
            raise QueueFull(waiting=load.total)
        self.check_memory()

    def check_memory(self) -> None:
        """Return if the broker has memory for more work; raises as `check`."""
        if self._memory is not None:
            self._memory.check()

    def _load(self, queue: QueueName, caller: CallerId | None) -> QueueLoad:
        """The messages that wait; the jobs of a caller too, if one is given."""
        now = self._clock()
        read_at, load = self._loads.get((queue, caller), (0.0, QueueLoad(0, 0)))
        if 0.0 <= now - read_at < QUEUE_LENGTH_MAX_AGE_S:
            return load
        with broker_errors():
            messages = int(self._client.llen(keys.queue(queue)))
        load = QueueLoad(messages, 0)
        if caller is not None:
            jobs = self._fair_queues.of(queue).load(caller)
            load = QueueLoad(messages + jobs.total, jobs.own)
        if len(self._loads) >= MAX_KEPT_LOADS:
            self._loads.clear()
        self._loads[queue, caller] = now, load
        return load
