"""Units above the header, columns in two units, constants and JSON tables are read or reported."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.domain.batch import Batch
from shared.domain.table import FileKind
from shared.messages.notices import NOTICE_MESSAGES
from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers
from worker.batches.exports.xlsx import field_reader

KM_OF_40000_MILES = 64_374
CARS = [
    {"brand": "Skoda", "model": "Fabia", "year": 2013, "km": 91_000},
    {"brand": "Dacia", "model": "Duster", "year": 2017, "km": 60_500},
]


@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


def notices(batch: Batch) -> dict[str, tuple[str, ...]]:
    found = {notice.code: notice.values for notice in batch.manifest.dialect.notices}
    assert set(found) <= set(NOTICE_MESSAGES)
    return found


def driven(path: BulkPath, batch: Batch) -> list[float]:
    """Kilometres as valued: the price is 300,000 less these."""
    return [300_000 - float(row["price_mad"]) for row in rows_of(path, batch)]


def table(*rows: str) -> bytes:
    return "\n".join(rows).encode()


@pytest.mark.parametrize("above", [";;;miles;", "Stock;;;(mi);", ";;;Reading in miles;"])
def test_units_above_the_header_hold_for_the_columns_below_them(path: BulkPath, above: str) -> None:
    batch = path.run(table(above, "Make;Model;Year;Odometer;City", "Opel;Corsa;2012;40000;Fes"))
    assert driven(path, batch) == [KM_OF_40000_MILES]
    assert "units-above-header" in notices(batch)


def test_units_above_the_header_hold_for_a_column_that_the_caller_names(path: BulkPath) -> None:
    data = table(";;;miles;", "Make;Model;Year;Reading;City", "Opel;Corsa;2012;40000;Fes")
    batch = path.run(data, columns=(("km_driven", "Reading"),))
    assert driven(path, batch) == [KM_OF_40000_MILES]


@pytest.mark.parametrize(
    ("above", "name"),
    [
        (";;;;miles", "Odometer"),
        ("Export of May, distances in miles", "Odometer"),
        (";;;miles;", "Odometer (km)"),
    ],
)
def test_an_unclear_unit_above_the_header_is_never_taken_for_km(
    path: BulkPath, above: str, name: str
) -> None:
    data = table(above, f"Make;Model;Year;{name};City", "Opel;Corsa;2012;40000;Fes")
    batch = path.run(data)
    (row,) = rows_of(path, batch)
    assert "miles" in notices(batch)["unclear-unit"]
    assert driven(path, batch) == [100_000]  # the mean of this model: no mileage
    assert "40000" in row["row_notes"]


def test_prices_in_the_currency_of_a_title_have_no_verdict(path: BulkPath) -> None:
    data = table("Prices in EUR", "Make;Model;Year;km;Price", "Opel;Corsa;2012;40000;7000")
    batch = path.run(data)
    assert batch.manifest.dialect.currency == "EUR"
    assert notices(batch)["foreign-currency"] == ("Price", "EUR")


def test_a_name_of_a_dealer_above_the_header_is_no_unit(path: BulkPath) -> None:
    data = table("Miles Automobiles Rabat", "Make;Model;Year;km", "Opel;Corsa;2012;40000")
    assert driven(path, path.run(data)) == [40_000]


@pytest.mark.parametrize(
    "header",
    [
        ["Marque;Modèle;Année;Kilométrage;", ";;;km;miles"],
        [";;;km;miles", "Marque;Modèle;Année;Kilométrage;"],
        ["Marque;Modèle;Année;km;miles"],
    ],
    ids=["units below", "units above", "units as names"],
)
def test_the_second_of_two_columns_of_units_is_read_where_the_first_is_blank(
    path: BulkPath, header: list[str]
) -> None:
    batch = path.run(table(*header, "Opel;Corsa;2012;40000;", "Opel;Corsa;2012;;40000"))
    assert driven(path, batch) == [40_000, KM_OF_40000_MILES]
    assert notices(batch)["read-where-blank"][1] == "miles"


@pytest.mark.parametrize("cell", ["98,4", "210.75"])
def test_a_small_decimal_number_is_not_taken_for_kilometres(path: BulkPath, cell: str) -> None:
    rows = ["Marque;Modèle;Année;km", f"Opel;Corsa;2012;{cell}", "Opel;Corsa;2012;84000"]
    batch = path.run(table(*rows))
    first, second = rows_of(path, batch)
    assert cell in first["row_notes"]
    assert driven(path, batch) == [100_000, 84_000]
    assert not second["row_notes"]


def test_a_column_of_small_decimal_numbers_may_count_thousands(path: BulkPath) -> None:
    data = table("Marque;Modèle;Année;km", "Opel;Corsa;2012;98,4", "Opel;Corsa;2012;84")
    batch = path.run(data)
    assert notices(batch)["unclear-unit"] == ("km", "thousand km")
    assert driven(path, batch) == [100_000, 100_000]


def test_small_numbers_of_kilometres_of_old_cars_may_count_thousands(path: BulkPath) -> None:
    old = [f"Opel;Corsa;{year};{km}" for year, km in [(2011, 140), (2014, 98), (2016, 75)]]
    batch = path.run(table("Marque;Modèle;Année;Compteur km", *old))
    assert notices(batch)["unclear-unit"] == ("km", "thousand km")
    assert driven(path, batch) == [100_000] * len(old)
    mixed = path.run(table("Marque;Modèle;Année;Compteur km", *old, "Opel;Corsa;2012;84000"))
    assert "unclear-unit" not in notices(mixed)
    new = [row.replace(";201", ";202") for row in old]
    assert "unclear-unit" not in notices(path.run(table("Marque;Modèle;Année;Compteur km", *new)))


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("Compteur km/miles", ("km", "miles")),
        ("Odometer (mi or km)", ("miles", "km")),
        ("Kilometerstand (km oder mi)", ("km", "miles")),
        ("Compteur (km)", ()),
    ],
)
def test_a_header_with_the_choice_between_two_units_states_none(
    path: BulkPath, name: str, units: tuple[str, ...]
) -> None:
    batch = path.run(table(f"Marque;Modèle;Année;{name}", "Opel;Corsa;2012;40000"))
    assert notices(batch).get("unclear-unit", ()) == units
    assert driven(path, batch) == [100_000 if units else 40_000]


def test_a_header_with_the_choice_between_two_currencies_states_none(path: BulkPath) -> None:
    header = "Marque;Modèle;Année;km;Prix (EUR/DH)"
    batch = path.run(table(header, "Opel;Corsa;2012;40000;90000", "Kia;Rio;2012;40000;90000 DH"))
    assert notices(batch)["unclear-unit"] == ("EUR", "MAD")
    assert [bool(row["verdict"]) for row in rows_of(path, batch)] == [False, True]


def test_a_mileage_in_an_object_is_read_as_outside_one(path: BulkPath) -> None:
    car = {"make": "Opel", "model": "Corsa", "year": 2012}
    inner = path.run(json.dumps([{"specs": car | {"mileage": 40_000}}]).encode())
    assert driven(path, inner) == [40_000]
    assert "unit-not-stated" in notices(inner)


def test_the_cars_of_two_objects_are_not_mixed(path: BulkPath) -> None:
    sold = {"brand": "Skoda", "model": "Fabia", "year": 2013, "km": 91_000}
    taken = {"brand": "Dacia", "model": "Duster", "year": 2017}
    batch = path.run(json.dumps([{"car": sold, "exchange": taken}]).encode())
    assert batch.progress.error == "unreadable-table"
    assert {problem.code for problem in batch.refusal} >= {"ambiguous-column"}
    chosen = tuple(
        (field, f"car.{name}")
        for field, name in (("company", "brand"), ("model", "model"), ("year", "year"))
    )
    (row,) = rows_of(
        path, path.run(json.dumps([{"car": sold, "exchange": taken}]).encode(), columns=chosen)
    )
    assert row["read_as"] == "Skoda Fabia"


def test_a_german_power_without_a_unit_is_left_out_with_a_notice(path: BulkPath) -> None:
    header = "Marke;Modell;Erstzulassung;Kilometerstand;{}"
    row = "Opel;Corsa;2012;40000;66"
    bare = path.run(table(header.format("Leistung"), row))
    assert notices(bare)["unclear-unit"] == ("kW", "PS")
    assert "66" in rows_of(path, bare)[0]["row_notes"]
    stated = path.run(table(header.format("Leistung (kW)"), row))
    assert "unclear-unit" not in notices(stated)
    assert stated.manifest.dialect.units["max_power_bhp"] == "kW"


def test_a_constant_that_does_not_change_the_price_has_a_notice(path: BulkPath) -> None:
    data = table("Marque;Modèle;Année;km", "Opel;Corsa;2012;40000")
    batch = path.run(data, constants=(("condition", "Pour pièces"),))
    assert notices(batch)["unpriced-constant"] == ("Pour pièces",)
    assert "unpriced-constant" not in notices(path.run(data, constants=(("condition", "Bon"),)))


def by_key(*keys: str) -> dict[str, Any]:
    return dict(zip(keys, CARS, strict=True))


@pytest.mark.parametrize(
    "body",
    [
        {name: {str(at): car[name] for at, car in enumerate(CARS)} for name in CARS[0]},
        {name: [car[name] for car in CARS] for name in CARS[0]},
        by_key("0", "1"),
        by_key("ref-17", "ref-18"),
        {"stock": by_key("car_1", "car_2")},
        {"columns": list(CARS[0]), "index": [0, 1], "data": [list(car.values()) for car in CARS]},
        [["Marque", "Modèle", "Année", "km"], *(list(car.values()) for car in CARS)],
        [list(car.values()) for car in CARS],
        [{"ad": {"id": 1, "vehicle": car}} for car in CARS],
    ],
    ids=[
        "columns", "lists", "index", "keys", "keys inside", "split", "rows", "rows without names",
        "three levels",
    ],
)  # fmt: skip
def test_json_tables_of_other_forms_are_valued(path: BulkPath, body: Any) -> None:
    batch = path.run(json.dumps(body).encode())
    assert batch.manifest.dialect.kind is FileKind.JSON
    assert driven(path, batch) == [91_000, 60_500]
    assert [row["read_as"] for row in rows_of(path, batch)] == ["Skoda Fabia", "Dacia Duster"]


def test_the_keys_of_cars_in_an_object_are_kept_in_a_column(path: BulkPath) -> None:
    batch = path.run(json.dumps(by_key("ref-17", "ref-18")).encode())
    assert [row["key"] for row in rows_of(path, batch)] == ["ref-17", "ref-18"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_json_in_utf_16_is_read(path: BulkPath, encoding: str) -> None:
    text = json.dumps([car | {"ville": "Fès"} for car in CARS], ensure_ascii=False)
    batch = path.run(text.encode(encoding))
    assert driven(path, batch) == [91_000, 60_500]
    assert rows_of(path, batch)[0]["ville"] == "Fès"


def test_a_repeated_name_in_a_list_of_rows_is_refused(path: BulkPath) -> None:
    rows = [["Marque", "Modèle", "Année", "km", "km"], ["Skoda", "Fabia", 2013, 1, 2]]
    batch = path.run(json.dumps(rows).encode())
    assert batch.refusal[0].code == "duplicate-column"


def test_units_and_currencies_of_schema_org_are_read(path: BulkPath) -> None:
    car = {
        "brand": {"@type": "Brand", "name": "Skoda"},
        "model": "Fabia",
        "vehicleModelDate": "2013",
        "mileageFromOdometer": {"@type": "QuantitativeValue", "value": 40_000, "unitCode": "SMI"},
        "offers": {"@type": "Offer", "price": 6900, "priceCurrency": "EUR"},
    }
    batch = path.run(json.dumps([car]).encode())
    assert driven(path, batch) == [KM_OF_40000_MILES]
    assert batch.manifest.dialect.currency == "EUR"


@pytest.mark.parametrize(("cell", "number"), [("1,35E+05", 135_000), ("8.4e4", 84_000)])
def test_numbers_with_exponents_are_numbers_in_workbooks(cell: str, number: float) -> None:
    assert field_reader("auto")(cell) == number
    assert field_reader(",")("12E05X") is None
