"""Deletes kept estimates whose time is over."""

from shared.blobs.estimate_files import EstimateFiles, is_expired
from shared.domain.clock import Clock
from shared.domain.errors import StorageUnavailable
from shared.logging import get_logger
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

SCAN_INTERVAL_S = 3600
"""Time between two scans; expired estimates are refused in the meantime."""

log = get_logger("sweep")


class EstimateSweeper:
    """Deletes estimates that are older than the setting `ESTIMATE_DAYS`.

    Args:
        files: the kept estimates.
        client: connection to the broker instance.
        clock: Unix time, seconds.
        days: how long estimates are kept.
    """

    def __init__(
        self, files: EstimateFiles, client: RedisClient, clock: Clock, *, days: int
    ) -> None:
        self._files = files
        self._client = client
        self._clock = clock
        self._days = days

    def sweep(self) -> int:
        """Delete what has expired, at most once per `SCAN_INTERVAL_S`; return how many."""
        with broker_errors():
            marker = keys.ESTIMATE_SCAN_MARKER
            if not self._client.set(marker, 1, nx=True, ex=SCAN_INTERVAL_S):
                return 0
        deleted, now = 0, self._clock()
        try:
            for estimate_id in self._files.ids():
                if not is_expired(estimate_id, now, self._days):
                    break  # they are in order of age
                self._files.remove(estimate_id)
                deleted += 1
        except StorageUnavailable as error:  # the next scan tries again
            log.warning("estimates_not_swept", error=str(error))
        return deleted
