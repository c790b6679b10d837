"""Positions of open jobs in the queue, of many jobs by one call of a script."""

from collections.abc import Sequence
from typing import Any

from shared.domain.clock import Clock
from shared.domain.ids import JobId
from shared.domain.job import QueuePosition
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.job_store import scripts
from shared.redis.job_store.endings import RATE_WINDOW_S
from shared.redis.pipelines import ScriptCall, run_script

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
        self._script = client.register_script(scripts.POSITIONS)

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
        query = self.query(job_ids)
        with broker_errors():
            return query.read(run_script(self._connections, query.call))

    def query(self, job_ids: Sequence[JobId]) -> "PositionQuery":
        """What `of_all` asks for, to be sent with other calls."""
        return PositionQuery(self._script, job_ids, self._clock())


class PositionQuery:
    """A call that reads positions in the queue.

    Args:
        script: `scripts.POSITIONS`, registered.
        job_ids: the jobs.
        now: Unix time, seconds.
    """

    def __init__(self, script: Any, job_ids: Sequence[JobId], now: float) -> None:
        self._now = now
        self._window = int(now // RATE_WINDOW_S)
        counters = (keys.completions(self._window), keys.completions(self._window - 1))
        self.call = ScriptCall(script, [*counters, keys.JOB_ORDER], job_ids)

    def read(self, response: bytes) -> list[QueuePosition | None]:
        """The positions of the jobs by the response to the call; None for ended ones."""
        *counts, oldest, positions = response.split(b",", 3)
        ended = sum(int(count or 0) for count in counts)
        # Without a queue, the rate of completions is the rate of arrivals, not the capacity.
        is_busy = bool(oldest) and self._now - float(oldest) > BUSY_AFTER_S
        span_s = self._now - (self._window - 1) * RATE_WINDOW_S
        per_second = ended / span_s if is_busy else 0.0
        return [_position(each, per_second) for each in positions.split(b",")]


def _position(rank: bytes, per_second: float) -> QueuePosition | None:
    if not rank:
        return None
    position = int(rank)
    eta_s = round((position + 1) / per_second, 1) if per_second else None
    return QueuePosition(position=position, eta_s=eta_s)
