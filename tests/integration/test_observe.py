"""`carprice observe` runs Prometheus and Alertmanager beside a service, which needs neither."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.ports import reserve_port
from tests.conftest import ROOT, Service, stop, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.prometheus]

COMMAND = [sys.executable, "-m", "cli.main", "observe"]


@pytest.fixture(scope="module")
def environment(service: Service) -> dict[str, str]:
    """The settings of the service, and ports for the programs."""
    ports = ("PROMETHEUS_PORT", "ALERTMANAGER_PORT", "REDIS_EXPORTER_PORT")
    return {
        **os.environ,
        "CARPRICE_HOME": str(service.home),
        "PORT": service.url.rpartition(":")[2],
        "FLOWER_PORT": service.flower_url.rpartition(":")[2],
        "SCRAPE_INTERVAL_S": "1",
        **{name: str(reserve_port()) for name in ports},
    }


@pytest.fixture(scope="module")
def observed(environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield process
    stop(process)


def answer(port: str, path: str) -> Any:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5.0).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None


@pytest.mark.usefixtures("observed")
def test_every_target_is_up_and_alerts_have_a_receiver(environment: dict[str, str]) -> None:
    port = environment["PROMETHEUS_PORT"]

    def states() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        given = answer(port, "/api/v1/targets")
        for target in given["data"]["activeTargets"] if given else ():
            found.setdefault(target["labels"]["job"], set()).add(target["health"])
        return found

    expected = {job: {"up"} for job in ("carprice-api", "flower", "redis")}
    wait_until(lambda: states() == expected, 60.0, "every target is up")
    (receiver,) = answer(port, "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    assert receiver["url"].startswith(f"http://127.0.0.1:{environment['ALERTMANAGER_PORT']}/")
    wait_until(lambda: answer(environment["ALERTMANAGER_PORT"], "/api/v2/status"), 30.0)
    groups = answer(port, "/api/v1/rules")["data"]["groups"]
    assert sum(len(group["rules"]) for group in groups) > 40


@pytest.mark.usefixtures("observed")
def test_prometheus_knows_every_process_of_the_service(environment: dict[str, str]) -> None:
    def roles() -> set[str]:
        query = "/api/v1/query?query=process_resident_memory_bytes"
        given = answer(environment["PROMETHEUS_PORT"], query)
        series = given["data"]["result"] if given else ()
        return {one["metric"]["role"] for one in series if one["metric"].get("role")}

    expected = {"supervisor", "broker", "cache", "flush", "interactive", "bulk", "api"}
    expected |= {"webhooks", "beat", "flower"}
    wait_until(lambda: roles() == expected, 30.0, "every role")


def test_it_stops_at_ctrl_c_and_the_service_goes_on(
    observed: "subprocess.Popen[bytes]", service: Service
) -> None:
    observed.send_signal(signal.SIGINT)
    assert observed.wait(40.0) == 0
    assert httpx.get(f"{service.url}/readyz", timeout=30.0).is_success


def test_missing_programs_are_named_with_what_installs_them(tmp_path: Path) -> None:
    env = {"PATH": "/nowhere", "CARPRICE_HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        COMMAND, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "apt install prometheus prometheus-alertmanager" in done.stderr
    assert list(tmp_path.iterdir()) == []
