"""A JSON value of a type that /predict refuses is refused in a file, too."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.domain.errors import InvalidInput
from shared.fields.requests import load_car_request
from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers

CAR: dict[str, Any] = {"company": "Skoda", "model": "Fabia", "year": 2017, "km_driven": 91_000}


@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", True), ("model", False), ("model", -5), ("model", ["Fabia"]), ("company", 12),
        ("company", True), ("company", ["Skoda"]), ("year", True), ("year", [2017]),
    ],
)  # fmt: skip
def test_a_wrong_type_in_a_required_field_rejects_the_row_with_the_same_code(
    path: BulkPath, field: str, value: Any
) -> None:
    wrong = CAR | {field: value}
    with pytest.raises(InvalidInput) as refused:
        load_car_request(wrong)
    batch = path.run(json.dumps([CAR, wrong, CAR]).encode())
    assert [row["row_status"] for row in rows_of(path, batch)] == ["valued", "rejected", "valued"]
    (error,) = path.errors(batch)
    assert (error["field"], error["code"]) == (field, refused.value.problems[0].code)
    assert error["value"] == (json.dumps(value).replace(" ", ""))


@pytest.mark.parametrize(("field", "value"), [("fuel", True), ("city", 5), ("km_driven", False)])
def test_a_wrong_type_in_another_field_is_ignored_with_a_note(
    path: BulkPath, field: str, value: Any
) -> None:
    batch = path.run(json.dumps([CAR, CAR | {field: value}]).encode(), language="en")
    plain, noted = rows_of(path, batch)
    assert noted["row_status"] == "valued"
    assert not plain["row_notes"]
    assert "Value ignored" in noted["row_notes"]


def test_results_repeat_the_values_without_a_mark(path: BulkPath) -> None:
    wrong = [CAR | {"model": True}, CAR | {"fuel": False}, CAR | {"year": [2017]}]
    batch = path.run(json.dumps([CAR, *wrong]).encode(), language="en", key_column="model")
    model, fuel, year = rows_of(path, batch)[1:]
    assert (model["model"], fuel["fuel"], year["year"]) == ("true", "false", "[2017]")
    for name in ("results.csv", "rejected.csv", "errors.ndjson", "final.json"):
        assert "\x7f" not in path.text(batch, name).replace("\\u007f", "\x7f")


def test_types_that_are_accepted_are_read(path: BulkPath) -> None:
    cars = [CAR | {"company": "Peugeot", "model": 208}, CAR | {"year": 2017.0}]
    batch = path.run(json.dumps(cars).encode())
    assert [row["read_as"] for row in rows_of(path, batch)] == ["Peugeot 208", "Skoda Fabia"]


@pytest.mark.parametrize("word", ["TRUE", "false", "VRAI"])
def test_the_text_of_a_boolean_is_no_model(path: BulkPath, word: str) -> None:
    data = f"Marque;Modèle;Année;Km\nSkoda;Fabia;2017;91000\nSkoda;{word};2017;91000".encode()
    (error,) = path.errors(path.run(data))
    assert (error["field"], error["code"]) == ("model", "not-text")
