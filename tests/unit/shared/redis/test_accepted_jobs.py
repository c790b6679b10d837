"""Jobs that wait for replicas, and are stored again when a new primary lacks them."""

import time
from typing import Any, cast

import pytest

from api.jobs.replication import make_accepted, restore_accepted
from shared.domain.errors import AcceptanceUnknown, BrokerUnavailable
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobState
from shared.fields.requests import load_car_request
from shared.queue.work import JobSubmitter, make_work_sender
from shared.redis import keys
from shared.redis.connections import RedisClient
from shared.redis.fair_queues.queues import FairQueues
from shared.redis.job_store import accepted as accepted_jobs
from shared.redis.job_store.accepted import AcceptedJobs
from shared.redis.job_store.creation import Created, KeyEntry
from shared.redis.job_store.store import JobStore
from shared.redis.primary_watch import PrimaryWatch
from shared.redis.workers import WorkerRegistry
from shared.settings import Settings
from tests.conftest import Servers

ME = CallerId("me")


class NoReplicaNeeded(AcceptedJobs):
    """Keeps jobs as if a replica had them: the broker of these tests has none."""

    def confirm(self, reached: Any) -> None:
        assert reached == 0


class Bench:
    """A store that keeps what it accepted."""

    def __init__(self, broker: RedisClient, kind: type[AcceptedJobs]) -> None:
        self.broker = broker
        self.announce()
        self.clock = time.time()
        self.accepted = kind(broker, lambda: self.clock, replicas=1, lease_s=30, keep_s=200)
        self.work = make_work_sender(broker, time.time)
        self.store = JobStore(
            broker, time.time, retention_s=100, lease_s=30, accepted=self.accepted
        )
        self.submitter = JobSubmitter(self.store, self.work)

    def announce(self) -> None:
        WorkerRegistry(self.broker).heartbeat("i@host:1", ["interactive"])
        FairQueues(self.broker, time.time).announce("i@host", ["interactive"], 2)

    def restore(self) -> None:
        restore_accepted(self.broker, self.accepted, self.store, self.work.send_jobs)


@pytest.fixture
def bench(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(accepted_jobs, "WAIT_MS", 50)
    return Bench(servers.broker, NoReplicaNeeded)


@pytest.fixture
def job(car: dict[str, Any]) -> Job:
    return Job(
        id=JobId(new_id()),
        caller=ME,
        state=JobState.QUEUED,
        created_at=time.time(),
        requests=(load_car_request(car),),
        is_list=False,
    )


def test_a_job_is_refused_if_no_replica_has_it(
    servers: Servers, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted_jobs, "WAIT_MS", 50)
    (outcome,) = Bench(servers.broker, AcceptedJobs).submitter.submit([job])
    assert isinstance(outcome, BrokerUnavailable)
    assert outcome.params["reason"] == "0 of 1 replicas have the job"


def test_a_repetition_is_refused_as_well_if_no_replica_has_the_job(
    servers: Servers, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted_jobs, "WAIT_MS", 50)
    submitter = Bench(servers.broker, AcceptedJobs).submitter
    for _ in range(2):
        (outcome,) = submitter.submit([job])
        assert isinstance(outcome, AcceptanceUnknown)


def test_what_a_new_primary_lacks_is_stored_and_queued_again(bench: Bench, job: Job) -> None:
    entry = KeyEntry(keys.idempotency(ME, "key"), "content", 100)
    assert bench.submitter.submit([job], {job.id: entry}) == [Created.STORED]
    bench.broker.flushall()
    bench.announce()
    bench.broker.set(keys.BATCH_SCAN_MARKER, 1)
    bench.restore()
    assert bench.store.get(job.id, ME).requests == job.requests
    assert bench.broker.llen("interactive") == 1
    assert bench.broker.get(entry.name) == b"content"
    assert not bench.broker.exists(keys.BATCH_SCAN_MARKER), "the sweep looks for batches"


def test_what_the_new_primary_knows_is_left_alone(bench: Bench, job: Job) -> None:
    bench.submitter.submit([job])
    bench.broker.delete("interactive")
    bench.store.finish(job.id, JobState.FAILED, error="valuation-failed")
    bench.restore()
    assert bench.broker.llen("interactive") == 0
    bench.broker.delete(keys.job(job.id))  # it expired, which its tombstone tells
    assert bench.accepted.store_again() == []


def test_jobs_are_kept_for_a_while_and_within_a_limit(
    bench: Bench, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.submitter.submit([job])
    bench.clock += accepted_jobs.KEPT_S + 1
    bench.broker.flushall()
    assert bench.accepted.store_again() == [job.id]
    bench.accepted.forget_old()
    bench.broker.flushall()
    assert bench.accepted.store_again() == []
    monkeypatch.setattr(accepted_jobs, "KEPT_MAX_BYTES", 10)
    bench.submitter.submit([job])
    bench.broker.flushall()
    assert bench.accepted.store_again() == []


def test_nothing_is_kept_unless_replicas_are_waited_for(servers: Servers) -> None:
    assert make_accepted(Settings(), servers.broker, time.time) is None


class FakeServer:
    """A server that tells its role and the id of its data."""

    def __init__(self) -> None:
        self.role, self.replication_id = "master", "a"
        self.connection_pool = self

    def info(self, _: str) -> dict[str, str]:
        return {"role": self.role, "master_replid": self.replication_id}

    def disconnect(self) -> None:
        self.role = "master"


def test_a_change_is_noticed_and_repeated_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls, server = [1000.0], list[str](), FakeServer()
    monkeypatch.setattr("shared.redis.primary_watch.time.monotonic", lambda: now[0])
    watch = PrimaryWatch(
        cast("Any", server), lambda: calls.append("changed"), lambda: calls.append("same")
    )
    watch.check()
    assert calls == ["changed"], "of the first primary it is not known since when it is one"
    now[0] += 30
    watch.check()
    assert calls.pop() == "same"
    server.role, server.replication_id = "slave", "b"
    watch.check()
    assert calls == ["changed"], "a replica is asked no more"
    for _ in range(60):
        watch.check()
        now[0] += 0.5
    assert calls.count("changed") > 4
    assert calls[-1] == "same"
