"""The list of a caller's jobs and batches: complete, in order, nobody else's, and cheap."""

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from redis.connection import Connection, UnixDomainSocketConnection

from api.jobs import listing
from api.jobs.idempotency import RedisIdempotency
from api.jobs.listing import ListFilter, Listing, SubmissionIndex
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobKind, JobState
from shared.fields.requests import load_car_request
from shared.redis import keys
from shared.redis.job_store.store import JobStore
from shared.redis.pipelines import pack
from tests.batch_parts import CALLER, BulkPath, cars_csv
from tests.conftest import REFERENCE_CAR, Servers
from tests.job_archive import no_archive

OTHER = CallerId("another")
BATCHES = ListFilter(kinds=(JobKind.BATCH,))


@pytest.fixture
def path(tmp_path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


@pytest.fixture
def store(path: BulkPath) -> JobStore:
    return JobStore(path.client, path.clock, retention_s=100, lease_s=30)


@pytest.fixture
def lister(path: BulkPath) -> Listing:
    return Listing(
        lists=SubmissionIndex(path.client),
        batches=path.batches,
        idempotency=RedisIdempotency(path.client),
        archive=no_archive(path.client),
    )


@pytest.fixture
def submit(store: JobStore, path: BulkPath) -> Callable[..., str]:
    car = load_car_request(REFERENCE_CAR)

    def submit_(caller: CallerId = CALLER, cars: int = 1) -> str:
        path.clock.now += 1
        job_id = JobId(new_id(path.clock.now))
        store.create(
            Job(
                id=job_id, caller=caller, state=JobState.QUEUED, created_at=path.clock.now,
                requests=(car,) * cars, is_list=cars > 1,
            )
        )  # fmt: skip
        return job_id

    return submit_


def all_pages(lister: Listing, wanted: ListFilter, limit: int) -> list[str]:
    found, cursor = [], None
    while True:
        page = lister.page(CALLER, wanted, cursor, limit)
        assert len(page.summaries) <= limit
        found += [head.id for head in page.summaries]
        cursor = page.cursor
        if cursor is None:
            return found


def test_pages_hold_every_job_once_the_newest_first(lister: Listing, submit) -> None:
    ids = [submit() for _ in range(25)]
    for limit in (1, 7, 25, 100):
        assert all_pages(lister, ListFilter(), limit) == ids[::-1]


def test_a_job_that_comes_meanwhile_moves_no_page(lister: Listing, submit) -> None:
    ids = [submit() for _ in range(10)]
    first = lister.page(CALLER, ListFilter(), None, 4)
    submit()
    second = lister.page(CALLER, ListFilter(), first.cursor, 4)
    assert [head.id for head in (*first.summaries, *second.summaries)] == ids[:1:-1]


def test_nobody_sees_the_jobs_of_somebody_else(lister: Listing, submit, path: BulkPath) -> None:
    mine, theirs = submit(), submit(OTHER)
    path.client.zadd(keys.jobs_by_caller(CALLER), {theirs: 0})
    assert all_pages(lister, ListFilter(), 10) == [mine]
    assert [head.id for head in lister.page(OTHER, ListFilter(), None, 10).summaries] == [theirs]


def test_filters_are_exact(lister: Listing, submit, store: JobStore, path: BulkPath) -> None:
    ids = [submit(cars=2) for _ in range(6)]
    begin = path.clock.now - 5
    store.start(JobId(ids[1]))
    store.finish(JobId(ids[2]), JobState.SUCCEEDED)
    states = {JobState.RUNNING: [ids[1]], JobState.SUCCEEDED: [ids[2]], JobState.FAILED: []}
    for state, expected in states.items():
        assert all_pages(lister, ListFilter(states=(state,)), 2) == expected
    window = ListFilter(created_from=begin + 2, created_to=begin + 4)
    assert all_pages(lister, window, 10) == [ids[3], ids[2]]
    (done,) = lister.page(CALLER, ListFilter(states=(JobState.SUCCEEDED,)), None, 5).summaries
    assert (done.done, done.total, done.created_at) == (2, 2, begin + 2)


def test_a_filter_that_nothing_passes_costs_a_bounded_look(
    lister: Listing, submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_SCANNED", 4)
    ids = [submit() for _ in range(9)]
    page = lister.page(CALLER, ListFilter(states=(JobState.FAILED,)), None, 20)
    assert (page.summaries, page.cursor) == ([], ids[5])
    assert all_pages(lister, ListFilter(states=(JobState.FAILED,)), 20) == []


def test_what_is_gone_leaves_the_list_without_anybody_reading_it(
    lister: Listing, submit, path: BulkPath
) -> None:
    gone = [submit() for _ in range(6)]
    path.client.delete(*(keys.job(job_id) for job_id in gone))
    kept = [submit() for _ in range(3)]
    assert path.client.zcard(keys.jobs_by_caller(CALLER)) == 3
    path.client.delete(keys.job(kept[1]))
    assert all_pages(lister, ListFilter(), 10) == [kept[2], kept[0]]
    assert path.client.zcard(keys.jobs_by_caller(CALLER)) == 2


def test_batches_stand_among_the_jobs_until_they_expire(
    lister: Listing, submit, path: BulkPath
) -> None:
    job = submit()
    batch = path.run(cars_csv(7)).manifest.id
    assert {job, batch} == set(all_pages(lister, ListFilter(), 1))
    (head,) = lister.page(CALLER, BATCHES, None, 5).summaries
    assert (head.state, head.done, head.total) == (JobState.SUCCEEDED, 7, 7)
    path.client.flushall()
    path.sweep.sweep()
    assert all_pages(lister, BATCHES, 5) == [batch], "the list is refilled from the files"
    path.clock.now += 1001
    path.client.delete(keys.BATCH_SCAN_MARKER)
    path.sweep.sweep()
    assert all_pages(lister, BATCHES, 5) == []


def test_a_batch_is_found_by_its_idempotency_key(lister: Listing, path: BulkPath) -> None:
    batch = path.accept(cars_csv(3), key="tonight")
    (head,) = lister.page(CALLER, ListFilter(idempotency_key="tonight"), None, 5).summaries
    assert (head.id, head.kind) == (batch, JobKind.BATCH)
    for nothing in (
        ListFilter(idempotency_key="yesterday"),
        ListFilter(idempotency_key="tonight", kinds=(JobKind.JOB,)),
    ):
        assert lister.page(CALLER, nothing, None, 5).summaries == []
    assert lister.page(OTHER, ListFilter(idempotency_key="tonight"), None, 5).summaries == []


def count_commands(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of commands that this thread sends from now on; other tests' threads do not count."""
    sent: list[int] = []
    here = threading.get_ident()
    pack_one, pack_many = Connection.pack_command, Connection.pack_commands

    def count(commands: int) -> None:
        if threading.get_ident() == here:
            sent.append(commands)

    def pack_command(connection: Connection, *parts: Any) -> Any:
        count(1)
        return pack_one(connection, *parts)

    def pack_commands(connection: Connection, commands: Any) -> Any:
        listed = list(commands)
        count(len(listed))
        return pack_many(connection, listed)

    def pack_pipeline(commands: Any) -> bytes:
        count(len(commands))
        return pack(commands)

    monkeypatch.setattr("shared.redis.pipelines.pack", pack_pipeline)
    for kind in (Connection, UnixDomainSocketConnection):
        monkeypatch.setattr(kind, "pack_command", pack_command)
        monkeypatch.setattr(kind, "pack_commands", pack_commands)
    return sent


def test_a_page_costs_the_same_however_much_is_stored(
    lister: Listing, submit, path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [submit() for _ in range(30)]
    rng = random.Random(1)
    older = {new_id(path.clock.now - 1e6 - rng.random()): 0 for _ in range(50_000)}
    path.client.zadd(keys.jobs_by_caller(CALLER), older)

    sent = count_commands(monkeypatch)
    page = lister.page(CALLER, ListFilter(kinds=(JobKind.JOB,)), None, 20)
    assert [head.id for head in page.summaries] == ids[:9:-1]
    assert 0 < sum(sent) <= 103, "one range, and one look at each of a block"
