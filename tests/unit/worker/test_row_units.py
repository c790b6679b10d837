"""Each row is read in the unit or currency that it states; a value without one is never guessed."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.domain.batch import Batch, RowCounts
from shared.messages.notices import NOTICE_MESSAGES
from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers

MILE = 1.609344
CARS = "Brand;Model;Year;Fuel;Gearbox"
CAR = "Seat;Leon;2016;Diesel;Manual"


@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


def table(columns: str, *rows: str) -> bytes:
    return "\n".join([f"{CARS};{columns}", *(f"{CAR};{row}" for row in rows)]).encode()


def lines(*members: dict[str, object]) -> bytes:
    car = {"make": "Seat", "model": "Leon", "year": 2016, "km": 61000}
    rows = ({**car, **each} for each in members)
    rows = ({k: v for k, v in row.items() if v != "absent"} for row in rows)
    return "\n".join(map(json.dumps, rows)).encode()


def read(path: BulkPath, batch: Batch, field: str) -> list[Any]:
    """What was valued, by row."""
    records = [json.loads(line) for line in path.audit_lines()]
    mine = [record for record in records if record.get("batch_id") == batch.manifest.id]
    return [record["features"].get(field) for record in sorted(mine, key=lambda each: each["row"])]


def notes(path: BulkPath, batch: Batch) -> list[str]:
    return [row["row_notes"] for row in rows_of(path, batch)]


def notices(batch: Batch) -> dict[str, str | None]:
    return {notice.code: notice.field for notice in batch.manifest.dialect.notices}


def counted(batch: Batch) -> dict[tuple[str, str], tuple[int, tuple[str, ...]]]:
    return {(each.field, each.code): (each.rows, each.examples) for each in batch.progress.notes}


@pytest.mark.parametrize(
    "columns",
    [
        "mileage;mileage_unit", "Odometer;Unit", "Kilometerstand;Einheit", "odometer;UOM odometer",
        "Odometer;distance unit", "mileage.value;mileage.unitCode", "odometer;km or mi",
    ],
)  # fmt: skip
def test_kilometres_and_miles_of_one_column_are_told_apart_by_the_column_beside(
    path: BulkPath, columns: str
) -> None:
    batch = path.run(table(columns, "71000;km", "42000;mi", "57000;Miles", "93000;KM"))
    expected = [71000, round(42000 * MILE), round(57000 * MILE), 93000]
    assert read(path, batch, "km_driven") == expected
    assert notes(path, batch) == [""] * 4
    assert notices(batch) == {"units-by-row": "km_driven"}


def test_a_value_without_a_known_unit_is_ignored_unless_it_states_one(path: BulkPath) -> None:
    rows = ("71000;km", "42000;", "43000;leagues", "44000;?", "45 000 mi;", ";", ";mi")
    batch = path.run(table("mileage;mileage_unit", *rows), language="en")
    expected = [71000, None, None, None, round(45000 * MILE), None, None]
    assert read(path, batch, "km_driven") == expected
    found = notes(path, batch)
    assert [bool(note) for note in found] == [False, True, True, True, False, False, False]
    assert "its unit is missing or not known" in found[1]
    assert "'42000'" in found[1]
    assert "'43000 leagues'" in found[2]
    rows_ignored, examples = counted(batch)["km_driven", "unknown-unit"]
    assert (rows_ignored, examples[0]) == (3, "42000")
    assert batch.progress.counts == RowCounts(valid=7)


@pytest.mark.parametrize(
    "columns", ["Odometer (miles);Odometer unit", "odometer miles;odometer unit"]
)
def test_the_header_states_the_unit_of_rows_that_state_none(path: BulkPath, columns: str) -> None:
    batch = path.run(table(columns, "30000;mi", "30000;", "30000;km"))
    miles = round(30000 * MILE)
    assert read(path, batch, "km_driven") == [miles, miles, 30000]
    assert notes(path, batch) == ["", "", ""]


def test_a_unit_that_is_not_known_is_not_that_of_the_header(path: BulkPath) -> None:
    """A price in Kuwaiti dinars was judged as one in dirhams."""
    columns = "Odometer (km);Odometer unit;Prix (MAD);Devise"
    rows = ("30000;km;95000;MAD", "31000;leagues;3000;KWD", "32000;;96000;", "33000;mi;3000;riyal")
    batch = path.run(table(columns, *rows))
    assert read(path, batch, "km_driven") == [30000, None, 32000, round(33000 * MILE)]
    found = rows_of(path, batch)
    assert [bool(row["verdict"]) for row in found] == [True, False, True, False]
    assert counted(batch)["asking_price_mad", "unknown-unit"][0] == 2


def test_an_empty_column_of_units_leaves_its_values_unread(path: BulkPath) -> None:
    batch = path.run(table("mileage;mileage_unit", "71000;", "42000;"))
    assert read(path, batch, "km_driven") == [None, None]
    assert all(notes(path, batch))


def test_power_and_displacement_are_converted_by_row(path: BulkPath) -> None:
    columns = "km;Power;Power unit;Engine size;Engine size unit"
    rows = ("1000;77;kW;1968;cm3", "1000;105;PS;2.0;L", "1000;103;HP;1;litre", "1000;9;;1400;")
    batch = path.run(table(columns, *rows))
    assert read(path, batch, "max_power_bhp") == [103.3, 103.6, 103.0, None]
    assert read(path, batch, "engine_cc") == [1968.0, 2000.0, 1000.0, None]


def test_a_unit_that_changes_after_the_first_rows_is_noticed(path: BulkPath) -> None:
    rows = ["52000;km"] * 83 + ["52000;mi", "52000;", "52000;km"]
    batch = path.run(table("mileage;mileage_unit", *rows))
    found = read(path, batch, "km_driven")
    assert found == [52000] * 83 + [round(52000 * MILE), None, 52000]
    assert counted(batch)["km_driven", "unknown-unit"] == (1, ("52000",))


def test_a_column_of_equal_units_is_converted_as_before(path: BulkPath) -> None:
    batch = path.run(table("mileage;mileage_unit", "42000;mi", "43000;miles"))
    assert batch.manifest.dialect.units == {"km_driven": "miles"}
    assert read(path, batch, "km_driven") == [round(42000 * MILE), round(43000 * MILE)]
    assert notices(batch) == {"unit-converted": "km_driven"}


def test_cells_that_state_their_own_units_are_converted_one_by_one(path: BulkPath) -> None:
    rows = ("17,500 mi", "28 000 km", "3 mi", "19000 Miles")
    batch = path.run(table("Mileage", *rows))
    expected = [round(17500 * MILE), 28000, round(3 * MILE), round(19000 * MILE)]
    assert read(path, batch, "km_driven") == expected


def test_among_cells_in_miles_a_bare_number_is_ignored(path: BulkPath) -> None:
    rows = ("17,500 mi", "28000", "21,300 mi", "19,000 mi")
    batch = path.run(table("Odometer", *rows))
    assert read(path, batch, "km_driven")[1] is None
    assert notes(path, batch)[1]
    few = path.run(table("Odometer", "17,500 mi", "28000", "29000", "31000"))
    assert read(path, few, "km_driven")[1:] == [28000, 29000, 31000]


def verdicts(path: BulkPath, batch: Batch) -> list[bool]:
    return [bool(row["verdict"]) for row in rows_of(path, batch)]


@pytest.mark.parametrize(
    "columns", ["km;Price;Currency", "km;price;priceCurrency", "km;Prix;Devise du prix"]
)
def test_each_price_is_judged_by_its_own_currency(path: BulkPath, columns: str) -> None:
    rows = ("9;99000;MAD", "9;9900;EUR", "9;99000;", "9;98000;DH", "9;97000 DH;", "9;9;xyz")
    batch = path.run(table(columns, *rows), language="en")
    assert verdicts(path, batch) == [True, False, False, True, True, False]
    found = notes(path, batch)
    assert "foreign currency" in found[1]
    assert "'9900 EUR'" in found[1]
    assert "unit" in found[2]
    assert batch.progress.asking_sides.rows == 3


def test_a_currency_that_changes_after_the_first_rows_gets_no_verdict(path: BulkPath) -> None:
    rows = ["9;99000;MAD"] * 75 + ["9;9900;EUR", "9;99000;MAD"]
    batch = path.run(table("km;Price;Currency", *rows))
    assert verdicts(path, batch) == [True] * 75 + [False, True]


def test_prices_that_state_their_currencies_make_a_bare_one_unclear(path: BulkPath) -> None:
    batch = path.run(table("km;Price", "9;99000 DH", "9;9 900 €", "9;98000", "9;9 700 €"))
    assert verdicts(path, batch) == [True, False, False, False]
    usual = path.run(table("km;Price", "9;99000", "9;9 900 €", "9;98000", "9;97000 DH"))
    assert verdicts(path, usual) == [True, False, True, True]


def test_json_values_with_a_unit_are_converted_by_row(path: BulkPath) -> None:
    def car(distance: object, price: object) -> dict[str, object]:
        return {"km": "absent", "mileage": distance, "price": price}

    data = lines(
        car({"value": 61000, "unit": "mi"}, {"amount": 99000, "currency": "MAD"}),
        car({"value": 27000, "unit": "km"}, {"amount": 9900, "currency": "EUR"}),
        car({"value": 27000, "unit": None}, {"amount": 99000}),
        car(26000, 99000),
        car(None, None),
    )
    batch = path.run(data)
    assert read(path, batch, "km_driven") == [round(61000 * MILE), 27000, None, None, None]
    assert verdicts(path, batch) == [True, False, False, False, False]
    assert [bool(note) for note in notes(path, batch)] == [False, True, True, True, False]
    assert "26000" in notes(path, batch)[3]


def test_a_json_value_without_an_object_is_in_the_unit_that_its_name_states(
    path: BulkPath,
) -> None:
    data = lines(
        {"km": "absent", "km_driven": {"value": 8000, "unit": "mi"}},
        {"km": "absent", "km_driven": 9000},
    )
    assert read(path, path.run(data), "km_driven") == [round(8000 * MILE), 9000]


def test_the_units_of_schema_org_are_known_also_deep_in_a_car(path: BulkPath) -> None:
    def car(distance: float, unit: str, power: float, power_unit: str) -> dict[str, object]:
        measure = {"@type": "QuantitativeValue", "value": power, "unitCode": power_unit}
        return {
            "km": "absent",
            "mileageFromOdometer": {"value": distance, "unitCode": unit},
            "vehicleEngine": {"enginePower": measure},
        }

    batch = path.run(b"[%s]" % lines(
        car(8000, "SMI", 77, "KWT"), car(9000, "KMT", 103, "BHP")
    ).replace(b"\n", b","))  # fmt: skip
    assert read(path, batch, "km_driven") == [round(8000 * MILE), 9000]
    assert read(path, batch, "max_power_bhp") == [103.3, 103.0]


def test_corrected_rows_are_read_in_their_own_units(path: BulkPath) -> None:
    parent = path.run(table("mileage;mileage_unit", "5;km").replace(b"2016", b"1816") + b"\n")
    assert parent.progress.counts == RowCounts(invalid=1)
    rejected = path.text(parent, "rejected.csv")
    fixed = rejected.replace(";1816;", ";2016;").replace(";5;km;", ";5000;mi;")
    corrected = path.correct(parent, fixed.encode())
    assert read(path, corrected, "km_driven") == [round(5000 * MILE)]


@pytest.mark.parametrize(
    "cells",
    [
        "Total;;;", "SOUS-TOTAL;;2016;9", "Sub-total;12;2016;9", "Grand Total;;;900000",
        "Sum;Leon;2016;9", "Seat Total;;2016;9", "Total Seat;;;", "Seat;Total;2016;9", ";TOTAL :;;",
        "Somme;;;", "Zwischensumme;;;", "المجموع;;;", "Total (4 cars);;;",
    ],
)  # fmt: skip
def test_a_row_of_totals_is_rejected_as_such(path: BulkPath, cells: str) -> None:
    text = f"Brand;Model;Year;km\nSeat;Leon;2016;9\n{cells}\nSeat;Arona;2019;9\n"
    batch = path.run(text.encode(), language="en")
    assert batch.progress.counts == RowCounts(valid=2, invalid=1)
    (error,) = path.errors(batch)
    assert (error["line"], error["code"], error["field"]) == (3, "summary-row", None)
    assert "totals" in rows_of(path, batch)[1]["row_error"]


def test_the_reason_of_a_row_of_totals_quotes_its_words(path: BulkPath) -> None:
    text = "Brand;Model;Year;km\nSeat;Leon;2016;9\nSeat;Total;2016;9\nSum;Leon;2016;9\n"
    found = [(each["column"], each["value"]) for each in path.errors(path.run(text.encode()))]
    assert found == [("Model", "Total"), ("Brand", "Sum")]


def test_names_that_contain_such_words_are_cars(path: BulkPath) -> None:
    text = "Brand;Model;Year;km\nSeat;Leon Total Edition;2016;9\nSumma;Leon;2016;9\n"
    batch = path.run(text.encode())
    assert batch.progress.counts == RowCounts(valid=2)


def test_stored_batches_with_the_former_notice_are_still_described() -> None:
    assert "mixed-units" in NOTICE_MESSAGES
