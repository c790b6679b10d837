"""Admission by the broker's memory: new work is accepted only if accepted work can still end."""

import threading
import time

from shared.domain.clock import Clock
from shared.domain.errors import BrokerFull
from shared.domain.ids import CallerId
from shared.metrics import BROKER_REFUSALS
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.job_store import scripts
from shared.redis.job_store.records import ESTIMATE_MAX_BYTES, MESSAGE_BYTES, RECORD_BYTES, JobUsage

MAX_AGE_S = 0.5
"""Maximum age of the measured use; what this process has accepted since is added."""

BASE_RESERVE_SHARE = 16
BASE_RESERVE_MIN_BYTES = 8 << 20
"""Reserve besides what open jobs need: a sixteenth of the limit and at least 8 MB, but at most a
quarter. It holds replies, claims, the ledger of batches, buffers of connections, and what other
API processes accept within `MAX_AGE_S`."""

SCARCE_SHARE, CALLER_SHARE = 0.75, 0.5
"""From the first share of the limit on, callers whose jobs hold the second one get no new job."""


RECOUNT_INTERVAL_S = 60


class JobUsageCounts:
    """Reads and corrects what the scripts of jobs count.

    While the broker is down, every method raises `BrokerUnavailable`.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
    """

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._recount = client.register_script(scripts.RECOUNT)

    def usage(self, caller: CallerId) -> JobUsage:
        """What the jobs of a caller take up; jobs that workers of version 1 ended are missing."""
        names = [f"{kind}:{caller}" for kind in "nmd"]
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hmget(keys.OPEN_USAGE, names)
            pipeline.hgetall(keys.ended_usage(caller))
            opened, kept = pipeline.execute()
        number, memory, blobs = (int(each or 0) for each in opened)
        for name, count in kept.items():
            kind, _, until = name.decode().partition(":")
            if float(until) > self._clock():
                memory += int(count) if kind == "m" else 0
                blobs += int(count) if kind == "d" else 0
        return JobUsage(number, memory, blobs)

    def recount(self) -> None:
        """Count the usage of the open jobs again, at most once per `RECOUNT_INTERVAL_S`.

        Jobs that workers of version 1 ended, and jobs whose hash is lost, are still in it.
        """
        with broker_errors():
            marker = keys.USAGE_RECOUNT_MARKER
            if not self._client.set(marker, 1, nx=True, ex=RECOUNT_INTERVAL_S):
                return
            self._recount(
                keys=[keys.OPEN_USAGE, keys.OPEN_JOBS],
                args=[keys.job(""), RECORD_BYTES, MESSAGE_BYTES + ESTIMATE_MAX_BYTES],
            )


class BrokerMemory:
    """Refuses new work while the memory of the broker is needed to end accepted work.

    The reserve is what the open jobs need to end (`keys.OPEN_USAGE`) and a base. A server without
    `maxmemory` refuses nothing, and neither does this.

    Args:
        client: connection to the broker instance.
        usage: is asked to count again now and then; None: others do.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        client: RedisClient,
        usage: JobUsageCounts | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._client = client
        self._usage = usage
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._limit = 0
        self._used = 0
        self._need = 0
        self._accepted = 0

    def check(self, cost_bytes: int = 0) -> None:
        """Return if there is room for new work, and count it as accepted.

        Args:
            cost_bytes: what it takes until it has ended, its result included.

        Raises:
            BrokerFull: there is no room.
            BrokerUnavailable: the broker does not answer.
        """
        if self.is_full(cost_bytes):
            BROKER_REFUSALS.inc()
            raise BrokerFull(reason="the rest of its memory is reserved for accepted work")
        self._accepted += cost_bytes

    def is_full(self, cost_bytes: int = 0) -> bool:
        """Whether there is no room for new work.

        Args:
            cost_bytes: what it takes until it has ended, its result included.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        age_s = self._clock() - self._read_at
        if not 0.0 <= age_s < MAX_AGE_S and self._lock.acquire(blocking=False):
            try:
                self._read()
            finally:
                self._lock.release()
        base = min(max(self._limit // BASE_RESERVE_SHARE, BASE_RESERVE_MIN_BYTES), self._limit // 4)
        return self._limit > 0 and self._committed + cost_bytes > self._limit - base

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
        if self._usage is not None:
            self._usage.recount()
