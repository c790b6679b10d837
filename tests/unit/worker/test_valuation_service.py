"""The interactive work of a worker, on a real Redis and a real log: once, recorded, in order."""

import errno
import sys
from contextlib import suppress

import msgpack
import pytest
from prometheus_client import REGISTRY

from shared.audit.log import Fsync
from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import JobId, ValuationId, new_id
from shared.domain.job import DispatchOrigin, JobState
from shared.fields.requests import load_car_request
from shared.redis import keys
from shared.redis.connections import connect
from tests.conftest import wait_until
from tests.valuation_bench import ME, REPLY_TO, Bench, keeping, raising
from worker.valuations import claims as claims_module
from worker.valuations import service
from worker.valuations.cars import WaitingCar, audit_records
from worker.valuations.claims import (
    BUSY_RETRY_S,
    CLAIM_TIMEOUT_S,
    ClaimState,
)
from worker.valuations.service import OUTAGE_RETRY_DELAY_S
from worker.valuations.sweep import JobSweeper


@pytest.fixture
def bench(servers, tmp_path):
    return Bench(servers, tmp_path)


@pytest.fixture
def request_(car):
    return load_car_request(car)


def test_a_group_is_answered_recorded_and_cached(bench, request_, car):
    other = load_car_request(car | {"km_driven": 5})
    items = [bench.item(request_), bench.item(other)]
    assert bench.group(*items) == [(items[0][0], 25_000.0), (items[1][0], 5.0)]
    assert bench.recorded() == [items[0][0], items[1][0]]
    assert bench.cache.get("v1", request_.car, ()).estimate.price_mad == 25_000.0


def measured():
    """How many waits and calls of the forest the metrics have."""
    names = ("queue_wait_seconds_count", "inference_seconds_count")
    queue = {"queue": "interactive"}
    return [REGISTRY.get_sample_value(name, queue) or 0.0 for name in names]


def test_each_wait_and_call_is_measured_once_whatever_becomes_of_the_group(
    bench, request_, monkeypatch
):
    waits, calls = measured()
    bench.group(bench.item(request_), bench.item(request_))
    assert measured() == [waits + 2, calls + 1]
    monkeypatch.setattr(bench.audit, "append", raising(ZeroDivisionError()))
    with suppress(ZeroDivisionError):
        bench.group(bench.item(request_), group_id="another")
    assert measured() == [waits + 3, calls + 2]
    bench.job(request_)
    assert measured() == [waits + 4, calls + 3]


def test_a_car_that_breaks_the_forest_harms_no_other(bench, request_, car):
    items = [bench.item(request_), bench.item(load_car_request(car | {"km_driven": 666}))]
    assert [outcome for _, outcome in bench.group(*items)] == [25_000.0, "valuation-failed"]
    assert len(bench.recorded()) == 2


def test_without_a_model_everybody_is_told(bench, request_):
    bench.models.model = None
    assert [code for _, code in bench.group(bench.item(request_))] == ["model-not-loaded"]
    assert bench.recorded() == [], "nothing was answered"


def test_a_group_that_comes_again_is_answered_again_and_recorded_once(bench, request_):
    item = bench.item(request_)
    assert bench.group(item) == bench.group(item)
    assert bench.recorded() == [item[0]]


def test_a_group_that_another_worker_has_is_left_to_it(bench, request_):
    claims, _ = bench.other_worker()
    claims.begin("group")
    assert bench.group(bench.item(request_)) is None
    assert bench.recorded() == []


def test_a_group_that_a_living_worker_no_longer_works_on_is_answered(bench, request_):
    claims, registry = bench.other_worker()
    claims.begin("group")
    claims.end()  # as after an exception
    registry.beat()
    item = bench.item(request_)
    assert bench.group(item) == [(item[0], 25_000.0)]
    assert bench.recorded() == [item[0]]


def test_a_group_claimed_by_a_worker_of_the_previous_release_is_left_to_it_for_a_while(
    bench, request_
):
    bench.broker.hset(keys.audit_claim("group"), mapping={"first": bench.now, "latest": bench.now})
    item = bench.item(request_, wait_s=100)
    assert bench.group(item) is None
    bench.now += CLAIM_TIMEOUT_S + 1
    assert bench.group(item) == [(item[0], 25_000.0)]


def test_a_suspended_worker_whose_message_was_taken_over_writes_no_record(
    bench, request_, monkeypatch
):
    real = bench.models.model.estimate
    other, _ = bench.other_worker()

    def suspended(cars):
        wait_until(lambda: bench.broker.exists(keys.audit_claim("group")), what="its claim")
        bench.broker.zrem(keys.OWNERS, bench.owner.name)
        taken_over.append(other.begin("group").state)
        return real(cars)

    taken_over = []
    bench.claims.peek("group")  # the broker knows the script from now on
    monkeypatch.setattr(claims_module, "VERIFY_AFTER_S", 0.0)
    monkeypatch.setattr(bench.models.model, "estimate", suspended)
    assert bench.group(bench.item(request_)) is None
    assert taken_over == [ClaimState.DOUBTFUL]
    assert bench.recorded() == []


@pytest.mark.parametrize("was_written", [True, False])
def test_a_group_whose_worker_died_is_recorded_exactly_once(
    bench, request_, was_written, monkeypatch
):
    item = bench.item(request_, wait_s=100)
    if was_written:
        with monkeypatch.context() as death:
            death.setattr(service, "push_reply", lambda *_: sys.exit())
            with pytest.raises(SystemExit):
                bench.group(item)
    else:
        claims, registry = bench.other_worker()
        claims.begin("group")
        registry.leave()
    assert bench.group(item) == [(item[0], 25_000.0)]
    assert bench.recorded() == [item[0]]
    assert bench.claims.peek("group").state is ClaimState.DONE


def test_a_group_that_comes_late_again_answers_who_waited_when_it_was_claimed_first(
    bench, request_
):
    item = bench.item(request_, wait_s=2)
    bench.group(item)
    bench.now += 10
    assert bench.group(item) == [(item[0], 25_000.0)]
    assert bench.recorded() == [item[0]]


def test_a_broker_that_forgot_the_scripts_is_told_them_again(bench, request_):
    bench.group(bench.item(request_))
    bench.broker.script_flush()
    assert bench.group(bench.item(request_), group_id="other") is not None
    assert len(bench.recorded()) == 2


def test_a_dead_cache_costs_no_answer(bench, request_):
    bench.cache._client = connect("unix:///nowhere.sock")
    assert bench.group(bench.item(request_)) is not None
    assert bench.group(bench.item(request_), group_id="other") is not None


def test_a_request_past_its_deadline_is_left_to_its_job(bench, request_):
    item = bench.item(request_, wait_s=-1)
    assert bench.group(item) == []
    job = bench.job(request_, origin=DispatchOrigin("group", item[3]), job_id=item[0])
    assert job.state is JobState.SUCCEEDED
    assert bench.recorded() == [item[0]]


def test_a_job_whose_group_was_recorded_is_answered_without_a_second_record(bench, request_):
    item = bench.item(request_)
    bench.group(item)
    job = bench.job(request_, origin=DispatchOrigin("group", item[3]), job_id=item[0])
    assert job.state is JobState.SUCCEEDED
    assert bench.recorded() == [item[0]]


@pytest.mark.parametrize("was_written", [True, False])
def test_a_job_whose_group_died_is_recorded_exactly_once(bench, request_, was_written):
    item = bench.item(request_)
    claims, registry = bench.other_worker()
    claims.begin("group")
    if was_written:
        (result,) = bench.estimation.estimate([request_])
        bench.audit.append(list(audit_records([(_waiting(item, request_), result)], bench.now)))
    origin = DispatchOrigin("group", item[3])
    assert bench.job(request_, origin=origin, job_id=item[0]).state is JobState.QUEUED
    registry.leave()
    assert bench.work_on(JobId(item[0])).state is JobState.SUCCEEDED
    assert bench.recorded() == [item[0]]


def test_a_job_that_died_recorded_is_recorded_once_even_if_its_claim_is_forgotten(
    bench, request_, monkeypatch
):
    """All workers were away for longer than claims are kept."""

    def die(*_):
        raise SystemExit

    monkeypatch.setattr(bench.jobs, "finish_all", die)
    job_id = JobId(new_id())
    with pytest.raises(SystemExit):
        bench.job(request_, job_id=job_id)
    assert bench.recorded() == [job_id]
    monkeypatch.undo()
    bench.broker.delete(keys.audit_claim(job_id))
    assert bench.work_on(job_id).state is JobState.SUCCEEDED
    assert bench.recorded() == [job_id]


def test_a_claim_outlives_the_longest_lease_of_its_job(bench, request_):
    job = bench.job(request_)
    lost = bench.stored(request_)
    for _ in range(40):
        bench.jobs.renew(lost.id)
    lease_s = bench.broker.zscore(keys.OPEN_JOBS, lost.id) - bench.now
    assert 30 < lease_s < bench.broker.ttl(keys.audit_claim(job.id)) / 1.5


def _waiting(item, request):
    return WaitingCar(ValuationId(item[0]), request, ME, item[4], item[3])


def test_a_job_that_comes_again_after_its_end_changes_nothing(bench, request_):
    job = bench.job(request_, request_)
    assert bench.work_on(job.id) == job
    assert bench.recorded() == [f"{job.id}-1", f"{job.id}-2"]


def test_a_job_that_fails_is_recorded_too(bench, car):
    job = bench.job(load_car_request(car | {"km_driven": 666}))
    assert (job.state, job.error) == (JobState.FAILED, "valuation-failed")
    assert bench.recorded() == [job.id]


def test_a_job_is_given_up_after_its_attempts(bench, request_):
    bench.models.model = None
    job = bench.stored(request_)
    for _ in range(3):
        bench.jobs.start(job.id)
    assert bench.work_on(job.id).error == "attempts-exhausted"


def test_to_find_a_job_taken_is_no_attempt_and_it_is_sent_again_when_the_taker_is_dead(
    bench, request_
):
    claims, registry = bench.other_worker()
    claims.begin("group")
    job = bench.job(request_, origin=DispatchOrigin("group", bench.now + 5))
    for _ in range(10):
        bench.work_on(job.id)
    sent = []
    sweep = JobSweeper(bench.jobs, keeping(sent), bench.dead_letters, max_attempts=3)
    assert sweep.sweep() == 0
    bench.now += BUSY_RETRY_S + 1
    assert sweep.sweep() == 1
    registry.leave()
    ended = bench.work_on(job.id)
    assert (ended.state, ended.attempts) == (JobState.SUCCEEDED, 1)


def test_a_job_cancelled_while_it_runs_ends_cancelled(bench, request_):
    real = bench.models.model.estimate

    def cancelled_meanwhile(cars):
        bench.jobs.request_cancel(job_id, ME)
        return real(cars)

    bench.models.model.estimate = cancelled_meanwhile
    job_id = JobId(new_id())
    assert bench.job(request_, job_id=job_id).state is JobState.CANCELLED
    assert bench.recorded() == []


def test_what_cannot_be_recorded_is_not_answered(bench, request_, tmp_path):
    bench.audit._folder = tmp_path / "blocked"
    bench.audit._folder.write_text("")
    assert [code for _, code in bench.group(bench.item(request_))] == ["audit-unavailable"]


@pytest.mark.parametrize("kind", ["job", "micro-batch"])
def test_what_a_failed_flush_has_recorded_is_not_recorded_again(bench, request_, monkeypatch, kind):
    bench.audit._fsync = Fsync.ALWAYS
    flushed = []

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    job = bench.stored(request_) if kind == "job" else None
    with monkeypatch.context() as outage:
        outage.setattr("shared.audit.log.os.fdatasync", failing)
        if job is not None:
            assert bench.work_on(job.id).state is JobState.RUNNING
        else:
            item = bench.item(request_)
            assert [code for _, code in bench.group(item, group_id="g")] == ["audit-unavailable"]
    monkeypatch.setattr("shared.audit.log.os.fdatasync", flushed.append)
    if job is not None:
        assert bench.work_on(job.id).state is JobState.SUCCEEDED
        assert bench.recorded() == [job.id]
    else:
        bench.group(item, group_id="g")
        assert bench.recorded() == [item.id]
    assert flushed, "before the answer"


@pytest.mark.parametrize("cause", ["audit log", "model", "disk"])
def test_an_accepted_job_waits_for_the_end_of_an_outage(
    bench, request_, tmp_path, cause, monkeypatch
):
    job = bench.stored(request_)
    with monkeypatch.context() as outage:
        if cause == "audit log":
            blocked = tmp_path / "blocked"
            blocked.write_text("")
            outage.setattr(bench.audit, "_folder", blocked)
        elif cause == "model":
            outage.setattr(bench.models, "model", None)
        else:
            full = OSError(errno.ENOSPC, "No space left on device")
            outage.setattr(bench.models.model, "estimate", raising(full))
            outage.setattr(bench.estimation, "estimate", raising(full))
        for _ in range(10):  # more often than it may be attempted
            waiting = bench.work_on(job.id)
            assert (waiting.state, waiting.attempts) == (JobState.RUNNING, 0)
    sent = []
    bench.now += OUTAGE_RETRY_DELAY_S
    assert JobSweeper(bench.jobs, keeping(sent), bench.dead_letters, max_attempts=3).sweep() == 1
    ended = bench.work_on(job.id)
    assert (ended.state, ended.attempts) == (JobState.SUCCEEDED, 1)
    assert bench.recorded() == [job.id]


@pytest.mark.parametrize(
    ("owner", "name"),
    [("jobs", "load_all"), ("jobs", "start_all"), ("jobs", "finish_all"), ("claims", "begin_all")],
)
def test_a_job_that_an_outage_of_the_broker_interrupted_comes_again_soon_and_is_recorded_once(
    bench, request_, monkeypatch, owner, name
):
    job = bench.stored(request_)
    with monkeypatch.context() as outage, suppress(BrokerUnavailable):
        outage.setattr(getattr(bench, owner), name, raising(BrokerUnavailable(reason="gone")))
        bench.service.value_jobs([job.id], bench.now)
    bench.now += OUTAGE_RETRY_DELAY_S
    assert bench.jobs.overdue(10) == [job.id]
    ended = bench.work_on(job.id)
    assert (ended.state, ended.attempts) == (JobState.SUCCEEDED, 1)
    assert bench.recorded() == [job.id]


def test_a_worker_waits_for_the_broker_to_postpone_what_it_interrupted(
    bench, request_, monkeypatch
):
    job = bench.stored(request_)
    refusals = [BrokerUnavailable(reason="gone")] * 3
    postpone = bench.jobs.postpone

    def refuse(*arguments):
        if refusals:
            raise refusals.pop()
        postpone(*arguments)

    monkeypatch.setattr(service, "OUTAGE_POLL_S", 0.0)
    with monkeypatch.context() as outage:
        outage.setattr(bench.jobs, "load_all", raising(BrokerUnavailable(reason="gone")))
        outage.setattr(bench.jobs, "postpone", refuse)
        with pytest.raises(BrokerUnavailable):
            bench.service.value_jobs([job.id], bench.now)
    assert bench.jobs.overdue(10) == [job.id]


def test_a_request_whose_group_could_not_be_recorded_is_valued_as_a_job(
    bench, request_, tmp_path, monkeypatch
):
    item = bench.item(request_)
    with monkeypatch.context() as outage:
        (tmp_path / "blocked").write_text("")
        outage.setattr(bench.audit, "_folder", tmp_path / "blocked")
        bench.group(item)
    job = bench.job(request_, origin=DispatchOrigin("group", item[3]), job_id=item[0])
    assert job.state is JobState.SUCCEEDED
    assert bench.recorded() == [item[0]]


def test_an_attempt_that_raises_counts_and_the_job_is_sent_again_soon(bench, request_, monkeypatch):
    job = bench.stored(request_)
    with monkeypatch.context() as defect:
        defect.setattr(bench.estimation, "estimate", raising(ZeroDivisionError()))
        assert bench.work_on(job.id).attempts == 1
    bench.now += 2
    assert bench.jobs.overdue(10) == [job.id]
    assert bench.work_on(job.id).state is JobState.SUCCEEDED
    assert bench.broker.hget(keys.job(job.id), "last_failure") == b"ZeroDivisionError"


def test_the_sweep_sends_a_silent_job_again_ever_more_rarely(bench, request_):
    sent = []
    sweep = JobSweeper(bench.jobs, keeping(sent), bench.dead_letters, max_attempts=3)
    job = bench.stored(request_)
    for _ in range(360):
        bench.now += 10
        sweep.sweep()
    assert 4 <= len(sent) <= 10
    bench.now += 10_000
    for _ in range(3):
        bench.jobs.start(job.id)
    bench.now += 100
    sweep.sweep()
    assert bench.jobs.get(job.id, ME).error == "attempts-exhausted"


def test_a_job_that_its_worker_postpones_at_once_is_sent_again_when_it_is_due(bench, request_):
    """On an idle machine the worker takes the message before the sweep has gone on."""
    sent = []

    def send_jobs(jobs):
        for job in jobs:
            sent.append(job.id)
            bench.jobs.postpone(bench.now + 1, job.id)

    sweep = JobSweeper(bench.jobs, send_jobs, bench.dead_letters, max_attempts=3)
    bench.stored(request_)
    bench.now += 100
    assert sweep.sweep() == 1
    bench.now += 2
    assert sweep.sweep() == 1


def test_a_job_that_cannot_be_sent_again_stays_due(bench, request_):
    def refuse(_jobs):
        raise BrokerUnavailable

    bench.stored(request_)
    bench.now += 100
    assert JobSweeper(bench.jobs, refuse, bench.dead_letters, max_attempts=3).sweep() == 0
    sent = []
    assert JobSweeper(bench.jobs, keeping(sent), bench.dead_letters, max_attempts=3).sweep() == 1


def test_a_record_that_cannot_be_read_does_not_stop_the_sweep(bench, request_):
    sent = []
    for _ in range(2):
        job = bench.stored(request_)
        if not sent:
            bench.broker.hset(keys.job(job.id), "state", "NONSENSE")
            sent.append("first")
    bench.now += 31
    assert JobSweeper(bench.jobs, keeping(sent), bench.dead_letters, max_attempts=3).sweep() == 1
    assert sent == ["first", job.id]


def test_a_clock_that_goes_back_does_not_hide_a_lost_job(bench, request_):
    job = bench.job(request_)
    lost = bench.stored(request_)
    bench.now -= 3 * 3600
    assert bench.jobs.overdue(10) == [lost.id]
    assert job.id not in bench.jobs.overdue(10)


def test_claims_and_replies_do_not_stay(bench, request_):
    bench.service.value_micro_batch("group", REPLY_TO, [msgpack.packb(bench.item(request_))])
    for key in bench.broker.scan_iter():
        if key.decode() not in {keys.OWNERS, keys.OWNER_WORK}:  # of the processes
            assert bench.broker.ttl(key) > 0, key


def test_a_long_job_is_sent_again_on_the_queue_where_it_keeps_nobody_waiting(bench, request_):
    job = bench.stored(*[request_] * 101)
    bench.stored(request_)
    bench.now += 31
    sent = {}
    JobSweeper(
        bench.jobs,
        lambda jobs: sent.update({each.id: each.is_long for each in jobs}),
        bench.dead_letters,
        max_attempts=3,
    ).sweep()
    assert sorted(sent.values()) == [False, True]
    assert sent[job.id]
