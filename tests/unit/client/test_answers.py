"""Answers are typed with all their parts, and members of a newer service break nothing."""

import datetime as dt
import json
from typing import Any

import httpx
import numpy as np
import pytest

from client.sync import CarPriceClient
from client.valuations import Comparable, Contribution, DepreciationPace, Interval, Valuation
from client.work import Batch, Job, WorkSummary
from tests.unit.client.test_client import NOTICE, VALUATION, batch

INTERVAL = {"low": 1e5, "high": 2e5, "coverage": 0.9}
COMPARABLE = {
    "company": "Dacia", "model": "Logan", "year_from": 2017, "year_to": 2018, "km_driven": 80_000,
    "fuel": "Diesel", "transmission": "Manual", "price_mad": 99e3, "listings": 12, "distance": 0.4,
    "alike": ["same_model"], "differs": ["more_km"],
}  # fmt: skip
FULL = VALUATION | {
    "currency": "MAD",
    "model": {"version": "m1", "data_as_of": "2026-06", "basis": "asking_prices",
              "data_age_months": 5},
    "base_mad": 150e3,
    "contributions": [{"feature": "doors", "value": None, "effect_mad": -1.5}],
    "explanation": ["Starting price: 150,000 MAD"],
    "depreciation": [{"years": 1, "km_driven": 95_000, "price_mad": 9e4, "interval": INTERVAL}],
    "depreciation_pace": {"km_per_year": 15_000, "basis": "own"},
    "comparables": [COMPARABLE],
    "typical": {
        "fuel": "Diesel", "transmission": "Manual", "km_driven": 131_000, "price_mad": 99e3,
        "differences": [
            {"feature": "km_driven", "value": 80_000, "usual": 131_000, "effect_mad": 1e3}
        ],
        "explanation": ["A typical Dacia Logan of 2018: 99,000 MAD"],
        "mileages": [{"km_driven": 40_000, "price_mad": 101e3}],
    },
}  # fmt: skip
JOB = {
    "id": "j1", "state": "SUCCEEDED", "created_at": "2026-11-30T10:00:00.000+00:00",
    "started_at": None, "finished_at": "2026-11-30T10:00:01.000+00:00", "queue_position": None,
    "eta_s": None, "attempts": 1, "cancel_requested": False, "links": {"self": "/jobs/j1"},
    "progress": {"done": 2, "total": 2}, "result": [FULL, VALUATION],
}  # fmt: skip


def newer(value: Any) -> Any:
    """An answer as a later release may give it: with a further member in each object."""
    if isinstance(value, dict):
        return {name: newer(member) for name, member in value.items()} | {"new": {"a": [1]}}
    return [newer(item) for item in value] if isinstance(value, list) else value


def test_all_extras_are_typed() -> None:
    valuation = Valuation.of(FULL)
    assert valuation.contributions == (Contribution(feature="doors", value=None, effect_mad=-1.5),)
    assert valuation.depreciation is not None
    assert valuation.depreciation[0].interval == Interval(low=1e5, high=2e5, coverage=0.9)
    assert valuation.depreciation_pace == DepreciationPace(km_per_year=15_000, basis="own")
    assert valuation.comparables is not None
    assert isinstance(valuation.comparables[0], Comparable)
    assert valuation.comparables[0].differs == ("more_km",)
    assert (valuation.data_as_of, valuation.model.data_age_months) == ("2026-06", 5)
    assert valuation.explanation == ("Starting price: 150,000 MAD",)
    typical = valuation.typical
    assert typical is not None
    assert (typical.km_driven, typical.differences[0].usual) == (131_000, 131_000)
    assert typical.mileages[0].price_mad == 101e3
    assert typical.explanation == ("A typical Dacia Logan of 2018: 99,000 MAD",)
    assert Valuation.of(FULL | {"typical": None}).typical is None


def test_extras_that_were_not_asked_for_are_none() -> None:
    valuation = Valuation.of(VALUATION)
    parts = (valuation.contributions, valuation.depreciation, valuation.comparables)
    assert parts == (None, None, None)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (Valuation, FULL),
        (Job, JOB),
        (Batch, batch(notices=(NOTICE,)) | {"error": {"code": "x", "detail": "No."}}),
        (WorkSummary, JOB | {"kind": "job"}),
    ],
)
def test_members_of_a_newer_service_change_nothing(kind: Any, answer: dict[str, Any]) -> None:
    assert kind.of(newer(answer)) == kind.of(answer)


def test_a_job_has_its_times_and_progress() -> None:
    job = Job.of(JOB)
    assert job.finished_at == dt.datetime(2026, 11, 30, 10, 0, 1, tzinfo=dt.UTC)
    assert job.progress is not None
    assert (job.progress.done, job.started_at, len(job.valuations)) == (2, None, 2)


def test_lists_are_read_page_by_page_as_far_as_needed() -> None:
    asked: list[dict[str, str]] = []
    item = JOB | {"kind": "job"}

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        return httpx.Response(200, json={"items": [item, item], "next_cursor": "c"})

    client = CarPriceClient("http://service", transport=httpx.MockTransport(answer))
    jobs = client.jobs(kind="job", state="FAILED", since=dt.date(2026, 11, 1))
    assert [next(jobs).id for _ in range(3)] == ["j1"] * 3
    assert asked == [
        {"kind": "job", "state": "FAILED", "from": "2026-11-01", "limit": "100"},
        {"kind": "job", "state": "FAILED", "from": "2026-11-01", "limit": "100", "cursor": "c"},
    ]


def test_options_of_a_submission_are_sent() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert dict(request.url.params) == {
            "include": "comparables", "coverage": "0.5", "callback_url": "https://shop.example/?a=b",
        }  # fmt: skip
        assert request.headers["Idempotency-Key"] == "mine"
        assert json.loads(request.content) == {"year": 2020, "sold": "2026-01-01"}
        return httpx.Response(202, json={"id": "j1", "state": "QUEUED"})

    client = CarPriceClient("http://service", transport=httpx.MockTransport(answer))

    car = {"year": np.int64(2020), "sold": dt.date(2026, 1, 1)}
    client.submit(
        car, include=["comparables"], coverage=0.5, callback_url="https://shop.example/?a=b",
        idempotency_key="mine",
    )  # fmt: skip
