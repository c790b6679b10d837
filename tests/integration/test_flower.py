"""Flower's list of tasks: an id that a caller knows finds its task, sweeps are not in it."""

import ast
from typing import Any

import httpx
import pytest

from tests.batch_parts import cars_csv
from tests.conftest import REFERENCE_CAR, Service, wait_until

pytestmark = [pytest.mark.integration]

ROWS = 300


def found(service: Service, text: str) -> list[dict[str, Any]]:
    """The tasks that the search field of Flower's page finds."""
    params = {
        "draw": "1",
        "start": "0",
        "length": "100",
        "search[value]": text,
        "order[0][column]": "0",
        "order[0][dir]": "desc",
        "columns[0][data]": "name",
    }
    try:
        given = httpx.get(f"{service.flower_url}/tasks/datatable", params=params, timeout=10.0)
        tasks: list[dict[str, Any]] = given.raise_for_status().json()["data"]
    except httpx.HTTPError:
        return []
    return tasks


@pytest.fixture(scope="module", autouse=True)
def flower(service: Service) -> None:
    """Flower collects tasks: it starts later than the service is ready."""
    with service.client() as http:

        def has_task() -> bool:
            job = http.post("/jobs", json=REFERENCE_CAR).json()["id"]
            http.get(f"/jobs/{job}", params={"wait": 1})
            return found(service, job) != []

        wait_until(has_task, 60.0, "Flower collects tasks")


def test_the_id_of_a_job_finds_its_task(service: Service, http: httpx.Client) -> None:
    job = http.post("/jobs", json=REFERENCE_CAR).json()["id"]
    (task,) = wait_until(lambda: found(service, job), 30.0, "the task of the job")
    assert task["name"] == "valuation.value_jobs"
    assert job in ast.literal_eval(task["kwargs"])["job_ids"]


def test_the_id_of_a_batch_finds_its_steps_with_their_rows(
    service: Service, http: httpx.Client
) -> None:
    sent = http.post("/batches", content=cars_csv(ROWS), headers={"Content-Type": "text/csv"})
    batch = sent.json()["id"]

    def ended() -> dict[str, dict[str, Any]] | None:
        tasks = {task["name"]: task for task in found(service, batch)}
        done = {name for name, task in tasks.items() if task["state"] == "SUCCESS"}
        return tasks if done >= {"batch.split", "batch.value_chunk", "batch.assemble"} else None

    tasks = wait_until(ended, 60.0, "the steps of the batch")
    chunk = tasks["batch.value_chunk"]
    assert ast.literal_eval(chunk["kwargs"]) == {"batch_id": batch, "chunk": 0}
    assert chunk["result"] == repr(f"rows 1 to {ROWS}")


def test_no_sweep_and_no_car_is_shown(service: Service, http: httpx.Client) -> None:
    http.post("/predict", json={**REFERENCE_CAR, "km_driven": 98_765}).raise_for_status()
    wait_until(lambda: found(service, "valuation.value_cars"), 30.0, "a micro-batch")
    assert found(service, "maintenance.sweep") == []
    assert found(service, "98765") == []
    assert found(service, "Corolla") == []
