"""`POST /predict?keep=true` and `GET /valuations/{id}`."""

import dataclasses
import time

import pytest

from api.app import create_app
from shared.domain.ids import JobId
from shared.domain.job import JobState
from shared.redis.job_store.store import JobStore
from tests.unit.api.pages.estimates.conftest import (
    browser,
    cached,
    keyed,
    old_id,
    settings,
    small_model,
)

__all__ = ["browser", "cached", "keyed", "settings", "small_model"]

CAR = {"company": "Dacia", "model": "Logan", "year": 2018, "asking_price_mad": 120000}
EXTRAS = "include=comparables,contributions,depreciation,typical"


@pytest.fixture
def answered(browser, cached):
    """An answer of `/predict` that is kept."""
    cached({name: str(value) for name, value in CAR.items()})
    answer = browser.post(f"/predict?keep=true&{EXTRAS}", json=CAR)
    assert answer.status_code == 201, answer.text
    return answer


def test_a_kept_answer_is_read_as_it_was(browser, servers, answered):
    assert answered.headers["Location"] == f"/valuations/{answered.json['id']}"
    servers.cache.flushall()
    read = browser.get(answered.headers["Location"])
    assert read.status_code == 200
    assert read.json == answered.json


def test_coverage_and_language_are_those_of_the_reader(browser, answered):
    read = browser.get(f"{answered.headers['Location']}?coverage=0.5")
    assert read.json["interval"] == pytest.approx({"low": 81000, "high": 99000, "coverage": 0.5})
    assert read.json["price_mad"] == answered.json["price_mad"]
    assert browser.get(f"{answered.headers['Location']}?coverage=2").status_code == 422


def test_a_reader_who_has_it_gets_nothing(browser, answered):
    address = answered.headers["Location"]
    tag = browser.get(address).headers["ETag"]
    assert browser.get(address, headers={"If-None-Match": tag}).status_code == 304


def test_an_answer_is_kept_only_if_it_is_asked_for(browser, cached, settings):
    cached({name: str(value) for name, value in CAR.items()})
    answer = browser.post(f"/predict?{EXTRAS}", json=CAR)
    assert answer.status_code == 200
    assert "Location" not in answer.headers
    assert browser.get(f"/valuations/{answer.json['id']}").status_code == 404
    assert not (settings.batches_path / "estimates").exists()


def test_a_slow_answer_is_kept_under_the_id_of_its_job(browser, servers, cached):
    accepted = browser.post("/predict?keep=true", json=CAR)
    assert accepted.status_code == 202
    address = f"/valuations/{accepted.json['id']}"
    assert browser.get(address).status_code == 202
    estimate = cached()
    jobs = JobStore(servers.broker, time.time, retention_s=600, lease_s=30)
    jobs.finish(JobId(accepted.json["id"]), JobState.SUCCEEDED, [estimate])
    assert browser.get(address).json["price_mad"] == estimate.price_mad
    servers.broker.flushall()
    assert browser.get(address).json["price_mad"] == estimate.price_mad


@pytest.mark.parametrize(("state", "status"), [(JobState.FAILED, 500), (JobState.CANCELLED, 410)])
def test_a_job_without_answer_is_a_problem(browser, servers, state, status):
    accepted = browser.post("/predict?keep=true", json=CAR)
    jobs = JobStore(servers.broker, time.time, retention_s=600, lease_s=30)
    jobs.finish(JobId(accepted.json["id"]), state, error="attempts-exhausted")
    assert browser.get(f"/valuations/{accepted.json['id']}").status_code == status


def test_an_expired_answer_is_gone(browser):
    answer = browser.get(f"/valuations/{old_id(366)}")
    assert answer.status_code == 410
    assert answer.json["type"].endswith("#estimate-expired")


def test_an_unreachable_store_is_an_outage(settings, cached, tmp_path):
    (tmp_path / "file").write_text("in the way")
    client = create_app(dataclasses.replace(settings, blobs_path=tmp_path / "file")).test_client()
    cached({name: str(value) for name, value in CAR.items()})
    assert client.post(f"/predict?keep=true&{EXTRAS}", json=CAR).status_code == 503
    assert client.get(f"/valuations/{old_id(1)}").status_code == 503


def test_its_caller_deletes_it(keyed, cached):
    cached({name: str(value) for name, value in CAR.items()})
    client = keyed.browser()
    owner, other = ({"Authorization": f"Bearer {key}"} for _user, key in (keyed.owner, keyed.other))
    kept = client.post(f"/predict?keep=true&{EXTRAS}", json=CAR, headers=owner)
    address = kept.headers["Location"]
    assert client.delete(address).status_code == 401
    assert client.delete(address, headers=other).status_code == 404
    assert client.delete(address, headers=owner).status_code == 204
    assert client.get(address, headers=owner).status_code == 404
