"""Lists are valued and recorded by columns as their cars are one by one."""

import dataclasses
import json
import logging

import msgpack
import orjson
import pytest
import structlog

from model_store.registry.bundle import load_model, save_bundle
from shared.audit.sums import FileSums
from shared.domain.errors import AuditUnavailable
from shared.domain.ids import JobId, new_id
from shared.domain.job import SHORT_JOB_CARS, Job, JobEnd, JobState
from shared.domain.lists.estimates import EstimateList
from shared.domain.lists.requests import RequestList
from shared.redis import keys
from shared.redis.job_store.records import COLUMNS_PROTOCOL, COLUMNS_SCHEMA
from tests.list_cars import request_list
from tests.unit.model_store import small_models
from tests.valuation_bench import ME, Bench, raising
from worker.model import Estimation
from worker.valuations.cars import audit_records
from worker.valuations.claims import ClaimState
from worker.valuations.lists import ValuedList, value_list

MONTH = 24_320


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("lists") / "versions"
    version = save_bundle(small_models.train(), path)
    return load_model(path, version.id)


@pytest.fixture
def bench(servers, tmp_path, model):
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = Bench(servers, tmp_path / "audit", protocol=COLUMNS_PROTOCOL)
    found.models.model = model
    return found


def valued(model, requests):
    """A list as it is valued, and its job."""
    models = type("Models", (), {"current": lambda _: model})()
    job = Job(
        id=JobId(new_id()), caller=ME, state=JobState.RUNNING, created_at=1.5, requests=requests,
        is_list=True,
    )  # fmt: skip
    found = value_list(Estimation(models), job)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(25))
def test_a_list_has_the_estimates_of_its_cars(model, seed):
    requests = request_list(seed)
    cars = [request.car for request in requests]
    found = model.estimate_list(requests.cars, len(requests), month=MONTH)
    expected = model.estimate(cars, month=MONTH)
    assert list(found) == expected
    assert found[-2:] == expected[-2:]
    stored = msgpack.unpackb(msgpack.packb(found.to_wire() | {"of a newer version": 1}))
    assert list(EstimateList.from_wire(stored)) == expected


@pytest.mark.parametrize("seed", range(25))
def test_a_list_has_the_audit_records_of_its_cars(model, seed):
    found = valued(model, request_list(seed))
    at = 1_790_000_000.123456
    expected = list(audit_records(found, at))
    assert found[-1] == list(found)[-1] == found[28:][1]
    records = found.audit_records(at)
    assert records.encode() == [orjson.dumps(record.to_json()) for record in expected]
    sums, expected_sums = FileSums(), FileSums()
    sums.add_records([records])
    expected_sums.add_records(expected)
    assert list(sums) == list(expected_sums) == [ME]
    for name, value in dataclasses.asdict(expected_sums[ME]).items():
        assert getattr(sums[ME], name) == pytest.approx(value)


def test_columns_of_different_lengths_are_refused(model):
    stored = valued(model, request_list(1)).estimates.to_wire()
    with pytest.raises(ValueError, match="different lengths"):
        EstimateList.from_wire(stored | {"prices_mad": stored["prices_mad"][1:]})
    with pytest.raises(ValueError, match="other levels"):
        EstimateList.from_wire(stored | {"quantiles_mad": stored["quantiles_mad"][1:]})


def lines(bench):
    return [
        json.loads(line)
        for path in bench.folder.glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]


@pytest.mark.parametrize("protocol", [COLUMNS_PROTOCOL - 1, COLUMNS_PROTOCOL])
def test_a_list_is_stored_as_columns_if_all_workers_read_them(bench, model, protocol):
    """While an older worker lives, it is stored, valued and recorded car by car."""
    bench.protocol = protocol
    requests = request_list(3)
    job = bench.job_of(requests)
    assert job.state is JobState.SUCCEEDED
    is_columns = protocol >= COLUMNS_PROTOCOL
    assert isinstance(job.requests, RequestList) is is_columns
    assert isinstance(job.estimates, EstimateList) is is_columns
    schema = bench.broker.hget(keys.job(job.id), "schema")
    assert schema == (str(COLUMNS_SCHEMA).encode() if is_columns else None)
    assert list(job.requests) == list(requests)
    assert list(job.estimates) == model.estimate([request.car for request in requests])
    assert [line["id"] for line in lines(bench)] == [
        f"{job.id}-{number}" for number in range(1, len(requests) + 1)
    ]


def test_every_line_of_a_list_follows_the_line_before(bench):
    bench.job_of(request_list(4))
    found = lines(bench)
    assert [line["prev"] for line in found[1:]] == [line["hash"] for line in found[:-1]]


def test_lists_and_single_cars_of_a_message_get_their_own_results(bench, model):
    first, second = request_list(5), request_list(6, 20)
    single = request_list(7)[0]
    jobs = [bench.stored_job(first), bench.stored(single), bench.stored_job(second)]
    bench.service.value_jobs([job.id for job in jobs], bench.now)
    for job, requests in zip(jobs, (first, (single,), second), strict=True):
        found = bench.jobs.load(job.id)
        assert list(found.estimates) == model.estimate([request.car for request in requests])
    assert len(lines(bench)) == len(set(bench.recorded())) == 30 + 1 + 20


def test_a_list_that_was_recorded_in_part_is_completed(bench):
    """An earlier attempt may have written some of its records."""
    requests = request_list(8)
    job = bench.stored_job(requests)
    claim = bench.claims.begin(job.id)
    bench.audit.append(list(audit_records(valued_as(bench, job), bench.now))[:7])
    bench.claims.release(claim, may_be_recorded=True)
    assert bench.claims.peek(job.id).state is ClaimState.DOUBTFUL
    assert bench.work_on(job.id).state is JobState.SUCCEEDED
    assert sorted(bench.recorded()) == sorted(f"{job.id}-{n}" for n in range(1, 31))


def valued_as(bench, job):
    return ValuedList(
        job, job.requests, bench.models.model.estimate_list(job.requests.cars, len(job.requests))
    )


def test_a_list_that_cannot_be_recorded_waits(bench, monkeypatch):
    job = bench.stored_job(request_list(9))
    with monkeypatch.context() as patch:
        patch.setattr(bench.audit, "append", raising(AuditUnavailable(reason="full")))
        assert bench.work_on(job.id).state is JobState.RUNNING
    assert bench.recorded() == []
    assert bench.work_on(job.id).state is JobState.SUCCEEDED
    assert len(bench.recorded()) == 30


def test_a_list_that_fails_as_columns_is_valued_car_by_car(bench, model):
    class Broken:
        version = model.version
        estimate = staticmethod(model.estimate)
        estimate_list = staticmethod(raising(ZeroDivisionError()))

    bench.models.model = Broken()
    requests = request_list(10)
    job = bench.job_of(requests)
    assert list(job.estimates) == model.estimate([request.car for request in requests])
    assert len(bench.recorded()) == 30


def test_a_list_waits_while_no_model_is_loaded(bench, model):
    job = bench.stored_job(request_list(11))
    bench.models.model = None
    assert bench.work_on(job.id).state is JobState.RUNNING
    bench.models.model = model
    assert bench.work_on(job.id).state is JobState.SUCCEEDED


@pytest.mark.parametrize("count", [SHORT_JOB_CARS, SHORT_JOB_CARS + 1])
def test_cars_of_short_lists_are_cached(bench, model, count):
    requests = request_list(12, count)
    bench.job_of(requests)
    car = requests[0].car
    found = bench.cache.get_all([(model.version.id, car, ())])[0]
    assert (found is not None) is (count <= SHORT_JOB_CARS)


def test_a_cancelled_list_is_not_recorded(bench):
    job = bench.stored_job(request_list(13))
    bench.jobs.request_cancel(job.id, ME)
    assert bench.work_on(job.id).state is JobState.CANCELLED
    assert bench.recorded() == []


def test_the_end_of_a_list_applies_to_the_job_that_its_caller_waits_for(bench):
    requests = request_list(14, 16)
    job = bench.stored_job(requests)
    end = JobEnd(job.id, JobState.SUCCEEDED, valued_as(bench, job).estimates)
    assert bench.jobs.finish_all([end]) == [True]
    assert list(bench.jobs.get(job.id, ME).estimates) == list(end.estimates)
