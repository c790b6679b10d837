"""Forms of results and corrections through the real service, page and command line."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import httpx
import openpyxl
import pytest

from tests.conftest import ROOT, Service
from tests.integration.test_batches import upload, wait_for

pytestmark = pytest.mark.integration
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV_TYPE = {"Content-Type": "text/csv"}
STOCK = (
    "ref;marque;modèle;année;carburant;boîte;km\n"
    "B1;Dacia;Lodgy;2016;Diesel;Manuelle;140 000\n"
    "B2;Opel;Mokka;208;Diesel;Manuelle;88 000\n"
    "B3;Toyota;Yaris;2015;Essence;Auto;99 000\n"
    "B4;Ford;Kuga;hier;Diesel;Auto;101 000\n"
).encode()


@pytest.fixture
def batch(http: httpx.Client) -> dict:
    """An ended batch of two valued and two rejected rows."""
    return upload(http, STOCK)


def rows(answer: httpx.Response, delimiter: str = ";") -> list[list[str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=delimiter))


def fixed(http: httpx.Client, batch: dict) -> bytes:
    """The rejected rows of the batch, one of them corrected."""
    text = http.get(batch["links"]["rejected"]).text
    return text.replace(";208;", ";2018;").encode()


def test_results_have_the_delimiter_of_the_file_unless_another_is_asked_for(
    http: httpx.Client, batch: dict
) -> None:
    url = batch["links"]["results"]
    plain = http.get(url)
    assert plain.headers["Content-Type"].startswith("text/csv")
    table = rows(plain)
    assert table[0][:2] == ["ref", "marque"]
    assert len(table) == 5
    assert rows(http.get(url, params={"delimiter": "comma"}), ",") == table
    assert http.get(url, params={"delimiter": "semicolon"}).content == plain.content
    part = http.get(url, headers={"Range": "bytes=10-29"})
    assert (part.status_code, part.content) == (206, plain.content[10:30])
    assert int(plain.headers["Content-Length"]) == len(plain.content)
    assert rows(http.get(batch["links"]["rejected"]))[1][0] == "B2"


def test_a_decimal_comma_and_words_as_headers_are_given_on_request(
    http: httpx.Client, batch: dict
) -> None:
    url = batch["links"]["results"]
    plain = rows(http.get(url))
    french = rows(http.get(url, params={"decimal": ",", "headers": "localized"}))
    price = plain[0].index("price_mad")
    assert french[0][price] == "Prix estimé (MAD)"
    assert french[1][price] == plain[1][price].replace(".", ",")
    english = upload_in_english(http)
    words = rows(http.get(english["links"]["results"], params={"headers": "localized"}))
    assert words[0][price] == "Estimated price (MAD)"


def upload_in_english(http: httpx.Client) -> dict:
    headers = CSV_TYPE | {"Accept-Language": "en"}
    return wait_for(http, http.post("/batches", content=STOCK, headers=headers).json()["id"])


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"format": "xlsx", "decimal": ","}, "decimal"),
        ({"format": "ndjson", "delimiter": ";"}, "delimiter"),
        ({"dialect": "excel-fr", "delimiter": ","}, "delimiter"),
        ({"headers": "pretty"}, "headers"),
        ({"delimiter": "x"}, "delimiter"),
    ],
)
def test_options_that_do_not_go_together_are_refused_by_name(
    http: httpx.Client, batch: dict, params: dict[str, str], name: str
) -> None:
    answer = http.get(batch["links"]["results"], params=params)
    assert answer.status_code == 422
    assert [each["parameter"] for each in answer.json()["errors"]] == [name]


def test_a_workbook_is_given_by_format_and_by_accept(http: httpx.Client, batch: dict) -> None:
    url = batch["links"]["results"]
    answer = http.get(url, params={"format": "xlsx"})
    assert answer.headers["Content-Type"] == XLSX
    assert '.xlsx"' in answer.headers["Content-Disposition"]
    assert http.get(url, headers={"Accept": XLSX}).content == answer.content
    page = openpyxl.load_workbook(io.BytesIO(answer.content)).active
    assert page is not None
    head, first, *_ = page.iter_rows(values_only=True)
    assert isinstance(first[head.index("price_mad")], float)
    assert (first[head.index("année")], first[head.index("km")]) == (2016, 140_000)
    rest = http.get(url, params={"format": "xlsx"}, headers={"Range": "bytes=100-"})
    assert (rest.status_code, rest.content) == (206, answer.content[100:])


def test_corrected_rows_return_to_their_batch(http: httpx.Client, batch: dict) -> None:
    results = batch["links"]["results"]
    before = http.get(results)
    url = batch["links"]["corrections"]
    headers = CSV_TYPE | {"Idempotency-Key": f"k-{batch['id']}"}
    answer = http.post(url, content=fixed(http, batch), headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json()["corrects"] == batch["id"]
    correction = wait_for(http, answer.json()["id"])
    assert answer.headers["Location"] == f"/batches/{correction['id']}"
    assert correction["counts"] | {"total": 2} == {
        "total": 2, "done": 2, "valid": 1, "invalid": 1, "failed": 0,
    }  # fmt: skip
    after = http.get(f"/batches/{batch['id']}").json()
    assert after["counts"]["valid"] == 3
    assert after["corrections"] == [correction["id"]]
    assert after["model_version"] == correction["model_version"]
    table = http.get(results)
    assert table.headers["ETag"] != before.headers["ETag"]
    status = rows(table)[0].index("row_status")
    assert [(row[0], row[status]) for row in rows(table)[1:]] == [
        ("B1", "valued"), ("B2", "valued"), ("B3", "valued"), ("B4", "rejected"),
    ]  # fmt: skip
    # A download of the former results that was interrupted gets the new ones whole.
    resumed = http.get(results, headers={"Range": "bytes=9-", "If-Range": before.headers["ETag"]})
    assert (resumed.status_code, resumed.content) == (200, table.content)
    assert http.get(results, headers={"If-None-Match": before.headers["ETag"]}).status_code == 200
    assert [row[0] for row in rows(http.get(batch["links"]["rejected"]))[1:]] == ["B4"]
    assert http.get(batch["links"]["errors"]).text.count("\n") == 1
    again = http.post(url, content=fixed(http, batch), headers=CSV_TYPE)
    assert again.status_code == 202
    repeated = http.post(url, content=b"other", headers=headers)
    assert repeated.status_code == 422


def test_rows_that_were_not_rejected_are_refused_with_their_line(
    http: httpx.Client, batch: dict
) -> None:
    text = fixed(http, batch) + b"B1;Dacia;Lodgy;2016;Diesel;Manuelle;140 000;2;\n"
    answer = http.post(batch["links"]["corrections"], content=text, headers=CSV_TYPE)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["code"] == "not-a-rejected-row"
    assert "4" in error["detail"]
    assert "row_line" in error["detail"]


def test_corrections_of_an_unknown_batch_and_of_nothing_are_refused(http: httpx.Client) -> None:
    answer = http.post("/batches/01m8fqj4f7z0kj5s71amqzvc4r/corrections", content=STOCK)
    assert answer.status_code == 404
    clean = upload(http, STOCK.replace(b";208;", b";2018;").replace(b";hier;", b";2017;"))
    assert "corrections" not in clean["links"]
    url = f"/batches/{clean['id']}/corrections"
    text = "ref;marque;modèle;année;carburant;boîte;km;row_line;row_error\nB1;a;b;2;c;d;1;2;\n"
    answer = http.post(url, content=text.encode(), headers=CSV_TYPE)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("#nothing-to-correct")


def test_the_page_takes_corrected_rows_back(http: httpx.Client, batch: dict) -> None:
    page = http.get(f"/fichiers/{batch['id']}").text
    assert f'action="/fichiers/{batch["id"]}/corriger"' in page
    rejected = http.get(f"/fichiers/{batch['id']}/refusees")
    book = openpyxl.load_workbook(io.BytesIO(rejected.content))
    sheet = book.active
    assert sheet is not None
    sheet["D2"] = 2018
    sheet["D3"] = "2019"
    file = io.BytesIO()
    book.save(file)
    answer = http.post(
        f"/fichiers/{batch['id']}/corriger",
        files={"file": ("refusées.xlsx", file.getvalue())},
        follow_redirects=False,
    )
    assert answer.status_code == 303
    correction = answer.headers["Location"].rpartition("/")[2]
    assert wait_for(http, correction)["outcome"] == "complete"
    assert f'href="/fichiers/{batch["id"]}"' in http.get(f"/fichiers/{correction}").text
    whole = http.get(f"/fichiers/{batch['id']}/resultats/classeur")
    table = openpyxl.load_workbook(io.BytesIO(whole.content)).active
    assert table is not None
    assert table["H1"].value == "Prix estimé (MAD)"
    assert all(isinstance(row[7].value, float) for row in table.iter_rows(min_row=2))


def test_the_command_line_sends_corrected_rows_back(
    service: Service, http: httpx.Client, batch: dict, tmp_path: Path
) -> None:
    (file := tmp_path / "fixed.csv").write_bytes(fixed(http, batch))
    output, rejected = tmp_path / "all.xlsx", tmp_path / "still.csv"
    run = [sys.executable, "-m", "cli.main", "batch", "correct", batch["id"], str(file)]
    done = subprocess.run(
        [*run, "-o", str(output), "--rejected", str(rejected), "--url", service.url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "1 rejected" in done.stderr
    page = openpyxl.load_workbook(output).active
    assert page is not None
    assert page.max_row == 5
    assert rejected.read_text().count("\n") == 2
