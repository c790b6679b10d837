"""Idempotency keys of jobs: a failure that is over is not repeated, any other end is."""

import dataclasses
import threading
import time
from typing import Any, cast

import pytest

from api.jobs.idempotency import RedisIdempotency
from api.jobs.service import Jobs, Submission
from shared.domain.errors import TEMPORARY_CODES, BrokerUnavailable
from shared.domain.ids import CallerId
from shared.domain.job import Job, JobState
from shared.fields.requests import load_car_request
from shared.redis.job_store.store import JobStore
from tests.batch_parts import ActiveV1
from tests.conftest import REFERENCE_CAR, Servers

ME = CallerId("me")


class Dispatcher:
    """Counts the messages that are sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send_job(self, job: Job) -> None:
        assert not job.is_long
        self.sent.append(job.id)


class OpenQueue:
    """A queue that takes everything."""

    def check_job(self, *_: Any) -> None:
        """Return: it is not full."""


@pytest.fixture
def dispatcher() -> Dispatcher:
    return Dispatcher()


@pytest.fixture
def jobs(servers: Servers, dispatcher: Dispatcher) -> Jobs:
    unused: Any = None
    return Jobs(
        active_model=cast("Any", ActiveV1()),
        store=JobStore(servers.broker, time.time, retention_s=100, lease_s=30),
        lists=unused,
        events=unused,
        send_job=dispatcher.send_job,
        idempotency=RedisIdempotency(servers.broker),
        clock=time.time,
        queue_guard=cast("Any", OpenQueue()),
        long_waits=threading.Semaphore(),
    )


def submission() -> Submission:
    return Submission(
        requests=(load_car_request(REFERENCE_CAR),),
        is_list=False,
        body=b"the same",
        idempotency_key="key",
    )


@pytest.mark.parametrize("error", sorted(TEMPORARY_CODES))
def test_a_key_whose_job_failed_in_an_outage_gives_a_new_job(
    jobs: Jobs, dispatcher: Dispatcher, error: str
) -> None:
    """Jobs of the previous release failed so; now they wait."""
    first = jobs.submit(submission(), ME)
    jobs.store.finish(first.id, JobState.FAILED, error=error)
    second = jobs.submit(submission(), ME)
    assert second.id != first.id
    assert second.state is JobState.QUEUED
    assert jobs.submit(submission(), ME).id == second.id, "the key belongs to the new job"
    assert dispatcher.sent == [first.id, second.id, second.id], "it has not started"


def test_a_job_that_was_stored_but_not_sent_is_sent_by_the_repetition(
    jobs: Jobs, dispatcher: Dispatcher
) -> None:
    def fail(job: Job) -> None:
        raise BrokerUnavailable(reason=f"while {job.id} was sent")

    with pytest.raises(BrokerUnavailable):
        dataclasses.replace(jobs, send_job=fail).submit(submission(), ME)
    accepted = jobs.submit(submission(), ME)
    assert dispatcher.sent == [accepted.id]
    jobs.store.start(accepted.id)
    assert jobs.submit(submission(), ME).id == accepted.id
    assert dispatcher.sent == [accepted.id], "a started job is not sent again"


@pytest.mark.parametrize("error", ["valuation-failed", "attempts-exhausted"])
def test_a_key_whose_job_failed_by_itself_gives_that_job(jobs: Jobs, error: str) -> None:
    first = jobs.submit(submission(), ME)
    jobs.store.finish(first.id, JobState.FAILED, error=error)
    again = jobs.submit(submission(), ME)
    assert (again.id, again.error) == (first.id, error)


def test_of_two_repetitions_at_once_one_makes_the_new_job(jobs: Jobs, servers: Servers) -> None:
    keys = RedisIdempotency(servers.broker)
    keys.claim(ME, "jobs", "key", "digest", "old")
    assert keys.replace(ME, "jobs", "key", "digest", "old", "first") == "first"
    assert keys.replace(ME, "jobs", "key", "digest", "old", "second") == "first"
    assert keys.find(ME, "jobs", "key") == "first"
    assert jobs.active_model.version_id()
