"""`POST /predict` through the real API, queue, workers and cache."""

import json
import shutil
import threading
import time

import httpx
import pytest
from click.testing import CliRunner

from cli.audit.commands import audit as verify_audit
from tests.conftest import wait_until

PROBLEM = "application/problem+json"
NO_EFFECT = {f"/{name}": "no-effect" for name in ("seller_type", "engine_cc", "max_power_bhp")}
"""Warnings of the reference example: the default model's data say nothing of these fields."""


def pointers(response):
    """Return the error codes of a problem by pointer or parameter."""
    return {
        place.get("pointer", place.get("parameter")): place["code"]
        for place in response.json()["errors"]
    }


def warnings_of(answer):
    """Return the codes of an answer's warnings by pointer."""
    found = {warning["pointer"]: warning["code"] for warning in answer["warnings"]}
    assert len(found) == len(answer["warnings"])
    return found


def test_the_first_request_is_a_miss_and_the_second_a_hit(http, car):
    car["km_driven"] = 25_001  # no other test requests this car
    first = http.post("/predict", json=car)
    second = http.post("/predict", json=car)
    assert (first.status_code, second.status_code) == (200, 200)
    assert "fwd=miss" in first.headers["Cache-Status"]
    assert second.headers["Cache-Status"].startswith("carprice; hit; ttl=")
    one, two = first.json(), second.json()
    assert (one["cached"], two["cached"]) == (False, True)
    assert one["price_mad"] == two["price_mad"]
    assert one["interval"] == two["interval"]
    assert one["id"] != two["id"]


def test_the_price_of_the_reference_example_is_plausible(http, car):
    answer = http.post("/predict", json=car).json()
    assert 120_000 <= answer["price_mad"] <= 230_000
    assert answer["interval"]["low"] < answer["price_mad"] < answer["interval"]["high"]
    assert answer["interval"]["coverage"] == 0.9
    assert answer["currency"] == "MAD"
    assert answer["model_known"] is True
    assert warnings_of(answer) == NO_EFFECT
    assert answer["model"]["basis"] == "asking_prices"


def test_an_asking_price_gets_a_verdict(http, car):
    estimate = http.post("/predict", json=car).json()["price_mad"]
    cheap = http.post("/predict", json=car | {"asking_price_mad": estimate / 2}).json()["verdict"]
    fair = http.post("/predict", json=car | {"asking_price_mad": estimate}).json()["verdict"]
    dear = http.post("/predict", json=car | {"asking_price_mad": estimate * 2}).json()["verdict"]
    assert [v["position"] for v in (cheap, fair, dear)] == ["below_market", "fair", "above_market"]
    assert cheap["percentile"] < fair["percentile"] < dear["percentile"]
    assert dear["difference_mad"] == pytest.approx(estimate)


def test_a_narrower_coverage_gives_a_narrower_interval(http, car):
    half, most = (
        http.post("/predict", params={"coverage": c}, json=car).json()["interval"]
        for c in (0.5, 0.95)
    )
    assert most["low"] < half["low"] < half["high"] < most["high"]


def test_contributions_sum_to_the_price_and_depreciation_lowers_it(http, car):
    answer = http.post(
        "/predict", params={"include": "contributions,depreciation"}, json=car
    ).json()
    total = answer["base_mad"] + sum(c["effect_mad"] for c in answer["contributions"])
    assert total == pytest.approx(answer["price_mad"], abs=0.01)
    assert all(one["value"] is not None for one in answer["contributions"])
    prices = [answer["price_mad"], *(point["price_mad"] for point in answer["depreciation"])]
    assert prices == sorted(prices, reverse=True)
    assert [point["years"] for point in answer["depreciation"]] == [1, 2, 3, 4, 5]
    for point in answer["depreciation"]:
        assert point["interval"]["low"] < point["price_mad"] < point["interval"]["high"]
    assert answer["depreciation_pace"] == {"km_per_year": 4167, "basis": "own"}


@pytest.mark.parametrize(
    ("language", "first", "last"), [("en", "Starting price", "Estimated"), ("fr", "Prix", "Prix")]
)
def test_an_explanation_in_words_has_the_language_of_the_request(http, car, language, first, last):
    asked = {"params": {"include": "contributions"}, "headers": {"Accept-Language": language}}
    texts = http.post("/predict", json=car, **asked).json()["explanation"]
    assert texts[0].startswith(first)
    assert texts[-1].startswith(last)


def test_comparables_are_similar_cars_and_are_cached(http, car):
    car |= {"company": "Dacia", "model": "Duster", "fuel": "Diesel", "km_driven": 95_111}
    first, again = (
        http.post("/predict", params={"include": "comparables"}, json=car).json() for _ in range(2)
    )
    assert 1 <= len(first["comparables"]) <= 5
    assert "same_model" in first["comparables"][0]["alike"]
    assert min(one["listings"] for one in first["comparables"]) >= 10
    assert (again["cached"], again["comparables"]) == (True, first["comparables"])


def test_an_older_or_more_driven_car_is_cheaper(http, car):
    prices = [
        http.post("/predict", json=car | change).json()["price_mad"]
        for change in (
            {},
            {"year": 2015, "km_driven": 100_000},
            {"year": 2008, "km_driven": 250_000},
        )
    ]
    assert prices == sorted(prices, reverse=True)


def test_unknown_fields_are_accepted_with_a_warning(http, car):
    answer = http.post("/predict", json=car | {"colour": "red", "seats": 5})
    assert answer.status_code == 200
    expected = NO_EFFECT | {"/colour": "unknown-field", "/seats": "unknown-field"}
    assert warnings_of(answer.json()) == expected


def test_an_unknown_model_is_valued_with_a_warning(http, car):
    answer = http.post("/predict", json=car | {"company": "Toyota", "model": "Zorglub"}).json()
    assert answer["model_known"] is False
    assert warnings_of(answer) == NO_EFFECT | {"/model": "model-unknown"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"year": 1800}, {"/year": "out-of-range"}),
        ({"year": "deux mille vingt"}, {"/year": "not-a-number"}),
        ({"year": 1800, "km_driven": -1}, {"/year": "out-of-range", "/km_driven": "out-of-range"}),
        ({"company": None}, {"/company": "required"}),
        ({"max_power_bhp": True}, {"/max_power_bhp": "not-a-number"}),
    ],
)
def test_wrong_values_are_422_with_the_fields_pointer(http, car, change, expected):
    response = http.post("/predict", json=car | change)
    assert response.status_code == 422
    assert response.headers["Content-Type"] == PROBLEM
    assert pointers(response) == expected
    assert all(place["detail"] for place in response.json()["errors"])


def test_missing_fields_are_422_as_in_the_reference_project(http):
    response = http.post("/predict", json={"company": "Toyota", "model": "Corolla"})
    assert response.status_code == 422
    assert pointers(response) == {"/year": "required"}
    assert set(pointers(http.post("/predict", json={}))) == {"/company", "/model", "/year"}


def test_brand_model_and_year_are_enough_and_the_answer_names_what_is_missing(http):
    body = {"company": "Toyota", "model": "Corolla", "year": 2020}
    answer = http.post("/predict", json=body).json()
    full = body | {"fuel": "Petrol", "transmission": "Manual", "km_driven": 25_000}
    complete = http.post("/predict", json=full).json()
    missing = [each["pointer"] for each in answer["warnings"] if each["code"] == "missing-field"]
    assert missing == ["/fuel", "/transmission", "/km_driven"]
    wide, narrow = answer["interval"], complete["interval"]
    assert wide["high"] / wide["low"] > narrow["high"] / narrow["low"]
    unknown = http.post("/predict", json=full | {"fuel": "banana"}).json()
    assert {each["code"] for each in unknown["warnings"]} == {"unknown-category", "missing-field"}


def test_a_byte_order_mark_before_the_body_does_not_count(http):
    body = b'\xef\xbb\xbf{"company": "Skoda", "model": "Fabia", "year": 2017}'
    response = http.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty-body"),
        (b"  \n", "empty-body"),
        (b"{", "not-json"),
        (b'{"year": NaN}', "not-json"),
        (b"\xff\xfe\x00", "not-utf-8"),
        ('{"company": "Citroën"}'.encode("latin-1"), "not-utf-8"),
        ('{"company": "Kia"}'.encode("utf-16"), "not-utf-8"),
        (b"[" * 5000, "not-json"),
        (b"[]", "list-of-cars"),
        (b"null", "not-an-object"),
        (b'"car"', "not-an-object"),
    ],
)
def test_bodies_that_are_not_a_car_are_422_with_an_error_code(http, content, code):
    response = http.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert pointers(response) == {"": code}


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "text/csv", None]
)
def test_other_content_types_are_415(http, car, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    response = http.post("/predict", content=json.dumps(car), headers=headers)
    assert response.status_code == 415
    assert "application/json" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/predict", "/jobs"])
@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_a_compressed_body_is_415_and_the_encoding_is_named(http, car, path, encoding):
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    response = http.post(path, content=json.dumps(car), headers=headers)
    assert response.status_code == 415
    assert encoding in response.json()["detail"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("colour=red", "colour"),
        ("include=nonsense", "include"),
        ("coverage=0.7", "coverage"),
        ("coverage=abc", "coverage"),
    ],
)
def test_invalid_query_parameters_are_named(http, car, query, name):
    response = http.post(f"/predict?{query}", json=car)
    assert response.status_code == 422
    assert list(pointers(response)) == [name]


def test_a_body_over_the_limit_is_413(http):
    response = http.post(
        "/predict",
        content=b'{"x": "' + b"y" * 3_000_000 + b'"}',
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 413
    assert response.headers["Content-Type"] == PROBLEM


def test_problems_are_in_french_unless_english_is_requested(http):
    french = http.post("/predict", json={})
    english = http.post("/predict", json={}, headers={"Accept-Language": "en-GB,en;q=0.9"})
    assert "obligatoire" in french.json()["errors"][0]["detail"]
    assert "required" in english.json()["errors"][0]["detail"]
    assert english.headers["Content-Language"] == "en"


def test_unknown_paths_and_wrong_methods_are_problem_responses(http):
    missing = http.get("/nothing/here")
    assert (missing.status_code, missing.headers["Content-Type"]) == (404, PROBLEM)
    wrong = http.get("/predict")
    assert (wrong.status_code, wrong.headers["Content-Type"]) == (405, PROBLEM)
    assert "POST" in wrong.headers["Allow"]


def test_every_answer_is_in_the_audit_log_once(service, http, car):
    car["km_driven"] = 31_415
    answers = [http.post("/predict", json=car).json() for _ in range(3)]
    records = {}
    for path in (service.home / "audit").glob("predictions_*.jsonl"):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            assert record["id"] not in records
            records[record["id"]] = record
    for answer in answers:
        record = records[answer["id"]]
        assert record["price_mad"] == answer["price_mad"]
        assert record["cached"] is answer["cached"]
        assert record["features"]["km_driven"] == 31_415
        assert record["model_version"] == answer["model"]["version"]


def metric(http, name):
    """Return the value of a metric, summed over its labels."""
    total = 0.0
    for line in http.get("/metrics").text.splitlines():
        if line.startswith((f"{name} ", f"{name}{{")):
            total += float(line.rsplit(" ", 1)[1])
    return total


def test_the_metrics_of_the_reference_project_count_exactly(http, car):
    names = (
        "predictions_total",
        "cache_hits_total",
        "cache_misses_total",
        "predicted_prices_mad_count",
    )
    car["km_driven"] = 27_182
    before = [metric(http, name) for name in names]
    for _ in range(4):
        http.post("/predict", json=car)
    http.post("/predict", json={})
    after = [metric(http, name) for name in names]
    assert [new - old for old, new in zip(before, after, strict=True)] == [4, 3, 1, 4]
    assert metric(http, "model_loaded") == 1
    assert metric(http, "cache_size_predictions") >= 1
    text = http.get("/metrics").text
    assert "model_version_info{" in text
    assert 'endpoint="/predict"' in text
    assert 'endpoint="/nothing/here"' not in text
    assert metric(http, "workers_up") >= 3


def test_concurrent_clients_each_get_their_own_answer(service, car):
    cars = [car | {"km_driven": 40_000 + 500 * number} for number in range(64)]
    answers = {}

    def ask(number):
        with service.client() as client:
            answers[number] = client.post("/predict", json=cars[number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers.values()} == {200}
    with service.client() as client:
        for number in (0, 17, 63):
            again = client.post("/predict", json=cars[number]).json()
            assert again["cached"] is True
            assert again["price_mad"] == answers[number].json()["price_mad"]


def test_a_request_that_does_not_wait_becomes_a_job(http, car):
    car["km_driven"] = 16_180
    response = http.post("/predict", json=car, headers={"Prefer": "wait=0"})
    assert response.status_code in {200, 202}
    if response.status_code == 202:
        assert response.headers["Location"] == f"/jobs/{response.json()['id']}"
        job = wait_until(
            lambda: (
                (job := http.get(response.headers["Location"]).json())["state"] == "SUCCEEDED"
                and job
            )
        )
        assert job["result"]["price_mad"] > 0


def test_health_answers_as_in_the_reference_project(http):
    body = http.get("/health").json()
    assert body["status"] == "ok"
    assert body["model_loaded"] is True
    assert body["cache_enabled"] is True
    assert http.get("/").json() == {"message": "CarPricePredictor-MA API", "status": "running"}
    assert http.get("/livez").status_code == 200
    ready = http.get("/readyz").json()
    assert {check["name"]: check["ok"] for check in ready["checks"]} == {
        "model": True,
        "broker": True,
        "workers": True,
        "cache": True,
        "audit": True,
        "storage": True,
        "keys": True,
    }


def test_statistics_of_predictions_and_cache_are_available(http, car):
    http.post("/predict", json=car)
    stats = http.get("/predictions/stats").json()
    assert stats["total_predictions"] >= 1
    assert stats["average_price"] > 0
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert http.get("/predictions/stats", params={"date": today}).json()["date"] == today
    for bad in ("yesterday", "2026-02-30", "20260101"):
        assert http.get("/predictions/stats", params={"date": bad}).status_code == 422
    assert http.get("/cache/stats").json()["enabled"] is True


def test_cross_site_requests_may_read_prices_but_not_administer(http):
    origin = {"Origin": "https://example.com"}
    assert http.get("/health", headers=origin).headers["Access-Control-Allow-Origin"] == "*"
    preflight = http.options("/predict", headers=origin | {"Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 200
    assert "Content-Type" in preflight.headers["Access-Control-Allow-Headers"]
    for closed in ("/models/rollback", "/models", "/jobs", "/batches/x", "/", "/predictions/stats"):
        for method in ("OPTIONS", "GET"):
            answer = http.request(method, closed, headers=origin)
            assert "Access-Control-Allow-Origin" not in answer.headers, closed


def test_flower_shows_the_workers(service):
    workers = wait_until(
        lambda: httpx.get(f"{service.flower_url}/workers?json=1", timeout=10).json()["data"],
        what="Flower knows the workers",
    )
    assert any("interactive" in str(worker) for worker in workers)


@pytest.mark.parametrize(("km_driven", "code"), [(900_000, "km-high"), (150, "km-low")])
def test_an_odometer_that_does_not_fit_the_cars_age_gets_a_warning(http, car, km_driven, code):
    odd = car | {"year": 2020, "km_driven": km_driven}
    for _ in ("asked", "from the cache"):
        answer = http.post("/predict", json=odd).json()
        assert warnings_of(answer) == NO_EFFECT | {"/km_driven": code}


def test_records_removed_from_the_log_of_a_running_service_are_found(http, service, car, tmp_path):
    for _ in range(3):  # the first may be a miss, which a worker records
        http.post("/predict", json=car)
    audit, kept = service.home / "audit", service.home / "audit-checkpoints"
    wait_until(lambda: any(kept.glob("predictions_*.api-*.checkpoint")))
    time.sleep(2.5)  # of all records
    copy = tmp_path / "audit"
    shutil.copytree(audit, copy)
    arguments = ["--checkpoints", str(kept), "--key-file", f"{kept}.key"]
    for remaining in (None, 1):
        path = max(copy.glob("predictions_*.api-*.jsonl"))  # of today: midnight may have passed
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:remaining]))
        checked = CliRunner().invoke(verify_audit, ["verify", "--folder", str(copy), *arguments])
        assert ("the end is missing" in checked.stderr) == (remaining is not None)
