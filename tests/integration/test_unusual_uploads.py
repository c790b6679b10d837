"""Uploads as programs send them: a charset beside the type, JSON bodies, options for the header."""

import json

import httpx
import pytest

from tests.integration.test_batches import results, wait_for
from tests.workbooks import workbook

pytestmark = pytest.mark.integration
CARS = "make;model;year;km;ville\nKia;Rio;2015;70000;Plzeň\nSeat;Ibiza;2014;90000;Brno\n"
"""The letter is a currency sign in Windows-1252."""


def test_the_charset_of_a_body_or_of_a_part_of_a_form_is_its_encoding(http: httpx.Client) -> None:
    data = CARS.encode("iso8859-2")
    kind = "text/csv; charset=iso-8859-2"
    body = http.post("/batches", content=data, headers={"Content-Type": kind})
    form = http.post("/batches", files={"file": ("cars.csv", data, kind)})
    for answer in (body, form):
        assert answer.status_code == 202, answer.text
        batch = wait_for(http, answer.json()["id"])
        assert batch["input"]["detected"]["encoding"]["basis"] == "content-type"
        assert results(http, batch)[0]["ville"] == "Plzeň"


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/plain"])
def test_json_is_recognised_by_its_content(http: httpx.Client, kind: str) -> None:
    car = {"make": "Kia", "model": "Rio", "year": 2015, "mileage_km": 70000, "price": 90000}
    data = json.dumps({"cars": [car, car | {"year": None}]}).encode()
    answer = http.post("/batches", content=data, headers={"Content-Type": kind})
    assert answer.status_code == 202, answer.text
    batch = wait_for(http, answer.json()["id"])
    assert batch["input"]["format"] == "json"
    assert [row["row_status"] for row in results(http, batch)] == ["valued", "rejected"]


def test_json_that_breaks_off_names_its_line(http: httpx.Client) -> None:
    answer = http.post("/batches", content=b'{"make": "Kia"}\n{"make": ', headers={
        "Content-Type": "application/x-ndjson"})  # fmt: skip
    batch = wait_for(http, answer.json()["id"])
    (place,) = batch["error"]["errors"]
    assert (place["code"], "ligne 2" in place["detail"]) == ("truncated-json", True)


def test_a_workbook_without_a_header_loses_no_car(http: httpx.Client) -> None:
    rows = [("Rio", 2015, "Essence", 70_000), ("Picanto", 2016, "Essence", 60_000)]
    answer = http.post(
        "/batches",
        content=workbook(rows),
        params={"header": "no", "constants": "company=Kia", "columns": "model:#1"},
    )
    batch = wait_for(http, answer.json()["id"])
    assert batch["counts"]["valid"] == 2
    assert batch["options"]["constants"] == {"company": "Kia"}
    assert batch["input"]["columns"] == {
        "model": "column_1", "year": "column_2", "fuel": "column_3", "km_driven": "column_4",
    }  # fmt: skip
    assert "no-header" in {notice["code"] for notice in batch["input"]["notices"]}


@pytest.mark.parametrize(
    "params",
    [
        {"constants": "company"},
        {"constants": "year:long ago"},
        {"constants": "colour:red"},
        {"constants": "company:"},
        {"constants": "company:Seat,fule:Diesel"},
        {"constants": "company:Seat;fuel:Diesel"},
        {"constants": "fuel:Coal"},
        {"constants": "transmission:-"},
        {"header": "perhaps"},
    ],
)
def test_an_option_that_means_nothing_is_refused(
    http: httpx.Client, params: dict[str, str]
) -> None:
    answer = http.post("/batches", content=CARS.encode(), params=params)
    assert answer.status_code == 422
