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
from tests.redis_cluster import (
    DEADLINE_S,
    SentinelService,
    ask_for_failover,
    demote_by_hand,
    kill_primary,
    running_sentinels,
)

pytestmark = [pytest.mark.faults, pytest.mark.redis, pytest.mark.timeout(400)]

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


@pytest.mark.parametrize("fail_over", [ask_for_failover, kill_primary, demote_by_hand])
def test_no_accepted_job_is_lost_in_a_failover(
    deployment: Deployment, fail_over: Failover, record_property: Callable[[str, object], None]
) -> None:
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
    record_property("accepted", len(seen.accepted))
    record_property("refused", len(seen.refused_at))
    record_property("refusing_s", round(seen.refusing_s, 1))


def test_beat_and_flower_follow_a_failover(deployment: Deployment) -> None:
    """Beat sends tasks to the new primary, and Flower receives events from there."""
    brokers = deployment.brokers
    wait_until(brokers.replicas_in_step, DEADLINE_S, "replicas in step")
    ask_for_failover(brokers)

    primary = brokers.primary().client

    def runs() -> int:
        """Return how many sweeps the new primary has delivered: it counts the events of tasks."""
        with contextlib.suppress(redis.RedisError):
            commands = primary.info("commandstats")
            return int(commands.get("cmdstat_blmove", {}).get("calls", 0)) + int(
                commands.get("cmdstat_brpop", {}).get("calls", 0)
            )
        return 0

    before = runs()
    wait_until(lambda: runs() > before, DEADLINE_S, "consumers on the new primary")
    seen = f"{deployment.service.flower_url}/metrics"

    def received() -> float:
        lines = httpx.get(seen, timeout=10.0).text.splitlines()
        events = [line for line in lines if line.startswith("flower_events_total")]
        return sum(float(line.rpartition(" ")[2]) for line in events if "maintenance.sweep" in line)

    known = received()
    wait_until(lambda: received() > known, DEADLINE_S, "sweeps that Flower sees")


def test_a_primary_without_replicas_refuses_and_is_not_ready(deployment: Deployment) -> None:
    primary = deployment.brokers.primary().client
    sizes = {path: path.stat().st_size for path in log_files(deployment)}
    primary.config_set("min-replicas-to-write", 3)
    try:
        with deployment.service.client() as client:
            wait_until(lambda: client.get("/readyz").status_code == 503, DEADLINE_S, "not ready")
            answer = client.post("/jobs", json=REFERENCE_CAR)
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            time.sleep(LOAD_S)  # for what the processes log meanwhile
    finally:
        primary.config_set("min-replicas-to-write", 0)
    with deployment.service.client() as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, DEADLINE_S, "ready")
    logged = [path.read_text()[sizes.get(path, 0) :] for path in log_files(deployment)]
    assert not [line for text in logged for line in text.splitlines() if "Traceback" in line]


def log_files(deployment: Deployment) -> list[Path]:
    return sorted((deployment.service.home / "logs").glob("*"))
