"""Two hosts that share their audit logs: statistics, sale reports, kills, verification."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from scripts.ports import reserve_port
from tests.batch_parts import cars_csv
from tests.conftest import (
    ROOT,
    START_TIMEOUT_S,
    Service,
    running_service,
    short_folder,
    stop,
    wait_until,
)
from tests.object_store import BUCKET, running_object_store
from tests.unit.model_store import small_models

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
DEADLINE_S = 90.0
"""Generous: the machine of the tests may be busy, and a silent host is waited for."""
ROWS, LIST = 3000, 40


@dataclass
class Second:
    """The second host, whose processes are started one by one."""

    env: dict[str, str]
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"http://127.0.0.1:{self.env['PORT']}"

    @property
    def home(self) -> Path:
        """Its home."""
        return Path(self.env["CARPRICE_HOME"])

    def start(self, kind: str) -> None:
        """Start a process, with its children in a group of their own."""
        with (self.home / "run.log").open("a") as log:
            self.processes[kind] = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "run", kind],
                cwd=ROOT,
                env={**self.env, "HONCHO_PROCESS_NAME": f"second-{kind}"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, kind: str) -> None:
        """Kill a process and its children, and start it again."""
        os.killpg(self.processes[kind].pid, signal.SIGKILL)
        self.processes[kind].wait()
        self.start(kind)

    def stop(self) -> None:
        """Stop all processes."""
        for process in self.processes.values():
            stop(process, 60.0)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Second]]:
    models = tmp_path_factory.mktemp("models")
    version = save_bundle(small_models.train(), models)
    ModelRegistry(models).activate(version.id, by="before")
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(running_object_store())
        shared = {
            "STATE_URL": f"s3://{BUCKET}/state",
            "BLOB_URL": f"s3://{BUCKET}/batches",
            "BLOB_ENDPOINT_URL": store.endpoint_url,
            "INTERACTIVE_WORKERS": "1",
            "BULK_PROCESSES": "1",
            "BATCH_CHUNK_ROWS": "100",
        }
        home = stack.enter_context(short_folder())
        first = stack.enter_context(running_service(home, models, **shared))
        second_home = stack.enter_context(short_folder())
        second = Second(
            {
                **os.environ,
                **shared,
                "CARPRICE_HOME": str(second_home),
                "MODELS_PATH": str(second_home / "models"),
                "PORT": str(reserve_port()),
                "REDIS_URL": first.settings.redis_url,
                "CACHE_URL": first.settings.cache_url,
            }
        )
        stack.callback(second.stop)
        for kind in ("api", "interactive", "bulk"):
            second.start(kind)
        wait_until(lambda: _is_ready(second.url), START_TIMEOUT_S, "the second API is ready")
        yield first, second


def _is_ready(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/readyz", timeout=5.0).json()["status"] == "ready")
    except httpx.HTTPError:
        return False


def _stats(url: str) -> dict[str, Any]:
    day = time.strftime("%Y-%m-%d", time.gmtime())
    found = httpx.get(f"{url}/predictions/stats", params={"date": day}, timeout=30).json()
    return {
        name: found[name]
        for name in ("total_predictions", "successful_predictions", "min_price", "max_price")
    }


def _recorded(*homes: Path) -> Counter[str]:
    """How often each valuation is in the logs."""
    return Counter(
        json.loads(line)["id"]
        for home in homes
        for path in (home / "audit").glob("predictions_*.jsonl")
        for line in path.read_text().splitlines()
    )


def _report_sale(url: str, valuation_id: str) -> int:
    sale = {"sale_price_mad": 90_000, "sold_at": time.strftime("%Y-%m-%d", time.gmtime())}
    return httpx.post(f"{url}/valuations/{valuation_id}/outcome", json=sale, timeout=60).status_code


def test_answers_of_both_hosts_are_counted_found_and_recorded_once_despite_kills(
    hosts: tuple[Service, Second], car: dict[str, Any]
) -> None:
    first, second = hosts
    urls = (first.url, second.url)
    upload = httpx.post(
        f"{first.url}/batches", files={"file": ("stock.csv", cars_csv(ROWS))}, timeout=60
    )
    batch = upload.json()["id"]
    killer = threading.Thread(target=lambda: [second.kill("bulk"), second.kill("interactive")])
    singles, jobs = [], []
    for number in range(30):
        url = urls[number % 2]
        one = httpx.post(f"{url}/predict", json={**car, "km_driven": 1000 + number}, timeout=60)
        singles += [one.json()["id"]] if one.status_code == 200 else []
        cars = [{**car, "km_driven": 20_000 + LIST * number + each} for each in range(LIST)]
        jobs.append(httpx.post(f"{url}/jobs", json=cars, timeout=60).json()["id"])
        if number == 10:
            killer.start()
    killer.join()
    assert len(singles) > 10
    for job in jobs:
        wait_until(lambda job=job: _has_ended(f"{first.url}/jobs/{job}"), DEADLINE_S, "a job")
    wait_until(lambda: _has_ended(f"{first.url}/batches/{batch}"), DEADLINE_S, "the batch")

    expected = {f"{job}-{n}" for job in jobs for n in range(1, LIST + 1)}
    expected |= {f"{batch}-{n}" for n in range(1, ROWS + 1)} | set(singles)
    recorded = _recorded(first.home, second.home)
    assert expected <= recorded.keys()
    assert {one: count for one, count in recorded.items() if count != 1} == {}

    wait_until(
        lambda: all(_stats(url)["total_predictions"] == len(recorded) for url in urls), DEADLINE_S
    )
    assert _stats(first.url) == _stats(second.url)
    for number, one in enumerate([*singles[:6], f"{jobs[0]}-3", f"{batch}-1", f"{batch}-{ROWS}"]):
        assert _report_sale(urls[number % 2], one) == 201
    wait_until(lambda: _sales(first.url) == _sales(second.url) == 9, DEADLINE_S)

    for env in (second.env, {**second.env, "CARPRICE_HOME": str(first.home)}):
        verified = subprocess.run(
            [sys.executable, "-m", "cli.main", "audit", "verify", "--json"],
            cwd=ROOT, env=env, check=False, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert verified.returncode == 0, verified.stderr
        report = json.loads(verified.stdout)
        assert (report["copies"]["hosts"], report["copies"]["faults"]) == (2, [])


def _has_ended(url: str) -> bool:
    state = httpx.get(url, timeout=30).json()["state"]
    assert state not in {"FAILED", "CANCELLED"}
    return bool(state == "SUCCEEDED")


def _sales(url: str) -> int:
    versions = httpx.get(f"{url}/outcomes/stats", timeout=30).json()
    return sum(each["outcomes"] for each in versions["versions"])
