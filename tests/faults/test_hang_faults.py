"""Processes of a real service that hang are killed and started again; accepted work ends."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from launcher.environment import metrics_folder
from launcher.liveness.hangs import SILENT_AFTER_S, SUSPENDED_AFTER_S
from tests.conftest import running_service, short_folder, wait_until
from tests.faults.conftest import FaultInjector

pytestmark = pytest.mark.faults

RECOVERY_S = SUSPENDED_AFTER_S + 60.0
"""A busy machine takes long to start a worker."""


@pytest.fixture(scope="module")
def faults(models_path: Path) -> Iterator[FaultInjector]:
    with short_folder() as home, running_service(home, models_path) as service:
        yield FaultInjector(service)


@pytest.fixture
def http(faults: FaultInjector) -> Iterator[httpx.Client]:
    with faults.service.client() as client:
        yield client


def new_car(car: dict[str, Any]) -> dict[str, Any]:
    return car | {"km_driven": time.time_ns() // 1000 % 1_900_000}


def heartbeats(faults: FaultInjector) -> dict[str, int]:
    """The times of the heartbeats of the processes that have one."""
    folder = metrics_folder(faults.service.settings, {}) / "heartbeats"
    return {
        file.name: file.stat().st_mtime_ns
        for file in folder.iterdir()
        if file.name.partition(".")[0] in SILENT_AFTER_S
    }


def test_every_loop_writes_its_heartbeat(faults: FaultInjector) -> None:
    before = heartbeats(faults)
    assert {name.partition(".")[0] for name in before} == set(SILENT_AFTER_S)

    def have_all_beaten() -> bool:
        now = heartbeats(faults)
        return all(now[name] > at for name, at in before.items())

    wait_until(have_all_beaten, 30.0, "new heartbeats")


@pytest.mark.parametrize(
    "kinds", [("interactive", "bulk", "beat"), ("broker", "cache", "flush"), ("api",)]
)
def test_suspended_processes_are_replaced(
    faults: FaultInjector, http: httpx.Client, car: dict[str, Any], kinds: tuple[str, ...]
) -> None:
    job = http.post("/jobs", json=[new_car(car)]).json()
    suspended: list[psutil.Process] = []
    for kind in kinds:
        suspended += faults.processes(kind)
        faults.suspend(kind)

    def are_gone() -> bool:
        return not any(
            each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in suspended
        )

    wait_until(are_gone, RECOVERY_S, f"the suspended {kinds} are killed")

    def is_answered() -> bool:
        try:
            return http.post("/predict", json=new_car(car)).status_code == 200
        except httpx.HTTPError:
            return False

    wait_until(is_answered, RECOVERY_S, "a new car is valued")
    wait_until(
        lambda: http.get(f"/jobs/{job['id']}").json()["state"] == "SUCCEEDED",
        RECOVERY_S,
        "the accepted job ends",
    )
    assert "killed: suspended" in (faults.service.home / "up.log").read_text()
