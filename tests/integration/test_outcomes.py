"""Sale reports for valuations of single requests, jobs and batches."""

import datetime as dt
import json
import os
import subprocess
import sys
import time

import pytest

from shared.domain.ids import new_id
from shared.redis import keys
from shared.redis.connections import connect
from tests.batch_parts import cars_csv
from tests.conftest import ROOT

pytestmark = pytest.mark.integration


def day(days: int) -> str:
    """Return the date a number of days from today."""
    return (dt.datetime.now(dt.UTC).date() + dt.timedelta(days)).isoformat()


SALE = {"sale_price_mad": 150_000, "sold_at": day(-30)}


def report(http, valuation_id, **changes):
    return http.post(f"/valuations/{valuation_id}/outcome", json=SALE | changes)


def sample(http, name, **labels):
    """Return a sample of the metrics; 0 if it does not exist yet."""
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    for line in http.get("/metrics").text.splitlines():
        if line.startswith(name + "{") and all(each in line for each in wanted):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_a_sale_is_compared_with_its_valuation_counted_once_and_correctable(http, car):
    valuation = http.post("/predict", json=car | {"km_driven": 31_007}).json()
    version = valuation["model"]["version"]
    before = sample(http, "outcome_absolute_error_ratio_count", model_version=version)
    first = report(http, valuation["id"])
    assert first.status_code == 201
    answer = first.json()
    assert (answer["price_mad"], answer["interval"]) == (
        valuation["price_mad"], valuation["interval"],
    )  # fmt: skip
    assert answer["absolute_error"] == pytest.approx(
        abs(150_000 - valuation["price_mad"]) / 150_000, abs=1e-4
    )
    again = report(http, valuation["id"])
    assert (again.status_code, again.json()) == (200, answer)
    corrected = report(http, valuation["id"], sale_price_mad=149_000)
    assert (corrected.status_code, corrected.json()["is_correction"]) == (200, True)
    after = sample(http, "outcome_absolute_error_ratio_count", model_version=version)
    assert after == before + 1, "a correction and a repetition are not counted twice"
    assert sample(http, "outcomes_total", model_version=version, kind="correction") >= 1
    newest = http.get("/outcomes/stats").json()["versions"][0]
    assert (newest["model_version"], newest["corrections"] >= 1) == (version, True)


def test_a_cached_answer_has_its_own_sale_report(http, car):
    car |= {"km_driven": 31_011}
    miss, hit = (http.post("/predict", json=car).json() for _ in range(2))
    assert hit["cached"]
    assert [report(http, each["id"]).status_code for each in (miss, hit)] == [201, 201]


def test_sales_of_jobs_lists_and_batch_rows_are_accepted(http, car):
    one = http.post("/jobs", json=car, headers={"Prefer": "wait=20"}).json()
    many = http.post("/jobs", json=[car, car], headers={"Prefer": "wait=20"}).json()
    batch = http.post("/batches", content=cars_csv(5), headers={"Content-Type": "text/csv"}).json()[
        "id"
    ]
    while http.get(f"/batches/{batch}?wait=20").json()["state"] != "SUCCEEDED":
        pass
    ids = [one["id"], *(each["id"] for each in many["result"]), f"{batch}-1", f"{batch}-5"]
    assert [report(http, each).status_code for each in ids] == [201] * 5
    for nothing in (many["id"], f"{many['id']}-3", f"{batch}-6", f"{batch}-0"):
        assert report(http, nothing).status_code == 404


def test_the_sale_of_an_expired_job_is_accepted(http, car, service):
    job = http.post("/jobs", json=car, headers={"Prefer": "wait=20"}).json()
    connect(service.settings.redis_url).delete(keys.job(job["id"]))
    assert report(http, job["id"]).status_code == 201


@pytest.mark.parametrize("bad", ["x", "0" * 26 + "-1-2", "%00", "..%2f..%2fetc", "é" * 26])
def test_an_invalid_id_is_404(http, bad):
    answer = report(http, bad)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_a_price_may_be_text_with_a_unit(http, car):
    answer = report(http, http.post("/predict", json=car).json()["id"], sale_price_mad="91 000 DH")
    assert (answer.status_code, answer.json()["sale_price_mad"]) == (201, 91_000)


def test_unknown_and_future_valuations_are_404_and_old_ones_410(http):
    assert report(http, new_id()).status_code == 404
    assert report(http, new_id(time.time() + 9e5)).status_code == 404
    old = report(http, new_id(time.time() - 2 * 365 * 86_400))
    assert (old.status_code, old.json()["type"]) == (410, "/docs/problems#valuation-expired")


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/sale_price_mad", "sale-price"),
        (SALE | {"sale_price_mad": 10}, "/sale_price_mad", "sale-price"),
        (SALE | {"sale_price_mad": "much"}, "/sale_price_mad", "sale-price"),
        (SALE | {"sale_price_mad": True}, "/sale_price_mad", "sale-price"),
        (SALE | {"sale_price_mad": 1e999}, "", ""),
        (SALE | {"sold_at": "02/01/2026"}, "/sold_at", "sold-at"),
        (SALE | {"sold_at": None}, "/sold_at", "sold-at"),
        (SALE | {"sold_at": day(30)}, "/sold_at", "sold-at"),
        (SALE | {"sold_at": day(-400)}, "/sold_at", "sold-long-before"),
        (SALE | {"sold_at": "0001-01-01"}, "/sold_at", "sold-long-before"),
        (SALE | {"buyer": "Amina"}, "/buyer", "only-the-sale"),
        ([SALE], "", "only-the-sale"),
    ],
)
def test_an_invalid_sale_is_422_with_pointer_and_code(http, car, body, pointer, code):
    valuation = http.post("/predict", json=car).json()
    answer = http.post(
        f"/valuations/{valuation['id']}/outcome",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    if code:
        assert (pointer, code) in {(e["pointer"], e["code"]) for e in answer.json()["errors"]}


def test_the_command_prints_the_figures(http, car, service):
    report(http, http.post("/predict", json=car).json()["id"])
    printed = subprocess.run(
        [sys.executable, "-m", "cli.main", "outcomes", "--json"],
        cwd=ROOT, env={**os.environ, "CARPRICE_HOME": str(service.home)},
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert json.loads(printed) == http.get("/outcomes/stats").json()["versions"]


def test_the_answers_are_as_documented(http, car):
    paths = http.get("/openapi.json").json()["paths"]
    assert {"201", "200", "404", "410", "422"} <= set(
        paths["/valuations/{valuation_id}/outcome"]["post"]["responses"]
    )
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    answer = report(http, http.post("/predict", json=car).json()["id"]).json()
    assert set(answer) == set(schemas["Outcome"]["properties"])
