"""Jobs that end and leave Redis, with a clock of their own; on a real broker and a real store."""

import time
from pathlib import Path

from api.jobs.listing import SubmissionIndex
from api.jobs.reading import JobReader
from shared.blobs.ended_jobs.segments import JobSegments
from shared.blobs.job_payloads import JobPayloads
from shared.blobs.local import LocalBlobStore
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobEnd, JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.redis import keys
from shared.redis.job_store.archive import JobArchive
from shared.redis.job_store.positions import QueuePositions
from shared.redis.job_store.records import SUMMARY_FIELDS
from shared.redis.job_store.segment_writing import SegmentWriting
from shared.redis.job_store.segments import SegmentCatalogue
from shared.redis.job_store.store import JobStore
from tests.conftest import REFERENCE_CAR
from worker.valuations.archive_sweep import MAX_WAIT_S, JobArchiver

ME, OTHER = CallerId("me"), CallerId("other")
RETENTION_S = 86_400
ESTIMATE = Estimate(
    price_mad=1.0, quantiles_mad=(1.0,) * 9, model_version="2026-11-27T235535-1d8608",
    model_known=True,
)  # fmt: skip


def no_archive(client) -> JobArchive:
    """The archive of an installation whose jobs have not left Redis."""
    return JobArchive(SegmentCatalogue(client), segments(LocalBlobStore(Path("/none"))), time.time)


def segments(blobs) -> JobSegments:
    return JobSegments(blobs, SUMMARY_FIELDS)


class ArchiveBench:
    """A job store, the sweep that empties it, and the archive that reads what has left."""

    def __init__(self, broker, folder, blobs=None):
        self.broker = broker
        self.now = time.time()
        self.clock = lambda: self.now
        self.blobs = blobs or LocalBlobStore(folder / "ended-jobs")
        self.segments = segments(self.blobs)
        self.payloads = JobPayloads(LocalBlobStore(folder / "jobs"))
        self.request = load_car_request(REFERENCE_CAR)
        self.archiver = self.new_archiver()
        self.archive = JobArchive(SegmentCatalogue(broker), segments(self.blobs), self.clock)
        self.jobs = self.store()
        self.reader = JobReader(
            self.jobs,
            SubmissionIndex(broker),
            QueuePositions(broker, self.clock),
            catalogue=self.archive.catalogue,
        )

    def store(self):
        return JobStore(
            self.broker,
            self.clock,
            retention_s=RETENTION_S,
            lease_s=30,
            payloads=self.payloads,
            protocol=lambda: 4,
            archive=self.archive,
        )

    def new_archiver(self, broker=None):
        return JobArchiver(
            segments(self.blobs), SegmentWriting(broker or self.broker, self.clock), self.clock
        )

    def add(self, caller=ME, cars=1, **fields) -> Job:
        self.now += 0.01
        job = Job(
            id=JobId(new_id(self.now)), caller=caller, state=JobState.QUEUED,
            created_at=self.now, requests=(self.request,) * cars, is_list=cars > 1, **fields,
        )  # fmt: skip
        assert self.jobs.create(job)
        return job

    def ended(self, caller=ME, cars=1, state=JobState.SUCCEEDED, error="", **fields) -> Job:
        """A job that has just ended."""
        job = self.add(caller, cars, **fields)
        self.jobs.start(job.id)
        estimates = [ESTIMATE] * cars if state is JobState.SUCCEEDED else []
        assert self.jobs.finish(job.id, state, estimates, error)
        return job

    def ended_many(self, count, caller=ME) -> list[Job]:
        """Many jobs that have just ended."""
        jobs = [self._new(caller) for _ in range(count)]
        self.jobs.create_all(jobs)
        for start in range(0, count, 200):
            block = jobs[start : start + 200]
            self.jobs.finish_all(
                [JobEnd(each.id, JobState.SUCCEEDED, [ESTIMATE]) for each in block]
            )
        return jobs

    def _new(self, caller) -> Job:
        self.now += 0.001
        return Job(
            id=JobId(new_id(self.now)), caller=caller, state=JobState.QUEUED, created_at=self.now,
            requests=(self.request,), is_list=False,
        )  # fmt: skip

    def sweep(self) -> int:
        return self.archiver.sweep()

    def move(self) -> int:
        """Let all ended jobs become old, and sweep."""
        self.now += MAX_WAIT_S
        return self.sweep()

    def in_redis(self, job) -> bool:
        return bool(self.broker.exists(keys.job(job.id), keys.job_tombstone(job.id)))
