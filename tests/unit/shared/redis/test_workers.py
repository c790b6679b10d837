"""Heartbeats of workers on a real broker."""

from shared.queue.names import QueueName
from shared.redis import keys
from shared.redis.workers import HEARTBEAT_TIMEOUT_S, WorkerRegistry
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
