"""Columns are found by many names, by their cells where no name says it, and never by a guess."""

import pytest

from shared.domain.car import FIELD_NAMES
from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.fields.car import CAR_FIELDS
from shared.i18n.languages import LANGUAGES
from shared.tabular.column_names import ASKING_PRICE, field_for_header, read_name
from shared.tabular.headers import MatchedColumns, match_columns

NEEDED = ["company", "model", "year", "fuel", "transmission", "km_driven"]
ROW = ["Kia", "Rio", "2017", "Essence", "Manuelle", "81000"]


def matched(header: str, *rows: str, **options: object) -> MatchedColumns:
    return match_columns(header.split(";"), rows=[row.split(";") for row in rows], **options)


def indexes(found: MatchedColumns) -> dict[str, int]:
    return {field: match.index for field, match in found.columns.items()}


def codes(found: MatchedColumns) -> dict[str, tuple[str, ...]]:
    return {notice.code: notice.values for notice in found.notices}


def refusal(header: list[str], rows: list[list[str]] | None = None) -> FieldProblem:
    with pytest.raises(UnreadableUpload) as refused:
        match_columns(header, rows=rows or [])
    return refused.value.problems[0]


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("Marque", "company"),
        ("manufacturer_name", "company"),
        ("Hersteller", "company"),
        ("ماركة السيارة", "company"),
        ("MODÈLE", "model"),
        ("carModel", "model"),
        ("Modèle du véhicule", "model"),
        ("الطراز", "model"),
        ("Année", "year"),
        ("Année-Modèle", "year"),
        ("yearOfRegistration", "year"),
        ("Baujahr", "year"),
        ("Date de 1ère mise en circulation", "year"),
        ("Erstzulassung", "year"),
        ("سنة الصنع", "year"),
        ("Carburant", "fuel"),
        ("Type d'énergie", "fuel"),
        ("engine_fuel", "fuel"),
        ("Kraftstoffart", "fuel"),
        ("نوع الوقود", "fuel"),
        ("Boîtes de vitesses", "transmission"),
        ("gear_box", "transmission"),
        ("Getriebe", "transmission"),
        ("ناقل الحركة", "transmission"),
        ("Kilométrage", "km_driven"),
        ("km_driven", "km_driven"),
        ("kilometersDriven", "km_driven"),
        ("Odometer", "km_driven"),
        ("Laufleistung", "km_driven"),
        ("عدد الكيلومترات", "km_driven"),
        ("Puissance fiscale", "fiscal_power_cv"),
        ("Première main", "owner"),
        ("vehicle.attributes.fuel", "fuel"),
        ("specs/doors", "doors"),
        ("engineSize", "engine_cc"),
        ("Nbre de portes", "doors"),
        ("Prix", None),
        ("colour", None),
        ("Type de véhicule", None),
        ("Date", None),
        ("monthOfRegistration", None),
        ("Immatriculation", None),
        ("km/l", "mileage_mpg"),
    ],
)
def test_headers_of_several_languages_and_styles_are_recognised(
    header: str, field: str | None
) -> None:
    assert field_for_header(header) == field


def test_every_field_is_recognised_by_its_own_name_and_labels() -> None:
    for name in FIELD_NAMES:
        field = CAR_FIELDS[name]
        assert {
            field_for_header(name),
            *(field_for_header(field.label(language)) for language in LANGUAGES),
        } == {name}


@pytest.mark.parametrize(
    ("header", "field", "unit"),
    [
        ("Mileage (mi)", "km_driven", "miles"),
        ("odometer_miles", "km_driven", "miles"),
        ("Miles", "km_driven", "miles"),
        ("Puissance kW", "max_power_bhp", "kW"),
        ("powerPS", "max_power_bhp", "PS"),
        ("Leistung (kW)", "max_power_bhp", "kW"),
        ("Cylindrée [L]", "engine_cc", "litres"),
        ("Consommation (l/100 km)", "mileage_mpg", "l/100km"),
        ("Mileage (kmpl)", "mileage_mpg", "km/l"),
        ("Torque lb-ft", "torque_nm", "lb-ft"),
        ("Kilométrage (km)", "km_driven", "km"),
        ("Kilométrage (compteur)", "km_driven", None),
    ],
)
def test_a_header_states_its_unit_in_brackets_or_after_its_name(
    header: str, field: str, unit: str | None
) -> None:
    named = read_name(header)
    assert named is not None
    assert (named.field, named.unit) == (field, unit)


def test_only_a_unit_that_is_not_the_fields_own_is_kept_and_said() -> None:
    found = matched("company;model;year;Odometer (miles);Leistung (PS)", "Kia;Rio;2017;50000;90")
    assert found.units == {"km_driven": "miles", "max_power_bhp": "PS"}
    assert [notice.code for notice in found.notices] == ["unit-converted"] * 2
    assert matched("company;model;year;Kilométrage (km)", "Kia;Rio;2017;50000").units == {}


@pytest.mark.parametrize(
    ("header", "cell", "codes"),
    [
        ("Mileage", "50000", ["unit-not-stated"]),
        ("milage", "50,000", ["unit-not-stated"]),
        ("Mileage", "50000 km", []),
        ("Mileage (km)", "50000", []),
        ("Mileage (mi)", "50000", ["unit-converted"]),
        ("Kilométrage", "50000", []),
        ("Odometer", "50000", []),
    ],
)
def test_a_column_called_mileage_without_unit_is_read_as_km_and_said(
    header: str, cell: str, codes: list[str]
) -> None:
    found = matched(f"company;model;year;{header}", f"Kia;Rio;2017;{cell}")
    assert "km_driven" in found.columns
    assert [notice.code for notice in found.notices] == codes


def test_missing_columns_are_one_problem_that_names_them_and_what_was_found() -> None:
    rows = [["Kia", "red", "2018", " "], ["Kia", "blue", "2019", "Diesel"], ["Seat", "", "", "LPG"]]
    problem = refusal(["brand", "colour", "Anneee", "fuel"], rows)
    assert problem.params == {
        "fields": ["model"],
        "columns": f"model ({', '.join(CAR_FIELDS['model'].aliases)})",
        "found": "brand, colour, Anneee, fuel",
        "mapping": "columns=model:…",
        "header": ["brand", "colour", "Anneee", "fuel"],
        "samples": [["Kia", "Seat"], ["red", "blue"], ["2018", "2019"], ["Diesel", "LPG"]],
        "matched": {"company": 0, "year": 2, "fuel": 3},
    }


def test_a_column_that_the_caller_names_as_model_may_hold_the_brand_too() -> None:
    rows = [["Fiat Panda", "2018"], ["Kia Picanto", "2017"], ["Skoda Fabia", "2016"]]
    found = match_columns(["Inserat", "Jahr"], [("model", "#1")], rows)
    assert {field: match.index for field, match in found.columns.items()} == {"model": 0, "year": 1}
    assert [notice.code for notice in found.notices] == ["title-column"]
    bare = [["Panda", "2018"], ["Picanto", "2017"], ["Fabia", "2016"]]
    with pytest.raises(UnreadableUpload):
        match_columns(["Inserat", "Jahr"], [("model", "#1")], bare)


def test_of_missing_columns_only_plausible_ones_are_suggested() -> None:
    rows = [["x", "Skoda", "12", "2015"], ["y", "Seat", "13", "2016"]]
    problem = refusal(["ref", "A", "B", "C"], rows)
    assert problem.params["mapping"] == "columns=company:A,year:C"
    named = refusal(["Marque_vhl_x", "Mdl", "An. mod."], [["?", "?", "?"]])
    assert "#3" not in str(named.params["mapping"])


def test_a_header_with_letters_of_a_wrong_encoding_makes_the_encoding_suspect() -> None:
    with pytest.raises(UnreadableUpload) as refused:
        match_columns(["Marque", "ModÃ¨le x", "AnnÃ©e de"])
    assert [problem.code for problem in refused.value.problems] == [
        "missing-column",
        "suspect-encoding",
    ]


@pytest.mark.parametrize(
    "header", ["Marqe;Modèle;Année", "Marque;Mod?le;Année", "Brnad;model;Ann\ufffde"]
)
def test_one_wrong_or_lost_letter_in_a_header_is_accepted_with_a_notice(header: str) -> None:
    found = matched(header, "Kia;Rio;2017")
    assert indexes(found) == {"company": 0, "model": 1, "year": 2}
    assert "near-header" in codes(found)


def test_a_header_near_to_two_fields_or_a_second_near_one_is_not_guessed() -> None:
    problem = refusal(["Marqe", "Marqeu", "model", "year"])
    assert problem.params["fields"] == ["company"]


def test_a_near_header_whose_cells_the_field_refuses_is_not_accepted() -> None:
    problem = refusal(["Marge", "model", "year"], [["9", "Ibiza", "2016"], ["14", "Rio", "2012"]])
    assert problem.params["fields"] == ["company"]
    found = matched("Marqua;model;year", "Seat;Ibiza;2016", "Unheard;Of;2012")
    assert indexes(found)["company"] == 0


def test_a_single_column_is_suggested_for_no_field() -> None:
    problem = refusal(["marque^trim^colour"], [["Seat^Ibiza^red"]])
    assert problem.params["mapping"] == "columns=company:…"


def test_the_same_header_twice_is_refused_with_both_places() -> None:
    problem = refusal([*NEEDED, "note", "note"])
    assert problem.code == "duplicate-column"
    assert (problem.params["first"], problem.params["position"]) == (7, 8)
    assert refusal([*NEEDED, "year"]).params["meaning"] == "year"


def test_two_columns_of_a_needed_field_that_contradict_each_other_are_refused() -> None:
    rows = [["Kia", "Seat", "Rio", "2017"]]
    assert refusal(["marque", "brand", "model", "year"], rows).code == "ambiguous-column"
    assert refusal(["marque", "brand", *NEEDED[1:]]).code == "ambiguous-column"


def test_of_two_columns_of_one_field_the_better_one_is_read_and_said() -> None:
    agreeing = matched("marque;brand;model;year", "Kia;KIA;Rio;2017")
    assert indexes(agreeing)["company"] == 0
    own_name = matched("marque;company;model;year", "Kia;Seat;Rio;2017")
    assert indexes(own_name)["company"] == 1
    year = matched(
        "company;model;Année modèle;Date de mise en circulation", "Kia;Rio;2017;12/11/2016"
    )
    assert indexes(year)["year"] == 2
    assert codes(year)["read-where-blank"] == ("Date de mise en circulation",)
    gearbox = matched("company;model;year;transmission;Boîte", "Kia;Rio;2017;4x2;Automatique")
    assert indexes(gearbox)["transmission"] == 4, "by its cells"


def test_two_columns_of_another_field_that_contradict_each_other_are_left_out() -> None:
    found = matched("company;model;year;km;kilométrage", "Kia;Rio;2017;81000;91000")
    assert "km_driven" not in found.columns
    assert codes(found)["contradicting-columns"] == ("km", "kilométrage")


def test_a_title_is_read_where_there_is_no_column_of_models() -> None:
    found = matched("Annonce;Année;Prix", "Kia Rio 1.4 CRDi;2017;80000", "Skoda Fabia;2015;70000")
    assert indexes(found) == {"year": 1, "model": 0}
    assert found.columns["model"].basis == "title"
    assert codes(found) == {"title-column": ("Annonce",)}


def test_a_title_beside_brand_and_model_is_ignored() -> None:
    found = matched("Titre;Marque;Modèle;Année", "Kia Rio;Kia;Rio;2017")
    assert indexes(found) == {"company": 1, "model": 2, "year": 3}
    assert not found.notices


def test_a_name_beside_a_brand_is_the_model_if_it_is_one_of_the_brand() -> None:
    found = matched("make;name;year", "Kia;Rio;2017", "Skoda;Fabia;2015")
    assert indexes(found) == {"company": 0, "year": 2, "model": 1}
    problem = refusal(["make", "name", "year"], [["Kia", "Ahmed Bennani", "2017"]])
    assert problem.params["fields"] == ["model"]


@pytest.mark.parametrize("header", ["Marque;Année", "Modèle;Année"])
def test_a_column_of_brands_or_models_that_holds_both_is_read_as_a_title(header: str) -> None:
    found = matched(header, "Kia Rio;2017", "Skoda Fabia Combi;2015")
    assert indexes(found) == {"year": 1, "model": 0}
    assert found.columns["model"].basis == "title"


def test_brands_of_several_words_are_no_titles() -> None:
    problem = refusal(["Marque", "Année"], [["Land Rover", "2017"], ["Alfa Romeo", "2015"]])
    assert problem.params["fields"] == ["model"]


def test_a_constant_takes_the_place_of_a_column() -> None:
    found = matched("Modèle;Année", "Rio;2017", constants={"company": "Kia"})
    assert indexes(found) == {"model": 0, "year": 1}
    both = matched("Marque;Modèle;Année", "Seat;Rio;2017", constants={"company": "Kia"})
    assert "company" not in both.columns
    assert codes(both)["constant-over-column"] == ("Marque",)
    assert "constant-over-column" not in codes(found)


def test_columns_without_a_header_are_found_by_their_cells() -> None:
    rows = ["7;Kia;Rio;2017;Essence;Manuelle;81 000", "8;Seat;Ibiza;2016;Diesel;Manuelle;120 500"]
    found = matched(";".join(f"column_{n}" for n in range(1, 8)), *rows, has_header=False)
    assert indexes(found) == {
        "company": 1, "model": 2, "year": 3, "fuel": 4, "transmission": 5, "km_driven": 6,
    }  # fmt: skip
    assert codes(found)["no-header"][:2] == ("#2: company", "#3: model")


def test_without_a_header_the_model_may_stand_anywhere_or_beside_its_brand() -> None:
    apart = matched("c1;c2;c3;c4", "Rio;2017;Kia;81000", "Ibiza;2016;Seat;90500", has_header=False)
    assert indexes(apart) == {"company": 2, "model": 0, "year": 1, "km_driven": 3}
    both = matched("c1;c2;c3", "Kia Rio;2017;81000", "Seat Ibiza;2016;90500", has_header=False)
    assert indexes(both) == {"model": 0, "year": 1, "km_driven": 2}
    assert both.columns["model"].basis == "title"


def test_of_two_columns_of_bare_numbers_without_a_header_neither_is_guessed() -> None:
    found = matched("column_1;column_2;column_3;column_4;column_5", "Kia;Rio;2017;81000;95000",
                    has_header=False)  # fmt: skip
    assert indexes(found) == {"company": 0, "model": 1, "year": 2}
    assert found.asking is None


@pytest.mark.parametrize(
    ("header", "currency"),
    [
        ("Preis (€)", "EUR"), ("price_usd", "USD"), ("Prix £", "GBP"),
        ("Selling Price (INR)", "INR"), ("Prix DH", None), ("Prix TTC", None),
    ],
)  # fmt: skip
def test_prices_in_a_foreign_currency_are_no_asking_prices(
    header: str, currency: str | None
) -> None:
    found = matched(f"company;model;year;{header}", "Kia;Rio;2017;9500")
    assert found.currency == currency
    assert (found.asking is None) == (currency is not None)
    assert ("foreign-currency" in codes(found)) == (currency is not None)


def test_the_currency_stands_in_cells_or_in_a_column_of_its_own() -> None:
    assert matched("company;model;year;price", "Kia;Rio;2017;9 500 €").currency == "EUR"
    beside = "company;model;year;price;currency"
    assert matched(beside, "Kia;Rio;2017;9500;EUR").currency == "EUR"
    assert matched(beside, "Kia;Rio;2017;95000;MAD").asking is not None
    mixed = matched(beside, "Kia;Rio;2017;95000;MAD", "Kia;Rio;2017;9500;EUR")
    assert mixed.asking is not None
    column = mixed.unit_columns[ASKING_PRICE]
    assert (column.index, column.stated, column.usual) == (4, None, None)
    assert codes(mixed)["units-by-row"] == ("currency",)


def test_of_prices_in_several_currencies_those_in_dirhams_are_read() -> None:
    found = matched("company;model;year;Prix (€);Prix (DH)", "Kia;Rio;2017;8000;88000")
    assert found.asking is not None
    assert found.asking.index == 4
    assert found.currency is None


def test_prices_in_thousands_are_not_compared_and_said() -> None:
    found = matched("company;model;year;Prix (kDH)", "Kia;Rio;2017;88")
    assert found.asking is None
    assert codes(found)["price-scale"] == ("Prix (kDH)",)


def test_units_around_the_header_hold_for_their_columns() -> None:
    found = matched(
        "company;model;year;Odometer;Price", "Kia;Rio;2017;50000;9500",
        units_around={3: "mi", 4: "EUR"},
    )  # fmt: skip
    assert found.units == {"km_driven": "miles"}
    assert found.currency == "EUR"


def test_the_asking_price_has_many_names() -> None:
    for header in ("Prix de vente", "PV TTC", "selling_price", "Verkaufspreis", "السعر"):
        named = read_name(header)
        assert named is not None
        assert named.field == ASKING_PRICE


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("company;model;year;km;unit_price;unit", "Kia;Rio;2017;9;88000;4"),
        ("company;model;year;km;Sales unit", "Kia;Rio;2017;9;North"),
        ("company;model;year;km;Colour", "Kia;Rio;2017;9;Grey"),
        ("company;model;year;km;Business unit", "Kia;Rio;2017;9;B2"),
    ],
)
def test_other_columns_called_units_state_no_units(header: str, row: str) -> None:
    assert matched(header, row, row).unit_columns == {}


def test_a_column_of_units_decides_what_mileage_means() -> None:
    header = "company;model;year;mileage;mileage unit"
    assert indexes(matched(header, "Kia;Rio;2017;5;mi"))["km_driven"] == 3
    assert indexes(matched(header, "Kia;Rio;2017;18;km/l"))["mileage_mpg"] == 3
    power = "company;model;year;puissance;unité puissance"
    assert indexes(matched(power, "Kia;Rio;2017;29;kW"))["max_power_bhp"] == 3
    assert indexes(matched(power, "Kia;Rio;2017;7;CV"))["fiscal_power_cv"] == 3
