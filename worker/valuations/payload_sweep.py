"""Deletes payloads in the blob store whose job has expired."""

from shared.blobs.job_payloads import JobPayloads
from shared.domain.clock import Clock
from shared.domain.errors import StorageUnavailable
from shared.domain.ids import JobId, id_timestamp
from shared.logging import get_logger
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.job_store.segments import Place, SegmentCatalogue

SCAN_INTERVAL_S = 600
"""Time between two scans of all payloads."""

GRACE_S = 3600
"""Payloads of younger jobs stay: a payload is written before its job is stored."""

BLOCK = 1000
"""Jobs that one command asks for."""

log = get_logger("sweep")


class JobPayloadSweeper:
    """Deletes payloads without a job: Redis lets jobs expire by itself.

    Args:
        payloads: the blob store of jobs.
        client: connection to the broker instance.
        catalogue: knows the segments of the jobs that have left Redis.
        clock: Unix time, seconds.
    """

    def __init__(
        self,
        payloads: JobPayloads,
        client: RedisClient,
        catalogue: SegmentCatalogue,
        clock: Clock,
    ) -> None:
        self._payloads = payloads
        self._client = client
        self._catalogue = catalogue
        self._clock = clock

    def sweep(self) -> int:
        """Delete what has expired, at most once per `SCAN_INTERVAL_S`; return how many jobs."""
        with broker_errors():
            marker = keys.PAYLOAD_SCAN_MARKER
            if not self._client.set(marker, 1, nx=True, ex=SCAN_INTERVAL_S):
                return 0
        try:
            return self._scan()
        except StorageUnavailable as error:  # the next scan tries again
            log.warning("job_payloads_not_swept", error=str(error))
            return 0

    def _scan(self) -> int:
        oldest = self._clock() - GRACE_S
        old = [job_id for job_id in self._payloads.jobs() if id_timestamp(job_id) < oldest]
        deleted = 0
        for start in range(0, len(old), BLOCK):
            block: list[JobId] = old[start : start + BLOCK]
            for job_id in self._missing(block):
                self._payloads.discard(job_id)
                deleted += 1
        return deleted

    def _missing(self, job_ids: list[JobId]) -> list[JobId]:
        """Those of the jobs that are not stored, neither in Redis nor in a segment."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            for job_id in job_ids:
                pipeline.exists(keys.job(job_id))
            found = pipeline.execute()
        gone = [job_id for job_id, exists in zip(job_ids, found, strict=True) if not exists]
        places = self._catalogue.find(gone)
        return [job_id for job_id, place in zip(gone, places, strict=True) if self._is_over(place)]

    def _is_over(self, place: Place) -> bool:
        """Whether no segment that has not expired may have the job."""
        now = self._clock()
        is_kept = place.error or any(each.expires_at > now for each in place.segments)
        return place.tombstone is not None or not is_kept
