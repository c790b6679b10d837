"""Where jobs are stored and what they take up: blobs, memory limits, deletion, usage by caller."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from api.jobs.idempotency import RedisIdempotency
from api.valuations.queue_guard import QueueGuard
from shared.blobs.job_payloads import JobPayloads
from shared.blobs.local import LocalBlobStore
from shared.domain.errors import (
    BrokerFull,
    JobAlreadyEnded,
    JobDeleted,
    JobExpired,
    JobNotFound,
    JobStorageFull,
    StorageUnavailable,
    UnreadableRecord,
)
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import DispatchOrigin, Job, JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.queue.names import QueueName
from shared.redis import keys
from shared.redis.fair_queues.queues import FairQueues
from shared.redis.job_store.memory import (
    RECOUNT_INTERVAL_S,
    BrokerMemory,
    JobUsageCounts,
)
from shared.redis.job_store.records import (
    INLINE_MAX_BYTES,
    MESSAGE_BYTES,
    RECORD_BYTES,
    TOMBSTONE_BYTES,
    JobUsage,
)
from shared.redis.job_store.segments import SegmentCatalogue
from shared.redis.job_store.store import JobStore
from worker.valuations.payload_sweep import GRACE_S, JobPayloadSweeper

ME, OTHER = CallerId("me"), CallerId("other")
ESTIMATE = Estimate(
    price_mad=1.0, quantiles_mad=(1.0,) * 9, model_version="2026-11-27T235535-1d8608",
    model_known=True,
)  # fmt: skip
LIMIT = 64 << 20
"""Memory limit of Redis in these tests; the reserve is 8 MB."""


class Storage:
    """A job store on a real Redis with payloads in a folder."""

    def __init__(self, broker, folder, car):
        self.broker = broker
        self.now = time.time()
        self.protocol = 2
        self.folder = folder
        self.request = load_car_request(car)
        self.payloads = JobPayloads(LocalBlobStore(folder))
        self.memory = BrokerMemory(broker, clock=lambda: self.now)
        self.counts = JobUsageCounts(broker, lambda: self.now)
        self.jobs = self.store(self.memory)

    def store(self, memory=None):
        return JobStore(
            self.broker,
            lambda: self.now,
            retention_s=3600,
            lease_s=30,
            payloads=self.payloads,
            protocol=lambda: self.protocol,
            memory=memory,
        )

    def job(self, cars=1, caller=ME):
        return Job(
            id=JobId(new_id(self.now)), caller=caller, state=JobState.QUEUED, created_at=self.now,
            requests=(self.request,) * cars, is_list=cars > 1,
        )  # fmt: skip

    def add(self, cars=1, caller=ME):
        job = self.job(cars, caller)
        assert self.jobs.create(job)
        return job

    def end(self, job):
        return self.jobs.finish(job.id, JobState.SUCCEEDED, [ESTIMATE] * len(job.requests))

    def blobs(self):
        return sorted(path.name.split("-")[0] for path in self.folder.rglob("*") if path.is_file())

    def size(self, job):
        return self.broker.memory_usage(keys.job(job.id))


@pytest.fixture
def storage(servers, tmp_path, car) -> Iterator[Storage]:
    servers.broker.config_set("maxmemory", LIMIT)
    yield Storage(servers.broker, tmp_path / "jobs", car)
    servers.broker.config_set("maxmemory", "1gb")


# Payloads


def test_cars_and_prices_of_a_long_job_are_not_in_redis(storage):
    job = storage.add(1000)
    assert storage.size(job) < 1500
    storage.end(job)
    assert storage.size(job) < 1500
    assert storage.blobs() == ["estimates", "requests"]
    ended = storage.jobs.get(job.id, ME)
    assert (ended.requests, ended.estimates) == (job.requests, (ESTIMATE,) * 1000)


def test_a_short_job_stays_in_redis(storage):
    job = storage.add(20)
    storage.end(job)
    assert storage.blobs() == []
    assert storage.jobs.get(job.id, ME).estimates == (ESTIMATE,) * 20


def test_large_prices_of_few_cars_are_not_in_redis_either(storage):
    job = storage.add(70)
    assert storage.blobs() == []
    large = replace(ESTIMATE, model_version="v" * 400)  # as large as with extras
    storage.jobs.finish(job.id, JobState.SUCCEEDED, [large] * 70)
    assert storage.blobs() == ["estimates"]
    assert storage.jobs.get(job.id, ME).estimates == (large,) * 70


def test_nothing_goes_to_the_blob_store_while_a_worker_cannot_read_it(storage):
    storage.protocol = 1
    job = storage.add(1000)
    storage.protocol = 2
    storage.end(job)
    assert storage.blobs() == []
    assert set(storage.broker.hkeys(keys.job(job.id))).isdisjoint({b"schema", b"blobs"})
    assert len(storage.jobs.get(job.id, ME).estimates) == 1000


def test_an_attempt_that_lost_the_race_leaves_the_result_alone(storage):
    job = storage.add(1000)
    storage.end(job)
    assert not storage.jobs.finish(job.id, JobState.SUCCEEDED, [ESTIMATE] * 999)
    assert len(storage.jobs.get(job.id, ME).estimates) == 1000
    assert storage.blobs() == ["estimates", "requests"]


def test_a_job_that_exists_already_leaves_no_second_payload(storage):
    job = storage.add(1000)
    assert storage.jobs.create(job) is False
    assert storage.blobs() == ["requests"]


def test_a_full_disk_refuses_a_long_job_and_leaves_a_running_one_open(storage, monkeypatch):
    job = storage.add(1000)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shared.blobs.local.fsync", full)
        with pytest.raises(StorageUnavailable):
            storage.add(1000)
        with pytest.raises(StorageUnavailable):
            storage.end(job)
    assert storage.jobs.get(job.id, ME).state is JobState.QUEUED
    assert storage.end(job)


def test_a_lost_payload_is_named(storage):
    job = storage.add(1000)
    storage.payloads.discard(job.id)
    with pytest.raises(UnreadableRecord, match="missing"):
        storage.jobs.get(job.id, ME)


def test_payloads_go_when_their_job_has_expired(storage):
    expired, kept = storage.add(1000), storage.add(1000)
    sweeper = JobPayloadSweeper(
        storage.payloads, storage.broker, SegmentCatalogue(storage.broker), lambda: storage.now
    )
    storage.broker.delete(keys.job(expired.id))
    assert sweeper.sweep() == 0, "it may just be being stored"
    storage.now += GRACE_S + 1
    assert sweeper.sweep() == 0, "the last scan is recent"
    storage.broker.delete(keys.PAYLOAD_SCAN_MARKER)
    assert sweeper.sweep() == 1
    assert [path.name for path in storage.folder.iterdir()] == [kept.id]


# Deletion


def test_a_deleted_job_is_gone_with_its_payloads_and_its_usage(storage):
    job = storage.add(1000)
    storage.end(job)
    assert storage.jobs.delete(job.id, ME)
    assert storage.blobs() == []
    assert storage.counts.usage(ME) == JobUsage(0, 0, 0)
    assert storage.broker.zscore(keys.jobs_by_caller(ME), job.id) is None
    for call in (storage.jobs.get, storage.jobs.delete, storage.jobs.request_cancel):
        with pytest.raises(JobDeleted):
            call(job.id, ME)
        with pytest.raises(JobNotFound):
            call(job.id, OTHER)


def test_an_open_job_and_that_of_another_caller_cannot_be_deleted(storage):
    job = storage.add()
    assert storage.jobs.delete(job.id, ME) is False
    storage.jobs.start(job.id)
    assert storage.jobs.delete(job.id, ME) is False
    storage.end(job)
    with pytest.raises(JobNotFound):
        storage.jobs.delete(job.id, OTHER)
    assert storage.jobs.get(job.id, ME).state is JobState.SUCCEEDED
    with pytest.raises(JobAlreadyEnded):
        storage.jobs.request_cancel(job.id, ME)


def test_an_expired_job_still_counts_as_expired(storage):
    job = storage.add()
    storage.end(job)
    storage.broker.delete(keys.job(job.id))
    with pytest.raises(JobExpired):
        storage.jobs.delete(job.id, ME)


# Usage


def test_usage_counts_open_and_ended_jobs_by_caller(storage):
    short, long, cancelled = storage.add(1), storage.add(1000), storage.add(1)
    storage.add(1, OTHER)
    opened = storage.counts.usage(ME)
    assert opened.open_jobs == 3
    assert opened.blob_bytes > 50_000
    storage.end(short)
    storage.end(long)
    storage.jobs.request_cancel(cancelled.id, ME)
    ended = storage.counts.usage(ME)
    assert ended.open_jobs == 0
    assert ended.blob_bytes > opened.blob_bytes
    assert 0 < ended.memory_bytes < opened.memory_bytes, "no room is reserved any more"
    assert storage.counts.usage(OTHER).open_jobs == 1
    storage.now += 2 * 3600
    assert storage.counts.usage(ME) == JobUsage(0, 0, 0), "they have expired"


def test_usage_is_no_less_than_what_redis_holds(storage):
    for _ in range(400):
        storage.end(storage.add(1))
    # The memory of the whole server varies with the buffers of connections and with scripts.
    held = sum(storage.broker.memory_usage(name) for name in storage.broker.scan_iter(count=10_000))
    counted = storage.counts.usage(ME).memory_bytes
    assert 0.4 * counted < held < counted


def test_periods_that_are_over_leave_the_record_of_usage(storage):
    for _ in range(5):
        storage.end(storage.add(1))
        storage.now += 3600
    storage.end(storage.add(1))
    assert storage.broker.hlen(keys.ended_usage(ME)) <= 4


def test_a_recount_takes_out_what_older_workers_ended_and_lost_jobs(storage):
    ended, lost, open_job = storage.add(5), storage.add(5), storage.add(5)
    storage.broker.hset(keys.job(ended.id), mapping={"state": "SUCCEEDED"})
    storage.broker.zrem(keys.OPEN_JOBS, ended.id)  # as the script of the first release
    storage.broker.delete(keys.job(lost.id))
    assert storage.counts.usage(ME).open_jobs == 3
    storage.counts.recount()
    assert storage.counts.usage(ME).open_jobs == 1
    need = int(storage.broker.hget(keys.OPEN_USAGE, "need"))
    assert need == int(storage.broker.hget(keys.job(open_job.id), "need"))
    storage.add(5)
    storage.broker.hincrby(keys.OPEN_USAGE, f"n:{ME}", 7)
    storage.counts.recount()
    assert storage.counts.usage(ME).open_jobs == 9, f"not again within {RECOUNT_INTERVAL_S} s"


def test_a_job_of_the_first_release_needs_memory_too(storage):
    job = storage.add(5)
    storage.broker.hdel(keys.job(job.id), "memory", "disk", "need")
    storage.counts.recount()
    assert int(storage.broker.hget(keys.OPEN_USAGE, "need")) > 5 * 200
    assert storage.end(job)


# Memory


def fill(storage, caller=ME, cars=80):
    """Submit until the store refuses; the accepted jobs and the error."""
    accepted = []
    while True:
        try:
            accepted.append(storage.add(cars, caller))
        except (BrokerFull, JobStorageFull) as error:
            return accepted, error
        if len(accepted) % 50 == 0:
            storage.now += 1  # the use of the memory is read again


def test_every_accepted_job_can_end_when_no_more_is_accepted(storage):
    mine, _ = fill(storage)
    theirs, error = fill(storage, OTHER)
    assert isinstance(error, BrokerFull)
    accepted = [*mine, *theirs]
    assert len(accepted) > 500
    for job in accepted:
        storage.jobs.start(job.id)
        assert storage.end(job)
    info = storage.broker.info("memory")
    assert info["used_memory"] < LIMIT


def test_a_caller_that_holds_most_of_the_memory_is_refused_before_others(storage):
    accepted, error = fill(storage)
    assert isinstance(error, JobStorageFull)
    assert storage.add(80, OTHER)
    for job in accepted:
        storage.end(job)
        storage.jobs.delete(job.id, ME)
    storage.now += 1
    assert storage.add(80)


def test_a_caller_that_deletes_its_jobs_does_not_fill_the_memory_with_their_ids(storage):
    kept = keys.ended_usage(ME)
    job = storage.add()
    storage.end(job)
    before = storage.broker.info("memory")["used_memory"]
    storage.jobs.delete(job.id, ME)
    assert storage.counts.usage(ME).stored_bytes == 0
    (until,) = [name[2:] for name in storage.broker.hkeys(kept) if name.startswith(b"t:")]
    assert float(until) >= storage.now + 8 * 3600
    storage.end(storage.add())
    assert storage.broker.ttl(kept) >= 8 * 3600, "jobs that end do not shorten it"
    # As if the caller had deleted so many that their tombstones take half of the memory.
    storage.broker.hset(kept, b"t:" + until, LIMIT // 2)
    used = LIMIT - (15 << 20) - before
    storage.broker.setrange("filler", used, b"x")
    storage.now += 1
    with pytest.raises(JobStorageFull):
        storage.add()
    assert storage.add(caller=OTHER)
    storage.now = float(until) + 1
    assert storage.add()
    storage.broker.delete("filler")


def test_what_stays_of_a_deleted_job_takes_no_more_than_is_counted(storage):
    job = storage.add()
    storage.end(job)
    storage.jobs.delete(job.id, ME)
    tombstone = storage.broker.memory_usage(keys.job_tombstone(job.id))
    RedisIdempotency(storage.broker).claim(ME, "jobs", "k" * 200, "f" * 64, job.id)
    key = storage.broker.memory_usage(keys.idempotency(ME, f"jobs:{'k' * 200}"))
    assert tombstone + key + 2 * 64 < TOMBSTONE_BYTES, "64: entry of the time to live"


def test_long_lists_hardly_fill_the_memory(storage):
    before = storage.broker.info("memory")["used_memory"]
    for _ in range(20):
        storage.end(storage.add(1000))
    assert storage.broker.info("memory")["used_memory"] - before < 20 * 4096


@pytest.mark.parametrize("cars", [1, 20, 60, 1000])
def test_an_open_job_takes_no_more_than_is_counted_and_the_count_is_bounded(storage, cars):
    empty = storage.broker.info("memory")["used_memory"]
    for _ in range(100):
        storage.jobs.start(storage.add(cars).id)
    used = storage.broker.info("memory")["used_memory"] - empty
    counted = storage.counts.usage(ME).memory_bytes
    assert used < counted
    assert counted / 100 <= RECORD_BYTES + MESSAGE_BYTES + 2 * INLINE_MAX_BYTES


def test_jobs_end_even_if_something_else_has_filled_redis(storage):
    """Beyond the reserve: the scripts that end work may exceed the limit."""
    short, cancelled, deleted = storage.add(1), storage.add(1), storage.add(1)
    storage.end(deleted)
    storage.broker.config_set("maxmemory", 1 << 20)
    storage.jobs.start(short.id)
    assert storage.end(short)
    assert storage.jobs.request_cancel(cancelled.id, ME).state is JobState.CANCELLED
    assert storage.jobs.delete(deleted.id, ME)
    storage.jobs.forget(short.id)
    with pytest.raises(BrokerFull):
        storage.store().create(storage.job())


def test_the_queue_guard_refuses_while_memory_is_reserved(storage):
    def clock():
        return storage.now

    fair_queues = FairQueues(storage.broker, clock)
    guard = QueueGuard(storage.broker, fair_queues, clock, 100, storage.memory)
    guard.check()
    storage.broker.hset(keys.OPEN_USAGE, "need", LIMIT)
    storage.now += 1
    with pytest.raises(BrokerFull):
        guard.check()
    with pytest.raises(BrokerFull):
        guard.check_job(QueueName.BULK, ME)
    storage.broker.hset(keys.OPEN_USAGE, "need", 0)
    storage.now += 1
    guard.check()
    guard.check_job(QueueName.BULK, ME)


def test_a_request_that_becomes_a_job_was_admitted_before(storage):
    storage.broker.hset(keys.OPEN_USAGE, "need", LIMIT)
    with pytest.raises(BrokerFull):
        storage.jobs.create(storage.job())
    assert storage.jobs.create(replace(storage.job(), origin=DispatchOrigin("g", 0.0)))


def test_a_server_without_a_limit_refuses_nothing(storage):
    storage.broker.config_set("maxmemory", 0)
    storage.broker.hset(keys.OPEN_USAGE, "need", 1 << 40)
    assert storage.add()
    assert storage.memory.caller_limit == 0
