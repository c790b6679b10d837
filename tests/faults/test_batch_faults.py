"""Faults while a batch runs: every input row has exactly one result, in order."""

import csv
import io
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared.redis.connections import connect
from tests.batch_parts import cars_csv
from tests.conftest import Service, running_service, short_folder, wait_until
from tests.faults.conftest import FaultInjector

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

ROWS, MANY_ROWS = 40_000, 160_000
LONG_LEASE_S = "3000"
"""Longer than any test."""

TERMINAL = {"SUCCEEDED", "FAILED", "CANCELLED"}


@pytest.fixture
def http(faults: FaultInjector) -> Iterator[httpx.Client]:
    with faults.service.client() as client:
        yield client
        wait_until(lambda: is_ready(client), 60.0, "the service is healthy again")


def is_ready(client: httpx.Client) -> bool:
    try:
        return bool(client.get("/readyz").json()["status"] == "ready")
    except httpx.HTTPError:
        return False


def upload(client: httpx.Client, rows: int = ROWS, seed: int = 1) -> str:
    answer = client.post(
        "/batches", content=cars_csv(rows, seed=seed), headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 202, answer.text
    batch_id: str = answer.json()["id"]
    return batch_id


def status(client: httpx.Client, batch_id: str) -> dict[str, Any]:
    """Return the batch; {} while the service is unavailable."""
    try:
        answer = client.get(f"/batches/{batch_id}")
    except httpx.HTTPError:
        return {}
    return answer.json() if answer.status_code == 200 else {}


def done(client: httpx.Client, batch_id: str) -> int:
    batch = status(client, batch_id)
    return batch["counts"]["done"] if batch else 0


def has_ended(client: httpx.Client, batch_id: str) -> bool:
    return status(client, batch_id).get("state") in TERMINAL


def ended(client: httpx.Client, batch_id: str) -> dict[str, Any]:
    batch: dict[str, Any] = wait_until(
        lambda: (found := status(client, batch_id)).get("state") in TERMINAL and found,
        180.0,
        f"the end of {batch_id}",
    )
    return batch


def check_exact(client: httpx.Client, service: Service, batch_id: str, rows: int = ROWS) -> None:
    """Check the invariants of a batch that was not cancelled."""
    batch = ended(client, batch_id)
    assert batch["outcome"] == "complete", batch
    assert batch["counts"] == {
        "total": rows, "done": rows, "valid": rows, "invalid": 0, "failed": 0,
    }  # fmt: skip
    text = client.get(f"/batches/{batch_id}/results").text
    refs = [row["ref"] for row in csv.DictReader(io.StringIO(text))]
    assert refs == [f"R{number}" for number in range(1, rows + 1)]
    audited = Counter(
        json.loads(line)["id"]
        for path in (service.home / "audit").glob(f"predictions_*.batch-{batch_id}-*.jsonl")
        for line in path.read_text().splitlines()
    )
    assert audited == Counter({f"{batch_id}-{number}": 1 for number in range(1, rows + 1)})


def test_a_batch_survives_repeatedly_killed_workers(
    faults: FaultInjector, http: httpx.Client
) -> None:
    batch_id = upload(http)
    chance = random.Random(4)
    kills = 0
    while kills < 4 and progresses(http, batch_id):
        time.sleep(chance.random() / 20)
        faults.kill("bulk")
        kills += 1
    assert kills >= 2, "the batch ended too soon: use more rows"
    check_exact(http, faults.service, batch_id)


def progresses(client: httpx.Client, batch_id: str) -> bool:
    """Wait for progress; return whether the batch is still running."""
    before = done(client, batch_id)
    wait_until(lambda: done(client, batch_id) > before or has_ended(client, batch_id), 90.0)
    return not has_ended(client, batch_id)


def test_a_batch_survives_a_killed_pool_process(faults: FaultInjector, http: httpx.Client) -> None:
    batch_id = upload(http, seed=2)
    wait_until(lambda: done(http, batch_id) > 0, 60.0, "a start")
    parent, *children = sorted(faults.processes("bulk"), key=lambda each: each.create_time())
    assert parent.is_running()
    children[0].kill()
    check_exact(http, faults.service, batch_id)


def test_a_batch_survives_workers_suspended_longer_than_their_leases(
    faults: FaultInjector, http: httpx.Client
) -> None:
    batch_id = upload(http, seed=3)
    wait_until(lambda: done(http, batch_id) > 0, 60.0, "a start")
    faults.suspend("bulk")
    time.sleep(6)  # three leases
    faults.resume("bulk")
    check_exact(http, faults.service, batch_id)


def test_a_batch_survives_a_killed_broker(faults: FaultInjector, http: httpx.Client) -> None:
    batch_id = upload(http, seed=5)
    wait_until(lambda: done(http, batch_id) > 0, 60.0, "a start")
    faults.kill("broker")
    check_exact(http, faults.service, batch_id)


def test_a_batch_survives_a_broker_that_loses_all_data(
    faults: FaultInjector, http: httpx.Client
) -> None:
    batch_id = upload(http, seed=6)
    wait_until(lambda: done(http, batch_id) > 0, 60.0, "a start")
    connect(faults.service.settings.redis_url).flushall()
    check_exact(http, faults.service, batch_id)


def test_a_batch_survives_a_killed_api(faults: FaultInjector, http: httpx.Client) -> None:
    batch_id = upload(http, seed=7)
    faults.kill("api")
    wait_until(lambda: is_ready(http), 60.0, "the API")
    check_exact(http, faults.service, batch_id)


def test_several_batches_survive_kills_of_all_kinds_of_processes(
    faults: FaultInjector, http: httpx.Client
) -> None:
    rows = 15_000
    batches = [upload(http, rows, seed=seed) for seed in (11, 12, 13)]
    chance = random.Random(9)
    for kind in ("bulk", "child", "broker", "beat", "api", "child", "bulk"):
        time.sleep(chance.random() / 2)
        if kind == "child":
            family = sorted(faults.processes("bulk"), key=lambda each: each.create_time())
            for process in family[1:2]:
                process.kill()
        else:
            faults.kill(kind)
    for batch_id in batches:
        check_exact(http, faults.service, batch_id, rows)


def test_a_cancelled_batch_stays_cancelled_when_its_workers_are_killed(
    faults: FaultInjector, http: httpx.Client
) -> None:
    batch_id = upload(http, MANY_ROWS, seed=8)
    wait_until(lambda: done(http, batch_id) > 0, 60.0, "a start")
    assert http.delete(f"/batches/{batch_id}").status_code == 202
    faults.kill("bulk")
    batch = ended(http, batch_id)
    assert batch["outcome"] == "cancelled"
    text = http.get(f"/batches/{batch_id}/results").text
    numbers = [int(row["ref"][1:]) for row in csv.DictReader(io.StringIO(text))]
    assert len(numbers) == batch["counts"]["done"]
    assert numbers == sorted(set(numbers)), "in order, each once; chunks may be missing"


def test_killed_workers_and_stopped_services_release_their_leases(
    models_path: Any,
) -> None:
    with short_folder() as home:
        options = {"JOB_LEASE_S": LONG_LEASE_S, "BATCH_CHUNK_ROWS": "250"}
        with running_service(home, models_path, **options) as service, service.client() as client:
            batch_id = upload(client)
            wait_until(lambda: done(client, batch_id) > 0, 60.0, "a start")
            FaultInjector(service).kill("bulk")
            assert progresses(client, batch_id), "the batch ended too soon: use more rows"
        with running_service(home, models_path, **options) as again, again.client() as client:
            check_exact(client, again, batch_id)
