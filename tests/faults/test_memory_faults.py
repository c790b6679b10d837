"""A broker with little memory: what is accepted ends, the rest is refused with its reason."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.redis import keys
from shared.redis.connections import RedisClient, connect
from tests.conftest import REFERENCE_CAR, running_service, short_folder, wait_until
from tests.faults.conftest import FaultInjector

pytestmark = pytest.mark.faults

LIMIT_MB = 24
FILE = b"company,model,year\nKia,Rio,2018\n"
REFUSALS = {"/docs/problems#broker-full", "/docs/problems#job-storage-full"}


@pytest.fixture(scope="module")
def small(models_path: Path) -> Iterator[FaultInjector]:
    """A service whose broker has little memory."""
    with (
        short_folder() as home,
        running_service(
            home, models_path, BROKER_MAX_MEMORY=f"{LIMIT_MB}mb", JOB_LEASE_S="5"
        ) as service,
    ):
        yield FaultInjector(service)


@pytest.fixture
def broker(small: FaultInjector) -> RedisClient:
    return connect(small.service.settings.redis_url)


def cars(count: int, first_km: int = 0) -> list[dict[str, Any]]:
    """Different cars."""
    return [REFERENCE_CAR | {"km_driven": 10_000 + first_km + n} for n in range(count)]


def used_mb(broker: RedisClient) -> float:
    return float(broker.info("memory")["used_memory"]) / (1 << 20)


def submit(http: httpx.Client, list_: list[dict[str, Any]]) -> httpx.Response:
    return http.post("/jobs", json=list_)


def ended(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """The job when it has ended."""

    def read() -> dict[str, Any] | None:
        job = http.get(f"/jobs/{job_id}", params={"wait": 20}).json()
        return job if job["state"] not in {"QUEUED", "RUNNING"} else None

    return wait_until(read, 60.0, f"job {job_id} ends")


def test_a_flood_of_lists_is_refused_in_time_and_every_accepted_one_ends(small, broker):
    with small.service.client() as http:
        small.suspend("interactive")
        accepted, refused = [], []
        for n in range(3000):
            response = submit(http, cars(80, 100 * n))
            if response.status_code != 202:
                refused.append(response)
                if len(refused) == 5:
                    break
            else:
                accepted.append(response.json()["id"])
        assert len(accepted) > 100
        assert {each.status_code for each in refused} == {503}
        assert {each.json()["type"] for each in refused} <= REFUSALS
        assert all(each.headers["Retry-After"] for each in refused)
        assert used_mb(broker) < LIMIT_MB
        small.resume("interactive")
        jobs = [ended(http, job_id) for job_id in accepted]
        assert {job["state"] for job in jobs} == {"SUCCEEDED"}
        assert {len(job["result"]) for job in jobs} == {80}
        # Room is reserved for open jobs only: service is normal again.
        wait_until(lambda: submit(http, cars(80)).status_code == 202, 10.0, "a list is accepted")
        assert http.post("/predict", json=REFERENCE_CAR | {"km_driven": 777}).status_code == 200
        for job_id in accepted:
            assert http.delete(f"/jobs/{job_id}").status_code == 204


def test_lists_of_a_thousand_cars_do_not_fill_the_memory(small, broker):
    with small.service.client() as http, ThreadPoolExecutor(4) as threads:
        before = used_mb(broker)
        lists = [cars(1000, 1000 * n) for n in range(24)]
        accepted = list(threads.map(lambda each: submit(http, each), lists))
        assert {each.status_code for each in accepted} == {202}
        jobs = [ended(http, each.json()["id"]) for each in accepted]
        assert {(job["state"], len(job["result"])) for job in jobs} == {("SUCCEEDED", 1000)}
        assert used_mb(broker) - before < 2
        folder = small.service.home / "batches" / "jobs"
        assert {path.name for path in folder.iterdir()} == {job["id"] for job in jobs}
        for job in jobs:
            assert http.delete(f"/jobs/{job['id']}").status_code == 204
        assert not list(folder.iterdir())


def test_full_memory_refuses_single_cars_and_files_and_recovers(small, broker):
    """Something else fills the memory: every kind of work gets the same clear refusal."""
    with small.service.client() as http:
        while used_mb(broker) < LIMIT_MB - 4:
            broker.rpush("others", b"x" * 500_000)

        def refusals() -> set[tuple[int, str]]:
            responses = [
                http.post("/predict", json=REFERENCE_CAR | {"km_driven": 4321}),
                submit(http, cars(2)),
                http.post(
                    "/batches", files={"file": ("a.csv", b"company,model,year\nKia,Rio,2018")}
                ),
            ]
            return {(each.status_code, each.json().get("type", "")) for each in responses}

        full = {(503, "/docs/problems#broker-full")}
        wait_until(lambda: refusals() == full, 10.0, "all work is refused")
        broker.delete("others")
        wait_until(
            lambda: (
                http.post("/predict", json=REFERENCE_CAR | {"km_driven": 4322}).status_code == 200
            ),
            5.0,
            "normal service",
        )
        assert submit(http, cars(2)).status_code == 202
        assert int(broker.hget(keys.OPEN_USAGE, "need") or 0) < 1 << 20
