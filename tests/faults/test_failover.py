"""Failovers of the broker under load: nothing accepted is lost, nothing is restarted."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from tests.conftest import REFERENCE_CAR, Service, running_service, short_folder, wait_until
from tests.faults.failover_load import posting, unfinished
from tests.redis_cluster import DEADLINE_S, SERVICE, SentinelService, running_sentinels

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

LOAD_S = 3.0
"""How long jobs are posted before and after a failover."""

Failover = Callable[[SentinelService], None]


@dataclass(frozen=True)
class Deployment:
    """A service whose broker is a primary with two replicas."""

    service: Service
    brokers: SentinelService

    def processes(self) -> dict[int, str]:
        """Return the main processes of the service: pool processes may be replaced."""
        found = {}
        for child in psutil.Process(self.service.process.pid).children():
            with contextlib.suppress(psutil.Error):
                found[child.pid] = child.name()
        return found


@pytest.fixture(scope="module")
def deployment(models_path: Path) -> Iterator[Deployment]:
    with short_folder() as folder, running_sentinels(folder) as brokers:
        home = folder / "home"
        home.mkdir()
        with running_service(
            home, models_path, REDIS_URL=brokers.url, REDIS_WAIT_REPLICAS="1", JOB_LEASE_S="5"
        ) as service:
            yield Deployment(service, brokers)


def kill_primary(brokers: SentinelService) -> None:
    former = brokers.primary()
    former.kill()
    brokers.await_change(former)
    former.start()


def ask_for_failover(brokers: SentinelService) -> None:
    former = brokers.primary()
    brokers.sentinels[0].client.sentinel_failover(SERVICE)
    brokers.await_change(former)


def demote_by_hand(brokers: SentinelService) -> None:
    """Make the primary a replica of another server behind the sentinels' back."""
    former = brokers.primary()
    other = next(each for each in brokers.servers if each is not former)
    other.client.replicaof("NO", "ONE")
    former.client.replicaof("127.0.0.1", other.port)
    brokers.await_change(former)


@pytest.mark.parametrize("fail_over", [ask_for_failover, kill_primary, demote_by_hand])
def test_no_accepted_job_is_lost_in_a_failover(deployment: Deployment, fail_over: Failover) -> None:
    service, brokers = deployment.service, deployment.brokers
    wait_until(brokers.replicas_in_step, DEADLINE_S, "replicas in step")
    before = deployment.processes()
    with posting(service) as seen:
        time.sleep(LOAD_S)
        fail_over(brokers)
        accepted = len(seen.accepted)
        wait_until(lambda: len(seen.accepted) > accepted + 20, DEADLINE_S, "jobs are accepted")
        time.sleep(LOAD_S)
    assert not seen.others
    assert not seen.without_retry_after
    with service.client() as client:
        wait_until(lambda: not unfinished(client, seen.accepted), 120.0, "every job has ended")
        answer = client.post("/predict", json=REFERENCE_CAR | {"km_driven": 123_321})
        assert answer.status_code == 200
    assert deployment.processes() == before
    wait_until(brokers.replicas_in_step, DEADLINE_S, "replicas in step")
    print(
        f"{fail_over.__name__}: {len(seen.accepted)} accepted, {len(seen.refused_at)} refused "
        f"within {seen.refusing_s:.1f} s"
    )


def test_beat_and_flower_follow_a_failover(deployment: Deployment) -> None:
    """Beat sends sweeps to the new primary, and Flower sees the workers there."""
    brokers = deployment.brokers
    wait_until(brokers.replicas_in_step, DEADLINE_S, "replicas in step")
    ask_for_failover(brokers)

    def sweeps() -> int:
        answer = httpx.get(f"{deployment.service.flower_url}/api/tasks", timeout=10.0)
        tasks = answer.json().values() if answer.status_code == 200 else ()
        return sum(task["name"] == "control.sweep" for task in tasks)

    def subscribed() -> bool:
        with contextlib.suppress(redis.RedisError):
            clients = brokers.primary().client.client_list()
            return any(each["cmd"].startswith("brpop") for each in clients)
        return False

    wait_until(subscribed, DEADLINE_S, "consumers on the new primary")


def test_a_primary_without_replicas_refuses_and_is_not_ready(deployment: Deployment) -> None:
    primary = deployment.brokers.primary().client
    primary.config_set("min-replicas-to-write", 3)
    try:
        with deployment.service.client() as client:
            wait_until(lambda: client.get("/readyz").status_code == 503, DEADLINE_S, "not ready")
            answer = client.post("/jobs", json=REFERENCE_CAR)
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
    finally:
        primary.config_set("min-replicas-to-write", 0)
    with deployment.service.client() as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, DEADLINE_S, "ready")
    logs = (deployment.service.home / "logs").glob("*")
    assert not [path for path in logs if "NOREPLICAS" in path.read_text() and
                "Traceback" in path.read_text()]  # fmt: skip
