"""Processes die, freeze and come back: every accepted job ends, every answer is recorded once."""

import json
import threading
import time
from collections import Counter

import httpx
import pytest

from shared.redis.connections import connect
from tests.conftest import wait_until

pytestmark = pytest.mark.faults

PROMPT_S = 4.0
"""A dead broker is reported within two seconds; this leaves room for a loaded machine."""


@pytest.fixture
def http(patient):
    with patient.service.client() as client:
        yield client
        wait_until(lambda: is_ready(client), 60.0, "the service is healthy again")


def is_ready(client):
    """Whether everything works, the cache included."""
    try:
        return client.get("/readyz").json()["status"] == "ready"
    except httpx.HTTPError:
        return False


def new_car(car):
    """A car that nobody has asked for yet."""
    return car | {"km_driven": time.time_ns() // 1000 % 1_900_000}


def ended(client, location):
    """The job at `location` once it has ended."""
    return wait_until(
        lambda: (job := client.get(location).json())["state"] in {"SUCCEEDED", "FAILED"} and job,
        60.0,
    )


def audit_ids(service):
    """How often each id stands in the audit log."""
    return Counter(
        json.loads(line)["id"]
        for path in (service.home / "audit").glob("predictions_*.jsonl")
        for line in path.read_text().splitlines()
    )


def test_without_the_cache_answers_come_from_the_forest(patient, http, car):
    asked = new_car(car)
    before = http.post("/predict", json=asked).json()
    patient.freeze("cache")
    try:
        started = time.monotonic()
        during = http.post("/predict", json=asked)
        assert time.monotonic() - started < PROMPT_S
        assert during.status_code == 200
        assert during.json()["price_mad"] == before["price_mad"]
        assert during.json()["cached"] is False
        assert http.get("/cache/stats").json()["enabled"] is False
        assert http.get("/readyz").json()["status"] == "degraded"
    finally:
        patient.thaw("cache")


@pytest.mark.parametrize("how", ["freeze", "kill"])
def test_without_the_broker_new_work_is_refused_promptly_and_cached_cars_are_served(
    patient, http, car, how
):
    cached = new_car(car)
    # A worker leaves a cache that has just failed alone for a second.
    wait_until(lambda: http.post("/predict", json=cached).json().get("cached"))
    if how == "freeze":
        patient.freeze("broker")
    else:
        patient.kill("broker")
    try:
        started = time.monotonic()
        refused = http.post("/jobs", json=new_car(car))
        elapsed_s = time.monotonic() - started
        served = http.post("/predict", json=cached)
        if how == "freeze":
            started = time.monotonic()
            checks = http.get("/readyz").json()["checks"]
            assert time.monotonic() - started < PROMPT_S
            assert [check["ok"] for check in checks[:3]] == [True, False, False]
    finally:
        if how == "freeze":
            patient.thaw("broker")
    if how == "freeze":
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
    else:  # the supervisor may have restarted it already
        assert refused.status_code in {202, 503}
    assert elapsed_s < PROMPT_S
    assert served.json()["cached"] is True
    wait_until(lambda: http.post("/predict", json=new_car(car)).status_code == 200, 60.0)


def test_a_frozen_worker_turns_the_wait_into_a_job_that_ends(patient, http, car):
    patient.freeze("interactive")
    try:
        accepted = http.post("/predict", json=new_car(car))
    finally:
        patient.thaw("interactive")
    assert accepted.status_code == 202
    job = ended(http, accepted.headers["Location"])
    assert job["state"] == "SUCCEEDED"
    assert job["result"]["price_mad"] > 0
    wait_until(lambda: audit_ids(patient.service)[job["id"]] == 1)


def test_a_message_that_died_with_its_worker_is_sent_again(patient, http, car):
    patient.freeze("interactive")
    accepted = http.post("/jobs", json=new_car(car))
    time.sleep(0.5)
    patient.kill("interactive")
    job = ended(http, accepted.headers["Location"])
    assert job["state"] == "SUCCEEDED"
    assert audit_ids(patient.service)[job["id"]] == 1


def test_jobs_survive_a_broker_that_is_killed_and_comes_back(patient, http, car):
    locations = [http.post("/jobs", json=new_car(car)).headers["Location"] for _ in range(20)]
    patient.kill("broker")
    wait_until(lambda: is_ready(http), 60.0)
    assert {ended(http, location)["state"] for location in locations} == {"SUCCEEDED"}


def test_a_job_whose_message_was_lost_is_sent_again(patient, http, car):
    broker = connect(patient.service.settings.redis_url)
    patient.freeze("interactive")
    try:
        location = http.post("/jobs", json=new_car(car)).headers["Location"]
        for key in (b"interactive", b"unacked", b"unacked_index"):
            broker.delete(key)
    finally:
        patient.kill("interactive")
    assert ended(http, location)["state"] == "SUCCEEDED"


def test_the_api_comes_back_and_its_jobs_are_still_there(patient, http, car):
    location = http.post("/jobs", json=new_car(car)).headers["Location"]
    patient.kill("api")
    wait_until(lambda: is_ready(http), 60.0)
    assert ended(http, location)["state"] == "SUCCEEDED"


def test_under_load_no_answer_is_lost_doubled_or_unrecorded_when_workers_die(patient, http, car):
    answered, stop = [], threading.Event()

    def ask():
        with patient.service.client() as client:
            while not stop.is_set():
                response = client.post("/predict", json=new_car(car))
                answered.append((response.status_code, response.json()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(1.0)
        patient.kill("interactive")
    time.sleep(3.0)
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answered} <= {200, 202}
    accepted = [body["id"] for status, body in answered if status == 202]
    for job_id in accepted:
        assert ended(http, f"/jobs/{job_id}")["state"] == "SUCCEEDED"
    counts = audit_ids(patient.service)
    assert {counts[body["id"]] for _, body in answered} == {1}
