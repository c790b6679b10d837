"""Admission by the broker's memory: new work is accepted only if accepted work can still end."""

import threading
import time
from collections.abc import Callable

from shared.domain.clock import Clock
from shared.domain.errors import BrokerFull
from shared.metrics import BROKER_REFUSALS
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

MAX_AGE_S = 0.5
"""Maximum age of the measured use; what this process has accepted since is added."""

BASE_RESERVE_SHARE = 16
BASE_RESERVE_MIN_BYTES = 8 << 20
"""Reserve besides what open jobs need: a sixteenth of the limit and at least 8 MB, but at most a
quarter. It holds replies, claims, the ledger of batches, buffers of connections, and what other
API processes accept within `MAX_AGE_S`."""

SCARCE_SHARE, CALLER_SHARE = 0.75, 0.5
"""From the first share of the limit on, callers whose jobs hold the second one get no new job."""


class BrokerMemory:
    """Refuses new work while the memory of the broker is needed to end accepted work.

    The reserve is what the open jobs need to end (`keys.OPEN_USAGE`) and a base. A server without
    `maxmemory` refuses nothing, and neither does this.

    Args:
        client: connection to the broker instance.
        clock: monotonic seconds.
    """

    def __init__(self, client: RedisClient, clock: Clock = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._limit = 0
        self._used = 0
        self._need = 0
        self._accepted = 0
        self._after_read: list[Callable[[], None]] = []

    def after_read(self, call: Callable[[], None]) -> None:
        """Have a function called whenever the use has been measured."""
        self._after_read.append(call)

    def check(self, cost_bytes: int = 0) -> None:
        """Return if there is room for new work, and count it as accepted.

        Args:
            cost_bytes: what it takes until it has ended, its result included.

        Raises:
            BrokerFull: there is no room.
            BrokerUnavailable: the broker does not answer.
        """
        age_s = self._clock() - self._read_at
        if not 0.0 <= age_s < MAX_AGE_S and self._lock.acquire(blocking=False):
            try:
                self._read()
            finally:
                self._lock.release()
        base = min(max(self._limit // BASE_RESERVE_SHARE, BASE_RESERVE_MIN_BYTES), self._limit // 4)
        if self._limit and self._committed + cost_bytes > self._limit - base:
            BROKER_REFUSALS.inc()
            raise BrokerFull(reason="the rest of its memory is reserved for accepted work")
        self._accepted += cost_bytes

    @property
    def caller_limit(self) -> int:
        """Bytes that the jobs of one caller may hold in Redis now; 0: no limit."""
        is_scarce = self._committed > SCARCE_SHARE * self._limit
        return int(CALLER_SHARE * self._limit) if self._limit and is_scarce else 0

    @property
    def _committed(self) -> int:
        """Bytes that are used, or needed to end what is accepted."""
        return self._used + self._need + self._accepted

    def _read(self) -> None:
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.info("memory")
            pipeline.hget(keys.OPEN_USAGE, "need")
            info, need = pipeline.execute()
        self._limit = int(info.get("maxmemory", 0))
        self._used, self._accepted = int(info["used_memory"]), 0
        self._need = int(need or 0)
        self._read_at = self._clock()
        for call in self._after_read:
            call()
