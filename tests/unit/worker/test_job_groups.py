"""Jobs of one message on a real broker: each step together, every guarantee for each job."""

import logging
import os
import signal
import threading
from collections import Counter

import pytest
import redis.connection
import structlog

from shared.blobs.job_payloads import JobPayloads
from shared.domain.errors import AuditUnavailable, BrokerFull, BrokerUnavailable, StorageUnavailable
from shared.domain.ids import JobId, new_id
from shared.domain.job import JobState
from shared.fields.requests import load_car_request
from shared.redis import keys
from shared.redis.job_store.endings import read_ends
from shared.redis.owners import OwnerRegistry
from tests.conftest import wait_until
from tests.valuation_bench import ME, Bench, keeping, raising
from worker.valuations import claims as claims_module
from worker.valuations import service
from worker.valuations.claims import BUSY_RETRY_S
from worker.valuations.service import OUTAGE_RETRY_DELAY_S
from worker.valuations.sweep import JobSweeper

BROKEN_KM = 666


@pytest.fixture
def bench(servers, tmp_path):
    # The traces of the failures on purpose take seconds to print.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return Bench(servers, tmp_path / "audit")


@pytest.fixture
def request_(car):
    return load_car_request(car)


def states(bench, ids):
    return [bench.jobs.load(job_id).state for job_id in ids]


def value(bench, ids):
    bench.service.value_jobs(ids, bench.now)


def test_jobs_of_a_message_take_each_step_by_one_round_trip(bench, request_, monkeypatch):
    sent = []
    this_thread = threading.get_ident()
    real = redis.connection.AbstractConnection.send_packed_command

    def counted(connection, command, *arguments, **options):
        if threading.get_ident() == this_thread:  # applications of earlier tests have threads
            sent.append(command)
        return real(connection, command, *arguments, **options)

    groups = [[bench.stored(request_).id for _ in range(count)] for count in (1, 1, 40)]
    value(bench, groups[0])  # connects and loads the scripts
    monkeypatch.setattr(redis.connection.AbstractConnection, "send_packed_command", counted)
    trips = []
    for group in groups[1:]:
        sent.clear()
        value(bench, group)
        trips.append(len(sent))
    assert trips[0] == trips[1] <= 7
    assert set(states(bench, groups[2])) == {JobState.SUCCEEDED}
    assert sorted(bench.recorded()) == sorted(each for group in groups for each in group)


def test_what_happens_to_one_job_concerns_no_other(bench, request_, car):
    broken = load_car_request(car | {"km_driven": BROKEN_KM})
    first, failing, cancelled, unreadable, exhausted, ended, last = (
        bench.stored(each).id for each in (request_, broken, *[request_] * 5)
    )
    gone = JobId(new_id())
    bench.jobs.request_cancel(cancelled, ME)
    bench.broker.hset(keys.job(unreadable), "schema", 99)
    for _ in range(3):
        bench.jobs.start(exhausted)
    bench.jobs.finish(ended, JobState.FAILED, error="valuation-failed")
    value(bench, [first, failing, cancelled, gone, unreadable, exhausted, ended, last])
    found = {job_id: bench.jobs.load(job_id) for job_id in (first, failing, cancelled, exhausted)}
    assert [job.state for job in found.values()] == [
        JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.FAILED
    ]  # fmt: skip
    assert found[failing].error == "valuation-failed"
    assert found[exhausted].error == "attempts-exhausted"
    assert bench.jobs.load(last).state is JobState.SUCCEEDED
    assert bench.broker.hget(keys.job(unreadable), "state") == b"QUEUED"
    assert bench.broker.hget(keys.job(unreadable), "attempts") is None
    assert [letter.work_id for letter in bench.dead_letters.all()] == [exhausted]
    assert sorted(bench.recorded()) == sorted([first, failing, last])


def test_a_job_that_is_cancelled_while_its_group_is_valued_ends_cancelled(bench, request_):
    ids = [bench.stored(request_).id for _ in range(3)]
    real = bench.models.model.estimate

    def cancelled_meanwhile(cars):
        bench.jobs.request_cancel(ids[1], ME)
        return real(cars)

    bench.models.model.estimate = cancelled_meanwhile
    value(bench, ids)
    assert states(bench, ids) == [JobState.SUCCEEDED, JobState.CANCELLED, JobState.SUCCEEDED]
    assert bench.recorded() == [ids[0], ids[2]]


def test_a_started_job_whose_cancellation_was_requested_is_not_valued(bench, request_):
    ids = [bench.stored(request_).id for _ in range(2)]
    bench.jobs.start(ids[0])  # and its worker died
    bench.jobs.request_cancel(ids[0], ME)
    value(bench, ids)
    assert states(bench, ids) == [JobState.CANCELLED, JobState.SUCCEEDED]
    assert bench.jobs.load(ids[0]).attempts == 1
    assert bench.recorded() == [ids[1]]


def die_at_entry(owner, name):
    """Has the process killed when it calls a method."""

    def patch(bench):
        setattr(getattr(bench, owner), name, lambda *_, **__: kill())

    return patch


def die_after(owner, name, *, of_first_half=False):
    """Has the process killed after it has called a method, with all of a group or with a half."""

    def patch(bench):
        real = getattr(getattr(bench, owner), name)

        def call(items, *arguments, **options):
            real(items[: len(items) // 2] if of_first_half else items, *arguments, **options)
            kill()

        setattr(getattr(bench, owner), name, call)

    return patch


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def in_other_process(servers, folder, now, ids, patch):
    """Have a worker process carry out a message; returns its id."""
    if pid := os.fork():
        return pid
    other = Bench(servers, folder)
    other.now = now
    OwnerRegistry(other.broker, other.owner).beat()
    patch(other)
    value(other, ids)
    os._exit(0)


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param(die_at_entry("claims", "begin_all"), id="before the claim"),
        pytest.param(die_at_entry("jobs", "start_all"), id="after the claim"),
        pytest.param(die_at_entry("estimation", "estimate"), id="after the start"),
        pytest.param(die_at_entry("audit", "append"), id="after the estimate"),
        pytest.param(die_after("audit", "append"), id="after the audit records"),
        pytest.param(
            die_after("audit", "append", of_first_half=True), id="after half of the audit records"
        ),
        pytest.param(
            die_after("jobs", "finish_all", of_first_half=True), id="after half of the ends"
        ),
        pytest.param(die_after("jobs", "finish_all"), id="after all ends"),
    ],
)
def test_a_killed_worker_leaves_each_job_to_end_once_with_one_record(
    bench, servers, request_, patch, tmp_path
):
    ids = [bench.stored(request_).id for _ in range(6)]
    pid = in_other_process(servers, tmp_path / "audit", bench.now, ids, patch)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    # A new process of the same node knows at once that its predecessor is dead.
    OwnerRegistry(bench.broker, bench.owner).remove_predecessors()
    value(bench, ids)
    assert states(bench, ids) == [JobState.SUCCEEDED] * 6
    assert sorted(bench.recorded()) == sorted(ids)
    assert max(bench.jobs.load(job_id).attempts for job_id in ids) <= 2
    value(bench, ids)
    assert sorted(bench.recorded()) == sorted(ids)


def test_a_message_that_two_workers_get_at_once_is_recorded_once(
    bench, servers, request_, tmp_path
):
    groups = [[bench.stored(request_).id for _ in range(8)] for _ in range(10)]
    all_ids = [job_id for group in groups for job_id in group]
    if not (pid := os.fork()):
        other = Bench(servers, tmp_path / "audit")
        registry = OwnerRegistry(other.broker, other.owner)
        for group in groups:
            registry.beat()
            value(other, group)
        os._exit(0)
    registry = OwnerRegistry(bench.broker, bench.owner)
    for group in reversed(groups):
        registry.beat()
        value(bench, group)
    os.waitpid(pid, 0)
    wait_until(lambda: value(bench, all_ids) or set(states(bench, all_ids)) == {JobState.SUCCEEDED})
    assert Counter(bench.recorded()) == Counter(all_ids)


def test_a_job_that_another_worker_has_is_left_to_it(bench, request_):
    ids = [bench.stored(request_).id for _ in range(3)]
    claims, registry = bench.other_worker()
    claims.begin_all(["another", ids[1]])
    value(bench, ids)
    assert states(bench, ids) == [JobState.SUCCEEDED, JobState.QUEUED, JobState.SUCCEEDED]
    bench.now += BUSY_RETRY_S
    assert bench.jobs.overdue(10) == [ids[1]]
    registry.leave()
    value(bench, ids)
    assert sorted(bench.recorded()) == sorted(ids)
    assert bench.jobs.load(ids[1]).attempts == 1, "to be busy is no attempt"


def test_a_suspended_worker_records_only_what_was_not_taken_over(bench, request_, monkeypatch):
    ids = [bench.stored(request_).id for _ in range(3)]
    other, _ = bench.other_worker()
    real = bench.models.model.estimate

    def suspended(cars):
        bench.broker.zrem(keys.OWNERS, bench.owner.name)
        other.begin(ids[1])
        return real(cars)

    monkeypatch.setattr(claims_module, "VERIFY_AFTER_S", 0.0)
    monkeypatch.setattr(bench.models.model, "estimate", suspended)
    value(bench, ids)
    assert bench.recorded() == [ids[0], ids[2]]
    assert states(bench, ids) == [JobState.SUCCEEDED, JobState.RUNNING, JobState.SUCCEEDED]


def test_jobs_that_were_started_before_are_carried_out_one_by_one(bench, request_):
    """One of them may be what ended the process of the group."""
    ids = [bench.stored(request_).id for _ in range(5)]
    for job_id in ids[1:3]:
        bench.jobs.start(job_id)
    sizes = []
    real = bench.estimation.estimate

    def counted(requests):
        sizes.append(len(requests))
        return real(requests)

    bench.estimation.estimate = counted
    value(bench, ids)
    assert sizes == [3, 1, 1]
    assert sorted(bench.recorded()) == sorted(ids)


def test_an_unexpected_failure_of_a_group_costs_no_job_an_attempt_but_its_cause(
    bench, request_, car, monkeypatch
):
    bad = load_car_request(car | {"km_driven": 7})
    jobs = [bench.stored(each).id for each in (request_, bad, request_)]
    real = bench.audit.append

    def defect(records):
        if any(record.car.km_driven == 7 for record in records):
            raise ZeroDivisionError
        real(records)

    monkeypatch.setattr(bench.audit, "append", defect)
    value(bench, jobs)
    assert states(bench, jobs) == [JobState.SUCCEEDED, JobState.RUNNING, JobState.SUCCEEDED]
    assert [bench.jobs.load(each).attempts for each in jobs] == [1, 1, 1]
    monkeypatch.undo()
    value(bench, jobs)
    assert sorted(bench.recorded()) == sorted(jobs)


def test_what_was_recorded_before_an_unexpected_failure_is_not_recorded_again(
    bench, request_, monkeypatch
):
    ids = [bench.stored(request_).id for _ in range(3)]
    real = bench.jobs.finish_all

    def fails_for_groups(ends, *arguments):
        if len(ends) > 1:
            raise ZeroDivisionError
        return real(ends, *arguments)

    monkeypatch.setattr(bench.jobs, "finish_all", fails_for_groups)
    value(bench, ids)
    assert states(bench, ids) == [JobState.SUCCEEDED] * 3
    assert sorted(bench.recorded()) == sorted(ids)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("audit.append", AuditUnavailable()),
        ("jobs.load_all", BrokerUnavailable(reason="gone")),
        ("jobs.start_all", BrokerUnavailable(reason="gone")),
        ("jobs.finish_all", BrokerUnavailable(reason="gone")),
    ],
)
def test_a_group_waits_for_the_end_of_an_outage(bench, request_, monkeypatch, step, error):
    owner, name = step.split(".")
    ids = [bench.stored(request_).id for _ in range(3)]
    with monkeypatch.context() as outage:
        outage.setattr(getattr(bench, owner), name, raising(error))
        try:
            value(bench, ids)
        except BrokerUnavailable:
            assert name in {"load_all", "start_all"}
    bench.now += OUTAGE_RETRY_DELAY_S
    sent = []
    sweeper = JobSweeper(bench.jobs, keeping(sent), bench.dead_letters, max_attempts=3)
    assert sweeper.sweep() == 3
    value(bench, sent)
    assert states(bench, ids) == [JobState.SUCCEEDED] * 3
    assert [bench.jobs.load(job_id).attempts for job_id in ids] == [1, 1, 1]
    assert sorted(bench.recorded()) == sorted(ids)


def test_a_group_ends_while_the_broker_is_full(bench, request_, monkeypatch):
    """Also beside jobs that a full broker neither lists as dead letters nor postpones."""
    monkeypatch.setattr(service, "OUTAGE_WAIT_S", 0.0)
    exhausted, unreadable, busy, *ids = (bench.stored(request_).id for _ in range(6))
    for _ in range(3):
        bench.jobs.start(exhausted)
    bench.broker.hset(keys.job(unreadable), "schema", 99)
    claims, _ = bench.other_worker()
    claims.begin(busy)
    bench.broker.config_set("maxmemory", 1)
    try:
        with pytest.raises(BrokerFull):
            value(bench, [exhausted, unreadable, busy, *ids])
    finally:
        bench.broker.config_set("maxmemory", 0)
    assert states(bench, ids) == [JobState.SUCCEEDED] * 3
    assert sorted(bench.recorded()) == sorted(ids)


def test_a_result_that_the_blob_store_refuses_delays_only_its_job(bench, request_, monkeypatch):
    """The record is in the log by then, and is not written again."""
    ids = [bench.stored(request_).id, bench.stored(*[request_] * 3).id]
    bench.broker.hset(keys.job(ids[1]), "blobs", 1)
    payloads = JobPayloads(None)
    monkeypatch.setattr(bench.jobs, "_payloads", payloads)
    monkeypatch.setattr("shared.redis.job_store.store.INLINE_MAX_BYTES", 200)
    monkeypatch.setattr(payloads, "write", raising(StorageUnavailable(reason="full")))
    value(bench, ids)
    assert states(bench, ids) == [JobState.SUCCEEDED, JobState.RUNNING]
    monkeypatch.setattr(bench.jobs, "_payloads", None)
    value(bench, ids)
    assert states(bench, ids) == [JobState.SUCCEEDED] * 2
    assert sorted(bench.recorded()) == sorted([ids[0], *(f"{ids[1]}-{n}" for n in (1, 2, 3))])


def test_the_ends_of_a_group_are_published_together(bench, request_, car):
    broken = load_car_request(car | {"km_driven": BROKEN_KM})
    jobs = [bench.stored(each) for each in (request_, broken, request_)]
    with bench.broker.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(keys.ENDED_JOBS_CHANNEL)
        subscription.get_message(timeout=5)
        value(bench, [job.id for job in jobs])
        message = subscription.get_message(timeout=5)
        assert subscription.get_message(timeout=0.05) is None
    ends = {end.id: end for end in read_ends(message["data"])}
    for job in jobs:
        assert ends[job.id].applied_to(job) == bench.jobs.load(job.id)
