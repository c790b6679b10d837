"""Jobs in a real Redis: they end once, belong to their caller and are not lost."""

import dataclasses
import threading

import pytest
import redis

from api.jobs.idempotency import RedisIdempotency
from shared.domain.errors import (
    BrokerUnavailable,
    IdempotencyConflict,
    JobAlreadyEnded,
    JobExpired,
    JobNotFound,
)
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobEnd, JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.redis import keys as redis_keys
from shared.redis.connections import connect
from shared.redis.job_store.positions import QueuePositions
from shared.redis.job_store.store import JobStore
from shared.redis.pipelines import PipelinedCommands

ME, OTHER = CallerId("me"), CallerId("other")
ESTIMATE = Estimate(price_mad=1.0, quantiles_mad=(1.0,) * 9, model_version="v1", model_known=True)


@pytest.fixture
def now():
    return [1_790_000_000.0]


@pytest.fixture
def store(servers, now):
    return JobStore(servers.broker, lambda: now[0], retention_s=100, lease_s=30)


@pytest.fixture
def job(store, now, car):
    created = Job(
        id=JobId(new_id()),
        caller=ME,
        state=JobState.QUEUED,
        created_at=now[0],
        requests=(load_car_request(car), load_car_request(car | {"year": 2015})),
        is_list=True,
    )
    store.create(created)
    return created


def test_a_job_is_read_as_it_was_created(store, job):
    assert store.get(job.id, ME) == job


def test_another_callers_job_does_not_exist(store, job):
    with pytest.raises(JobNotFound):
        store.get(job.id, OTHER)
    with pytest.raises(JobNotFound):
        store.request_cancel(job.id, OTHER)


@pytest.mark.parametrize("bad", ["", "x", "../../etc/passwd", "0" * 26, "\x00" * 26])
def test_a_malformed_id_is_not_found(store, bad):
    with pytest.raises(JobNotFound):
        store.get(JobId(bad), ME)


def test_a_job_runs_and_ends_once(store, job):
    assert store.start(job.id) is JobState.RUNNING
    assert store.finish(job.id, JobState.SUCCEEDED, [ESTIMATE, ESTIMATE]) is True
    assert store.finish(job.id, JobState.FAILED, error="late") is False
    ended = store.get(job.id, ME)
    assert (ended.state, ended.attempts, ended.error) == (JobState.SUCCEEDED, 1, None)
    assert ended.estimates == (ESTIMATE, ESTIMATE)
    assert store.start(job.id) is JobState.SUCCEEDED


def test_many_threads_end_a_job_only_once(store, job):
    ended = []
    threads = [
        threading.Thread(target=lambda: ended.append(store.finish(job.id, JobState.SUCCEEDED)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == [False] * 15 + [True]


def test_a_queued_job_is_cancelled_at_once_a_running_one_is_asked_to_stop(store, job):
    assert store.request_cancel(job.id, ME).state is JobState.CANCELLED
    with pytest.raises(JobAlreadyEnded):
        store.request_cancel(job.id, ME)


def test_a_running_job_keeps_running_after_a_cancel_request(store, job):
    store.start(job.id)
    asked = store.request_cancel(job.id, ME)
    assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)


def test_a_job_is_overdue_from_the_end_of_its_lease_until_it_is_renewed_or_ends(store, job, now):
    assert store.overdue(10) == []
    now[0] += 31
    assert store.overdue(10) == [job.id]
    store.renew(job.id)
    assert store.overdue(10) == []
    now[0] += 31
    store.finish(job.id, JobState.SUCCEEDED)
    assert store.overdue(10) == []


def test_an_expired_job_differs_from_an_unknown_one(store, job, servers):
    store.finish(job.id, JobState.SUCCEEDED)
    assert 0 < servers.broker.ttl(redis_keys.job(job.id)) <= 100
    servers.broker.delete(redis_keys.job(job.id))
    with pytest.raises(JobExpired):
        store.get(job.id, ME)
    with pytest.raises(JobNotFound):
        store.get(job.id, OTHER)
    with pytest.raises(JobNotFound):
        store.get(JobId(new_id()), ME)


def test_the_place_in_the_queue_counts_the_jobs_before(store, job, now, car, servers):
    later = Job(
        id=JobId(new_id()),
        caller=ME,
        state=JobState.QUEUED,
        created_at=now[0] + 1,
        requests=(load_car_request(car),),
        is_list=False,
    )
    store.create(later)
    positions = QueuePositions(servers.broker, lambda: now[0])
    place = positions.of(later.id)
    assert (place.position, place.eta_s) == (1, None)
    now[0] += 10
    store.finish(job.id, JobState.SUCCEEDED)
    place = positions.of(later.id)
    assert (place.position, bool(place.eta_s)) == (0, True)
    now[0] -= 8.5
    assert positions.of(later.id).eta_s is None, "it has come just now"
    store.finish(later.id, JobState.SUCCEEDED)
    assert positions.of(later.id) is None


def test_nothing_but_the_retained_job_stays_behind(store, job, servers):
    store.start(job.id)
    store.finish(job.id, JobState.SUCCEEDED)
    assert set(servers.broker.hvals(redis_keys.OPEN_USAGE)) == {b"0"}
    for key in set(servers.broker.keys("*")) - {redis_keys.OPEN_USAGE.encode()}:
        assert servers.broker.ttl(key) > 0, key


def test_a_repeated_key_finds_the_first_id_and_another_body_is_refused(servers):
    keys = RedisIdempotency(servers.broker)
    assert keys.claim(ME, "jobs", "k", "body", "one") == ("one", True)
    assert keys.claim(ME, "jobs", "k", "body", "two") == ("one", False)
    assert keys.claim(OTHER, "jobs", "k", "body", "three") == ("three", True)
    assert keys.claim(ME, "batches", "k", "body", "four") == ("four", True)
    with pytest.raises(IdempotencyConflict):
        keys.claim(ME, "jobs", "k", "another body", "five")
    keys.rebind(ME, "jobs", "k", "body", "six")
    assert keys.claim(ME, "jobs", "k", "body", "seven") == ("six", False)


def test_a_dead_broker_is_reported(tmp_path, now, job):
    dead = JobStore(
        connect(f"unix://{tmp_path}/nobody.sock"), lambda: now[0], retention_s=1, lease_s=1
    )
    for call in (
        lambda: dead.create(job),
        lambda: dead.load(job.id),
        lambda: dead.start(job.id),
        lambda: dead.finish(job.id, JobState.FAILED),
        lambda: dead.overdue(1),
        lambda: dead.renew(job.id),
        lambda: dead.forget(job.id),
    ):
        with pytest.raises(BrokerUnavailable):
            call()


def test_many_jobs_end_in_one_round_trip_each_once(store, job):
    other = dataclasses.replace(job, id=JobId(new_id()))
    store.create(other)
    ends = [
        JobEnd(job.id, JobState.SUCCEEDED, (ESTIMATE, ESTIMATE)),
        JobEnd(JobId(new_id()), JobState.SUCCEEDED, (ESTIMATE,)),
        JobEnd(other.id, JobState.FAILED, error="valuation-failed"),
    ]
    assert store.finish_all(ends) == [True, False, True]
    assert store.finish_all(ends) == [False] * 3
    assert store.get(job.id, ME).estimates == (ESTIMATE, ESTIMATE)
    assert store.get(other.id, ME).error == "valuation-failed"


def test_a_silent_broker_delays_only_the_first_call(servers, now, job, monkeypatch):
    store = JobStore(servers.broker, lambda: now[0], retention_s=100, lease_s=30)
    asked = []

    def silent(*_):
        asked.append(1)
        raise redis.TimeoutError

    monkeypatch.setattr(PipelinedCommands, "outcomes", silent)
    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            store.create(job)
    assert len(asked) == 1
    store._creation._circuit_open_until = 0.0
    with pytest.raises(BrokerUnavailable):
        store.create(job)
    assert len(asked) == 2
