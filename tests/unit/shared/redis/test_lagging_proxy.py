"""A proxy in front of the broker that follows a failover late, as one that checks roles does."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from api.jobs.replication import make_accepted, restore_on_change
from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobState
from shared.fields.requests import load_car_request
from shared.queue.work import JobSubmitter, make_work_sender
from shared.redis import keys
from shared.redis.connections import broker_errors, connect
from shared.redis.fair_queues.queues import FairQueues
from shared.redis.job_store.creation import Created
from shared.redis.job_store.store import JobStore
from shared.redis.owners import Owner, OwnerRegistry
from shared.redis.workers import WorkerRegistry
from shared.settings import Settings
from tests.conftest import SERVER_REPLY_TIMEOUT_S, short_folder, wait_until
from tests.redis_cluster import RedisServer, running_server

ME = CallerId("me")
DEADLINE_S = 60.0
LAG_S = 1.5
"""How long the proxy names a server after that has become a replica."""


class Proxy:
    """Relays new connections to `target`; open ones stay where they are."""

    def __init__(self, target: RedisServer) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target.port))
            except OSError:
                return
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_relay, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        """End all connections."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def _relay(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(1 << 16):
            sink.sendall(content)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@dataclass
class Deployment:
    """A primary with two replicas behind a proxy."""

    former: RedisServer
    next: RedisServer
    third: RedisServer
    proxy: Proxy

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}/0"

    def demote(self) -> None:
        """Make the second server primary; the first one learns it a moment later."""
        self.next.client.replicaof("NO", "ONE")
        time.sleep(0.5)  # the former accepts meanwhile, and the third server confirms
        for server in (self.former, self.third):
            server.client.replicaof("127.0.0.1", str(self.next.port))


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    with short_folder() as folder, running_server(folder) as former:
        of_former = ("--replicaof", f"127.0.0.1 {former.port}")
        with (
            running_server(folder, *of_former) as successor,
            running_server(folder, *of_former) as third,
        ):
            wait_until(lambda: _replicas(former) == 2, DEADLINE_S, "the replicas")
            proxy = Proxy(former)
            yield Deployment(former, successor, third, proxy)
            proxy.close()


def _replicas(server: RedisServer) -> int:
    found: dict[str, Any] = server.client.info("replication")
    return sum(found.get(f"slave{each}", {}).get("state") == "online" for each in range(2))


@dataclass
class Api:
    """What an API does to accept jobs, one after the other, until told to stop."""

    url: str
    car: dict[str, Any]
    accepted: list[tuple[float, JobId]] = field(default_factory=list)
    """Jobs, each with the monotonic time at which it was sent."""
    refused: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        settings = Settings(home=Path(), redis_url=self.url, redis_wait_replicas=1)
        broker = connect(self.url)
        WorkerRegistry(broker).heartbeat("i@host:1", ["interactive"])
        FairQueues(broker, time.time).announce("i@host", ["interactive"], 2)
        accepted = make_accepted(settings, broker, time.time)
        self.store = JobStore(broker, time.time, retention_s=600, lease_s=30, accepted=accepted)
        work = make_work_sender(broker, time.time)
        restore_on_change(settings, accepted, self.store, work.send_jobs)
        self.submitter = JobSubmitter(self.store, work)

    def run(self) -> None:
        requests = (load_car_request(self.car),)
        while not self.stop.is_set():
            sent_at = time.monotonic()
            job = Job(
                id=JobId(new_id()), caller=ME, state=JobState.QUEUED, created_at=time.time(),
                requests=requests, is_list=False,
            )  # fmt: skip
            try:
                (outcome,) = self.submitter.submit([job])
            except BrokerUnavailable as error:
                outcome = error
            if outcome == Created.STORED:
                self.accepted.append((sent_at, job.id))
            else:
                assert isinstance(outcome, BrokerUnavailable)
                self.refused += 1
            time.sleep(0.005)


@contextlib.contextmanager
def accepting(api: Api) -> Iterator[None]:
    """Accept jobs while the block runs."""
    thread = threading.Thread(target=api.run)
    thread.start()
    try:
        yield
    finally:
        api.stop.set()
        thread.join()


@pytest.mark.timeout(240)
def test_nothing_is_accepted_by_a_replica_and_nothing_accepted_is_lost(
    deployment: Deployment, car: dict[str, Any]
) -> None:
    api = Api(deployment.url, car)
    with accepting(api):
        wait_until(lambda: len(api.accepted) > 20, DEADLINE_S, "jobs are accepted")
        deployment.demote()
        demoted_at, refused = time.monotonic(), api.refused
        time.sleep(LAG_S)
        wait_until(lambda: api.refused > refused + 5, DEADLINE_S, "jobs are refused")
        deployment.proxy.target, switched_at = deployment.next, time.monotonic()
        wait_until(lambda: api.accepted[-1][0] > switched_at, DEADLINE_S, "jobs are accepted again")
        before = len(api.accepted)
        wait_until(lambda: len(api.accepted) > before + 20, DEADLINE_S, "more are accepted")
    assert [at for at, _ in api.accepted if demoted_at < at < switched_at] == []
    primary = deployment.next.client
    wait_until(
        lambda: all(primary.exists(keys.job(job_id)) for _, job_id in api.accepted),
        DEADLINE_S,
        "every accepted job is there",
    )


def test_processes_behind_the_proxy_recover_without_a_restart(deployment: Deployment) -> None:
    """Heartbeats, owners and the check of readiness: connections that were open, and new ones."""
    broker, of_owner = (
        connect(deployment.url, reply_timeout_s=SERVER_REPLY_TIMEOUT_S) for _ in range(2)
    )
    workers, owner = WorkerRegistry(broker), OwnerRegistry(of_owner, Owner("i@host"))
    workers.check_writable()
    owner.beat()
    deployment.demote()
    for _ in range(2):  # over the connection that was open, and over a new one
        for write in (workers.check_writable, owner.beat):
            with pytest.raises(BrokerUnavailable):
                write()
        with pytest.raises(BrokerUnavailable), broker_errors():
            broker.eval("return redis.call('SET', KEYS[1], 1)", 1, "written")
    deployment.proxy.target = deployment.next
    workers.check_writable()
    assert not owner.beat()[1]
    with contextlib.closing(redis.Redis(port=deployment.next.port)) as primary:
        assert primary.zrange(keys.OWNERS, 0, -1) == [owner.owner.name.encode()]
        assert not primary.exists("written")
    owner.leave()
