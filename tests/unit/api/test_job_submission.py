"""Idempotency keys of jobs: a failure that is over is not repeated, any other end is."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from api.events.changes import StateChanges
from api.events.waits import Waits
from api.jobs.idempotency import IDEMPOTENCY_TTL_S, REFUSED_TTL_S, RedisIdempotency
from api.jobs.listing import SubmissionIndex
from api.jobs.reading import JobReader
from api.jobs.service import Jobs, Submission
from shared.domain.errors import (
    TEMPORARY_CODES,
    BrokerFull,
    BrokerUnavailable,
    DomainError,
    QueueFull,
)
from shared.domain.ids import CallerId
from shared.domain.job import Job, JobState
from shared.fields.requests import load_car_request
from shared.queue.work import JobSubmitter
from shared.redis import keys
from shared.redis.job_store.creation import CreateOutcome, QueueCall
from shared.redis.job_store.positions import QueuePositions
from shared.redis.job_store.segments import SegmentCatalogue
from shared.redis.job_store.store import JobStore
from tests.batch_parts import ActiveV1
from tests.conftest import REFERENCE_CAR, Servers

ME = CallerId("me")


class Dispatcher:
    """Counts the messages that are sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

        self.is_broken = False

    def send_job(self, job: Job) -> None:
        assert not job.is_long
        if self.is_broken:
            raise BrokerUnavailable(reason="x")
        self.sent.append(job.id)

    def calls_of(self, jobs: Sequence[Job]) -> list[QueueCall]:
        ids = [job.id for job in jobs]
        if self.is_broken:
            return [QueueCall(("OOM-COMMAND",), ids)]
        for job in jobs:
            self.send_job(job)
        return []


class Queue:
    """A queue that takes everything, unless one of these errors is set."""

    def __init__(self) -> None:
        self.full: DomainError | None = None
        self.broker_full: BrokerFull | None = None

    def check_job(self, *_: Any) -> None:
        if self.full is not None:
            raise self.full
        self.check_memory()

    def check_memory(self) -> None:
        if self.broker_full is not None:
            raise self.broker_full


@pytest.fixture
def dispatcher() -> Dispatcher:
    return Dispatcher()


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def jobs(servers: Servers, dispatcher: Dispatcher, queue: Queue) -> Iterator[Jobs]:
    unused: Any = None
    store = JobStore(servers.broker, time.time, retention_s=100, lease_s=30)
    positions = QueuePositions(servers.broker, time.time)
    changes = StateChanges(servers.broker)
    yield Jobs(
        active_model=cast("Any", ActiveV1()),
        store=store,
        submitter=JobSubmitter(store, cast("Any", dispatcher)),
        send_job=dispatcher.send_job,
        reader=JobReader(
            store,
            SubmissionIndex(servers.broker),
            positions,
            catalogue=SegmentCatalogue(servers.broker),
        ),
        positions=positions,
        waits=Waits(changes, 100),
        threads=unused,
        loops=unused,
        idempotency=RedisIdempotency(servers.broker),
        clock=time.time,
        queue_guard=cast("Any", queue),
    )
    changes.close()


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
    first = jobs.submit(submission(), ME).job
    jobs._store.finish(first.id, JobState.FAILED, error=error)
    second = jobs.submit(submission(), ME).job
    assert second.id != first.id
    assert second.state is JobState.QUEUED
    assert jobs.submit(submission(), ME).job.id == second.id, "the key belongs to the new job"
    assert dispatcher.sent == [first.id, second.id, second.id], "it has not started"


def test_a_job_that_was_stored_but_not_sent_is_accepted_and_sent_by_the_repetition(
    jobs: Jobs, dispatcher: Dispatcher
) -> None:
    """It will be carried out, so a refusal would be false; without a repetition the sweep sends."""
    dispatcher.is_broken = True
    with capture_logs() as logs:
        accepted, repeated = (jobs.submit(submission(), ME).job for _ in range(2))
    assert [(each["event"], each["count"]) for each in logs] == [("jobs_not_queued", 1)] * 2
    assert repeated.id == accepted.id
    assert jobs.get(accepted.id, ME).state is JobState.QUEUED
    dispatcher.is_broken = False
    assert jobs.submit(submission(), ME).job.id == accepted.id
    assert dispatcher.sent == [accepted.id]
    jobs._store.start(accepted.id)
    assert jobs.submit(submission(), ME).job.id == accepted.id
    assert dispatcher.sent == [accepted.id], "a started job is not sent again"


def test_a_stored_job_is_accepted_although_its_key_cannot_be_kept_for_longer(
    jobs: Jobs, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.full = QueueFull()
    with pytest.raises(QueueFull):
        jobs.submit(submission(), ME)
    queue.full = None

    def fail(*_: Any) -> None:
        raise BrokerUnavailable(reason="x")

    monkeypatch.setattr(jobs._idempotency, "rebind", fail)
    accepted = jobs.submit(submission(), ME).job
    assert jobs.get(accepted.id, ME).state is JobState.QUEUED


@pytest.mark.parametrize("error", ["valuation-failed", "attempts-exhausted"])
def test_a_key_whose_job_failed_by_itself_gives_that_job(jobs: Jobs, error: str) -> None:
    first = jobs.submit(submission(), ME).job
    jobs._store.finish(first.id, JobState.FAILED, error=error)
    again = jobs.submit(submission(), ME).job
    assert (again.id, again.error) == (first.id, error)


def test_of_two_repetitions_at_once_one_makes_the_new_job(jobs: Jobs, servers: Servers) -> None:
    keys = RedisIdempotency(servers.broker)
    keys.claim(ME, "jobs", "key", "digest", "old")
    assert keys.replace(ME, "jobs", "key", "digest", "old", "first") == "first"
    assert keys.replace(ME, "jobs", "key", "digest", "old", "second") == "first"
    assert keys.find(ME, "jobs", "key") == "first"
    assert jobs._active_model.version_id()


def test_a_job_that_is_stored_while_its_repetition_looks_for_it_is_found(
    jobs: Jobs, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tombstone without its record would be an expired job, and the key start another one."""
    repeated: list[str] = []
    load, create = JobStore.load, JobStore.create_all
    first: list[Sequence[Job]] = []

    def load_too_early(store: JobStore, job_id: Any) -> Job | None:
        found = load(store, job_id)
        if first:
            create(store, first.pop())
        return found

    def repeat_before(store: JobStore, new: Sequence[Job], *more: Any) -> list[CreateOutcome]:
        monkeypatch.setattr(JobStore, "create_all", create)
        first.append(new)
        repeated.append(jobs.submit(submission(), ME).job.id)
        return create(store, new, *more)

    monkeypatch.setattr(JobStore, "load", load_too_early)
    monkeypatch.setattr(JobStore, "create_all", repeat_before)
    assert [jobs.submit(submission(), ME).job.id] == repeated
    assert len(set(dispatcher.sent)) == 1


def kept_s(servers: Servers) -> int:
    """How long the Idempotency-Key is kept, seconds; -2: it is not."""
    return int(servers.broker.ttl(keys.idempotency(ME, "jobs:key")))


def test_the_key_of_a_refused_job_is_kept_for_a_short_time(
    jobs: Jobs, queue: Queue, servers: Servers
) -> None:
    queue.full = QueueFull(waiting=1)
    with pytest.raises(QueueFull):
        jobs.submit(submission(), ME)
    assert 0 < kept_s(servers) <= REFUSED_TTL_S
    queue.full = None
    job = jobs.submit(submission(), ME).job
    assert kept_s(servers) > IDEMPOTENCY_TTL_S - 10
    assert jobs.submit(submission(), ME).job.id == job.id


def test_a_refusal_does_not_shorten_the_key_of_a_job_that_was_stored_meanwhile(
    jobs: Jobs, servers: Servers
) -> None:
    job = jobs.submit(submission(), ME).job
    parts = (ME, "jobs", "key", submission().fingerprint, job.id)
    jobs._idempotency.shorten(*parts, keys.job(job.id))
    assert kept_s(servers) > IDEMPOTENCY_TTL_S - 10


def test_a_full_broker_keeps_no_new_key_and_repeats_the_jobs_of_known_ones(
    jobs: Jobs, queue: Queue, servers: Servers
) -> None:
    queue.broker_full = BrokerFull(reason="test")
    with pytest.raises(BrokerFull):
        jobs.submit(submission(), ME)
    assert kept_s(servers) == -2
    queue.broker_full = None
    job = jobs.submit(submission(), ME).job
    queue.broker_full = BrokerFull(reason="test")
    assert jobs.submit(submission(), ME).job.id == job.id


def test_a_refused_repetition_keeps_the_key_of_the_job_that_is_being_stored(
    jobs: Jobs, queue: Queue, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job would otherwise be made twice by a caller who repeats it a little later."""

    def refuse_another(*_: Any) -> None:
        monkeypatch.undo()
        queue.full = QueueFull(waiting=1)
        with pytest.raises(QueueFull):
            jobs.submit(submission(), ME)
        queue.full = None

    monkeypatch.setattr(queue, "check_job", refuse_another)
    job = jobs.submit(submission(), ME).job
    assert kept_s(servers) > IDEMPOTENCY_TTL_S - 10
    assert jobs.submit(submission(), ME).job.id == job.id
