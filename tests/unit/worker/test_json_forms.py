"""JSON of other forms is read, or refused as JSON with its true reason."""

import json
from pathlib import Path

import pytest

from shared.domain.errors import UnreadableUpload
from shared.domain.table import FileKind
from shared.tabular.files.file_kinds import detect_kind
from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers

CAR = {"model": "Ibiza", "year": 2016, "km_driven": 88_000}
FULL = {"company": "Seat", **CAR}
TEXT = json.dumps(FULL)


@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


def refusal(path: BulkPath, text: str) -> str:
    """The code of the reason why a JSON file is refused."""
    assert detect_kind(text.encode()) is FileKind.JSON
    try:
        batch = path.run(text.encode())
    except UnreadableUpload as error:
        return error.problems[0].code
    assert batch.progress.error is not None
    refused = path.files.refusal(batch.manifest)
    return refused[0].code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('["Seat", "Ibiza"]', "json-shape"),
        ("[1, 2.5]", "json-shape"),
        ("[true]", "json-shape"),
        ("42", "json-shape"),
        ("null", "json-shape"),
        (f"// stock of May\n[{TEXT}]", "wrong-json"),
        (f"/* stock\nof May */ [{TEXT}]", "wrong-json"),
        (f"show([{TEXT}]);", "wrong-json"),
        (f"window.cars({TEXT})", "wrong-json"),
        (f"[{TEXT},]", "wrong-json"),
        (f"[{TEXT},,{TEXT}]", "wrong-json"),
        ('[["brand", "model", "year"], ["Seat", "Ibiza", 2016],]', "wrong-json"),
        (f"[{TEXT}, 5]", "json-shape"),
        (f"[{TEXT},", "truncated-json"),
        ('["brand", "model", "year"]\n["Seat", "Ibiza", 2016]\n7', "wrong-json"),
    ],
)
def test_the_reason_of_a_refusal_is_the_true_one(path: BulkPath, text: str, code: str) -> None:
    assert refusal(path, text) == code


def test_the_kind_of_a_text_with_many_comments_is_found_at_once() -> None:
    assert detect_kind(b"/**/" * 2_000 + b"x") is FileKind.CSV


@pytest.mark.parametrize(
    "text",
    [
        '{"company": "Seat", "model": "Ibiza", "year": 2016, "km_driven": NaN}\n' + TEXT,
        f'{{"mean": NaN, "data": [{TEXT}]}}',
    ],
)
def test_a_member_that_is_no_number_is_not_taken_for_a_repeated_one(
    path: BulkPath, text: str
) -> None:
    batch = path.run(text.encode())
    assert {row["row_status"] for row in rows_of(path, batch)} == {"valued"}


def test_a_list_in_each_line_is_a_table(path: BulkPath) -> None:
    rows = [["brand", "model", "year", "km"], ["Seat", "Ibiza", 2016, 88_000]]
    batch = path.run("\n".join(map(json.dumps, [*rows, rows[1]])).encode())
    assert [row["read_as"] for row in rows_of(path, batch)] == ["Seat Ibiza"] * 2


def test_lists_by_brand_are_read_with_their_brand(path: BulkPath) -> None:
    other = CAR | {"model": "Octavia"}
    batch = path.run(json.dumps({"Seat": [CAR, CAR]}).encode())
    assert [row["read_as"] for row in rows_of(path, batch)] == ["Seat Ibiza"] * 2
    batch = path.run(json.dumps({"Seat": [CAR], "Skoda": [other, other]}).encode())
    read_as = [row["read_as"] for row in rows_of(path, batch)]
    assert read_as == ["Seat Ibiza", "Skoda Octavia", "Skoda Octavia"]


def test_lists_whose_names_are_no_brands_stay_refused(path: BulkPath) -> None:
    lists = json.dumps({"sold": [FULL], "stock": [FULL]})
    assert refusal(path, lists) == "several-json-lists"
    assert refusal(path, json.dumps({"Seat": [CAR], "sold": [FULL]})) == "several-json-lists"


@pytest.mark.parametrize("text", ["12,13\n1,2", "[brand],[model]\nSeat,Ibiza", "brand(x),year\n"])
def test_a_csv_is_not_taken_for_json(text: str) -> None:
    assert detect_kind(text.encode()) is FileKind.CSV
