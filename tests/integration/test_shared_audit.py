"""Two hosts that share their audit logs: statistics, sale reports, kills, verification."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.batch_parts import cars_csv
from tests.conftest import wait_until
from tests.object_store import BUCKET
from tests.two_hosts import TwoHosts, running_two_hosts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
DEADLINE_S = 90.0
"""Generous: the machine of the tests may be busy, and a silent host is waited for."""
ROWS, LIST = 3000, 40


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    with running_two_hosts(
        tmp_path_factory.mktemp("models"),
        *("api", "interactive", "bulk"),
        BLOB_URL=f"s3://{BUCKET}/batches",
        BATCH_CHUNK_ROWS="100",
    ) as found:
        yield found


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
    hosts: TwoHosts, car: dict[str, Any]
) -> None:
    first, second, urls = hosts.first, hosts.second, hosts.urls
    upload = httpx.post(
        f"{first.url}/batches", files={"file": ("stock.csv", cars_csv(ROWS))}, timeout=60
    )
    batch = upload.json()["id"]
    killer = threading.Thread(
        target=lambda: [second.restart("bulk"), second.restart("interactive")]
    )
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

    for home in (second.home, first.home):
        verified = second.run("audit", "verify", "--json", CARPRICE_HOME=str(home))
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
