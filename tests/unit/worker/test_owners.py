"""Heartbeats inside of a worker: hung pool processes, stalled consumers, delivery of messages."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery
from celery.worker import state

from shared.domain.errors import BrokerUnavailable
from shared.queue.celery_app import make_celery
from shared.redis import keys
from shared.redis.connections import connect
from shared.redis.owners import BEAT_INTERVAL_S
from shared.redis.workers import WorkerRegistry
from tests.conftest import Servers, wait_until
from worker import hung_processes
from worker.broker_channel import BrokerChannel
from worker.delivery import Deliveries, OwnedChannel, use_owned_transport
from worker.hung_processes import HUNG_AFTER_S, ConsumerWatch, PoolHeartbeats


class PoolProcess:
    """A process of a pool, as billiard lists it."""

    def __init__(self, pid: int, index: int) -> None:
        self.pid = pid
        self.index = index


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


class FakeTime:
    """The monotonic clock, set by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(hung_processes, "time", fake)
    return fake


def test_a_pool_process_without_heartbeat_is_killed(
    sleeper: "subprocess.Popen[bytes]", clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, process = PoolHeartbeats(), PoolProcess(sleeper.pid, 1)
    with monkeypatch.context() as inside:
        inside.setattr(os, "getpid", lambda: sleeper.pid)
        pool.write(1)
    for _ in range(int(HUNG_AFTER_S / BEAT_INTERVAL_S)):
        pool.kill_hung([process])
        clock.now += BEAT_INTERVAL_S
        assert sleeper.poll() is None
    for _ in range(3):
        pool.kill_hung([process])
        clock.now += BEAT_INTERVAL_S
    assert sleeper.wait(10) == -signal.SIGKILL


def test_a_parent_that_was_suspended_itself_kills_nobody(
    sleeper: "subprocess.Popen[bytes]", clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, process = PoolHeartbeats(), PoolProcess(sleeper.pid, 0)
    monkeypatch.setattr(os, "getpid", lambda: sleeper.pid)
    pool.write(0)
    pool.kill_hung([process])
    clock.now += 3600
    pool.kill_hung([process])
    time.sleep(0.1)
    assert sleeper.poll() is None


class Lengths:
    """A registry that knows the lengths of queues only."""

    def __init__(self, **lengths: int) -> None:
        self.lengths = lengths

    def waiting(self) -> tuple[dict[str, int], dict[str, float]]:
        return self.lengths, {}


@pytest.mark.parametrize("situation", ["stalled", "no messages", "receives", "busy"])
def test_a_worker_that_takes_no_messages_although_it_is_idle_ends(
    clock: FakeTime, monkeypatch: pytest.MonkeyPatch, situation: str
) -> None:
    killed = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    monkeypatch.setattr(state, "reserved_requests", {1} if situation == "busy" else set())
    deliveries = Deliveries()
    registry: Any = Lengths(bulk=0 if situation == "no messages" else 3, control=0)
    watch = ConsumerWatch(registry, lambda: deliveries.received)
    for _ in range(6):
        clock.now += hung_processes.STALL_CHECK_INTERVAL_S
        deliveries.received += situation == "receives"
        watch.check(["bulk", "control"])
    assert bool(killed) is (situation == "stalled")


@pytest.fixture
def app(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Celery:
    monkeypatch.setattr(BrokerChannel, "server_url", "")  # undone after the test
    use_owned_transport(servers.settings.redis_url)
    deliveries = Deliveries()
    deliveries.owner = "interactive.1@here:1-abc"
    monkeypatch.setattr(OwnedChannel, "deliveries", deliveries)
    return make_celery(servers.settings.redis_url)


def consume_one(app: Celery, queue: str) -> list[Any]:
    """Take one message from a queue as a worker does."""
    seen = []
    with app.connection_for_read() as connection:
        consumer = app.amqp.TaskConsumer(connection.channel(), queues=[app.amqp.queues[queue]])
        consumer.register_callback(lambda _, message: seen.append(message))
        consumer.consume()
        connection.drain_events(timeout=5)
    return seen


def test_a_message_is_in_the_list_of_its_process_while_its_task_runs(
    app: Celery, servers: Servers
) -> None:
    app.send_task("valuation.value_cars", queue="interactive")
    consume_one(app, "interactive")
    assert servers.broker.llen("interactive") == 0
    assert servers.broker.llen(keys.popped(OwnedChannel.deliveries.owner)) == 1
    assert OwnedChannel.deliveries.finished == 1


def test_a_message_whose_move_was_not_seen_is_delivered_and_others_come_once(
    app: Celery, servers: Servers
) -> None:
    popped = keys.popped(OwnedChannel.deliveries.owner)
    app.send_task("valuation.value_cars", task_id="first", queue="interactive")
    app.send_task("valuation.value_cars", task_id="second", queue="interactive")
    (first,) = consume_one(app, "interactive")
    assert servers.broker.lmove("interactive", popped, "RIGHT", "LEFT")  # and the reply is lost
    (second,) = consume_one(app, "interactive")
    assert [each.headers["id"] for each in (first, second)] == ["first", "second"]
    with pytest.raises(TimeoutError):
        consume_one(app, "interactive")
    assert servers.broker.llen(popped) == 2


def test_a_broker_without_memory_still_delivers_messages(app: Celery, servers: Servers) -> None:
    app.send_task("valuation.value_cars", queue="interactive")
    with app.connection_for_read() as connection:
        consumer = app.amqp.TaskConsumer(
            connection.channel(), queues=[app.amqp.queues["interactive"]]
        )
        seen: list[Any] = []
        consumer.register_callback(lambda _, message: seen.append(message))
        consumer.consume()

        def drain() -> bool:
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=1)
            return bool(seen)

        servers.broker.config_set("maxmemory", 1)
        try:
            wait_until(drain, 10.0, "a message without memory")
        finally:
            servers.broker.config_set("maxmemory", 0)


def test_a_consumer_of_two_queues_keeps_its_messages_under_its_name(
    app: Celery, servers: Servers
) -> None:
    app.send_task("batch.value_chunk", queue="bulk")
    with app.connection_for_read() as connection:
        consumer = app.amqp.TaskConsumer(
            connection.channel(), queues=[app.amqp.queues[name] for name in ("bulk", "control")]
        )
        consumer.register_callback(lambda *_: None)
        consumer.consume()
        connection.drain_events(timeout=5)
        assert servers.broker.hlen(keys.unacked(OwnedChannel.deliveries.owner)) == 1


def test_what_a_broken_channel_of_two_queues_held_is_delivered_again(
    app: Celery, servers: Servers
) -> None:
    app.send_task("batch.value_chunk", task_id="held", queue="bulk")
    unacked = keys.unacked(OwnedChannel.deliveries.owner)
    received: list[str] = []
    for _ in range(2):
        connection = app.connection_for_read()
        channel: Any = connection.channel()
        channel.do_restore = False  # as if the broker did not answer while it is closed
        consumer = app.amqp.TaskConsumer(
            channel, queues=[app.amqp.queues[name] for name in ("bulk", "control")]
        )
        consumer.register_callback(lambda _, message: received.append(message.headers["id"]))
        consumer.consume()
        connection.drain_events(timeout=5)
        connection.close()
    assert received == ["held", "held"]
    assert servers.broker.hlen(unacked) == 1
    assert servers.broker.llen("bulk") == 0


def test_the_stall_check_needs_the_broker(clock: FakeTime) -> None:
    watch = ConsumerWatch(WorkerRegistry(connect("unix:///nowhere.sock")), lambda: 0)
    clock.now += hung_processes.STALL_CHECK_INTERVAL_S
    with pytest.raises(BrokerUnavailable):
        watch.check(["bulk"])


def test_a_message_that_is_run_directly_does_not_reach_the_consumer(
    app: Celery, servers: Servers
) -> None:
    run: list[str] = []

    def run_directly(message: dict[str, Any]) -> bool:
        run.append(message["headers"]["id"])
        # What the message belongs to is known before its task runs.
        assert servers.broker.llen(keys.popped(OwnedChannel.deliveries.owner)) == len(run)
        return message["headers"]["task"] == "valuation.value_cars"

    OwnedChannel.deliveries.run_directly = run_directly
    app.send_task("valuation.value_cars", task_id="direct", queue="interactive")
    app.send_task("valuation.value_jobs", task_id="other", queue="interactive")
    assert consume_one(app, "interactive") == []
    (other,) = consume_one(app, "interactive")
    assert other.headers["id"] == "other"
    assert run == ["direct", "other"]
    assert OwnedChannel.deliveries.received == 1  # the consumer of a worker counts the other
    assert OwnedChannel.deliveries.finished == 2


def test_a_message_with_types_of_kombu_is_read_by_kombu(app: Celery) -> None:
    at = datetime(2026, 11, 30, tzinfo=UTC)
    read: list[Any] = []
    OwnedChannel.deliveries.run_directly = lambda message: bool(read.append(message))
    app.send_task("valuation.value_cars", queue="interactive", headers={"at": at})
    app.send_task("valuation.value_cars", queue="interactive", headers={"at": float("nan")})
    consume_one(app, "interactive")
    consume_one(app, "interactive")
    assert read[0]["headers"]["at"] == at
    assert read[1]["headers"]["at"] != read[1]["headers"]["at"]
