"""Failovers of the broker under load: nothing accepted is lost, nothing is restarted."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from shared.redis.connections import ConnectionCache, connect
from shared.redis.pipelines import run_scripts
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
        assert answer.status_code == 200, answer.text
    assert deployment.processes() == before
    wait_until(brokers.replicas_in_step, DEADLINE_S, "replicas in step")
    record_property("accepted", len(seen.accepted))
    record_property("refused", len(seen.refused_at))
    record_property("refusing_s", round(seen.refusing_s, 1))


def test_a_connection_that_was_kept_leads_to_the_new_primary(deployment: Deployment) -> None:
    """Without one failed command: `/predict` is not used for minutes, and is answered then."""
    brokers = deployment.brokers
    wait_until(brokers.replicas_in_step, DEADLINE_S, "replicas in step")
    write = ("SET", "carprice:test:kept", 1)
    with connect(brokers.url) as client:
        connections = ConnectionCache(client)
        assert run_scripts(connections, write) == [b"OK"]
        ask_for_failover(brokers)
        wait_until(brokers.replicas_in_step, DEADLINE_S, "replicas in step")
        assert run_scripts(connections, write) == [b"OK"]
        assert brokers.primary().client.delete("carprice:test:kept") == 1


def test_beat_and_flower_follow_a_failover(deployment: Deployment) -> None:
    """Beat sends tasks to the new primary, and Flower receives events from there."""
    brokers = deployment.brokers
    wait_until(brokers.replicas_in_step, DEADLINE_S, "replicas in step")
    ask_for_failover(brokers)

    with brokers.primary().client.monitor() as commands:
        assert any("maintenance.sweep" in each["command"] for each in commands.listen())

    def received() -> float:
        """How many events of tasks Flower has seen."""
        lines = httpx.get(
            f"{deployment.service.flower_url}/metrics", timeout=10.0
        ).text.splitlines()
        events = [line for line in lines if re.match(r'flower_events_total\{.*type="task-', line)]
        return sum(float(line.rpartition(" ")[2]) for line in events)

    known = received()

    def sees_a_job() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            httpx.post(f"{deployment.service.url}/jobs", json=[REFERENCE_CAR], timeout=10.0)
        return received() > known

    wait_until(sees_a_job, DEADLINE_S, "tasks that Flower sees")


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
