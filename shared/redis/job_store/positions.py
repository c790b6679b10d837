"""Positions of open jobs in the queue, of many jobs by one round trip."""

from collections.abc import Sequence

from shared.domain.clock import Clock
from shared.domain.ids import JobId
from shared.domain.job import QueuePosition
from shared.redis import keys
from shared.redis.connections import (
    Command,
    ConnectionCache,
    PipelinedCommands,
    RedisClient,
    broker_errors,
)
from shared.redis.job_store.endings import RATE_WINDOW_S

BUSY_AFTER_S = 1.0
"""If the oldest open job is older than this, jobs arrive faster than they are done."""


class QueuePositions:
    """Tells how many open jobs were accepted before a job.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
    """

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._connections = ConnectionCache(client)
        self._clock = clock

    def of(self, job_id: JobId) -> QueuePosition | None:
        """The position of one job; None if it has ended."""
        return self.of_all([job_id])[0]

    def of_all(self, job_ids: Sequence[JobId]) -> list[QueuePosition | None]:
        """The positions of jobs; None for those that have ended.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        if not job_ids:
            return []
        window = int(self._clock() // RATE_WINDOW_S)
        commands: list[Command] = [
            ("MGET", keys.completions(window), keys.completions(window - 1)),
            ("ZRANGE", keys.JOB_ORDER, 0, 0, "WITHSCORES"),
            *(("ZRANK", keys.JOB_ORDER, job_id) for job_id in job_ids),
        ]
        with broker_errors(), PipelinedCommands(self._connections, *commands) as asked:
            counts, oldest, *positions = asked.responses()
        now = self._clock()
        ended = sum(int(count or 0) for count in counts)
        # Without a queue, the rate of completions is the rate of arrivals, not the capacity.
        # By version of the protocol: pairs of id and score, or one after the other.
        pairs = oldest if not oldest or isinstance(oldest[0], list) else [oldest]
        is_busy = bool(pairs) and now - float(pairs[0][1]) > BUSY_AFTER_S
        per_second = ended / (now - (window - 1) * RATE_WINDOW_S) if is_busy else 0.0
        return [
            None
            if position is None
            else QueuePosition(
                position=position,
                eta_s=round((position + 1) / per_second, 1) if per_second else None,
            )
            for position in positions
        ]
