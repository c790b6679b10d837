"""Batches of every file format through the real service: detection, prices, errors."""

import csv
import io
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.batch_parts import GOOD_ROW, HEADER, cars_csv
from tests.conftest import Service
from tests.integration.test_batches import results, wait_for
from tests.workbooks import CAR_HEADER, CAR_ROW, parts_of, sheet_xml, workbook, zipped

pytestmark = pytest.mark.integration
RAW = {"Content-Type": "application/octet-stream"}
FRENCH = (
    "Marque;Modèle;Année;Carburant;Boîte;Kilométrage;Cylindrée;Puissance;Prix\r\n"
    "Dacia;Logan;15/03/2019;Diesel;Manuelle;145\u202f000 km;1,5;6 CV;145.000,50 DH\r\n"
    "Citroën;C3;2018;Essence;Auto;90.000;1,2;5 CV;99 000\r\n"
)


def ended(http: httpx.Client, data: Any, **params: str) -> dict[str, Any]:
    """Upload a file and return its ended batch."""
    answer = http.post("/batches", content=data, headers=RAW, params=params)
    assert answer.status_code == 202, answer.text
    return wait_for(http, answer.json()["id"])


def parquet_of_cars() -> bytes:
    header, *rows = csv.reader(io.StringIO(cars_csv(3000).decode()))
    table = pa.table(dict(zip(header, zip(*rows, strict=True), strict=True)))
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def test_the_same_cars_get_the_same_prices_from_csv_excel_and_parquet(http: httpx.Client) -> None:
    rows = list(csv.reader(io.StringIO(cars_csv(3000).decode())))
    files = {"csv": zstandard.compress(cars_csv(3000)), "xlsx": workbook(rows),
             "parquet": parquet_of_cars()}  # fmt: skip
    prices = {}
    for kind, data in files.items():
        batch = ended(http, data)
        assert (batch["outcome"], batch["input"]["format"]) == ("complete", kind)
        assert batch["input"]["columns"]["km_driven"] == "km_driven"
        prices[kind] = [(row["ref"], row["price_mad"]) for row in results(http, batch)]
    assert prices["csv"] == prices["xlsx"] == prices["parquet"]
    assert len(prices["csv"]) == 3000


def test_a_workbook_keeps_its_name_and_tells_what_a_person_sees_otherwise(
    http: httpx.Client,
) -> None:
    sheet = sheet_xml([CAR_HEADER, CAR_ROW, ["R2", None, "Duster", *CAR_ROW[3:]]])
    sheet = sheet.replace('<row r="3">', '<row r="3" hidden="1">')
    blocks = '</sheetData><mergeCells><mergeCell ref="B2:B3"/></mergeCells>'
    data = zipped(parts_of({"Stock": sheet.replace("</sheetData>", blocks)}))
    name = "Stock d'été – السيارات.xlsx"  # noqa: RUF001
    disposition = f'attachment; filename="{name}"'.encode()
    headers = [
        (b"Content-Disposition", disposition),
        (b"Content-Type", b"application/octet-stream"),
    ]
    batch = wait_for(http, http.post("/batches", content=data, headers=headers).json()["id"])
    assert batch["input"]["file_name"] == name
    details = {each["code"]: each["detail"] for each in batch["input"]["notices"]}
    assert details.keys() == {"hidden-rows", "merged-cells"}
    assert details["hidden-rows"].endswith(": 1.")
    assert [row["Marque"] for row in results(http, batch)] == ["Dacia", "Dacia"]
    saved = http.get(batch["links"]["results"]).headers["Content-Disposition"]
    extended = quote("Stock d'été – السيارات-priced.csv", safe="")  # noqa: RUF001
    assert saved.endswith(f"; filename*=UTF-8''{extended}")


@pytest.mark.parametrize(
    ("name", "data", "given"),
    [
        ("stock.csv", b"\r\n\r\n<!DOCTYPE html><html><p>Connexion</p></html>", "HTML"),
        ("stock.xls", b"<table><tr><td>Marque</td></tr></table>", "HTML"),
        ("stock.xlsx", b"<?xml version='1.0'?><stock><car/></stock>", "XML"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_what_it_is(
    http: httpx.Client, name: str, data: bytes, given: str
) -> None:
    answer = http.post("/batches", files={"file": (name, data)})
    assert answer.status_code == 415
    assert f"(reçu : {given})" in answer.json()["detail"]


def test_a_form_whose_file_name_is_not_utf_8_is_accepted(http: httpx.Client) -> None:
    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="march\xe9.csv"\r\n\r\n'
    answer = http.post(
        "/batches",
        content=head + cars_csv(3) + b"\r\n--B--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=B"},
    )
    assert answer.status_code == 202
    assert answer.json()["input"]["file_name"] == "marché.csv"


def test_a_french_export_is_detected_and_the_answer_states_each_detection(
    http: httpx.Client,
) -> None:
    answer = http.post(
        "/batches",
        content=zstandard.compress(FRENCH.encode("cp1252", "replace").replace(b"?", b"\xa0")),
        headers={"Content-Type": "text/csv", "Content-Encoding": "zstd", "Accept-Language": "fr"},
    )
    found = answer.json()["input"]
    detected = found["detected"]
    values = [detected[name]["value"] for name in ("encoding", "delimiter", "decimal")]
    assert values == ["cp1252", ";", ","]
    assert found["detected"]["encoding"]["confidence"] > 0.8
    assert found["detected"]["columns"]["fiscal_power_cv"] == {
        "column": "Puissance", "position": 8, "confidence": 0.85, "basis": "cells",
    }  # fmt: skip
    assert found["unused"] == []
    assert found["columns"]["asking_price_mad"] == "Prix"
    assert [notice["code"] for notice in found["notices"]] == ["litres"]
    assert found["notices"][0]["detail"].startswith("Colonne Cylindrée : lue en litres")
    batch = wait_for(http, answer.json()["id"])
    assert batch["outcome"] == "complete"
    first = results(http, batch)[0]
    car = {"company": "Dacia", "model": "Logan", "year": 2019, "fuel": "Diesel", "engine_cc": 1500,
           "transmission": "Manuelle", "km_driven": 145_000, "fiscal_power_cv": 6}  # fmt: skip
    assert http.post("/predict", json=car).json()["price_mad"] == float(first["price_mad"])
    assert (first["Cylindrée"], first["Prix"]) == ("1,5", "145.000,50 DH")


def test_a_file_of_unknown_length_is_streamed(http: httpx.Client) -> None:
    def blocks() -> Iterator[bytes]:
        data = cars_csv(500)
        for start in range(0, len(data), 7777):
            yield data[start : start + 7777]

    assert ended(http, blocks())["counts"]["valid"] == 500


def test_a_workbook_without_the_required_columns_fails_and_names_them(http: httpx.Client) -> None:
    data = workbook([["ماركة", "Anneeee"], ["داسيا", 2015]])
    batch = ended(http, data)
    assert (batch["state"], batch["outcome"]) == ("FAILED", "aborted")
    assert batch["error"]["code"] == "unreadable-table"
    places = batch["error"]["errors"]
    assert {place["code"] for place in places} == {"missing-column"}
    assert "columns=year:Anneeee" in places[-1]["detail"]
    assert results(http, batch) == []
    mapped = "company:#1,model:#2,year:#3,fuel:#4,transmission:#5,km_driven:#6"
    rescued = workbook([["ب", "ت", "ث", "ج", "ح", "خ"], CAR_ROW[1:]])
    assert ended(http, rescued, columns=mapped)["outcome"] == "complete"


def test_a_dry_run_reports_errors_and_prices_no_row(http: httpx.Client) -> None:
    bad = (*CAR_ROW[:3], 1890, *CAR_ROW[4:])
    batch = ended(http, workbook([CAR_HEADER, CAR_ROW, bad]), dry_run="true", key_column="Réf")
    assert batch["outcome"] == "dry_run"
    assert batch["input"]["detected"]["sheet"]["value"] == "Stock"
    assert batch["input"]["detected"]["columns"]["year"]["confidence"] < 0.95
    (error,) = http.get(batch["links"]["errors"]).text.splitlines()
    assert '"line":3' in error
    assert [row["price_mad"] for row in results(http, batch)] == ["", ""]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"PK\x03\x04" + bytes(99), 422, "truncated-workbook"),
        (b"PAR1" + bytes(99), 422, "truncated-parquet"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), 415, None),
        (b"\x28\xb5\x2f\xfd" + b"x" * 99, 422, "wrong-zstd"),
        (zstandard.compress(cars_csv(99))[:-9], 422, "truncated-zstd"),
        (zstandard.compress(bytes(300_000_000)), 422, "line-too-long"),
        (zstandard.compress((HEADER + "\n").encode() + b"x" * 90_000_000), 422, "line-too-long"),
        ("ماركة,موديل\n1,2\n".encode(), 422, "missing-column"),
        (",".join(f"c{n}" for n in range(5000)).encode() + b"\n1\n", 422, "too-many-columns"),
    ],
)
def test_unreadable_uploads_are_refused_in_the_upload_response(
    http: httpx.Client, data: bytes, status: int, code: str | None
) -> None:
    answer = http.post("/batches", content=data, headers=RAW)
    assert answer.status_code == status, answer.text
    if code is not None:
        assert answer.json()["errors"][0]["code"] == code


@pytest.mark.parametrize("params", [{"columns": "km"}, {"sheet": ""}, {"columns": "x:y"}])
def test_wrong_options_are_refused(http: httpx.Client, params: dict[str, str]) -> None:
    answer = http.post("/batches", content=cars_csv(2), headers=RAW, params=params)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == next(iter(params))


@pytest.mark.parametrize("length", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_an_aborted_upload_leaves_neither_a_batch_nor_a_file(
    service: Service, http: httpx.Client, length: str
) -> None:
    """The upload breaks off within a row."""
    before = set((service.home / "batches").iterdir())
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        body = f"{HEADER}\n{GOOD_ROW}\nToyota,Cor".encode()
        chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n" if "chunked" in length else body
        connection.sendall(
            b"POST /batches HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n"
            + length.encode()
            + b"\r\n\r\n"
            + chunk
        )
    assert ended(http, cars_csv(3))["counts"]["valid"] == 3
    after = set((service.home / "batches").iterdir()) - before
    assert len(after) == 1
