"""Batches through the real API, queue and workers, over real HTTP."""

import csv
import gzip
import io
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from pyarrow import parquet

from tests.batch_parts import BAD_ROW, GOOD_ROW, HEADER, cars_csv
from tests.conftest import ROOT, Service, wait_until
from tests.workbooks import parts_of, sheet_xml, zipped

pytestmark = pytest.mark.integration
PROBLEM = "application/problem+json"


def upload(http: httpx.Client, data: bytes, **params: str) -> dict:
    """Upload a file and return its ended batch."""
    answer = http.post(
        "/batches", content=data, headers={"Content-Type": "text/csv"}, params=params
    )
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/batches/{answer.json()['id']}"
    return wait_for(http, answer.json()["id"])


def wait_for(http: httpx.Client, batch_id: str) -> dict:
    for _ in range(12):
        batch = http.get(f"/batches/{batch_id}", params={"wait": 10}).json()
        if batch["state"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
            return batch
    raise AssertionError(batch)


def results(http: httpx.Client, batch: dict) -> list[dict[str, str]]:
    answer = http.get(batch["links"]["results"])
    assert answer.status_code == 200
    # The delimiter of a workbook or Parquet file is empty; their results have commas.
    delimiter = batch["input"]["delimiter"] or ","
    return list(csv.DictReader(io.StringIO(answer.text), delimiter=delimiter))


@pytest.fixture(scope="module")
def priced(service: Service) -> dict:
    """An ended batch of 3,000 valid rows and two invalid ones."""
    data = cars_csv(3000) + b"B1,x,,1800,q,w,-1,,\nB2,a,b\n"
    with service.client() as http:
        return upload(http, data, key_column="ref")


def test_ten_thousand_rows_uploaded_by_curl_are_priced_once_each_and_in_order(
    service: Service, http: httpx.Client, tmp_path: Path
) -> None:
    file, out = tmp_path / "stock.csv", tmp_path / "priced.csv"
    file.write_bytes(cars_csv(10_000))
    curl = ["curl", "--silent", "--fail-with-body"]
    accepted = subprocess.run(
        [*curl, "-F", f"file=@{file}", f"{service.url}/batches"], capture_output=True, check=True
    )
    batch = wait_for(http, orjson.loads(accepted.stdout)["id"])
    assert (batch["state"], batch["outcome"]) == ("SUCCEEDED", "complete")
    assert batch["counts"] == {
        "total": 10_000, "done": 10_000, "valid": 10_000, "invalid": 0, "failed": 0,
    }  # fmt: skip
    subprocess.run([*curl, "-o", str(out), service.url + batch["links"]["results"]], check=True)
    rows = list(csv.DictReader(out.open(newline="")))
    assert [row["ref"] for row in rows] == [f"R{number}" for number in range(1, 10_001)]
    assert all(
        0 < float(row["low_mad"]) <= float(row["price_mad"]) <= float(row["high_mad"])
        for row in rows
    )


def test_a_row_gets_the_same_price_as_the_car_in_a_single_request(
    http: httpx.Client, priced: dict
) -> None:
    row = results(http, priced)[0]
    car = {name: row[name] for name in ("company", "model", "year", "fuel", "transmission",
                                        "km_driven", "engine_cc", "city")}  # fmt: skip
    alone = http.post("/predict", json=car).json()
    assert alone["price_mad"] == float(row["price_mad"])
    assert (alone["interval"]["low"], alone["interval"]["high"]) == (
        float(row["low_mad"]), float(row["high_mad"]),
    )  # fmt: skip


def test_the_batch_states_what_was_detected_in_the_file(priced: dict) -> None:
    assert priced["outcome"] == "with_errors"
    assert priced["counts"]["invalid"] == 2
    assert priced["rows_per_second"] > 0
    assert priced["eta_s"] == 0
    found = priced["input"]
    assert (found["encoding"], found["delimiter"]) == ("utf-8", ",")
    assert found["columns"]["km_driven"] == "km_driven"
    assert len(found["sha256"]) == 64


def test_errors_name_line_key_column_value_and_reason_in_both_languages(
    http: httpx.Client, priced: dict
) -> None:
    def report(language: str) -> list[dict]:
        answer = http.get(priced["links"]["errors"], headers={"Accept-Language": language})
        assert answer.headers["Content-Type"].startswith("application/x-ndjson")
        return [orjson.loads(line) for line in answer.content.splitlines()]

    english, french = report("en"), report("fr")
    year = next(error for error in english if error["column"] == "year")
    assert (year["line"], year["row_key"], year["value"]) == (3002, "B1", "1800")
    assert year["code"] == "out-of-range"
    assert "1990" in year["message"]
    assert english[-1]["code"] == "wrong-cell-count"
    assert french[-1]["message"] == "Nombre de cellules de la ligne : 3 au lieu de 9."


def test_rejected_rows_are_returned_with_reasons(http: httpx.Client, priced: dict) -> None:
    answer = http.get(priced["links"]["rejected"])
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["ref"], row["row_line"]) for row in rows] == [("B1", "3002"), ("B2", "3003")]


FORMS = [{}, {"dialect": "excel-fr"}, {"format": "ndjson"}, {"format": "parquet"}]


@pytest.mark.parametrize("form", FORMS)
def test_a_download_can_be_resumed_by_ranges(
    http: httpx.Client, priced: dict, form: dict[str, str]
) -> None:
    url = priced["links"]["results"]

    def get(**headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        # Ranges are those of the identity form, and only its ETag is strong.
        return http.get(url, params=form, headers={"Accept-Encoding": "identity"} | named)

    whole = get()
    size, etag = len(whole.content), whole.headers["ETag"]
    assert (whole.headers["Accept-Ranges"], whole.headers["Carprice-Results"]) == (
        "bytes", "complete",
    )  # fmt: skip
    assert 'filename="' in whole.headers["Content-Disposition"]
    rest = get(Range="bytes=1000-", If_Range=etag)
    assert (rest.status_code, rest.content) == (206, whole.content[1000:])
    assert rest.headers["Content-Range"] == f"bytes 1000-{size - 1}/{size}"
    assert get(Range="bytes=-10").content == whole.content[-10:]
    assert (
        get(Range="bytes=5-7", If_Range=whole.headers["Last-Modified"]).content
        == (whole.content[5:8])
    )
    for beyond in (f"bytes={size}-", "bytes=-0"):
        refused = get(Range=beyond)
        assert (refused.status_code, refused.headers["Content-Range"]) == (416, f"bytes */{size}")
        assert refused.headers["Content-Type"] == PROBLEM
    # Invalid ranges are ignored (RFC 9110, 14.2), and so are ranges of another version of the file.
    for ignored in ("items=0-1", "bytes=7-5", "bytes=x", "bytes=0-1,5-6", "bytes=-"):
        assert (get(Range=ignored).status_code, ignored) == (200, ignored)
    assert get(Range="bytes=1000-", If_Range='"another"').content == whole.content
    assert get(If_None_Match=etag).status_code == 304
    head = http.head(url, params=form, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(size))


def test_results_are_available_as_json_lines_and_as_csv_for_french_excel(
    http: httpx.Client, priced: dict
) -> None:
    url = priced["links"]["results"]
    lines = http.get(url, headers={"Accept": "application/x-ndjson"}).content.splitlines()
    assert len(lines) == 3002
    assert isinstance(orjson.loads(lines[0])["price_mad"], float)
    assert orjson.loads(lines[-1])["price_mad"] is None
    excel = http.get(url, params={"dialect": "excel-fr"}).content
    assert excel.startswith(b"\xef\xbb\xbfref;company")
    rows = list(csv.DictReader(io.StringIO(excel.decode("utf-8-sig")), delimiter=";"))
    assert rows[0]["price_mad"].replace(",", ".") == str(orjson.loads(lines[0])["price_mad"])
    assert http.get(url, headers={"Accept": "image/png"}).status_code == 406
    assert http.get(url, params={"dialect": "klingon"}).status_code == 422


@pytest.mark.parametrize("how", ["form", "raw", "gzip", "gzip-file-in-form", "utf-16", "cp1252"])
def test_a_file_is_read_however_it_is_sent(http: httpx.Client, how: str) -> None:
    text = (
        "Marque;Modèle;Année;Carburant;Boîte;Kilométrage\nCitroën;C3;2019;Essence;Manuelle;45 000"
    )
    data = text.encode("utf-8" if how not in ("utf-16", "cp1252") else how)
    raw = {"Content-Type": "text/csv"}
    if how == "form":
        answer = http.post("/batches", files={"file": ("é.csv", data)})
    elif how == "gzip":
        raw["Content-Encoding"] = "gzip"
        answer = http.post("/batches", content=gzip.compress(data), headers=raw)
    elif how == "gzip-file-in-form":
        answer = http.post("/batches", files={"file": ("a.csv.gz", gzip.compress(data))})
    else:
        answer = http.post("/batches", content=data, headers=raw)
    batch = wait_for(http, answer.json()["id"])
    (row,) = results(http, batch)
    assert (row["Marque"], row["row_status"]) == ("Citroën", "valued")


def test_a_dry_run_prices_nothing(http: httpx.Client) -> None:
    batch = upload(http, f"{HEADER}\n{GOOD_ROW}\n{BAD_ROW}\n".encode(), dry_run="true")
    assert batch["outcome"] == "dry_run"
    assert [row["price_mad"] for row in results(http, batch)] == ["", ""]


def test_the_same_idempotency_key_gives_the_same_batch_and_another_file_is_refused(
    http: httpx.Client,
) -> None:
    headers = {"Content-Type": "text/csv", "Idempotency-Key": "night-of-the-12th"}
    data = cars_csv(3)
    first = http.post("/batches", content=data, headers=headers).json()["id"]
    assert http.post("/batches", content=data, headers=headers).json()["id"] == first
    other = http.post("/batches", content=cars_csv(4), headers=headers)
    assert (other.status_code, other.json()["type"].rpartition("#")[2]) == (
        422, "idempotency-conflict",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "empty-file"),
        (HEADER.encode(), 422, "no-rows"),
        (b"colour,price\nred,1\n", 422, "missing-column"),
        (bytes(range(256)) * 10, 422, "binary-file"),
        (gzip.compress(cars_csv(100))[:-20], 422, "truncated-gzip"),
        (b"\x1f\x8bnot gzip", 422, "wrong-gzip"),
        (f"{HEADER},year\n{GOOD_ROW},1".encode(), 422, "duplicate-column"),
    ],
)
def test_a_file_that_is_not_a_table_of_cars_is_refused_with_an_error_code(
    http: httpx.Client, data: bytes, status: int, code: str
) -> None:
    answer = http.post("/batches", content=data, headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert answer.json()["errors"][0]["code"] == code


def test_wrong_options_and_types_are_refused(http: httpx.Client) -> None:
    data, csv_type = cars_csv(2), {"Content-Type": "text/csv"}
    wrong = {"nope": "1", "dry_run": "perhaps", "on_error": "explode", "delimiter": "x"}
    answer = http.post("/batches", content=data, headers=csv_type, params=wrong)
    assert answer.status_code == 422
    assert {error["parameter"] for error in answer.json()["errors"]} == set(wrong)
    picture = http.post("/batches", content=b"\x89PNG" + bytes(99), headers=csv_type)
    assert picture.status_code == 415
    image_type = {"Content-Type": "image/png"}
    assert http.post("/batches", content=b"a;b\n", headers=image_type).status_code == 415


@pytest.mark.parametrize(
    "head", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1000\r\n"]
)
def test_an_upload_that_breaks_off_at_a_line_end_is_refused(service: Service, head: bytes) -> None:
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(
            b"POST /batches HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n"
            b"Connection: close\r\n" + head + cars_csv(10)
        )
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 422")
    assert b"truncated-upload" in answer


def test_an_upload_without_content_length_or_final_newline_is_accepted(http: httpx.Client) -> None:
    blocks = iter([f"{HEADER}\n".encode(), GOOD_ROW.encode()])
    answer = http.post("/batches", content=blocks, headers={"Content-Type": "text/csv"})
    url = answer.headers["Location"]
    assert http.get(f"{url}?wait=20").json()["counts"]["valid"] == 1


def test_every_response_status_of_the_results_is_documented(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    for name in ("results", "rejected", "errors"):
        described = paths[f"/batches/{{batch_id}}/{name}"]["get"]["responses"]
        assert {"200", "404", "409", "410", "422", "503"} <= set(described), name
        refused = http.get(f"/batches/{'0' * 26}/{name}", params={"nope": "1"})
        assert (refused.status_code, refused.headers["Content-Type"]) == (422, PROBLEM)


def test_unknown_batches_are_not_found(http: httpx.Client) -> None:
    for batch_id in ("0" * 26, "nonsense", "0" * 25 + "!"):
        for path in ("", "/results", "/errors", "/rejected"):
            assert http.get(f"/batches/{batch_id}{path}").status_code == 404
        assert http.delete(f"/batches/{batch_id}").status_code == 404


def test_a_cancelled_batch_keeps_its_first_rows_and_cannot_be_cancelled_again(
    http: httpx.Client,
) -> None:
    answer = http.post("/batches", content=cars_csv(60_000), headers={"Content-Type": "text/csv"})
    batch_id = answer.json()["id"]
    early = http.get(f"/batches/{batch_id}/results")
    assert (early.status_code, "Retry-After" in early.headers) == (409, True)
    so_far = http.get(f"/batches/{batch_id}/results", params={"partial": "true"})
    assert (so_far.status_code, so_far.headers["Carprice-Results"]) == (200, "partial")
    for form in ({"format": "ndjson"}, {"format": "parquet"}, {"dialect": "excel-fr"}):
        later = http.get(f"/batches/{batch_id}/results", params={"partial": "true", **form})
        assert (later.status_code, "Retry-After" in later.headers) == (409, True)
        assert later.json()["type"].rpartition("#")[2] == "first-rows-are-csv"
    assert so_far.text.startswith("ref,company")
    assert http.delete(f"/batches/{batch_id}").status_code == 202
    batch = wait_for(http, batch_id)
    assert (batch["state"], batch["outcome"]) == ("CANCELLED", "cancelled")
    answer = http.get(batch["links"]["results"])
    done = batch["counts"]["done"]
    assert answer.headers["Carprice-Results"].startswith(f"partial; rows={done}")
    numbers = [row["ref"] for row in csv.DictReader(io.StringIO(answer.text))]
    assert done < 60_000
    assert numbers == [f"R{number}" for number in range(1, done + 1)], (
        "the first rows, without gaps"
    )
    again = http.delete(f"/batches/{batch_id}")
    assert (again.status_code, again.content, again.headers.get("Content-Type")) == (204, b"", None)
    for path in ("", "/results", "/errors", "/events"):
        gone = http.get(f"/batches/{batch_id}{path}")
        assert (gone.status_code, gone.json()["type"].rpartition("#")[2]) == (410, "batch-deleted")
    assert http.delete(f"/batches/{batch_id}").status_code == 410
    assert batch_id not in [each["id"] for each in http.get("/jobs").json()["items"]]


def carprice(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_command_prices_a_file_and_exits_with_0(service: Service, tmp_path: Path) -> None:
    file, out = tmp_path / "in.csv", tmp_path / "out.csv"
    file.write_bytes(cars_csv(50))
    done = carprice("batch", file, "-o", out, "--url", service.url)
    assert done.returncode == 0, done.stderr
    assert "complete: 50 of 50 rows" in done.stderr
    assert len(out.read_text().splitlines()) == 51
    assert [path.name for path in tmp_path.iterdir() if path not in (file, out)] == []


def test_the_command_exits_with_1_and_prints_the_reasons_if_rows_are_rejected(
    service: Service, tmp_path: Path
) -> None:
    file, out, rejected = (tmp_path / name for name in ("in.csv", "out.ndjson", "rejected.csv"))
    file.write_text(f"{HEADER}\n{GOOD_ROW}\n{BAD_ROW}\n")
    done = carprice("batch", file, "-o", out, "--rejected", rejected, "--url", service.url)
    assert done.returncode == 1
    assert "line 3, year:" in done.stderr
    assert orjson.loads(out.read_bytes().splitlines()[0])["row_status"] == "valued"
    assert len(rejected.read_text().splitlines()) == 2


def test_the_command_accepts_a_sheet_and_a_column_mapping(service: Service, tmp_path: Path) -> None:
    file, out = tmp_path / "stock.xlsx", tmp_path / "out.csv"
    car = [HEADER.replace("km_driven", "Compteur").split(","), GOOD_ROW.split(",")]
    sheets = {"Notes": sheet_xml([["rien ici"]]), "Mars": sheet_xml(car)}
    file.write_bytes(zipped(parts_of(sheets)))
    done = carprice(
        "batch", file, "-o", out, "--url", service.url,
        "--sheet", "Mars", "--columns", "km_driven:Compteur",
    )  # fmt: skip
    assert (done.returncode, len(out.read_text().splitlines())) == (0, 2), done.stderr


def test_the_command_exits_with_2_if_the_file_is_refused_or_the_service_is_down(
    service: Service, tmp_path: Path
) -> None:
    file = tmp_path / "in.csv"
    file.write_text("a,b\n1,2\n")
    done = carprice("batch", file, "-o", tmp_path / "out.csv", "--url", service.url)
    assert done.returncode == 2
    assert "model" in done.stderr
    down = carprice("batch", file, "-o", tmp_path / "out.csv", "--url", "http://127.0.0.1:9")
    assert down.returncode == 2
    assert "Traceback" not in done.stderr + down.stderr


def test_a_killed_command_resumes_its_batch_and_uploads_nothing_twice(
    service: Service, http: httpx.Client, tmp_path: Path
) -> None:
    file, out = tmp_path / "in.csv", tmp_path / "out.parquet"
    file.write_bytes(cars_csv(30_000, seed=77))
    command = ["batch", str(file), "-o", str(out), "--url", service.url, "--lang", "fr"]
    first = subprocess.Popen([sys.executable, "-m", "cli.main", *command], cwd=ROOT)
    state = tmp_path / ".out.parquet.carprice.json"
    wait_until(lambda: state.exists() and b"batch_id" in state.read_bytes(), what="the upload")
    first.kill()
    first.wait()
    killed = orjson.loads(state.read_bytes())
    done = carprice(*command)
    assert done.returncode == 0, done.stderr
    assert "30\u202f000 lignes sur 30\u202f000" in done.stderr
    assert parquet.read_table(out)["ref"].to_pylist()[-1] == "R30000"
    found = http.get("/jobs", params={"kind": "batch", "idempotency_key": killed["key"]}).json()
    assert [item["id"] for item in found["items"]] == [killed["batch_id"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.parquet"]


def test_the_command_values_one_car(service: Service) -> None:
    car = ["--company", "Toyota", "--model", "Corolla", "--year", "2020", "--fuel", "Essence",
           "--transmission", "Manuelle", "--km-driven", "25 000"]  # fmt: skip
    done = carprice("predict", *car, "--asking-price-mad", "900000", "--url", service.url)
    assert done.returncode == 0, done.stderr
    assert "above market" in done.stdout
    as_json = carprice("predict", *car, "--json", "--url", service.url)
    assert orjson.loads(as_json.stdout)["price_mad"] > 0
    wrong = carprice("predict", "--company", "Toyota", "--url", service.url)
    assert wrong.returncode == 2
    assert "--year: " in wrong.stderr
