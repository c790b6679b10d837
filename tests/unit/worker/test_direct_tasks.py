"""Tasks that a solo worker runs without Celery's request and tracer look the same from outside."""

import ast
import base64
import time
import types

import msgpack
import orjson
import pytest
import structlog
from celery import Celery, signals
from celery.app.trace import build_tracer, reset_worker_optimizations, setup_worker_optimizations
from celery.concurrency import prefork, solo
from celery.utils.collections import LimitedSet
from celery.worker import state
from celery.worker.strategy import default
from kombu.transport import virtual
from redis import Redis

from shared.domain.ids import JobId
from shared.queue.names import TaskName
from shared.queue.sender import TaskSender
from worker.direct_tasks import DirectTasks
from worker.lifecycle import show_arguments

FIRST_EVENTS = ["task-received", "task-started"]


class Events:
    """Keeps what is sent."""

    enabled = True

    def __init__(self):
        self.sent = []

    def send(self, kind, **fields):
        self.sent.append((kind, fields))


@pytest.fixture
def calls():
    """What the tasks have done."""
    return []


@pytest.fixture
def app(calls):
    made = Celery(broker="memory://", set_as_current=False)
    made.conf.update(task_ignore_result=True, accept_content=["msgpack", "json"])
    made.finalize()
    for name in (TaskName.VALUE_CARS, TaskName.VALUE_JOBS, TaskName.SWEEP):
        made.tasks.pop(str(name), None)  # those of the service, if another test has made it

    @made.task(name=str(TaskName.VALUE_CARS), is_direct=True)
    def value_cars(group_id, **_):
        calls.append((group_id, structlog.contextvars.get_contextvars()))
        if group_id == "broken":
            raise LookupError("no such thing")

    @made.task(name=str(TaskName.VALUE_JOBS), is_direct=True)
    def value_jobs(job_ids, enqueued_at, **_):
        calls.append((job_ids, enqueued_at, DirectTasks.message_id))

    @made.task(name=str(TaskName.SWEEP))
    def sweep(**_):
        calls.append("sweep")

    state.reset_state()
    yield made
    state.reset_state()


@pytest.fixture
def consumer(app):
    return types.SimpleNamespace(
        app=app,
        pool=solo.TaskPool(),
        event_dispatcher=Events(),
        task_buckets={},
        hostname="node",
        connection_errors=(),
        timer=types.SimpleNamespace(call_at=None),
        apply_eta_task=None,
        disable_rate_limits=True,
        on_task_request=lambda request: request.execute_using_pool(consumer_pool),
        _limit_task=None,
        _limit_post_eta=None,
        controller=types.SimpleNamespace(state=types.SimpleNamespace(revoked=LimitedSet())),
    )


consumer_pool = solo.TaskPool()


@pytest.fixture
def direct(consumer):
    return DirectTasks(consumer, own_receivers=len(signals.task_prerun.receivers or ()))


def message(task=TaskName.VALUE_CARS, **kwargs):
    _, packed = TaskSender(Redis()).render(task, {"group_id": "g", **kwargs})
    return orjson.loads(packed)


def test_the_task_of_a_message_runs_with_its_arguments_and_the_context_of_the_log(calls, direct):
    sent = message(group_id="one")
    assert direct.run(sent)
    context = {"task": TaskName.VALUE_CARS, "task_id": sent["headers"]["id"]}
    assert calls == [("one", context)]
    assert structlog.contextvars.get_contextvars() == {}
    assert state.total_count == {TaskName.VALUE_CARS: 1}


def test_jobs_are_told_the_id_of_their_message(calls, direct):
    """It is the token by which the fair queue knows that they have been taken."""
    before = time.time()
    token, packed = TaskSender(Redis()).render_jobs([JobId("a"), JobId("b")])
    assert direct.run(orjson.loads(packed))
    ((job_ids, enqueued_at, message_id),) = calls
    assert (job_ids, message_id) == (["a", "b"], token)
    assert before <= enqueued_at <= time.time()
    assert DirectTasks.message_id == ""


def test_a_failed_task_leaves_no_id_of_its_message(direct):
    assert direct.run(message(group_id="broken"))
    assert DirectTasks.message_id == ""


@pytest.mark.parametrize("group_id", ["fine", "broken"])
def test_events_are_those_that_celery_sends(app, consumer, direct, group_id):
    failures = []
    receive = signals.task_failure.connect(
        lambda sender, task_id, **_: failures.append((sender.name, task_id)), weak=False
    )
    sent = message(group_id=group_id)
    assert direct.run(sent)
    own, consumer.event_dispatcher.sent[:] = list(consumer.event_dispatcher.sent), []
    _run_by_celery(app, consumer, sent)
    signals.task_failure.disconnect(receive)
    theirs = consumer.event_dispatcher.sent
    assert [kind for kind, _ in own] == [kind for kind, _ in theirs]
    last = {"fine": "task-succeeded", "broken": "task-failed"}[group_id]
    assert [kind for kind, _ in own] == [*FIRST_EVENTS, last]
    for (_, fields), (_, expected) in zip(own, theirs, strict=True):
        comparable = {name: fields[name] for name in expected if name not in VARYING}
        assert comparable == {name: expected[name] for name in comparable}
        assert set(expected) <= set(fields)
    assert len(failures) == (2 if group_id == "broken" else 0)
    assert failures[:1] == failures[1:]


VARYING = {"runtime", "traceback"}


def _run_by_celery(app, consumer, sent):
    task = app.tasks[TaskName.VALUE_CARS]
    setup_worker_optimizations(app, "node")
    task.__trace__ = build_tracer(task.name, task, app=app, hostname="node")
    try:
        with app.connection_for_write() as connection:
            kept = virtual.Message(sent, channel=connection.default_channel)
            kept.accept = {"application/x-msgpack"}
            show_arguments(kept)
            default(task, app, consumer)(kept, None, lambda *_: None, lambda *_: None, ())
    finally:
        reset_worker_optimizations(app)


def test_events_name_the_jobs_of_a_message(direct, consumer):
    _, packed = TaskSender(Redis()).render_jobs([JobId("a"), JobId("b")])
    assert direct.run(orjson.loads(packed))
    (_, received), *_ = consumer.event_dispatcher.sent
    assert ast.literal_eval(received["kwargs"]) == {"job_ids": ["a", "b"]}


def test_events_show_neither_cars_nor_addresses(direct, consumer):
    assert direct.run(message(reply_to="carprice:reply:secret", items=[b"Dacia", b"Toyota"]))
    (_, received), *_ = consumer.event_dispatcher.sent
    assert ast.literal_eval(received["kwargs"]) == {"group_id": "g", "cars": 2}


def test_times_of_events_are_those_of_what_happened(direct, consumer):
    assert direct.run(message())
    (_, received), (_, started), (_, ended) = consumer.event_dispatcher.sent
    assert received["timestamp"] <= started["timestamp"]
    assert ended["runtime"] >= 0
    assert "timestamp" not in ended  # set as it is sent


def test_no_events_are_sent_while_nobody_wants_them(direct, consumer):
    consumer.event_dispatcher.enabled = False
    assert direct.run(message())
    assert consumer.event_dispatcher.sent == []


def _with_header(name, value):
    sent = message()
    sent["headers"][name] = value
    return sent


def _with_embed(**embed):
    sent = message()
    args, kwargs, others = msgpack.unpackb(base64.b64decode(sent["body"]))
    sent["body"] = base64.b64encode(msgpack.packb([args, kwargs, others | embed])).decode()
    return sent


def _jobs(**changes):
    sent = orjson.loads(TaskSender(Redis()).render_jobs([JobId("a")])[1])
    return sent | changes


LATER = "2100-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "sent",
    [
        message(TaskName.SWEEP),
        _with_header("eta", LATER),
        _with_header("expires", LATER),
        _with_header("retries", 1),
        _with_header("task", "unknown"),
        _with_header("compression", "application/x-gzip"),
        _with_embed(callbacks=[{"task": "another"}]),
        message() | {"content-type": "application/json"},
        message() | {"body": "&&&"},
        _jobs(body="["),
        _jobs(body='[[], {"at": {"__type__": "date", "__value__": "2026-01-01"}}, {}]'),
        _jobs(**{"content-type": "application/x-msgpack"}),
        _jobs(properties={"body_encoding": "base64"}),
        message() | {"body": base64.b64encode(b"\xc1").decode()},
        message() | {"headers": None},
        {},
        [],
    ],
)
def test_celery_runs_what_uses_more(calls, direct, sent):
    assert not direct.run(sent)
    assert calls == []
    assert not state.total_count


def test_a_revoked_task_is_left_to_celery(calls, direct):
    sent = message()
    state.revoked.add(sent["headers"]["id"])
    assert not direct.run(sent)
    state.revoked.clear()
    state.revoked_stamps["caller"] = {"one"}
    assert not direct.run(sent)
    assert calls == []


def test_a_task_with_a_rate_limit_is_left_to_celery(direct, consumer):
    consumer.task_buckets[str(TaskName.VALUE_CARS)] = object()
    assert not direct.run(message())


def test_another_listener_to_celerys_signals_gets_all_of_them(consumer):
    receive = signals.task_prerun.connect(lambda **_: None, weak=False)
    own = len(signals.task_prerun.receivers) - 1
    listened = DirectTasks(consumer, own)
    signals.task_prerun.disconnect(receive)
    assert not listened.run(message())
    receive = signals.task_success.connect(lambda **_: None, weak=False)
    listened = DirectTasks(consumer, own)
    signals.task_success.disconnect(receive)
    assert not listened.run(message())


def test_a_pool_of_processes_gets_its_tasks_from_celery(consumer):
    consumer.pool = prefork.TaskPool(1)
    assert not DirectTasks(consumer, 0).run(message())
