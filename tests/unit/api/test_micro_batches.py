"""Micro-batching over a real broker; the test plays the worker, message by message."""

import base64
import dataclasses
import json
import os
import queue
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import msgpack
import pytest

from api.valuations import micro_batches
from api.valuations.micro_batches import MICRO_BATCH_MAX_BYTES, MicroBatchDispatcher
from shared.domain.errors import (
    TEMPORARY_ERRORS,
    BrokerUnavailable,
    ModelNotLoaded,
    QueueFull,
    ValuationFailed,
)
from shared.domain.ids import CallerId, JobId, ValuationId, new_id
from shared.domain.job import Job, JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.queue import sender
from shared.queue.names import QueueName, TaskName
from shared.queue.sender import TaskSender, error_from_code, push_reply
from shared.redis.connections import ConnectionCache, connect
from shared.redis.job_store.store import JobStore
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.conftest import answers, running_server, short_folder, wait_until

ME = CallerId("me")
QUEUE = str(QueueName.INTERACTIVE)
ESTIMATE = Estimate(
    price_mad=150_000.0, quantiles_mad=(1.0,) * 9, model_version="v1", model_known=True
)


class FakeWorker:
    """Takes messages off the queue and answers them as a worker would."""

    def __init__(self, broker):
        self._broker = broker

    def take(self, timeout_s=10):
        """The next message: its headers and its keyword arguments."""
        popped = self._broker.brpop([QUEUE], timeout=timeout_s)
        assert popped is not None, "no message"
        message = json.loads(popped[1])
        _, kwargs, _ = msgpack.unpackb(base64.b64decode(message["body"]))
        return message["headers"], kwargs

    def answer(self, kwargs, code=None):
        """Reply to a group, with estimates or with an error for all."""
        outcome = error_from_code(code) if code else ESTIMATE
        answered = [(msgpack.unpackb(item)[0], outcome) for item in kwargs["items"]]
        push_reply(ConnectionCache(self._broker), kwargs["reply_to"], kwargs["group_id"], answered)


@pytest.fixture
def worker(servers):
    return FakeWorker(connect(servers.settings.redis_url, reply_timeout_s=30.0))


@pytest.fixture
def store(servers):
    return JobStore(servers.broker, time.time, retention_s=100, lease_s=30)


@pytest.fixture
def dispatcher(servers, store):
    made = MicroBatchDispatcher(
        TaskSender(servers.broker), servers.broker, store, group_max_cars=8, slots=1
    )
    yield made
    made.close()


@pytest.fixture
def request_(car):
    return load_car_request(car)


def prepare(dispatcher, request, on_done, wait_s=20.0):
    return dispatcher.prepare(ValuationId(new_id()), request, ME, time.time() + wait_s, on_done)


def submit(dispatcher, request, wait_s=20.0):
    future = prepare(dispatcher, request, lambda _: None, wait_s)
    dispatcher.submit_all([future])
    return future


def result(future, timeout_s=10.0):
    """The estimate, None if it has not come by then; raises what went wrong."""
    until = time.monotonic() + timeout_s
    while (estimate := future.estimate()) is None and time.monotonic() < until:
        time.sleep(0.002)
    return estimate


def test_a_lone_request_leaves_at_once_and_gets_its_reply(dispatcher, worker, request_):
    pending = submit(dispatcher, request_)
    headers, kwargs = worker.take()
    assert headers["task"] == TaskName.VALUE_CARS
    assert [msgpack.unpackb(item)[0] for item in kwargs["items"]] == [pending.id]
    worker.answer(kwargs)
    assert result(pending, 10) == ESTIMATE


def test_requests_gather_while_the_slot_is_taken_up_to_the_limit(dispatcher, worker, request_):
    first = submit(dispatcher, request_)
    _, group = worker.take()
    others = [submit(dispatcher, request_) for _ in range(10)]
    assert worker._broker.llen(QUEUE) == 0
    worker.answer(group)
    _, second = worker.take()
    assert len(second["items"]) == 8
    worker.answer(second)
    _, third = worker.take()
    assert len(third["items"]) == 2
    worker.answer(third)
    assert [result(pending, 10) for pending in [first, *others]] == [ESTIMATE] * 11


def test_each_waiter_gets_its_own_reply(dispatcher, worker, car):
    requests = [load_car_request(car | {"km_driven": number}) for number in range(50)]
    stop = threading.Event()

    def work():
        while not stop.is_set():
            popped = worker._broker.brpop([QUEUE], timeout=1)
            if popped is None:
                continue
            _, kwargs, _ = msgpack.unpackb(base64.b64decode(json.loads(popped[1])["body"]))
            items = [msgpack.unpackb(item) for item in kwargs["items"]]
            answered = [
                (item[0], dataclasses.replace(ESTIMATE, price_mad=float(item[1][0][5])))
                for item in items
            ]
            push_reply(
                ConnectionCache(worker._broker), kwargs["reply_to"], kwargs["group_id"], answered
            )

    thread = threading.Thread(target=work)
    thread.start()
    with ThreadPoolExecutor(16) as pool:
        estimates = list(pool.map(lambda r: result(submit(dispatcher, r), 20), requests))
    stop.set()
    thread.join()
    assert [estimate.price_mad for estimate in estimates] == list(range(50))


@pytest.mark.parametrize(
    ("code", "error"),
    [("model-not-loaded", ModelNotLoaded), ("whatever", ValuationFailed)],
)
def test_a_failure_that_the_worker_reports_is_raised(dispatcher, worker, request_, code, error):
    pending = submit(dispatcher, request_)
    worker.answer(worker.take()[1], code)
    with pytest.raises(error):
        result(pending, 10)


def test_a_reply_after_the_caller_left_completes_the_job(dispatcher, worker, store, request_):
    pending = submit(dispatcher, request_, wait_s=0.05)
    _, group = worker.take()
    assert result(pending, 0.05) is None
    job = Job(
        id=JobId(pending.id),
        caller=ME,
        state=JobState.QUEUED,
        created_at=time.time(),
        requests=(request_,),
        is_list=False,
    )
    store.create(job)
    assert pending.abandon() is None
    worker.answer(group)
    ended = wait_until(
        lambda: (
            (job := store.get(job_id, ME)).state.is_terminal and job
            if (job_id := JobId(pending.id))
            else None
        )
    )
    assert (ended.state, ended.estimates) == (JobState.SUCCEEDED, (ESTIMATE,))


@pytest.mark.parametrize("error", TEMPORARY_ERRORS)
def test_a_temporary_failure_after_the_caller_left_does_not_end_the_job(
    dispatcher, worker, store, request_, error
):
    pending, later = submit(dispatcher, request_, wait_s=0.05), submit(dispatcher, request_)
    _, group = worker.take()
    assert result(pending, 0.05) is None
    job = Job(
        id=JobId(pending.id),
        caller=ME,
        state=JobState.QUEUED,
        created_at=time.time(),
        requests=(request_,),
        is_list=False,
    )
    store.create(job)
    assert pending.abandon() is None
    worker.answer(group, error.code)
    _, group = worker.take()
    worker.answer(group)
    assert result(later, 10) == ESTIMATE, "the replies have been read"
    assert store.get(JobId(pending.id), ME).state is JobState.QUEUED


def test_unknown_doubled_and_broken_replies_harm_nobody(dispatcher, worker, servers, request_):
    pending = submit(dispatcher, request_)
    _, group = worker.take()
    servers.broker.lpush(group["reply_to"], b"not msgpack \xc1")
    push_reply(
        ConnectionCache(servers.broker),
        group["reply_to"],
        "nobody",
        [(ValuationId(new_id()), ESTIMATE)],
    )
    worker.answer(group)
    worker.answer(group)
    assert result(pending, 10) == ESTIMATE
    again = submit(dispatcher, request_)
    worker.answer(worker.take()[1])
    assert result(again, 10) == ESTIMATE
    wait_until(lambda: servers.broker.llen(group["reply_to"]) == 0)


def test_a_group_is_cut_at_its_size_in_bytes(dispatcher, worker, car):
    pending = submit(dispatcher, load_car_request(car))
    _, first = worker.take()
    request = load_car_request(car)
    heavy = dataclasses.replace(
        request, car=dataclasses.replace(request.car, edition="x" * (MICRO_BATCH_MAX_BYTES // 3))
    )
    others = [submit(dispatcher, heavy) for _ in range(3)]
    worker.answer(first)
    groups = []
    for _ in range(2):
        _, group = worker.take()
        worker.answer(group)
        groups.append(len(group["items"]))
    assert groups == [2, 1]
    assert [result(each, 10) for each in [pending, *others]] == [ESTIMATE] * 4


def test_a_worker_that_answers_one_request_twice_is_believed_once(dispatcher, worker, request_):
    pending = submit(dispatcher, request_)
    _, group = worker.take()
    other = dataclasses.replace(ESTIMATE, price_mad=1.0)
    answered = [(pending.id, ESTIMATE), (pending.id, other)]
    push_reply(ConnectionCache(worker._broker), group["reply_to"], group["group_id"], answered)
    assert result(pending, 10) == ESTIMATE
    assert result(pending, 0) == ESTIMATE


def test_a_reply_list_that_nobody_reads_is_bounded_and_ends(servers, monkeypatch):
    monkeypatch.setattr(sender, "MAX_QUEUED_REPLIES", 3)
    for number in range(5):
        push_reply(ConnectionCache(servers.broker), "nobody-reads", str(number), [])
    left = [msgpack.unpackb(reply)[0] for reply in servers.broker.lrange("nobody-reads", 0, -1)]
    assert left == ["4", "3", "2"]
    assert 0 < servers.broker.ttl("nobody-reads") <= sender.REPLY_LIST_TTL_S


def test_a_forked_child_sends_and_hears_on_its_own(dispatcher, worker, request_):
    parents = submit(dispatcher, request_)
    _, parents_group = worker.take()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:  # the parent's only slot is taken; the child has slots of its own
        try:
            estimate = result(submit(dispatcher, request_), 10)
            os.write(write_end, b"same" if estimate == ESTIMATE else b"other")
        finally:
            os._exit(0)
    _, childs_group = worker.take()
    assert childs_group["reply_to"] != parents_group["reply_to"]
    worker.answer(childs_group)
    worker.answer(parents_group)
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    assert poll.poll(20_000)
    assert os.read(read_end, 10) == b"same"
    os.waitpid(child, 0)
    os.close(read_end)
    os.close(write_end)
    assert result(parents, 10) == ESTIMATE


def test_when_the_broker_goes_everybody_who_waits_is_told(store, request_):
    with short_folder() as home, running_server(home, "broker") as server:
        client = connect(with_server_urls(Settings(home=home)).redis_url)
        wait_until(lambda: answers(client))
        dispatcher = MicroBatchDispatcher(
            TaskSender(client), client, store, group_max_cars=8, slots=1
        )
        waiting = [submit(dispatcher, request_) for _ in range(3)]
        server.kill()
        server.wait()
        for pending in waiting:
            with pytest.raises(BrokerUnavailable):
                result(pending, 10)
        dispatcher.close()


def test_a_broker_that_may_only_be_read_is_an_outage(store, request_):
    with short_folder() as home, running_server(home, "broker"):
        client = connect(with_server_urls(Settings(home=home)).redis_url)
        wait_until(lambda: answers(client))
        client.replicaof("127.0.0.1", "1")  # as after a failover
        dispatcher = MicroBatchDispatcher(
            TaskSender(client), client, store, group_max_cars=8, slots=1
        )
        with pytest.raises(BrokerUnavailable):
            result(submit(dispatcher, request_), 10)
        dispatcher.close()


def test_too_many_waiting_requests_are_refused(dispatcher, worker, request_, monkeypatch):
    monkeypatch.setattr(micro_batches, "MAX_WAITING_REQUESTS", 2)
    first = submit(dispatcher, request_)
    _, group = worker.take()
    others = [submit(dispatcher, request_) for _ in range(2)]
    with pytest.raises(QueueFull):
        submit(dispatcher, request_)
    worker.answer(group)
    worker.answer(worker.take()[1])
    assert [result(pending, 10) for pending in [first, *others]] == [ESTIMATE] * 3


def test_those_who_are_told_are_told_once_for_all_of_a_group(dispatcher, worker, request_):
    told = queue.SimpleQueue()
    futures = [prepare(dispatcher, request_, told.put) for _ in range(5)]
    left = futures.pop()
    dispatcher.submit_all([*futures, left])
    waits = submit(dispatcher, request_)
    left.abandon()
    worker.answer(worker.take()[1])
    assert told.get(timeout=10) == futures
    assert [pending.estimate() for pending in futures] == [ESTIMATE] * 4
    worker.answer(worker.take()[1])
    assert result(waits, 10) == ESTIMATE
    assert told.empty()


def test_of_too_many_who_come_together_none_waits(dispatcher, worker, request_, monkeypatch):
    monkeypatch.setattr(micro_batches, "MAX_WAITING_REQUESTS", 2)
    told = queue.SimpleQueue()
    with pytest.raises(QueueFull):
        dispatcher.submit_all([prepare(dispatcher, request_, told.put) for _ in range(3)])
    alone = submit(dispatcher, request_)
    _, group = worker.take()
    assert len(group["items"]) == 1
    worker.answer(group)
    assert result(alone, 10) == ESTIMATE
    assert told.empty()


def test_a_lost_group_gives_its_slot_back(dispatcher, worker, request_):
    lost = submit(dispatcher, request_, wait_s=0.0)
    worker.take()
    next_one = submit(dispatcher, request_)
    worker.answer(worker.take(timeout_s=15)[1])
    assert result(next_one, 10) == ESTIMATE
    with pytest.raises(ValuationFailed):
        result(lost, 0)


def test_a_worker_that_died_with_patient_callers_does_not_keep_the_others_waiting(
    dispatcher, worker, request_, monkeypatch
):
    """The first one waits for long; the slot is free before, and his reply still welcome."""
    monkeypatch.setattr(micro_batches, "SLOT_TIMEOUT_S", 0.2)
    patient = submit(dispatcher, request_, wait_s=20.0)
    _, group = worker.take()
    next_one = submit(dispatcher, request_, wait_s=5.0)
    worker.answer(worker.take(timeout_s=4)[1])
    assert result(next_one, 4) == ESTIMATE
    worker.answer(group)
    assert result(patient, 10) == ESTIMATE


def test_what_cannot_be_read_delays_nobody(dispatcher, worker, servers, request_, monkeypatch):
    monkeypatch.setattr(micro_batches, "POLL_S", 60.0)
    pending = submit(dispatcher, request_)
    _, group = worker.take()
    servers.broker.lpush(group["reply_to"], *[b"\xc1 no reply"] * 50)
    worker.answer(group)
    assert result(pending, 10) == ESTIMATE


def test_without_a_broker_every_submission_fails(tmp_path, request_, store):
    url = f"unix://{tmp_path}/nobody.sock"
    client = connect(url)
    dispatcher = MicroBatchDispatcher(TaskSender(client), client, store, group_max_cars=8, slots=1)
    with pytest.raises(BrokerUnavailable):
        result(submit(dispatcher, request_), 10)
    dispatcher.close()
