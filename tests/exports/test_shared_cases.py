"""Cells, headers and requests that people really have, with the expected outcome of each."""

import json
from pathlib import Path

import httpx
import pytest

from tests.conftest import Service
from tests.exports.shared_cases import (
    CASES,
    CLIO,
    LOGAN,
    assert_valued,
    content_of,
    needs_cases,
    predict,
    value_case,
)
from tests.exports.uploads import ENGLISH, outcome_of, post_file

pytestmark = [pytest.mark.integration, needs_cases]


def test_a_band_of_fiscal_power_is_read_or_left_out_with_a_notice(service: Service) -> None:
    outcome = value_case(service, "01-fiscal-plus-de/a.csv")
    assert_valued(outcome, LOGAN, "BMW X5", CLIO)
    exact, plus, minus = outcome.values("fiscal_power_cv")
    assert exact == 6
    assert plus in (41, 42, None)
    assert minus in (3, 4, None)
    assert outcome.noticed("fiscal_power_cv") or None not in (plus, minus)


def test_optional_cells_with_units_or_other_text_lose_no_row(service: Service) -> None:
    outcome = value_case(service, "02-cardekho-units/a.csv")
    assert_valued(outcome, "Hyundai i20", "Toyota Corolla", "Honda Civic")
    assert outcome.values("engine_cc") == [1396, 1598, 1799]
    assert outcome.values("max_power_bhp") == [89, 121, None]
    assert outcome.noticed("max_power_bhp")
    assert outcome.values("km_driven") == [131200, 93400, 164300]


def test_compound_fuels_are_read(service: Service) -> None:
    outcome = value_case(service, "03-hybrid-labels/a.csv")
    assert outcome.statuses == ["valued"] * 6
    fuels = outcome.values("fuel")
    assert fuels[:4] == ["Hybrid", "Hybrid", "Hybrid", "Diesel"]
    assert fuels[4] in ("LPG", "Petrol")
    assert fuels[5] == "Petrol"


def test_arabic_words_are_read_in_files_and_requests(service: Service, http: httpx.Client) -> None:
    outcome = value_case(service, "04-arabic-words/a.csv")
    assert_valued(outcome, LOGAN, "Toyota Corolla", "Kia Sportage")
    assert outcome.values("fuel") == ["Diesel", "Petrol", "Hybrid"]
    assert outcome.values("transmission") == ["Manual", "Automatic", "Automatic"]
    read = predict(http, json.loads(content_of("04-arabic-words/a.json")))["read_as"]
    assert (read["company"], read["model"]) == ("Dacia", "Logan")
    assert (read["fuel"], read["transmission"]) == ("Diesel", "Manual")


def test_arabic_digits_and_separators_are_read(service: Service) -> None:
    outcome = value_case(service, "05-arabic-digits/a.csv")
    assert_valued(outcome, LOGAN, "Dacia Duster", CLIO)
    assert outcome.values("year") == [2018, 2019, 2016]
    assert outcome.values("km_driven") == [120_000, 90_000, 150_000]
    assert outcome.values("engine_cc") == [1500, 1500, 1500]
    assert outcome.asking_prices == [85_000, 135_000, 70_000]


def test_invisible_marks_change_nothing(service: Service) -> None:
    cells = value_case(service, "06-invisible-marks/a.csv")
    assert_valued(cells, *[LOGAN] * 6)
    assert len(set(cells.prices)) == 1
    assert_valued(value_case(service, "06-invisible-marks/b.csv"), LOGAN)
    names = value_case(service, "06-invisible-marks/c.csv")
    assert_valued(names, *[LOGAN] * 5, *["Peugeot 208"] * 2)
    assert len(set(names.prices)) == 2


def test_words_for_nothing_count_as_no_value(service: Service) -> None:
    outcome = value_case(service, "14-null-tokens/a.csv")
    assert_valued(outcome, *[LOGAN] * 19)
    assert set(outcome.values("fiscal_power_cv")) == {None}
    assert len(set(outcome.prices)) == 1


def test_every_unambiguous_date_of_first_registration_gives_its_year(service: Service) -> None:
    outcome = value_case(service, "15-dates/a.csv")
    assert len(outcome.rows) == 23
    spans = {12, 13}
    for number, (row, year) in enumerate(zip(outcome.rows, outcome.values("year"), strict=True)):
        if number in spans and row["row_status"] == "rejected":
            assert row["row_error"]
        else:
            assert year == 2018, number


PRICES_IN_WORDS: tuple[tuple[int | None, ...], ...] = (
    *[(480_000,)] * 2,
    (420_000,),
    *[(145_000,)] * 4,
    (145_000, None),  # "14,5 millions" of centimes
    *[(145_000,)] * 2,
    (None,),  # euros
    *[(145_000,)] * 2,
    *[(None,)] * 2,
    (145_000, 147_500, None),  # a range
    (72_500, None),  # twenty ryal are a dirham
)


def test_asking_prices_are_read_from_the_words_around_them_or_not_at_all(
    service: Service,
) -> None:
    outcome = value_case(service, "16-price-words/a.csv")
    assert_valued(outcome, *["Dacia Duster"] * 17)
    read = outcome.asking_prices
    wrong = {
        number: price
        for number, (price, right) in enumerate(zip(read, PRICES_IN_WORDS, strict=True))
        if price not in right
    }
    assert wrong == {}
    assert outcome.noticed("asking_price_mad")


def test_numbers_in_scientific_notation_are_read(service: Service) -> None:
    outcome = value_case(service, "64-scientific/a.csv")
    assert_valued(outcome, LOGAN, LOGAN, "Dacia Duster", "Dacia Duster")
    assert outcome.values("km_driven") == [120_000, 120_000, 90_000, 90_000]
    assert outcome.asking_prices == [95_000, 95_000, 135_000, 135_000]


@pytest.mark.parametrize(
    ("case", "names", "kms"),
    [
        ("53-kaggle-headers/a.csv", ("Suzuki Swift",), [61_300]),
        ("53-kaggle-headers/b.csv", ("Hyundai i20",), [45_000]),
        ("53-kaggle-headers/c.csv", (LOGAN,), [120_000]),
        ("54-title-column/a.csv", (LOGAN, "Mercedes-Benz Classe C"), [120_000, 90_000]),
        ("66-leboncoin-export/a.csv", (LOGAN,), [120_000]),
        ("66-leboncoin-export/c.csv", (LOGAN,), [120_000]),
        ("dealer/ar.csv", (LOGAN,), [120_000]),
    ],
)
def test_headers_of_data_sets_and_sites_are_known(
    service: Service, case: str, names: tuple[str, ...], kms: list[int]
) -> None:
    outcome = value_case(service, case)
    assert_valued(outcome, *names)
    assert outcome.values("km_driven") == kms


def test_words_of_a_data_set_are_read(service: Service) -> None:
    outcome = value_case(service, "53-kaggle-headers/c.csv")
    assert outcome.values("fuel") == ["Petrol"]
    assert outcome.values("transmission") == ["Automatic"]


def test_an_export_of_avito_is_valued_as_it_is(service: Service) -> None:
    outcome = value_case(service, "55-avito-export/a.csv")
    assert len(outcome.rows) == 8
    assert outcome.names[:2] == [LOGAN, CLIO]
    assert outcome.names[2] in ("Volkswagen Golf", "Volkswagen Golf 7")
    assert outcome.names[3] in ("Mercedes-Benz Classe GLA", "Mercedes-Benz GLA")
    assert outcome.names[4] == "Land Rover Range Rover Velar"
    assert outcome.names[7] == "Renault Zoe"
    for number in (0, 1, 2, 3, 4, 7):
        assert outcome.statuses[number] == "valued", outcome.rows[number]["row_error"]
    km = outcome.values("km_driven")
    middles = {0: 122_500, 1: 105_000, 2: 155_000, 7: 42_500}
    assert all(abs(km[number] - middle) <= 1 for number, middle in middles.items()), km
    assert outcome.values("origin")[0] is not None
    assert outcome.statuses[5] == "valued" or "500 000" in outcome.rows[5]["row_error"]
    assert outcome.statuses[6] == "rejected"
    assert "1980" in outcome.rows[6]["row_error"]


@pytest.mark.parametrize("name", ["autoscout24", "uk_make", "kaggle_v3", "avito_scrape"])
def test_look_alikes_of_exports_are_valued_without_options(service: Service, name: str) -> None:
    outcome = value_case(service, f"exports/{name}.csv")
    valued = [row for row in outcome.rows if row["row_status"] == "valued"]
    reasons = {row["row_error"] for row in outcome.rows if row["row_status"] != "valued"}
    assert len(valued) >= 0.95 * len(outcome.rows), reasons
    assert {row["match"] for row in valued} <= {"exact", "alias"}
    stated = {
        " ".join(f"{row.get('marke') or row.get('make') or ''} {row['model']}".split()).lower()
        if "model" in row
        else " ".join((row.get("name") or row["titre"]).split()[:2]).lower()
        for row in valued
    }
    assert {row["read_as"].lower() for row in valued} == stated


WITHOUT_STATISTICS = {
    "BYD|Atto 3",
    "Changan|CS35 Plus",
    "Chery|Tiggo 7",
    "Citroën|Jumpy",
    "DFSK|Glory",
    "MG|ZS",
    "Mercedes-Benz|Classe CLC",
    "Mercedes-Benz|Classe G",
}
"""Names that are read, but of which the reference market has no statistics: their prices are those
of an unknown model of the brand, with a warning."""


def test_models_of_avito_are_known(http: httpx.Client) -> None:
    common = {"year": 2018, "fuel": "Diesel", "transmission": "Automatic", "km_driven": 90_000}
    wrong = []
    for line in content_of("67-avito-models/a.csv").decode().splitlines():
        company, model = line.split("|")
        answer = predict(http, {"company": company, "model": model, **common})
        is_known = answer["model_known"] or line in WITHOUT_STATISTICS
        if not is_known or answer["match"] not in ("exact", "alias"):
            wrong.append((line, answer["model_known"], answer["match"], answer["read_as"]))
        is_warned = "model-unknown" in {warning["code"] for warning in answer["warnings"]}
        assert is_warned is not answer["model_known"], line
    assert wrong == []


def test_names_that_are_not_known_are_shown_in_results_and_notices(service: Service) -> None:
    outcome = value_case(service, "68-unknown-in-batch/a.csv")
    assert outcome.statuses == ["valued"] * 6
    matches = [row["match"] for row in outcome.rows]
    assert outcome.names[0] == outcome.names[2] == outcome.names[5] == LOGAN
    assert outcome.names[1] in ("Mercedes-Benz Classe G", "Mercedes-Benz G")
    assert outcome.names[4] in (LOGAN, "Dacia Logan MCV")
    assert matches[0] == "exact"
    assert matches[1] in ("exact", "alias")
    assert matches[2:4] == ["corrected", "unknown"]
    assert matches[4] == "alias"
    # "DACIA LOGAN" in one column is the exact name, as in a file with a title column.
    assert matches[5] in ("exact", "alias")
    unknown = [
        each for each in outcome.notices if each["code"] in ("name-unknown", "model-unknown")
    ]
    assert any("xyzzy" in each["detail"].lower() for each in unknown)


def test_a_dealers_stock_is_valued_with_every_doubt_shown(service: Service) -> None:
    outcome = value_case(service, "dealer/stock.csv")
    assert len(outcome.rows) == 30
    by_line = dict(enumerate(outcome.rows, start=3))
    rejected = {line for line, row in by_line.items() if row["row_status"] == "rejected"}
    assert rejected <= {15, 27}  # year 19, year 2035
    assert 27 in rejected
    assert by_line[5]["read_as"] == CLIO
    assert by_line[5]["match"] == "corrected"
    assert by_line[8]["read_as"] == "Mercedes-Benz Classe C"
    assert by_line[13]["read_as"] == "Toyota Corolla"
    assert by_line[13]["match"] == "corrected"
    assert by_line[26]["read_as"] == LOGAN
    assert by_line[26]["match"] != "exact"
    assert by_line[31]["read_as"] == "Land Rover Range Rover Evoque"
    assert by_line[16]["row_notes"]  # kilometres "beaucoup"
    assert by_line[28]["row_notes"]  # fuel "Charbon"
    assert outcome.noticed("km_driven")
    assert outcome.noticed("fuel")
    assert outcome.asking_prices[0] == 92_000
    assert outcome.asking_prices[3] in (115_000, 115_001)


def test_a_dealers_own_headers_are_completed_by_a_mapping(
    service: Service, http: httpx.Client
) -> None:
    content = content_of("dealer/odd.csv")
    answer = post_file(http, "odd.csv", content)
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        assert "Gamme" in answer.text
        columns = "model:Gamme,year:Mise en circ.,km_driven:Compteur,transmission:BV"
        answer = post_file(http, "odd.csv", content, columns=columns)
    outcome = outcome_of(service, http, answer)
    assert_valued(outcome, LOGAN, CLIO)
    assert outcome.values("year") == [2018, 2016]
    assert outcome.values("transmission") == ["Manual", "Manual"]


@pytest.mark.parametrize(
    ("case", "name"),
    [("35-numeric-model/a.json", ("Peugeot", "208")), ("35-numeric-model/b.json", ("Fiat", "500"))],
)
def test_a_model_may_be_a_number(http: httpx.Client, case: str, name: tuple[str, str]) -> None:
    read = predict(http, json.loads(content_of(case)))["read_as"]
    assert (read["company"], read["model"]) == name


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_list_of_cars_is_refused_with_the_way_out(http: httpx.Client, name: str) -> None:
    answer = http.post(
        "/predict", json=json.loads(content_of(f"74-json-shapes/{name}.json")), headers=ENGLISH
    )
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "/jobs" in answer.text


@pytest.mark.parametrize("name", ["c", "d"])
def test_members_of_other_names_are_read_or_the_right_names_are_said(
    http: httpx.Client, name: str
) -> None:
    answer = http.post(
        "/predict", json=json.loads(content_of(f"74-json-shapes/{name}.json")), headers=ENGLISH
    )
    if answer.status_code == httpx.codes.OK:
        assert answer.json()["read_as"]["km_driven"] == 120_000
        return
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert all(member in answer.text for member in ("company", "model", "year", "km_driven"))


def test_every_case_has_a_test() -> None:
    here = Path(__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in here.glob("test_shared_*.py"))
    folders = {path.name for path in CASES.iterdir() if path.is_dir()}
    assert {name for name in folders if f"{name}/" not in source} == set()
