"""Jobs that are not in Redis, or no more: moved into a segment, expired, deleted, or unknown."""

from collections.abc import Callable, Mapping

from shared.domain.errors import JobDeleted, JobExpired, JobNotFound
from shared.domain.ids import CallerId, JobId, is_id
from shared.domain.job import TOMBSTONE_TTL_FACTOR, Job
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.job_store.archive import Archived, JobArchive
from shared.redis.job_store.endings import EndingScripts
from shared.redis.job_store.records import TOMBSTONE_BYTES
from shared.redis.job_store.segments import Place
from shared.redis.webhooks.records import DELIVERY_BYTES

ReadFields = Callable[[JobId, Mapping[bytes, bytes]], Job]
"""Rebuilds a job of its stored fields."""


class GoneJobs:
    """Answers for jobs that were not found in Redis.

    Args:
        client: connection to the broker instance.
        archive: finds jobs in segments; None: they are not looked for.
        read: rebuilds a job.
        endings: knows the periods of usage.
        retention_s: how long an ended job can be read.
    """

    def __init__(
        self,
        client: RedisClient,
        archive: JobArchive | None,
        read: ReadFields,
        endings: EndingScripts,
        *,
        retention_s: int,
    ) -> None:
        self._client = client
        self._archive = archive
        self._read = read
        self._endings = endings
        self._keep_s = retention_s * TOMBSTONE_TTL_FACTOR

    def place(self, job_id: JobId) -> Place:
        """Where a job may be: its tombstone, the segments to look at."""
        if self._archive is not None:
            return self._archive.find([job_id])[0]
        with broker_errors():
            owner = self._client.get(keys.job_tombstone(job_id))
        return Place(None if owner is None else owner.decode())

    def load(self, job_id: JobId) -> Job | None:
        """A job of any caller that is in a segment; raises as `JobArchive.read`."""
        if self._archive is None or not is_id(job_id):
            return None
        place = self.place(job_id)
        found = None if place.is_deleted else self._archive.read(job_id, place).job
        return None if found is None else self._read(job_id, found.fields)

    def get(self, job_id: JobId, caller: CallerId, place: Place) -> Job:
        """A job of this caller that is in a segment.

        Raises:
            JobNotFound, JobExpired, JobDeleted: there is none, or no more.
            UnreadableRecord, StorageUnavailable: as `JobArchive.read`.
        """
        found = self._archived(job_id, caller, place)
        if found.job is None:
            raise JobExpired(id=job_id)
        return self._read(job_id, found.job.fields)

    def delete(self, job_id: JobId, caller: CallerId, place: Place) -> None:
        """Delete a job that is in a segment; raises as `get`."""
        found = self._archived(job_id, caller, place)
        if self._archive is None or found.job is None:
            raise JobExpired(id=job_id)
        callback = len(found.job.fields.get(b"callback", b""))
        is_new = self._archive.catalogue.delete(
            job_id,
            caller,
            found.segments,
            keep_s=self._keep_s,
            period_end=self._endings.period_end(self._keep_s),
            tombstone_bytes=TOMBSTONE_BYTES + (2 * callback + DELIVERY_BYTES if callback else 0),
            blob_bytes=int(found.job.fields.get(b"disk", 0)),
            kept_until=found.job.fields.get(b"kept_until", b"").decode(),
        )
        if not is_new:
            raise JobDeleted(id=job_id)

    def _archived(self, job_id: JobId, caller: CallerId, place: Place) -> Archived:
        """What segments say about a job of this caller; raises as `get` if it is not theirs."""
        if place.tombstone == caller + keys.DELETED_MARK:
            raise JobDeleted(id=job_id)
        if place.tombstone == caller:  # it expired in Redis
            raise JobExpired(id=job_id)
        if place.tombstone is not None or self._archive is None:
            raise JobNotFound(id=job_id)
        found = self._archive.read(job_id, place)
        if found.owner != caller:
            raise JobNotFound(id=job_id)
        return found
