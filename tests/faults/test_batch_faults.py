"""Whatever dies while a batch runs: every input row has one result, in order."""

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
from tests.faults.conftest import Patient

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

ROWS, MANY_ROWS = 40_000, 160_000
LONG_LEASE_S = "3000"
"""Longer than any test."""

TERMINAL = {"SUCCEEDED", "FAILED", "CANCELLED"}


@pytest.fixture
def http(patient: Patient) -> Iterator[httpx.Client]:
    with patient.service.client() as client:
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
    """The batch; {} while the service cannot say."""
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
    """The invariants of every batch that was not cancelled."""
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


def test_workers_that_are_killed_again_and_again(patient: Patient, http: httpx.Client) -> None:
    batch_id = upload(http)
    chance = random.Random(4)
    kills = 0
    while kills < 4 and moves_on(http, batch_id):
        time.sleep(chance.random() / 20)
        patient.kill("bulk")
        kills += 1
    assert kills >= 2, "it ended too soon to be hurt: more rows are needed"
    check_exact(http, patient.service, batch_id)


def moves_on(client: httpx.Client, batch_id: str) -> bool:
    """Wait until there is progress; whether more is to come."""
    before = done(client, batch_id)
    wait_until(lambda: done(client, batch_id) > before or has_ended(client, batch_id), 90.0)
    return not has_ended(client, batch_id)


def test_a_pool_process_that_is_killed(patient: Patient, http: httpx.Client) -> None:
    batch_id = upload(http, seed=2)
    wait_until(lambda: done(http, batch_id) > 0, 60.0, "a start")
    parent, *children = sorted(patient.processes("bulk"), key=lambda each: each.create_time())
    assert parent.is_running()
    children[0].kill()
    check_exact(http, patient.service, batch_id)


def test_workers_that_freeze_longer_than_their_leases(patient: Patient, http: httpx.Client) -> None:
    batch_id = upload(http, seed=3)
    wait_until(lambda: done(http, batch_id) > 0, 60.0, "a start")
    patient.freeze("bulk")
    time.sleep(6)  # three leases
    patient.thaw("bulk")
    check_exact(http, patient.service, batch_id)


def test_a_broker_that_is_killed_and_comes_back(patient: Patient, http: httpx.Client) -> None:
    batch_id = upload(http, seed=5)
    wait_until(lambda: done(http, batch_id) > 0, 60.0, "a start")
    patient.kill("broker")
    check_exact(http, patient.service, batch_id)


def test_a_broker_that_forgets_everything(patient: Patient, http: httpx.Client) -> None:
    batch_id = upload(http, seed=6)
    wait_until(lambda: done(http, batch_id) > 0, 60.0, "a start")
    connect(patient.service.settings.redis_url).flushall()
    check_exact(http, patient.service, batch_id)


def test_an_api_that_is_killed(patient: Patient, http: httpx.Client) -> None:
    batch_id = upload(http, seed=7)
    patient.kill("api")
    wait_until(lambda: is_ready(http), 60.0, "the API")
    check_exact(http, patient.service, batch_id)


def test_whatever_is_killed_in_whatever_order_several_batches_stay_exact(
    patient: Patient, http: httpx.Client
) -> None:
    rows = 15_000
    batches = [upload(http, rows, seed=seed) for seed in (11, 12, 13)]
    chance = random.Random(9)
    for kind in ("bulk", "child", "broker", "beat", "api", "child", "bulk"):
        time.sleep(chance.random() / 2)
        if kind == "child":
            family = sorted(patient.processes("bulk"), key=lambda each: each.create_time())
            for process in family[1:2]:
                process.kill()
        else:
            patient.kill(kind)
    for batch_id in batches:
        check_exact(http, patient.service, batch_id, rows)


def test_a_cancelled_batch_stays_cancelled_when_its_workers_are_killed(
    patient: Patient, http: httpx.Client
) -> None:
    batch_id = upload(http, MANY_ROWS, seed=8)
    wait_until(lambda: done(http, batch_id) > 0, 60.0, "a start")
    assert http.delete(f"/batches/{batch_id}").status_code == 202
    patient.kill("bulk")
    batch = ended(http, batch_id)
    assert batch["outcome"] == "cancelled"
    text = http.get(f"/batches/{batch_id}/results").text
    numbers = [int(row["ref"][1:]) for row in csv.DictReader(io.StringIO(text))]
    assert len(numbers) == batch["counts"]["done"]
    assert numbers == sorted(set(numbers)), "in order, each once; chunks may be missing"


def test_neither_a_killed_worker_nor_a_stopped_service_leaves_leases_to_wait_for(
    models_path: Any,
) -> None:
    with short_folder() as home:
        options = {"JOB_LEASE_S": LONG_LEASE_S, "BATCH_CHUNK_ROWS": "250"}
        with running_service(home, models_path, **options) as service, service.client() as client:
            batch_id = upload(client)
            wait_until(lambda: done(client, batch_id) > 0, 60.0, "a start")
            Patient(service).kill("bulk")
            assert moves_on(client, batch_id), "it ended too soon: more rows are needed"
        with running_service(home, models_path, **options) as again, again.client() as client:
            check_exact(client, again, batch_id)
