"""The snapshot: what it tells, from real servers, and how often it is made."""

import dataclasses
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.domain.ids import BatchId, CallerId
from shared.operations.alerts import Alerts, AlertSource
from shared.operations.live import INTERVAL_S, LiveSnapshots
from shared.operations.processes import ProcessReader
from shared.operations.snapshot import SnapshotReader
from shared.redis import keys
from shared.redis.batch_ledger.ledger import make_ledger
from shared.redis.cache import EstimateCache
from shared.redis.connections import connect
from shared.redis.dead_letters import DeadLetters
from shared.redis.owners import Owner, OwnerRegistry
from shared.redis.workers import HEARTBEAT_TIMEOUT_S, WorkerRegistry
from shared.settings import Settings
from tests.conftest import Servers

BATCH = BatchId("01m8fqj4f7z0kj5s71amqzvc4r")
ALICE = CallerId("alice")


class Registry:
    """Two versions."""

    def list(self) -> Sequence[Any]:
        return [
            SimpleNamespace(id="v2", data_as_of="2026-06"),
            SimpleNamespace(id="v1", data_as_of="2026-05"),
        ]

    def active_version(self) -> str:
        return "v1"


class Shadow:
    """The newer one is the shadow."""

    def read(self) -> Any:
        return SimpleNamespace(version="v2", share=0.1)


def make_reader(settings: Settings, metrics: Path | None = None) -> SnapshotReader:
    cache = EstimateCache(connect(settings.cache_url), 60, time.time)
    return SnapshotReader(
        connect(settings.redis_url),
        time.time,
        settings,
        metrics=metrics,
        cache_stats=cache.stats,
        registry=Registry(),
        shadow=Shadow(),
        alerts=lambda: Alerts(source=AlertSource.OFF),
    )


def test_a_snapshot_tells_what_waits_and_who_works(servers: Servers) -> None:
    WorkerRegistry(servers.broker).heartbeat("interactive.1@vm:1", ["interactive"])
    servers.broker.lpush(keys.queue("bulk"), b'{"headers": {}}')
    make_ledger(servers.broker, time.time, servers.settings).create(BATCH, time.time() - 60, ALICE)
    DeadLetters(servers.broker, time.time).add_step(BATCH, ALICE, "3", "worker-lost", 5)
    found = make_reader(servers.settings).read()
    assert found.queues is not None
    assert {each.name: (each.workers, each.waiting) for each in found.queues} == {
        "interactive": (1, 0), "bulk": (0, 1), "control": (0, 0),
    }  # fmt: skip
    assert found.backlog is not None
    assert (found.backlog.open_batches, found.backlog.dead_letters) == (1, 1)
    assert found.backlog.oldest_batch_s >= 60
    assert [letter.step for letter in found.letters] == ["3"]
    assert [(each.version, each.is_active, each.shadow_share) for each in found.models] == [
        ("v2", False, 0.1), ("v1", True, None),
    ]  # fmt: skip
    assert found.silent == []
    assert found.traffic is None
    assert found.to_json()["letters"][0]["caller"] == "alice"


def test_servers_that_are_away_are_named(servers: Servers) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    settings = dataclasses.replace(servers.settings, redis_url=nowhere, cache_url=nowhere)
    found = make_reader(settings).read()
    assert found.silent == ["broker", "cache"]
    assert (found.queues, found.backlog, found.workers, found.drift) == (None, None, None, None)
    assert len(found.models) == 2


def test_live_processes_and_their_work_belong_to_their_worker(servers: Servers) -> None:
    registry = WorkerRegistry(servers.broker)
    registry.heartbeat("bulk@vm:1", ["bulk", "control"])
    registry.heartbeat("bulk@vm:2", ["bulk", "control"])
    dead_at = time.time() - HEARTBEAT_TIMEOUT_S - 5
    servers.broker.zadd(
        keys.WORKERS, {"interactive|old@vm:1|4": dead_at, "interactive|x@vm:1": 1.0}
    )
    owners = [
        OwnerRegistry(connect(servers.settings.redis_url), Owner("bulk@vm.pool")) for _ in "ab"
    ]
    for owner in owners:
        owner.beat()
    name = owners[0].owner.name
    servers.broker.hset(keys.OWNER_WORK, name, f"message-7 {time.time() - 4}")
    servers.broker.hset(keys.OWNER_WORK, "gone@vm:1-x", f"message-8 {time.time()}")
    bulk, old, oldest = ProcessReader(servers.broker, time.time).workers()
    assert (bulk.node, bulk.queues, bulk.is_alive, bulk.processes) == (
        "bulk@vm", ["bulk", "control"], True, 2,
    )  # fmt: skip
    assert [work.message for work in bulk.work] == ["message-7"]
    assert bulk.work[0].for_s >= 4
    assert (old.node, old.is_alive, old.protocol, old.processes) == ("old@vm", False, 4, 0)
    assert (oldest.node, oldest.protocol) == ("x@vm", 1)


def test_workers_of_two_hosts_with_one_name_are_both_listed(servers: Servers) -> None:
    """One that is silent is not hidden by the other; each has its own processes."""
    here = OwnerRegistry(servers.broker, Owner("b@h", "a"))
    registry = WorkerRegistry(servers.broker)
    registry.heartbeat("b@h:a-7-1", ["bulk"])
    silent_at = time.time() - HEARTBEAT_TIMEOUT_S - 5
    servers.broker.zadd(keys.WORKERS, {"bulk|b@h:b-7-1|4": silent_at})
    here.beat()
    found = ProcessReader(servers.broker, time.time).workers()
    assert [(each.node, each.is_alive, each.processes) for each in found] == [
        ("b@h", True, 1), ("b@h", False, 0),
    ]  # fmt: skip
    here.leave()


def test_steps_under_way_are_those_that_are_leased(servers: Servers) -> None:
    ledger = make_ledger(servers.broker, time.time, servers.settings)
    ledger.create(BATCH, time.time(), ALICE)
    ledger.begin(BATCH, "split")
    (step,) = ProcessReader(servers.broker, time.time).steps()
    assert (step.batch_id, step.step) == (BATCH, "split")
    assert 0 < step.left_s <= servers.settings.job_lease_s


@pytest.fixture
def made() -> list[float]:
    """When snapshots were made."""
    return []


def test_many_readers_share_one_snapshot_in_an_interval(made: list[float]) -> None:
    now = [100.0]

    def read() -> Any:
        made.append(now[0])
        time.sleep(0.05)
        return SimpleNamespace(at=now[0])

    live = LiveSnapshots(read, lambda: now[0])
    assert made == []  # nobody looks
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(live.latest())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in found}) == 1
    now[0] += INTERVAL_S
    live.latest()
    live.latest(is_fresh=True)
    assert made == [100.0, 102.0, 102.0]
