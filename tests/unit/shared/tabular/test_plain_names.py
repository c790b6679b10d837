"""Names of columns with a shared beginning, with codes, and in other languages are read."""

import pytest

from shared.domain.errors import UnreadableUpload, UnsupportedUpload
from shared.tabular.column_names import read_name
from shared.tabular.files.file_kinds import detect_kind
from shared.tabular.headers import MatchedColumns, match_columns


def matched(header: str) -> MatchedColumns:
    return match_columns(header.split(";"))


def indexes(found: MatchedColumns) -> dict[str, int]:
    return {field: match.index for field, match in found.columns.items()}


@pytest.mark.parametrize(
    ("header", "affix"),
    [
        ("id;stm_make;stm_model;stm_year;stm_fuel", "stm_"),
        ("id;Item Make;Item Model;Item Year;Item Fuel", "Item"),
        ("id;make_txt2;model_txt2;year_txt2;fuel_txt2", "_txt2"),
        ("id;itemMake;itemModel;itemYear;itemFuel", "item"),
    ],
)
def test_names_are_read_without_what_they_share(header: str, affix: str) -> None:
    found = matched(header)
    assert indexes(found) == {"company": 1, "model": 2, "year": 3, "fuel": 4}
    assert [each.values for each in found.notices if each.code == "shared-affix"] == [(affix,)]


def test_names_of_salesforce_are_read_without_their_technical_ends() -> None:
    found = matched("Id;Stock__r.Make__c;Stock__r.Model__c;Stock__r.Year__c")
    assert indexes(found) == {"company": 1, "model": 2, "year": 3}


def test_the_car_of_somebody_else_is_not_the_car_of_the_row() -> None:
    found = matched("make;model;year;previous_make;previous_model;previous_year;previous_fuel")
    assert indexes(found) == {"company": 0, "model": 1, "year": 2}


def test_one_of_two_cars_of_a_row_is_not_chosen() -> None:
    names = ("make", "model", "year", "fuel")
    header = ";".join(f"{owner}_{name}" for owner in ("his", "hers") for name in names)
    with pytest.raises(UnreadableUpload) as refused:
        matched(header)
    assert refused.value.problems[0].code == "missing-column"


def test_the_codes_of_registration_certificates_are_names() -> None:
    found = matched("A;B;D.1;D.3;P.1;P.2;P.3;P.6")
    assert indexes(found) == {
        "year": 1, "company": 2, "model": 3, "engine_cc": 4, "max_power_bhp": 5, "fuel": 6,
        "fiscal_power_cv": 7,
    }  # fmt: skip
    assert found.units == {"max_power_bhp": "kW"}


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("(D.1) Marque", "company"),
        ("D.3 - Modèle", "model"),
        ("P.1: Cylindrée", "engine_cc"),
        ("2. Carburant", "fuel"),
        ("Nadwozie", None),
        ("Rok produkcji", "year"),
        ("Pojemność silnika", "engine_cc"),
        ("Liczba drzwi", "doors"),
        ("Yak\u0131t", "fuel"),
        ("Kap\u0131 Say\u0131s\u0131", "doors"),
        ("Tip combustibil", "fuel"),
        ("Rulaj", "km_driven"),
        ("Tellerstand", "km_driven"),
        ("Aantal deuren", "doors"),
        ("Caixa de velocidades", "transmission"),
        ("Número de portas", "doors"),
        ("Año de matriculación", "year"),
        ("Tipo di cambio", "transmission"),
        ("Chilometri percorsi", "km_driven"),
        ("Carb.", "fuel"),
    ],
)
def test_names_in_other_languages_and_behind_codes(name: str, field: str | None) -> None:
    found = read_name(name)
    assert (found and found.field) == field


def test_the_polish_horsepower_is_no_distance() -> None:
    found = read_name("Moc (KM)")
    assert found is not None
    assert (found.field, found.unit) == ("max_power_bhp", "PS")


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO stock (make, model) VALUES ('Kia', 'Rio');\n",
        "-- Dump\n/*!40101 SET NAMES utf8 */;\nDROP TABLE IF EXISTS `s`;\nCREATE TABLE `s` (\n",
    ],
)
def test_a_dump_of_a_database_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(UnsupportedUpload) as refused:
        detect_kind(text.encode())
    assert refused.value.params["given"] == "SQL"


def test_a_header_that_begins_with_a_word_of_sql_is_no_dump() -> None:
    assert detect_kind(b"insert;marque;modele\n1;Kia;Rio\n") == "csv"
