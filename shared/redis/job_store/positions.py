"""Positions of open jobs in the queue, of many jobs by one round trip."""

from collections.abc import Sequence
from typing import Any

from shared.domain.clock import Clock
from shared.domain.ids import JobId
from shared.domain.job import QueuePosition
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.job_store.endings import RATE_WINDOW_S
from shared.redis.pipelines import Command, PipelinedCommands

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
        query = PositionQuery(job_ids, self._clock())
        with broker_errors(), PipelinedCommands(self._connections, *query.commands) as asked:
            return query.read(asked.responses())

    def query(self, job_ids: Sequence[JobId]) -> "PositionQuery":
        """What `of_all` asks for, to be sent with other commands."""
        return PositionQuery(job_ids, self._clock())


class PositionQuery:
    """Commands that read positions in the queue.

    Args:
        job_ids: the jobs.
        now: Unix time, seconds.
    """

    def __init__(self, job_ids: Sequence[JobId], now: float) -> None:
        self._now = now
        self._window = int(now // RATE_WINDOW_S)
        counters = (keys.completions(self._window), keys.completions(self._window - 1))
        self.commands: list[Command] = [
            ("MGET", *counters),
            ("ZRANGE", keys.JOB_ORDER, 0, 0, "WITHSCORES"),
            *(("ZRANK", keys.JOB_ORDER, job_id) for job_id in job_ids),
        ]

    def read(self, responses: Sequence[Any]) -> list[QueuePosition | None]:
        """The positions of the jobs by the responses to the commands; None for ended ones."""
        counts, oldest, *positions = responses
        ended = sum(int(count or 0) for count in counts)
        # By version of the protocol: pairs of id and score, or one after the other.
        pairs = oldest if not oldest or isinstance(oldest[0], list) else [oldest]
        # Without a queue, the rate of completions is the rate of arrivals, not the capacity.
        is_busy = bool(pairs) and self._now - float(pairs[0][1]) > BUSY_AFTER_S
        span_s = self._now - (self._window - 1) * RATE_WINDOW_S
        per_second = ended / span_s if is_busy else 0.0
        return [
            None
            if position is None
            else QueuePosition(
                position=position,
                eta_s=round((position + 1) / per_second, 1) if per_second else None,
            )
            for position in positions
        ]
