"""`/jobs` through the real service."""

import time

import pytest

from shared.blobs.ended_jobs.segments import JobSegments
from shared.blobs.stores import open_ended_job_store
from shared.redis import keys
from shared.redis.connections import connect
from shared.redis.job_store.records import SUMMARY_FIELDS
from shared.redis.job_store.segment_writing import SegmentWriting
from tests.conftest import wait_until
from worker.valuations import archive_sweep
from worker.valuations.archive_sweep import JobArchiver


def finished(http, location):
    """Wait until the job at `location` has ended and return it."""
    return wait_until(
        lambda: (
            (job := http.get(location).json())["state"] in {"SUCCEEDED", "FAILED", "CANCELLED"}
            and job
        )
    )


def test_a_job_of_one_car_is_submitted_and_polled(http, car):
    accepted = http.post("/jobs", json=car)
    assert accepted.status_code == 202
    assert accepted.headers["Retry-After"]
    location = accepted.headers["Location"]
    assert location == f"/jobs/{accepted.json()['id']}"
    job = finished(http, location)
    assert job["state"] == "SUCCEEDED"
    assert job["result"]["price_mad"] == http.post("/predict", json=car).json()["price_mad"]
    assert job["progress"] == {"done": 1, "total": 1}
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert job["queue_position"] is None


def test_the_results_of_a_list_are_in_the_order_of_the_cars(http, car):
    cars = [car | {"year": year} for year in (2023, 2010, 2018)]
    job = http.post("/jobs", json=cars, headers={"Prefer": "wait=20"})
    assert job.status_code == 200
    assert job.headers["Preference-Applied"] == "wait=20"
    results = job.json()["result"]
    singles = [http.post("/predict", json=each).json()["price_mad"] for each in cars]
    assert [each["price_mad"] for each in results] == singles
    assert [each["id"] for each in results] == [f"{job.json()['id']}-{n}" for n in (1, 2, 3)]


def test_a_thousand_cars_are_one_job(http, car):
    cars = [car | {"km_driven": 1000 * number} for number in range(1000)]
    job = http.post("/jobs", json=cars, headers={"Prefer": "wait=30"}).json()
    assert job["progress"] == {"done": 1000, "total": 1000}
    assert len(job["result"]) == 1000
    # A long list is handled by columns: each answer is that of its car alone.
    for index in (0, 25, 999):
        single, listed = http.post("/predict", json=cars[index]).json(), job["result"][index]
        assert listed["id"] == f"{job['id']}-{index + 1}"
        for warning in single["warnings"]:
            warning["pointer"] = f"/{index}{warning['pointer']}"
        own = {"id": listed["id"], "cached": False}
        assert listed == single | own


def test_a_long_poll_returns_when_the_job_ends(http, car):
    location = http.post("/jobs", json=car).headers["Location"]
    job = http.get(location, params={"wait": 20}).json()
    assert job["state"] == "SUCCEEDED"


def test_an_unchanged_job_is_304(http, car):
    location = http.post("/jobs", json=car, headers={"Prefer": "wait=20"}).headers[
        "Content-Location"
    ]
    first = http.get(location)
    again = http.get(location, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("bad", ["unknown", "0" * 26, "%00", "..%2f..%2fetc%2fpasswd"])
def test_unknown_jobs_are_404(http, bad):
    assert http.get(f"/jobs/{bad}").status_code == 404
    assert http.delete(f"/jobs/{bad}").status_code == 404


def test_jobs_that_have_left_redis_are_answered_as_before(http, car, service, monkeypatch):
    key = {"Idempotency-Key": f"key-{time.time_ns()}"}
    bodies = [car, [car] * 3, [car | {"km_driven": 1000 * n} for n in range(1000)]]
    jobs = [http.post("/jobs", json=each, headers={"Prefer": "wait=30"}).json() for each in bodies]
    jobs.append(http.post("/jobs", json=car, headers={"Prefer": "wait=20"} | key).json())

    def answers():
        paths = [f"/jobs/{job['id']}{rest}" for job in jobs for rest in ("", "?wait=5", "/events")]
        found = [http.get(path) for path in [*paths, "/jobs?limit=4"]]
        return [(each.status_code, each.headers.get("ETag"), each.content) for each in found]

    before = answers()
    monkeypatch.setattr(archive_sweep, "MIN_AGE_S", 0)
    monkeypatch.setattr(archive_sweep, "MAX_WAIT_S", 0)
    broker = connect(service.settings.redis_url)
    archiver = JobArchiver(
        JobSegments(open_ended_job_store(service.settings), SUMMARY_FIELDS),
        SegmentWriting(broker, time.time),
        time.time,
    )
    names = [keys.job(job["id"]) for job in jobs]
    # The sweep of the service may be under way: then this one leaves the work to it.
    wait_until(lambda: archiver.sweep() >= 0 and not broker.exists(*names), what="they are moved")
    assert answers() == before
    again = http.post("/jobs", json=car, headers=key)
    assert again.json()["id"] == jobs[-1]["id"]
    sale = {"sale_price_mad": 150_000, "sold_at": time.strftime("%Y-%m-%d")}
    assert http.post(f"/valuations/{jobs[0]['id']}/outcome", json=sale).status_code == 201
    for job in jobs:
        assert http.delete(f"/jobs/{job['id']}").status_code == 204
        assert http.get(f"/jobs/{job['id']}").status_code == 410


def test_an_expired_job_is_410(http, car, service):
    job = http.post("/jobs", json=car, headers={"Prefer": "wait=20"}).json()
    connect(service.settings.redis_url).delete(keys.job(job["id"]))
    response = http.get(f"/jobs/{job['id']}")
    assert (response.status_code, response.json()["type"]) == (410, "/docs/problems#job-expired")


def test_an_ended_job_is_deleted_and_its_id_and_key_say_so(http, car):
    key = {"Idempotency-Key": f"key-{time.time_ns()}"}
    job = http.post("/jobs", json=car, headers={"Prefer": "wait=20"} | key).json()
    deleted = http.delete(f"/jobs/{job['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for response in (
        http.get(f"/jobs/{job['id']}"),
        http.delete(f"/jobs/{job['id']}"),
        http.post("/jobs", json=car, headers=key),
    ):
        assert (response.status_code, response.json()["type"]) == (
            410,
            "/docs/problems#job-deleted",
        )
    assert job["id"] not in {each["id"] for each in http.get("/jobs").json()["items"]}


def test_a_repeated_key_gives_the_same_job_and_another_body_is_refused(http, car):
    key = {"Idempotency-Key": f"key-{time.time_ns()}"}
    first = http.post("/jobs", json=car, headers=key)
    again = http.post("/jobs", json=car, headers=key)
    assert first.json()["id"] == again.json()["id"]
    assert (first.status_code, again.status_code) == (202, 202)
    other = http.post("/jobs", json=car | {"year": 2019}, headers=key)
    assert (other.status_code, other.json()["type"]) == (
        422,
        "/docs/problems#idempotency-conflict",
    )
    too_long = http.post("/jobs", json=car, headers={"Idempotency-Key": "k" * 300})
    assert too_long.json()["errors"][0]["header"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ([], "", "empty-list"),
        ([{}], "/0/company", "required"),
        (["car"], "/0", "not-an-object"),
        (7, "", "not-an-object"),
    ],
)
def test_invalid_jobs_are_422_with_pointer_and_code(http, body, pointer, code):
    response = http.post("/jobs", json=body)
    assert response.status_code == 422
    assert {"pointer": pointer, "code": code}.items() <= response.json()["errors"][0].items()


def test_an_invalid_car_of_a_list_is_named_by_its_pointer(http, car):
    response = http.post("/jobs", json=[car, car | {"year": 1800}, car])
    assert [place["pointer"] for place in response.json()["errors"]] == ["/1/year"]


def test_more_than_a_thousand_cars_are_refused_with_a_hint_at_batches(http, car):
    response = http.post("/jobs", json=[car] * 1001)
    assert response.status_code == 422
    assert "/batches" in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize("wait", ["-1", "31", "soon"])
def test_a_wait_out_of_range_is_refused(http, car, wait):
    location = http.post("/jobs", json=car).headers["Location"]
    assert http.get(location, params={"wait": wait}).status_code == 422
