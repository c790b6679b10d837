"""Jobs, micro-batches and chunks that come to another host after their worker was killed."""

import json
from collections import Counter
from typing import Any

import pytest

from shared.audit.hosts.questions import HostQuestions
from shared.audit.verification import verify_log
from shared.domain.ids import JobId, new_id
from shared.domain.job import JobState
from shared.fields.requests import load_car_request
from shared.queue.names import TaskName
from shared.redis import keys
from shared.state.objects import StateObjects
from tests.audit_hosts import two_hosts
from tests.batch_parts import BulkPath, cars_csv
from tests.object_store import BUCKET, running_object_store
from tests.valuation_bench import Bench
from worker.batches.assemble import BatchAssembler
from worker.batches.shared_segments import SharedSegments
from worker.batches.value import BatchValuation
from worker.valuations import service


@pytest.fixture(scope="module")
def store():
    with running_object_store() as running:
        yield running


@pytest.fixture
def hosts(store, tmp_path, servers, request):
    objects = StateObjects(f"s3://{BUCKET}/{request.node.name}", store.endpoint_url)
    return two_hosts(tmp_path, objects, servers.broker)


@pytest.fixture
def benches(hosts, servers):
    first, second = hosts
    return (
        Bench(servers, first.folder, owner="interactive.1@first", shared=first.records),
        Bench(servers, second.folder, owner="interactive.1@second", shared=second.records),
    )


class Killed(BaseException):
    """The process ends."""


def die(*_: object, **__: object) -> None:
    raise Killed


def recorded(*benches) -> Counter:
    return Counter(one for bench in benches for one in bench.recorded())


@pytest.mark.parametrize("was_written", [True, False])
def test_a_job_is_recorded_once_by_both_hosts(hosts, benches, car, monkeypatch, was_written):
    first, second = benches
    job = JobId(new_id())
    with monkeypatch.context() as death:
        death.setattr(
            *((first.jobs, "finish_all") if was_written else (first.audit, "append")), die
        )
        with pytest.raises(Killed):
            first.job(load_car_request(car), job_id=job)
    assert recorded(first) == ({job: 1} if was_written else {})
    with hosts[0].answering():
        hosts[0].sign()
        assert second.work_on(job).state is JobState.SUCCEEDED
    assert recorded(first, second) == {job: 1}


def test_a_list_is_recorded_once_by_both_hosts(hosts, benches, car, monkeypatch):
    first, second = benches
    requests = [load_car_request({**car, "km_driven": 1000 + n}) for n in range(20)]
    job = first.stored(*requests)
    with monkeypatch.context() as death:
        death.setattr(first.jobs, "finish_all", die)
        with pytest.raises(Killed):
            first.work_on(job.id)
    with hosts[0].answering():
        hosts[0].sign()
        assert second.work_on(job.id).state is JobState.SUCCEEDED
    assert recorded(first, second) == {f"{job.id}-{n}": 1 for n in range(1, 21)}


def test_a_micro_batch_is_recorded_once_by_both_hosts(hosts, benches, car, monkeypatch):
    first, second = benches
    item = first.item(load_car_request(car), wait_s=100)
    with monkeypatch.context() as death:
        death.setattr(service, "push_reply", die)
        with pytest.raises(Killed):
            first.group(item)
    with hosts[0].answering():
        hosts[0].sign()
        assert second.group(item) == [(item[0], 25_000.0)]
    assert recorded(first, second) == {item[0]: 1}


def test_a_job_waits_for_a_host_that_does_not_answer(hosts, benches, car, monkeypatch):
    first, second = benches
    job = JobId(new_id())
    with monkeypatch.context() as death:
        death.setattr(first.jobs, "finish_all", die)
        with pytest.raises(Killed):
            first.job(load_car_request(car), job_id=job)
    hosts[0].sign()
    ask = HostQuestions.ask
    monkeypatch.setattr(HostQuestions, "ask", lambda *given: ask(*given, wait_s=0.1))
    assert not second.work_on(job).state.is_terminal
    assert recorded(first, second) == {job: 1}
    # It is taken for dead: its log counts again when it comes back.
    second.broker.delete(keys.audit_host(hosts[0].exchange.host))
    hosts[0].broker.sadd(keys.AUDIT_HOSTS, hosts[0].exchange.host)
    assert second.work_on(job).state is JobState.SUCCEEDED
    assert recorded(second) == {job: 1}


class TwoHostPath(BulkPath):
    """A batch whose chunks are valued, and whose results are assembled, on chosen hosts."""

    def of(self, host: Any) -> "TwoHostPath":
        """Have the next task run on a host."""
        segments = SharedSegments(
            host.folder, self.blobs, host.checkpoints, host.records, self.client
        )
        self.value = BatchValuation(
            self.files, self.store, self.step_sender, models=self.model,
            audit_folder=host.folder, clock=self.clock, dead_letters=self.dead_letters,
            max_attempts=3, segments=segments,
        )  # fmt: skip
        self.assemble = BatchAssembler(
            self.files, self.store, self.clock, self.dead_letters,
            audit_folder=host.folder, checkpoints=host.checkpoints, segments=segments,
        )  # fmt: skip
        return self


def rows(*hosts) -> Counter:
    return Counter(
        json.loads(line)["row"]
        for host in hosts
        for path in host.folder.glob("predictions_*.jsonl")
        for line in path.read_text().splitlines()
    )


@pytest.fixture
def path(servers, tmp_path) -> TwoHostPath:
    return TwoHostPath(tmp_path / "batches", servers.broker)


def test_rows_of_a_batch_are_recorded_once_by_both_hosts(path, hosts):
    batch = path.accept(cars_csv(95))
    turn = 0
    while path.queue:
        turn += 1
        path.of(hosts[turn % 2]).step()
    assert path.get(batch).progress.state is JobState.SUCCEEDED
    assert rows(*hosts) == dict.fromkeys(range(1, 96), 1)
    assert all(rows(host) for host in hosts)
    for host in hosts:
        settings = host.settings
        report = verify_log(host.folder, settings.checkpoints_folder, settings.checkpoint_key_file)
        assert (report.faults, report.open_segments) == ([], 0)


@pytest.mark.parametrize("was_written", [True, False])
def test_a_chunk_is_recorded_once_although_its_worker_was_killed(
    path, hosts, monkeypatch, was_written
):
    first, second = hosts
    batch = path.accept(cars_csv(25))
    while path.queue[0][0] is TaskName.SPLIT_BATCH:
        path.of(first).step()
    with monkeypatch.context() as death:
        name = "list_batch_segments" if was_written else "publish_part_segment"
        death.setattr(f"worker.batches.shared_segments.{name}", die)
        with pytest.raises(Killed):
            path.step()
    assert len(rows(first)) == (10 if was_written else 0)
    path.of(second)
    with first.answering():
        first.sign()
        ended = path.sweep_until_ended(batch)
    assert ended.progress.state is JobState.SUCCEEDED
    assert rows(*hosts) == dict.fromkeys(range(1, 26), 1)


def test_an_assembler_publishes_nothing_again_although_the_broker_forgot_the_claims(path, hosts):
    first, second = hosts
    batch = path.accept(cars_csv(25))
    while path.queue[0][0] is not TaskName.ASSEMBLE_BATCH:
        path.of(first).step()
    path.client.delete(keys.audit_segments(batch))
    with first.answering():
        first.sign()
        path.of(second).drain()
    assert path.get(batch).progress.state is JobState.SUCCEEDED
    assert (len(rows(first)), len(rows(second))) == (25, 0)
