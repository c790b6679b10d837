"""Heartbeats of workers on a real broker."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.host import host_identity, process_start
from shared.queue.names import QueueName
from shared.redis import keys
from shared.redis.connections import connect
from shared.redis.owners import SILENT_AFTER_S, Owner, OwnerRegistry
from shared.redis.workers import (
    HEARTBEAT_TIMEOUT_S,
    PROTOCOL,
    PROTOCOL_CACHE_S,
    WorkerName,
    WorkerRegistry,
    is_alive,
)
from tests.conftest import SERVER_REPLY_TIMEOUT_S, Servers

BULK = ["control", "bulk"]


def named(node: str, host: str = "a", pid: int = 1) -> WorkerName:
    """A worker process that began at another time than every other."""
    return WorkerName(node, host, pid, 7_000 + pid)


def dead(_: WorkerName) -> bool:
    """No process lives."""
    return False


def test_a_starting_worker_removes_the_heartbeats_of_its_predecessors(servers: Servers) -> None:
    workers = WorkerRegistry(servers.broker, lambda: 1_000.0)
    workers.heartbeat(str(named("bulk@here")), BULK)
    workers.heartbeat(str(named("bulk@there")), BULK)
    workers.heartbeat(str(named("interactive.1@here")), ["interactive"])
    assert workers.remove_predecessors(named("bulk@here", pid=2), dead)[QueueName.BULK] == 1
    counts = workers.remove_predecessors(named("bulk@there", pid=2), dead)
    assert counts == {"interactive": 1, "bulk": 0, "control": 0}
    assert servers.broker.zcard(keys.WORKERS) == 1


class Holder:
    """A worker process: it is registered, and holds messages as an owner."""

    def __init__(self, servers: Servers, node: str, host: str) -> None:
        self._broker = servers.broker
        self.owner = OwnerRegistry(
            connect(servers.settings.redis_url, reply_timeout_s=SERVER_REPLY_TIMEOUT_S),
            Owner(node, host),
        )
        self.name = WorkerName(node, host, os.getpid(), 7_000)
        WorkerRegistry(servers.broker, lambda: 1_000.0).heartbeat(str(self.name), BULK)
        self.owner.beat()

    def end(self) -> None:
        """End as a killed process does: the system closes its connections."""
        self.owner._unsubscribe()
        self._broker.zincrby(keys.OWNERS, -SILENT_AFTER_S, self.owner.owner.name)


@pytest.fixture
def there(servers: Servers) -> Iterator[Holder]:
    """A worker of another host."""
    holder = Holder(servers, "bulk@same", "a")
    yield holder
    holder.owner.leave()


def test_a_worker_of_another_host_with_the_same_name_stays(servers: Servers, there: Holder) -> None:
    workers = WorkerRegistry(servers.broker, lambda: 1_000.0)
    workers.heartbeat(str(named("bulk@same", "b")), BULK)
    own = named("bulk@same", "b", pid=2)
    assert workers.remove_predecessors(own, dead)[QueueName.BULK] == 1
    assert members(servers) == [f"bulk,control|{there.name}|{PROTOCOL}"]
    there.owner.beat()
    there.owner._unsubscribe()  # its connection broke a moment ago
    assert workers.remove_predecessors(own, dead)[QueueName.BULK] == 1
    there.end()
    assert workers.remove_predecessors(own, dead)[QueueName.BULK] == 0


def test_a_copied_machine_with_the_same_identity_is_no_predecessor(
    servers: Servers, there: Holder
) -> None:
    """Its kernel, its home and its node have the same ids; its processes run elsewhere."""
    workers = WorkerRegistry(servers.broker, lambda: 1_000.0)
    own = named("bulk@same", "a", pid=2)
    assert workers.remove_predecessors(own, dead)[QueueName.BULK] == 1
    there.end()
    assert workers.remove_predecessors(own, dead)[QueueName.BULK] == 0


def test_a_predecessor_that_lives_stays(servers: Servers, tmp_path: Path) -> None:
    workers = WorkerRegistry(servers.broker, lambda: 1_000.0)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    host = host_identity(tmp_path)
    first = WorkerName("bulk@here", host, process.pid, process_start(process.pid) or 0)
    workers.heartbeat(str(first), BULK)
    own = WorkerName.of_this_process("bulk@here", tmp_path)
    assert workers.remove_predecessors(own)[QueueName.BULK] == 1
    process.kill()
    process.wait()
    assert workers.remove_predecessors(own)[QueueName.BULK] == 0


def test_a_process_is_told_from_a_later_one_with_its_number(tmp_path: Path) -> None:
    own = WorkerName.of_this_process("bulk@here", tmp_path)
    assert is_alive(own)
    assert own.pid == os.getpid()
    assert not is_alive(own._replace(start=own.start - 1))
    assert WorkerName.parse(str(own)) == own


def test_two_homes_are_two_hosts(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "link").symlink_to("a")
    assert host_identity(tmp_path / "a") != host_identity(tmp_path / "b")
    assert host_identity(tmp_path / "a") == host_identity(tmp_path / "link")


def test_containers_with_equal_paths_are_two_hosts(tmp_path: Path) -> None:
    """They share the kernel; each has a home of its own under the same path."""
    home = tmp_path / "home"
    home.mkdir()
    one = host_identity(home)
    home.rename(tmp_path / "first")  # what the path is in the other container
    home.mkdir()
    assert host_identity(home) != one


def test_containers_that_share_a_home_are_two_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cannot see whether a process of the other lives."""
    one = host_identity(tmp_path)
    assert host_identity(tmp_path) == one
    monkeypatch.setattr(os, "readlink", lambda path: f"{path}:[another]")
    assert host_identity(tmp_path) != one


def test_containers_that_share_a_home_are_told_apart_by_their_names(servers: Servers) -> None:
    """A volume for all of them, as in compose, where each has its id as host name."""
    workers = WorkerRegistry(servers.broker, lambda: 1_000.0)
    workers.heartbeat(str(named("bulk@4f1c")), BULK)
    assert workers.remove_predecessors(named("bulk@9a2e"), dead)[QueueName.BULK] == 1
    assert len(members(servers)) == 1


def test_a_worker_of_the_previous_release_has_no_host_and_is_removed(servers: Servers) -> None:
    workers = WorkerRegistry(servers.broker, lambda: 1_000.0)
    workers.heartbeat("bulk@here:17", BULK)
    assert workers.remove_predecessors(named("bulk@here"))[QueueName.BULK] == 0
    assert members(servers) == []


def test_a_worker_without_heartbeat_is_not_counted(servers: Servers) -> None:
    now = 1_000.0
    workers = WorkerRegistry(servers.broker, lambda: now)
    workers.heartbeat(str(named("bulk@there")), BULK)
    now += HEARTBEAT_TIMEOUT_S + 1
    assert workers.remove_predecessors(named("bulk@here"))[QueueName.BULK] == 0


def members(servers: Servers) -> list[str]:
    """All heartbeats."""
    return [one.decode() for one in servers.broker.zrange(keys.WORKERS, 0, -1)]


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
    workers.heartbeat(str(named("bulk@here")), BULK)
    (member,) = members(servers)
    queues, rest = member.split("|", 1)  # as the previous release reads it
    assert (queues, rest.rpartition(":")[0]) == ("bulk,control", "bulk@here")
