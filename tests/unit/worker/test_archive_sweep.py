"""Ended jobs leave Redis: into segments, from which everything is answered as before."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from api.jobs.idempotency import RedisIdempotency
from api.jobs.listing import ListFilter, Listing, SubmissionIndex
from api.jobs.reading import JobQuery, Moved
from shared.blobs.s3 import S3BlobStore
from shared.domain.errors import (
    JobAlreadyEnded,
    JobDeleted,
    JobExpired,
    JobNotFound,
    StorageUnavailable,
    UnreadableRecord,
)
from shared.domain.ids import new_id
from shared.domain.job import Callback, JobKind, JobState
from shared.redis import keys
from shared.redis.dead_letters import ATTEMPTS_EXHAUSTED, DeadLetters
from shared.redis.job_store.archive import JobArchive
from shared.redis.job_store.memory import JobUsageCounts
from shared.redis.job_store.segment_writing import LEASE_S
from shared.redis.job_store.segments import SegmentCatalogue
from shared.redis.webhooks.records import DELIVERY_BYTES
from tests.conftest import ROOT
from tests.job_archive import ME, OTHER, RETENTION_S, ArchiveBench, segments
from tests.object_store import BUCKET, running_object_store
from worker.valuations import archive_sweep
from worker.valuations.archive_sweep import GRACE_S, MAX_WAIT_S, MIN_AGE_S, ORPHAN_AGE_S
from worker.valuations.payload_sweep import GRACE_S as PAYLOAD_GRACE_S
from worker.valuations.payload_sweep import JobPayloadSweeper


@pytest.fixture
def bench(servers, tmp_path) -> ArchiveBench:
    return ArchiveBench(servers.broker, tmp_path)


@pytest.fixture(scope="module")
def object_store() -> Iterator:
    with running_object_store() as store:
        yield store


def lister(bench) -> Listing:
    return Listing(
        lists=SubmissionIndex(bench.broker),
        batches=None,
        idempotency=RedisIdempotency(bench.broker),
        archive=bench.archive,
    )


def listed(bench, caller=ME, limit=1000, **wanted) -> list[str]:
    found, cursor, shown = [], None, ListFilter(kinds=[JobKind.JOB], **wanted)
    while True:
        page = lister(bench).page(caller, shown, cursor, limit)
        found += [each.id for each in page.summaries]
        cursor = page.cursor
        if cursor is None:
            return found


def files(bench) -> list[str]:
    return sorted(path.name for path in bench.blobs._root.rglob("*") if path.is_file())


# Reading


def test_a_moved_job_is_answered_as_before_and_takes_nothing_in_redis(bench):
    callback = Callback(url="https://example.com/x", key_id="", language="fr")
    jobs = [
        bench.ended(),
        bench.ended(cars=3),
        bench.ended(cars=1000),
        bench.ended(caller=OTHER, callback=callback),
        bench.ended(state=JobState.FAILED, error="model-not-loaded"),
    ]
    before = [bench.jobs.get(job.id, job.caller) for job in jobs]
    lists = [listed(bench), listed(bench, OTHER)]
    assert bench.move() == len(jobs)
    assert not any(map(bench.in_redis, jobs))
    assert bench.broker.exists(keys.jobs_by_caller(ME), keys.jobs_by_caller(OTHER)) == 0
    assert [bench.jobs.get(job.id, job.caller) for job in jobs] == before
    assert [bench.jobs.load(job.id) for job in jobs] == before
    assert [listed(bench), listed(bench, OTHER)] == lists
    with pytest.raises(JobNotFound):
        bench.jobs.get(jobs[0].id, OTHER)
    with pytest.raises(JobNotFound):
        bench.jobs.get(new_id(bench.now), ME)
    with pytest.raises(JobAlreadyEnded, match="SUCCEEDED"):
        bench.jobs.request_cancel(jobs[0].id, ME)


def test_a_poll_of_a_moved_job_says_where_it_is_and_others_are_answered(bench):
    moved = bench.ended()
    bench.move()
    recent = bench.ended()
    unknown = new_id(bench.now + 10_000)
    queries = [JobQuery(each, ME) for each in (moved.id, recent.id, unknown)]
    first, second, third = bench.reader.read_all(queries)
    assert first == Moved()
    assert second.state is JobState.SUCCEEDED
    assert isinstance(third, JobNotFound)


def test_recent_jobs_stay_and_few_ones_wait_for_others(bench):
    job = bench.ended()
    bench.now += MIN_AGE_S + 1
    assert bench.sweep() == 0
    bench.now += MAX_WAIT_S - MIN_AGE_S
    recent = bench.ended()
    assert bench.sweep() == 1
    assert not bench.in_redis(job)
    assert bench.in_redis(recent)


def test_many_jobs_move_as_soon_as_they_are_old_enough(bench, monkeypatch):
    monkeypatch.setattr(archive_sweep, "MIN_JOBS", 300)
    jobs = bench.ended_many(300)
    assert bench.sweep() == 0
    bench.now += MIN_AGE_S + 1
    assert bench.sweep() == 300
    for job in jobs[::50]:
        assert bench.jobs.get(job.id, ME).requests == job.requests
    assert len(bench.segments.ids()) == 1


def test_pages_of_a_list_go_over_redis_and_segments(bench):
    ids = []
    for _ in range(4):
        ids += [bench.ended(caller).id for caller in (ME, OTHER) * 20]
        bench.move()
    ids += [bench.ended(caller).id for caller in (ME, OTHER) * 20]
    mine = sorted(ids[::2], reverse=True)
    assert listed(bench, limit=7) == mine
    assert listed(bench, limit=1000) == mine
    middle = bench.jobs.get(mine[50], ME).created_at
    assert listed(bench, limit=7, created_to=middle) == mine[51:]
    assert listed(bench, limit=7, created_from=middle) == mine[:51]
    assert listed(bench, states=[JobState.FAILED]) == []


def test_a_job_that_leaves_while_a_page_is_read_is_on_it(bench, monkeypatch):
    jobs = [bench.ended() for _ in range(3)]
    bench.now += MAX_WAIT_S
    lists = SubmissionIndex(bench.broker)

    def ids(*args, **kwargs):
        found = SubmissionIndex(bench.broker).ids(*args, **kwargs)
        bench.sweep()
        return found

    monkeypatch.setattr(lists, "ids", ids)
    listing = Listing(lists=lists, batches=None, idempotency=None, archive=bench.archive)
    page = listing.page(ME, ListFilter(kinds=[JobKind.JOB]), None, 20)
    assert [each.id for each in page.summaries] == [each.id for each in reversed(jobs)]


def test_an_idempotency_key_finds_its_moved_job(bench):
    job = bench.ended()
    idempotency = RedisIdempotency(bench.broker)
    idempotency.claim(ME, "jobs", "key", "digest", job.id)
    bench.move()
    assert idempotency.claim(ME, "jobs", "key", "digest", new_id()).id == job.id
    assert listed(bench, idempotency_key="key") == [job.id]


def test_jobs_of_long_ago_and_of_now_have_segments_of_their_own(bench):
    old = bench.add()
    bench.now += 10_000
    new = bench.ended()
    bench.jobs.finish(old.id, JobState.CANCELLED)
    bench.move()
    assert len(bench.segments.ids()) == 2
    assert bench.jobs.get(old.id, ME).state is JobState.CANCELLED
    assert bench.jobs.get(new.id, ME).state is JobState.SUCCEEDED
    assert listed(bench) == [new.id, old.id]


def test_jobs_in_an_object_store(servers, tmp_path, object_store):
    blobs = S3BlobStore(f"s3://{BUCKET}/{new_id()}", object_store.endpoint_url)
    bench = ArchiveBench(servers.broker, tmp_path, blobs)
    jobs = bench.ended_many(2000)  # its index is not in the first read of a file alone
    assert bench.move() == 2000
    assert bench.jobs.get(jobs[1234].id, ME).requests == jobs[1234].requests
    assert listed(bench, limit=50)[:3] == sorted((each.id for each in jobs), reverse=True)[:3]
    bench.jobs.delete(jobs[5].id, ME)
    bench.sweep()
    (segment_id,) = bench.segments.ids()
    assert bench.segments.read(segment_id, jobs[5].id) is None
    bench.now += RETENTION_S + GRACE_S
    bench.sweep()
    with pytest.raises(JobExpired):
        bench.jobs.get(jobs[0].id, ME)
    other = bench.ended()
    bench.now += MAX_WAIT_S
    object_store.server.stop()
    reader = JobArchive(bench.archive.catalogue, segments(bench.blobs), bench.clock)
    with pytest.raises(StorageUnavailable):
        reader.read(jobs[0].id, reader.find([jobs[0].id])[0])
    assert bench.sweep() == 0, "it waits for the store"
    assert bench.jobs.get(other.id, ME).id == other.id


# Deleting and expiring


def test_a_deleted_moved_job_is_gone_at_once_and_leaves_its_segment(bench):
    job, long, other = bench.ended(), bench.ended(cars=1000), bench.ended()
    bench.move()
    for each in (job, long):
        with pytest.raises(JobNotFound):
            bench.jobs.delete(each.id, OTHER)
        assert bench.jobs.delete(each.id, ME)
        for call in (bench.jobs.get, bench.jobs.delete):
            with pytest.raises(JobDeleted):
                call(each.id, ME)
        assert bench.jobs.load(each.id) is None
    assert list(bench.payloads.jobs()) == []
    assert listed(bench) == [other.id]
    bench.sweep()
    (segment_id,) = bench.segments.ids()
    assert [each.id for each in bench.segments.read_all(segment_id)] == [other.id]
    assert bench.broker.scard(keys.SEGMENT_DELETIONS) == 0
    assert bench.jobs.get(other.id, ME).state is JobState.SUCCEEDED
    assert listed(bench) == [other.id]
    with pytest.raises(JobDeleted):
        bench.jobs.get(job.id, ME)


def test_moved_jobs_expire_each_in_its_time_and_are_known_for_longer(bench):
    first = bench.ended()
    bench.now += 100
    second = bench.ended()
    ends = [bench.jobs.get(each.id, ME).finished_at for each in (first, second)]
    for job, ended_at in zip((first, second), ends, strict=True):
        # The broker has a clock of its own.
        bench.broker.expireat(keys.job(job.id), int(ended_at + RETENTION_S))
        bench.broker.expireat(keys.job_tombstone(job.id), int(job.created_at + 8 * RETENTION_S))
    bench.move()
    bench.now = ends[0] + RETENTION_S + 50
    bench.sweep()
    with pytest.raises(JobExpired):
        bench.jobs.get(first.id, ME)
    assert bench.jobs.get(second.id, ME).id == second.id
    assert listed(bench) == [second.id]
    bench.now = ends[1] + RETENTION_S + GRACE_S + 1
    bench.sweep()
    assert files(bench) == ["info", "owners"]
    with pytest.raises(JobExpired):
        bench.jobs.get(second.id, ME)
    with pytest.raises(JobExpired):
        bench.jobs.delete(second.id, ME)
    with pytest.raises(JobNotFound):
        bench.jobs.get(second.id, OTHER)
    assert listed(bench) == []
    bench.now = second.created_at + 8 * RETENTION_S + GRACE_S + 2
    bench.sweep()
    assert files(bench) == []
    with pytest.raises(JobNotFound):
        bench.jobs.get(second.id, ME)
    for name in (keys.SEGMENTS, keys.SEGMENTS_BY_TIME, keys.SEGMENTS_DUE):
        assert not bench.broker.exists(name)


def test_usage_of_a_caller_loses_what_has_left_redis(bench):
    counts = JobUsageCounts(bench.broker, bench.clock)
    job = bench.ended(cars=1000)
    before = counts.usage(ME)
    assert before.memory_bytes > 2000
    bench.move()
    after = counts.usage(ME)
    assert (after.open_jobs, after.memory_bytes) == (0, 0)
    assert after.blob_bytes == before.blob_bytes, "its cars and prices are still there"
    bench.jobs.delete(job.id, ME)
    assert counts.usage(ME).blob_bytes == 0


def test_what_a_webhook_takes_counts_after_its_job_has_left_redis(bench):
    counts = JobUsageCounts(bench.broker, bench.clock)
    bench.ended(callback=Callback(url="https://shop.example/done", key_id="", language="fr"))
    before = counts.usage(ME)
    assert bench.move() == 1
    assert counts.usage(ME).memory_bytes == before.memory_bytes > DELIVERY_BYTES


def test_payloads_of_moved_jobs_are_kept(bench):
    job = bench.ended(cars=1000)
    bench.move()
    sweeper = JobPayloadSweeper(
        bench.payloads, bench.broker, SegmentCatalogue(bench.broker), bench.clock
    )
    bench.now += PAYLOAD_GRACE_S + 1
    assert sweeper.sweep() == 0
    assert len(bench.jobs.get(job.id, ME).estimates) == 1000
    bench.now += RETENTION_S
    bench.broker.delete(keys.PAYLOAD_SCAN_MARKER)
    assert sweeper.sweep() == 1


# What stays


def test_open_jobs_and_those_that_can_be_replayed_stay(bench):
    opened = bench.add()
    letter = bench.add()
    DeadLetters(bench.broker, bench.clock).give_up(letter, bench.jobs)
    assert bench.jobs.get(letter.id, ME).error == ATTEMPTS_EXHAUSTED
    bench.move()
    assert bench.in_redis(opened)
    assert bench.jobs.reopen(letter.id)
    assert bench.broker.llen(keys.ENDED_QUEUE) == 0
    bench.jobs.finish(letter.id, JobState.SUCCEEDED)
    assert bench.move() == 1
    assert bench.jobs.get(letter.id, ME).state is JobState.SUCCEEDED


def test_jobs_of_an_earlier_release_expire_in_redis(bench):
    job = bench.add()
    bench.broker.hset(keys.job(job.id), "ends", 1)
    bench.jobs.finish(job.id, JobState.SUCCEEDED)
    assert bench.move() == 0
    assert bench.jobs.get(job.id, ME).state is JobState.SUCCEEDED
    bench.broker.delete(keys.job(job.id))
    with pytest.raises(JobExpired):
        bench.jobs.get(job.id, ME)


# Interruptions


def killed_sweep(bench, servers, folder, step, moment) -> None:
    """Sweep in a process that is killed before or after a step."""
    arguments = [servers.settings.redis_url, str(folder), repr(bench.now), step, moment]
    command = [sys.executable, "-m", "tests.killed_sweep", *arguments]
    ended = subprocess.run(command, cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert bench.sweep() == 0, "it has the lease until that expires"
    bench.broker.delete(keys.SEGMENT_LEASE)


@pytest.mark.parametrize(
    ("step", "moment"),
    [
        ("_segments.write", "before"),
        ("_segments.write", "after"),
        ("_writing.add", "after"),
        ("_writing.remove", "after"),
        ("_writing.set_pending", "after"),
        ("_writing.trim_queue", "before"),
    ],
)
def test_a_sweep_that_is_killed_loses_and_doubles_no_job(bench, servers, tmp_path, step, moment):
    jobs = [bench.ended(caller) for caller in (ME, OTHER) * 40]
    bench.now += MAX_WAIT_S
    before = [bench.jobs.get(job.id, job.caller) for job in jobs]
    lists = [listed(bench), listed(bench, OTHER)]
    killed_sweep(bench, servers, tmp_path, step, moment)
    for _ in range(2):
        assert [bench.jobs.get(job.id, job.caller) for job in jobs] == before
        assert [listed(bench), listed(bench, OTHER)] == lists
        bench.new_archiver().sweep()
    assert not any(map(bench.in_redis, jobs))
    stored = [each.id for one in bench.segments.ids() for each in bench.segments.ends(one)]
    assert sorted(stored) == sorted(job.id for job in jobs)
    assert bench.broker.llen(keys.ENDED_QUEUE) == 0
    assert JobUsageCounts(bench.broker, bench.clock).usage(ME).memory_bytes == 0


def test_a_killed_removal_goes_on_after_a_deletion_and_a_replay(bench, servers, tmp_path):
    job, deleted, reopened = (
        bench.ended(), bench.ended(), bench.ended(state=JobState.FAILED, error="model-not-loaded")
    )  # fmt: skip
    bench.now += MAX_WAIT_S
    killed_sweep(bench, servers, tmp_path, "_writing.add", "after")
    assert bench.jobs.delete(deleted.id, ME)
    assert bench.jobs.reopen(reopened.id)
    bench.sweep()
    assert bench.in_redis(reopened)
    assert bench.jobs.get(reopened.id, ME).state is JobState.QUEUED
    (segment_id,) = bench.segments.ids()
    assert [each.id for each in bench.segments.read_all(segment_id)] == [job.id]
    with pytest.raises(JobDeleted):
        bench.jobs.get(deleted.id, ME)
    assert listed(bench) == [reopened.id, job.id]


def test_two_sweeps_at_once_move_each_job_once(bench):
    jobs = bench.ended_many(3000)
    bench.now += MAX_WAIT_S
    archivers = [bench.new_archiver() for _ in range(4)]
    moved, barrier = [], threading.Barrier(len(archivers))

    def sweep(archiver) -> None:
        barrier.wait()
        moved.append(archiver.sweep())

    threads = [threading.Thread(target=sweep, args=(each,)) for each in archivers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(moved) == 3000
    stored = [each.id for one in bench.segments.ids() for each in bench.segments.ends(one)]
    assert sorted(stored) == sorted(job.id for job in jobs)


def test_a_sweep_that_lost_its_lease_changes_nothing(bench, monkeypatch):
    job = bench.ended()
    bench.now += MAX_WAIT_S
    second = bench.new_archiver()
    write = bench.archiver._segments.write

    def suspended(*args) -> None:
        """The process stops for longer than its lease, while another one sweeps."""
        bench.broker.delete(keys.SEGMENT_LEASE)
        assert second.sweep() == 1
        write(*args)

    monkeypatch.setattr(bench.archiver._segments, "write", suspended)
    assert bench.sweep() == 0
    assert bench.jobs.get(job.id, ME).state is JobState.SUCCEEDED
    assert listed(bench) == [job.id]
    assert len(bench.segments.ids()) == 2
    bench.now += ORPHAN_AGE_S + LEASE_S
    bench.broker.delete(keys.SEGMENT_SCAN_MARKER)
    second.sweep()
    assert len(bench.segments.ids()) == 1
    assert bench.jobs.get(job.id, ME).state is JobState.SUCCEEDED


def test_moved_jobs_survive_a_broker_that_lost_its_data(bench, monkeypatch):
    monkeypatch.setattr(archive_sweep, "ADOPT_LIMIT", 2)
    jobs = []
    for _ in range(3):
        jobs.append(bench.ended())
        bench.move()
    bench.broker.flushall()
    bench.sweep()
    assert len(listed(bench)) == 2, "the latest first"
    bench.sweep()
    assert bench.jobs.get(jobs[0].id, ME).requests == jobs[0].requests
    assert listed(bench) == [each.id for each in reversed(jobs)]


# Damage


@pytest.mark.parametrize("name", ["records", "lists"])
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_an_unreadable_segment_says_so(bench, name, damage):
    job = bench.ended()
    bench.move()
    (path,) = bench.blobs._root.rglob(name)
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-3] if damage == "cut" else content[:-3] + b"xyz")
    if name == "records":
        with pytest.raises(UnreadableRecord):
            bench.jobs.get(job.id, ME)
        with pytest.raises(UnreadableRecord):
            bench.jobs.load(job.id)
    else:
        assert bench.jobs.get(job.id, ME).id == job.id
        assert listed(bench) == []
        assert bench.jobs.delete(job.id, ME)
    other = bench.ended()
    assert bench.jobs.get(other.id, ME).id == other.id
    assert listed(bench)[0] == other.id
    assert bench.move() == 1, "others go on"


def test_a_segment_of_a_newer_release_concerns_no_other_job(bench):
    job = bench.ended()
    bench.move()
    (packed,) = bench.broker.hvals(keys.SEGMENTS)
    (segment_id,) = bench.broker.hkeys(keys.SEGMENTS)
    bench.broker.hset(keys.SEGMENTS, segment_id, packed.replace(b"\x97\x01", b"\x97\x63", 1))
    recent = bench.ended()
    found = bench.reader.read_all([JobQuery(job.id, ME), JobQuery(recent.id, ME)])
    assert found[0] == Moved()
    assert found[1].state is JobState.SUCCEEDED
    with pytest.raises(UnreadableRecord):
        bench.jobs.get(job.id, ME)
