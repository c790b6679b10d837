"""Weights of callers in the fair queues, which workers read from Redis."""

import time
from collections.abc import Callable, Mapping

from shared.domain.errors import BrokerUnavailable
from shared.logging import get_logger
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

REPEAT_S = 30.0
"""Weights are written again after this time: the broker may have lost them."""

log = get_logger("weights")


class WeightPublisher:
    """Writes the weights that differ from 1.

    Args:
        client: connection to the broker instance.
        clock: monotonic seconds.
    """

    def __init__(self, client: RedisClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._written: Mapping[str, int] = {}
        self._written_at = float("-inf")
        self._reported = False

    def publish(self, weights: Mapping[str, int]) -> None:
        """Write the weights if they have changed or were written long ago."""
        is_due = self._clock() - self._written_at >= REPEAT_S
        if weights == self._written and not is_due:
            return
        try:
            with broker_errors():
                pipeline = self._client.pipeline(transaction=True)
                pipeline.delete(keys.CALLER_WEIGHTS)
                if weights:
                    pipeline.hset(keys.CALLER_WEIGHTS, mapping=dict(weights))
                pipeline.execute()
        except BrokerUnavailable as error:
            # Once per outage: the caller tries again every few seconds.
            if not self._reported:
                log.warning("weights_not_written", error=str(error))
            self._reported = True
            return
        self._reported = False
        self._written, self._written_at = dict(weights), self._clock()
