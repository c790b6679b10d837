"""Work on its way to the workers: fair if all of them take part, at once otherwise."""

import base64
import json
import time
from typing import Any

import msgpack
import pytest

from api.valuations.queue_guard import QueueGuard
from shared.domain.errors import BrokerUnavailable, QueueFull
from shared.domain.ids import BatchId, CallerId, JobId, new_id
from shared.domain.job import Job, JobState
from shared.domain.valuation import CarRequest, Extra
from shared.fields.requests import load_car_request
from shared.queue.names import QueueName, TaskName
from shared.queue.sender import TaskSender
from shared.queue.work import WorkSender
from shared.redis import keys
from shared.redis.connections import connect
from shared.redis.fair_queues.queues import FairQueues
from shared.redis.workers import WorkerRegistry
from tests.conftest import Servers

ME, OTHER = CallerId("me"), CallerId("other")
INTERACTIVE, BULK = ["interactive"], ["bulk", "control"]


class Bench:
    """A sender of work, and workers of which only the heartbeats exist."""

    def __init__(self, servers: Servers) -> None:
        self.broker = servers.broker
        self.fair = FairQueues(self.broker, time.time)
        self.workers = WorkerRegistry(self.broker)
        self.work = WorkSender(TaskSender(self.broker), self.fair, WorkerRegistry(self.broker))

    def start_workers(self) -> None:
        for name, queues, processes in (("i", INTERACTIVE, 2), ("b", BULK, 2)):
            self.workers.heartbeat(f"{name}@host:1", queues)
            self.fair.announce(f"{name}@host", queues, processes)

    def start_old_worker(self) -> None:
        """One of the release before, which announces no protocol."""
        self.broker.zadd(keys.WORKERS, {"bulk,control|old@host:1": time.time()})

    def take(self, queue: QueueName) -> tuple[str, TaskName, dict[str, Any]] | None:
        """The next message: id, task and arguments."""
        message = self.broker.rpop(str(queue))
        if message is None:
            return None
        message = json.loads(message)
        body, is_json = message["body"], message["content-type"] == "application/json"
        _, kwargs, _ = json.loads(body) if is_json else msgpack.unpackb(base64.b64decode(body))
        headers = message["headers"]
        assert headers["kwargsrepr"] == headers["argsrepr"] == ""
        return headers["id"], TaskName(headers["task"]), kwargs


@pytest.fixture
def bench(servers: Servers) -> Bench:
    return Bench(servers)


@pytest.fixture
def request_(car: dict[str, Any]) -> CarRequest:
    return load_car_request(car)


def job(*requests: CarRequest, caller: CallerId = ME) -> Job:
    return Job(
        id=JobId(new_id()),
        caller=caller,
        state=JobState.QUEUED,
        created_at=time.time(),
        requests=requests,
        is_list=True,
    )


def test_a_long_job_is_sent_where_it_keeps_no_single_car_waiting(
    bench: Bench, request_: CarRequest
) -> None:
    bench.start_workers()
    short, long = job(request_), job(*[request_] * 101)
    for each in (short, long):
        bench.work.send_job(each)
    for queue, task, named in (
        (QueueName.INTERACTIVE, TaskName.VALUE_JOBS, {"job_ids": [short.id]}),
        (QueueName.BULK, TaskName.VALUE_LIST, {"job_id": long.id}),
    ):
        taken = bench.take(queue)
        assert taken is not None
        assert taken[1] is task
        assert taken[2].pop("enqueued_at") <= time.time()
        assert taken[2] == named


def test_short_jobs_of_another_caller_pass_those_of_one_who_floods(
    bench: Bench, request_: CarRequest
) -> None:
    bench.start_workers()
    for _ in range(20):
        bench.work.send_job(job(request_))
    other = job(request_, caller=OTHER)
    bench.work.send_job(other)
    order = []
    while taken := bench.take(QueueName.INTERACTIVE):
        with bench.work.taken(taken[0]):
            order.append(taken[2]["job_ids"])
    assert sum(map(len, order)) == 21
    assert order.index([other.id]) <= 4


def test_steps_of_a_batch_pass_the_lists_of_another_caller(
    bench: Bench, request_: CarRequest
) -> None:
    bench.start_workers()
    car = CarRequest(car=request_.car, extras=tuple(Extra))
    for _ in range(5):
        bench.work.send_job(job(*[car] * 500))
    assert bench.take(QueueName.BULK) is not None
    assert bench.take(QueueName.BULK) is None, "one of two processes is left"
    batch = BatchId(new_id())
    for task in (TaskName.SPLIT_BATCH, TaskName.ASSEMBLE_BATCH):
        bench.work.send(task, {"batch_id": batch}, OTHER)
        taken = bench.take(QueueName.CONTROL)
        assert taken is not None
        with bench.work.carried_out(taken[0]):
            assert taken[1:] == (task, {"batch_id": batch})


def test_the_slices_of_a_file_are_sent_one_after_the_other(bench: Bench) -> None:
    """A task that cuts a slice queues the next one while it still runs, in a place of its own."""
    bench.start_workers()
    order = {"batch_id": new_id()}
    bench.work.send(TaskName.SPLIT_BATCH, order, ME)
    first = bench.take(QueueName.CONTROL)
    assert first is not None
    with bench.work.carried_out(first[0]):
        bench.work.send(TaskName.SPLIT_BATCH, order, ME, part=5)
        bench.work.send(TaskName.ASSEMBLE_BATCH, {"batch_id": "third"}, ME)
        assert bench.broker.llen("control") == 1, "two processes are occupied"
    second = bench.take(QueueName.CONTROL)
    assert second is not None
    assert second[0] != first[0]
    assert second[1] is TaskName.SPLIT_BATCH


def test_while_an_older_worker_lives_everything_is_sent_at_once(
    bench: Bench, request_: CarRequest
) -> None:
    bench.start_workers()
    bench.start_old_worker()
    for number in range(20):
        bench.work.send(
            TaskName.VALUE_CHUNK, {"batch_id": "b", "chunk": number, "enqueued_at": 0.0}, ME
        )
        bench.work.send_job(job(request_))
    assert bench.broker.llen("bulk") == 20
    assert bench.broker.llen("interactive") == 20


def test_the_sweep_sends_what_waits_behind_messages_that_were_lost(
    bench: Bench, request_: CarRequest
) -> None:
    bench.start_workers()
    for _ in range(6):
        bench.work.send_job(job(request_))
    while bench.take(QueueName.INTERACTIVE):
        pass
    assert bench.work.sweep() == 0
    later = FairQueues(bench.broker, lambda: time.time() + 11)
    later.announce("i@host", INTERACTIVE, 2)
    assert WorkSender(TaskSender(bench.broker), later, bench.workers).sweep() == 1
    taken = bench.take(QueueName.INTERACTIVE)
    assert taken is not None
    assert len(taken[2]["job_ids"]) == 4


def test_queues_and_their_ages_include_what_waits_for_its_turn(
    bench: Bench, request_: CarRequest
) -> None:
    bench.start_workers()
    for _ in range(10):
        bench.work.send_job(job(request_))
    later = WorkerRegistry(bench.broker, lambda: time.time() + 60)
    lengths, ages = later.waiting()
    assert lengths["interactive"] == 10
    assert 59 < ages["interactive"] < 70
    while bench.take(QueueName.INTERACTIVE):
        pass
    assert later.waiting()[1]["interactive"] > 59


def test_a_caller_who_fills_the_queue_leaves_space_to_others(
    bench: Bench, request_: CarRequest
) -> None:
    bench.start_workers()
    moment = iter(range(0, 10_000, 10))
    guard = QueueGuard(bench.broker, bench.fair, lambda: next(moment), 45)
    for _ in range(41):
        guard.check_job(QueueName.INTERACTIVE, ME)
        bench.work.send_job(job(request_))
    with pytest.raises(QueueFull):
        guard.check_job(QueueName.INTERACTIVE, ME)
    guard.check_job(QueueName.INTERACTIVE, OTHER)
    guard.check_job(QueueName.BULK, ME)
    guard.check()


def test_a_queue_that_is_full_of_messages_takes_no_micro_batch(bench: Bench) -> None:
    guard = QueueGuard(bench.broker, bench.fair, time.time, 3)
    guard.check()
    bench.broker.lpush("interactive", *"abc")
    with pytest.raises(QueueFull):
        QueueGuard(bench.broker, bench.fair, time.time, 3).check()


def test_without_a_broker_work_is_refused_and_a_task_still_ends(request_: CarRequest) -> None:
    away = connect("unix:///nowhere.sock")
    work = WorkSender(TaskSender(away), FairQueues(away, time.time), WorkerRegistry(away))
    with pytest.raises(BrokerUnavailable):
        work.send_job(job(request_))
    with work.carried_out("message"):
        done = True
    assert done
