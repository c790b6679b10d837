"""Heartbeats of workers on a real broker."""

from shared.queue.names import QueueName
from shared.redis import keys
from shared.redis.workers import (
    HEARTBEAT_TIMEOUT_S,
    PROTOCOL,
    PROTOCOL_CACHE_S,
    WorkerRegistry,
)
from tests.conftest import Servers

BULK = ["control", "bulk"]


def test_a_starting_worker_removes_the_heartbeats_of_its_predecessors(servers: Servers) -> None:
    now = 1_000.0
    workers = WorkerRegistry(servers.broker, lambda: now)
    workers.heartbeat("bulk@here:1", BULK)
    workers.heartbeat("bulk@there:1", BULK)
    workers.heartbeat("interactive.1@here:1", ["interactive"])
    assert workers.remove_predecessors("bulk@here")[QueueName.BULK] == 1
    assert workers.remove_predecessors("bulk@there") == {"interactive": 1, "bulk": 0, "control": 0}
    assert servers.broker.zcard(keys.WORKERS) == 1


def test_a_worker_without_heartbeat_is_not_counted(servers: Servers) -> None:
    now = 1_000.0
    workers = WorkerRegistry(servers.broker, lambda: now)
    workers.heartbeat("bulk@there:1", BULK)
    now += HEARTBEAT_TIMEOUT_S + 1
    assert workers.remove_predecessors("bulk@here")[QueueName.BULK] == 0


def test_the_protocol_is_the_lowest_that_live_workers_announce(servers: Servers) -> None:
    now = 1_000.0
    workers = WorkerRegistry(servers.broker, lambda: now)
    assert workers.protocol() == 1, "nobody knows which workers will come"
    workers.heartbeat("bulk@here:1", BULK)
    assert workers.protocol() == 1, "read again after two seconds at the earliest"
    now += PROTOCOL_CACHE_S
    assert workers.protocol() == PROTOCOL
    servers.broker.zadd(keys.WORKERS, {"bulk,control|bulk@there:7": now})
    now += PROTOCOL_CACHE_S
    assert workers.protocol() == 1, "a worker of the previous release announces none"


def test_dead_workers_do_not_lower_the_protocol_of_live_ones(servers: Servers) -> None:
    now = 1_000.0
    workers = WorkerRegistry(servers.broker, lambda: now)
    servers.broker.zadd(keys.WORKERS, {"bulk,control|bulk@there:7": now})
    now += HEARTBEAT_TIMEOUT_S + 1
    assert workers.protocol() == 1, "it was the last one"
    workers.heartbeat("bulk@here:1", BULK)
    now += PROTOCOL_CACHE_S
    assert workers.protocol() == PROTOCOL


def test_a_worker_of_the_previous_release_recognises_its_successor(servers: Servers) -> None:
    workers = WorkerRegistry(servers.broker, lambda: 1_000.0)
    workers.heartbeat("bulk@here:1", BULK)
    (member,) = servers.broker.zrange(keys.WORKERS, 0, -1)
    queues, rest = member.decode().split("|", 1)  # as the previous release reads it
    assert (queues, rest.rpartition(":")[0]) == ("bulk,control", "bulk@here")
