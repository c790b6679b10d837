"""Moves ended jobs out of Redis into segments of the blob store.

A segment is durable before it is entered in Redis, and entered before its jobs are removed: until
then they are read from Redis. Where a sweep stops in between, the next one goes on: it knows which
segment was pending.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import NamedTuple

from shared.blobs.ended_jobs.segments import EndedJob, EndedKey, JobSegments, Segment, without
from shared.domain.clock import Clock
from shared.domain.errors import DomainError, UnreadableRecord
from shared.domain.ids import JobId, id_timestamp
from shared.domain.job import JobState
from shared.logging import get_logger
from shared.redis.dead_letters import ATTEMPTS_EXHAUSTED
from shared.redis.job_store.segment_scripts import SEGMENT_SPAN_S
from shared.redis.job_store.segment_writing import LeaseLost, SegmentWriting

MIN_AGE_S = 120
"""A job stays in Redis for at least this time after its end: whoever waits for it, or stores it
again after a change of the primary, finds it there."""

MIN_JOBS, MAX_WAIT_S = 5000, 1800
"""Fewer jobs wait for others, for at most this time: a segment costs four files."""

MAX_JOBS, MAX_BYTES = 10_000, 16_000_000
"""Most jobs, and bytes of their fields, of one sweep; they bound its memory and duration."""

READ_BLOCK = 500
GRACE_S = 120
"""Expired jobs stay a little longer in the store: the clock of an API may be behind."""

DUE_LIMIT, DELETIONS_LIMIT, REWRITE_LIMIT, ADOPT_LIMIT = 100, 1000, 10, 100
"""Of one sweep: segments that have expired, jobs and segments from which deleted ones are removed,
segments that are entered after Redis has lost its data, the latest first."""

SCAN_INTERVAL_S = 3600
RETRY_S = 30
"""Time after a failure of the store in which nothing is tried."""

ORPHAN_AGE_S = 3600
"""A segment that Redis does not know is deleted after this time, unless Redis has lost its data."""

TERMINAL = {str(state).encode() for state in JobState if state.is_terminal}

log = get_logger("sweep")


class _Taken(NamedTuple):
    """The first jobs of the queue."""

    places: int
    """How many places of the queue they are."""
    jobs: list[EndedJob]
    """Those of them that are moved."""
    known_until: int


class JobArchiver:
    """Writes segments of ended jobs and deletes expired ones.

    Args:
        segments: the segments in the blob store.
        writing: changes what Redis knows of them.
        clock: Unix time, seconds.
    """

    def __init__(self, segments: JobSegments, writing: SegmentWriting, clock: Clock) -> None:
        self._segments = segments
        self._writing = writing
        self._clock = clock
        self._retry_at = 0.0

    def sweep(self) -> int:
        """Move what is old enough, and delete what has expired; return how many jobs were moved."""
        if self._clock() < self._retry_at:
            return 0
        try:
            self._writing.acquire()
        except LeaseLost:
            return 0
        try:
            return self._sweep()
        except LeaseLost:
            log.warning("job_segments_taken_over")
        except DomainError as error:
            self._retry_at = self._clock() + RETRY_S
            log.warning("jobs_not_moved", error=str(error))
        finally:
            self._writing.release()
        return 0

    def _sweep(self) -> int:
        self._resume()
        moved = self._move() if self._is_due() else 0
        self._expire()
        self._remove_deleted()
        self._compare_with_store()
        return moved

    # Moving

    def _is_due(self) -> bool:
        now = self._clock()
        if now - self._writing.ended_at(MIN_JOBS - 1) >= MIN_AGE_S:
            return True
        return now - self._writing.ended_at(0) >= MAX_WAIT_S

    def _move(self) -> int:
        started = time.monotonic()
        taken = self._take()
        for group in _groups(taken.jobs):
            segment = Segment.of(group, known_until=taken.known_until)
            self._writing.set_pending(segment.id)
            self._segments.write(segment, group)
            self._enter(segment, [each.key for each in group])
        self._writing.trim_queue(taken.places)
        if taken.jobs:
            took_s = round(time.monotonic() - started, 3)
            log.info("jobs_moved", jobs=len(taken.jobs), took_s=took_s)
        return len(taken.jobs)

    def _take(self) -> _Taken:
        """Read the jobs that ended first and are old enough; the others follow them."""
        queued = self._writing.queued(MAX_JOBS)
        taken: dict[JobId, EndedJob] = {}
        count, size, known_until = 0, 0, 0
        for start in range(0, len(queued), READ_BLOCK):
            block = queued[start : start + READ_BLOCK]
            self._writing.acquire()
            for job_id, found in zip(block, self._writing.read_ended(block), strict=True):
                job = EndedJob(job_id, found.fields, found.expires_at)
                if self._is_young(job) or size >= MAX_BYTES:
                    return _Taken(count, list(taken.values()), known_until)
                count += 1
                if _is_movable(job):
                    taken[job_id] = job
                    size += sum(map(len, job.fields.values()))
                    known_until = max(known_until, found.known_until, found.expires_at)
        return _Taken(count, list(taken.values()), known_until)

    def _is_young(self, job: EndedJob) -> bool:
        ended_at = float(job.fields.get(b"finished_at", 0.0))
        now = self._clock()  # no job waits for the time of a clock that was wrong
        return now - MIN_AGE_S < ended_at < now + MIN_AGE_S

    def _enter(self, segment: Segment, jobs: Sequence[EndedKey]) -> None:
        """Enter a segment that is written, and remove its jobs from Redis."""
        self._writing.add(segment, {caller for _, caller, _ in jobs}, due=segment.expires_at)
        self._writing.remove(segment.id, jobs)
        self._writing.set_pending("")

    def _resume(self) -> None:
        """Go on with the segment at which the last sweep stopped; drop it if it is incomplete."""
        segment_id = self._writing.pending()
        if segment_id is None:
            return
        try:
            segment = self._segments.info(segment_id)
            if segment is not None:
                self._enter(segment, self._segments.ends(segment_id))
            elif not self._writing.known([segment_id]):
                self._segments.discard(segment_id)
        except (UnreadableRecord, FileNotFoundError) as error:
            # Its jobs that are still in Redis go into another one.
            log.warning("job_segment_unreadable", segment=segment_id, error=str(error))
        self._writing.set_pending("")
        log.warning("job_segment_resumed", segment=segment_id)

    # Deleting

    def _expire(self) -> None:
        """Delete the jobs of expired segments, and later what tells that they existed."""
        now = self._clock()
        for segment in self._writing.due(now - GRACE_S, DUE_LIMIT):
            if segment.known_until <= now - GRACE_S:
                self._segments.discard(segment.id)
                self._writing.set_due(segment.id, None)
            else:
                self._segments.remove_contents(segment.id)
                self._writing.set_due(segment.id, segment.known_until)

    def _remove_deleted(self) -> None:
        """Write segments again without the jobs that their callers have deleted."""
        deletions = self._writing.deletions(DELETIONS_LIMIT)
        for segment_id, job_ids in list(deletions.items())[:REWRITE_LIMIT]:
            try:
                self._rewrite(segment_id, job_ids)
            except UnreadableRecord as error:  # nobody can read it, nor change it
                log.warning("job_segment_unreadable", segment=segment_id, error=str(error))
            self._writing.deletions_done(segment_id, job_ids)

    def _rewrite(self, segment_id: str, without_ids: Collection[str]) -> None:
        segment = self._segments.info(segment_id)
        if segment is None:
            return
        with suppress(FileNotFoundError):  # it has expired
            kept = without(self._segments.read_all(segment_id), without_ids)
            self._writing.acquire()
            self._segments.write(segment, kept)

    # Comparing

    def _compare_with_store(self) -> None:
        """Enter the segments in the store if Redis has lost its data, or delete unknown ones."""
        if self._writing.is_compared():
            return
        found = self._segments.ids()
        known = self._writing.known(found) | {self._writing.pending()}
        has_lost_data = self._writing.has_lost_data()
        unknown = [each for each in reversed(found) if each not in known]
        for segment_id in unknown[:ADOPT_LIMIT] if has_lost_data else unknown:
            if has_lost_data:
                self._adopt(segment_id)
            elif id_timestamp(segment_id) < self._clock() - ORPHAN_AGE_S:
                log.warning("job_segment_unknown", segment=segment_id)
                self._segments.discard(segment_id)
        if not has_lost_data or len(unknown) <= ADOPT_LIMIT:
            self._writing.set_compared(SCAN_INTERVAL_S)

    def _adopt(self, segment_id: str) -> None:
        try:
            segment = self._segments.info(segment_id)
            if segment is not None:
                callers = {caller for _, caller, _ in self._segments.ends(segment_id)}
                self._writing.add(segment, callers, due=segment.expires_at)
        except (UnreadableRecord, FileNotFoundError) as error:
            log.warning("job_segment_unreadable", segment=segment_id, error=str(error))


def _is_movable(job: EndedJob) -> bool:
    """Whether a job has ended for good: it is not gone, not open again, and cannot be replayed."""
    fields = job.fields
    return (
        fields.get(b"state") in TERMINAL
        and b"finished_at" in fields
        and b"caller" in fields
        and fields.get(b"error") != ATTEMPTS_EXHAUSTED.encode()
    )


def _groups(jobs: Sequence[EndedJob]) -> Iterator[list[EndedJob]]:
    """The jobs by segments: sorted by id, with ids of at most `SEGMENT_SPAN_S`."""
    group: list[EndedJob] = []
    for job in sorted(jobs, key=attrgetter("id")):
        if group and id_timestamp(job.id) - id_timestamp(group[0].id) >= SEGMENT_SPAN_S:
            yield group
            group = []
        group.append(job)
    if group:
        yield group
