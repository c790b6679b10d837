"""Reads jobs that have left Redis: they are in segments of the blob store."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from shared.blobs.ended_jobs.segments import EndedJob, JobSegments, ListedJob, Segment
from shared.blobs.stores import open_ended_job_store
from shared.domain.clock import Clock
from shared.domain.errors import UnreadableRecord
from shared.domain.ids import CallerId, JobId, id_timestamp, is_id
from shared.domain.job import JobSummary
from shared.logging import get_logger
from shared.metrics import RECORDS_UNREADABLE
from shared.redis.connections import RedisClient
from shared.redis.job_store.records import SUMMARY_FIELDS, read_summary
from shared.redis.job_store.segment_scripts import SEGMENT_SPAN_S
from shared.redis.job_store.segments import Place, SegmentCatalogue
from shared.settings import Settings

T = TypeVar("T")

log = get_logger("jobs")

OF_CALLER_BLOCK = 64
"""Segments of a caller that are asked for at once."""


class Archived(NamedTuple):
    """What segments say about a job.

    Attributes:
        owner: whose it is or was; None: no segment has it.
        job: None if it has expired.
        segments: those that have it.
    """

    owner: CallerId | None
    job: EndedJob | None
    segments: Sequence[Segment]


class JobArchive:
    """Finds jobs in segments.

    While the broker is down, every method raises `BrokerUnavailable`; while the store is,
    `StorageUnavailable`. What is damaged or missing in the store is an `UnreadableRecord`.

    Args:
        catalogue: what Redis knows of them.
        segments: their files.
        clock: Unix time, seconds.
    """

    def __init__(self, catalogue: SegmentCatalogue, segments: JobSegments, clock: Clock) -> None:
        self.catalogue = catalogue
        self._segments = segments
        self._clock = clock

    def find(self, job_ids: Sequence[JobId]) -> list[Place]:
        """Where jobs may be that Redis does not have, by one round trip."""
        return self.catalogue.find(job_ids)

    def read(self, job_id: JobId, place: Place) -> Archived:
        """What segments say about a job, at the place that was found for it."""
        owner, job, having = None, None, []
        for segment in place.segments:
            found = self._read(segment, job_id)
            if isinstance(found, EndedJob):
                owner, job = found.caller, found
            else:
                owner = owner or found
            if found is not None:
                having.append(segment)
        if owner is None and place.error is not None:
            raise place.error
        if job is not None and job.expires_at <= self._clock():
            job = None
        return Archived(owner, job, having)

    def _read(self, segment: Segment, job_id: JobId) -> EndedJob | CallerId | None:
        """The job, or its owner if the segment has expired."""
        if segment.expires_at > self._clock():
            return _present(segment, lambda: self._segments.read(segment.id, job_id))
        return _present(segment, lambda: self._segments.owner(segment.id, job_id))

    def summary(self, job_id: JobId, caller: CallerId) -> JobSummary | None:
        """The summary of a job of this caller; None if there is none."""
        (place,) = self.find([job_id])
        if place.is_deleted:
            return None
        job = self.read(job_id, place).job
        if job is None or job.caller != caller:
            return None
        return read_summary(job_id, [job.fields.get(name.encode()) for name in SUMMARY_FIELDS])

    def listed(
        self, caller: CallerId, *, after: str, before: str, limit: int
    ) -> dict[JobId, JobSummary | None]:
        """The newest jobs of a caller between `after` and `before`, both excluded, newest first.

        None stands for one that has expired, or was deleted. Segments that cannot be read are left
        out, which is logged and counted.
        """
        found: dict[JobId, ListedJob] = {}
        for segment in self._of_caller(caller, after, before):
            # Later segments end further in the past: none of their jobs is on the page.
            if len(found) >= limit and segment.last < sorted(found, reverse=True)[limit - 1]:
                break
            jobs = self._listed(segment, caller, after=after, before=before, limit=limit)
            found |= {each.id: each for each in jobs}
        newest = sorted(found, reverse=True)[:limit]
        deleted = self.catalogue.deleted(newest)
        now = self._clock()
        return {
            job_id: None
            if job_id in deleted or found[job_id].expires_at <= now
            else read_summary(job_id, found[job_id].values)
            for job_id in newest
        }

    def _listed(
        self, segment: Segment, caller: CallerId, *, after: str, before: str, limit: int
    ) -> list[ListedJob]:
        read = partial(self._segments.listed, segment.id, caller)
        try:
            return _present(segment, partial(read, after=after, before=before, limit=limit))
        except UnreadableRecord:
            return []

    def _of_caller(self, caller: CallerId, after: str, before: str) -> Iterator[Segment]:
        """The segments with jobs of a caller that may be listed, those with later ids first."""
        low = id_timestamp(after)
        high = id_timestamp(before) + SEGMENT_SPAN_S if is_id(before) else float("inf")
        seen: set[str] = set()
        while True:
            block = self.catalogue.of_caller(caller, low=low, high=high, limit=OF_CALLER_BLOCK)
            new = [each for each in block if each.id not in seen]
            seen |= {each.id for each in new}
            for segment in new:
                is_over = segment.expires_at <= self._clock()
                if not is_over and segment.first < before and segment.last > after:
                    yield segment
            if not new:
                return
            high = new[-1].last_at


def _present(segment: Segment, read: Callable[[], T]) -> T:
    """What a segment says, whose files have to be there."""
    try:
        return read()
    except FileNotFoundError:
        error = UnreadableRecord(reason=f"segment {segment.id} is missing")
    except UnreadableRecord as damage:
        error = damage
    RECORDS_UNREADABLE.labels(record="job-segment").inc()
    log.error("job_segment_unreadable", segment=segment.id, error=str(error))
    raise error


def open_job_archive(settings: Settings, broker: RedisClient, clock: Clock) -> JobArchive:
    """The archive that the settings name."""
    segments = JobSegments(open_ended_job_store(settings), SUMMARY_FIELDS)
    return JobArchive(SegmentCatalogue(broker), segments, clock)
