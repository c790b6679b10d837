"""The car's fields: what is accepted, in which normal form, and what is said of the rest."""

import gc
import math
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.car import CATEGORIES, FIELD_NAMES, REQUIRED_FIELDS, CarFeatures, Fuel, Owner
from shared.domain.errors import InvalidInput
from shared.fields.car import CAR_FIELDS, CAR_REQUEST_SCHEMA
from shared.fields.kinds.category import CATEGORY_MAX_CHARS, Category
from shared.fields.numbers import parse_number
from shared.fields.requests import MAX_WARNINGS, load_car_request
from shared.fields.shapes import NAME_MAX_CHARS
from shared.i18n.languages import LANGUAGES
from shared.messages.texts import describe, describe_warning, expected


def problems_of(body):
    """Pointer and code of each problem."""
    with pytest.raises(InvalidInput) as caught:
        load_car_request(body)
    return {(problem.pointer, problem.code) for problem in caught.value.problems}


def test_the_schema_and_the_domain_name_the_same_fields_in_the_same_order():
    assert tuple(name for name in CAR_FIELDS if name != "asking_price_mad") == FIELD_NAMES
    required = {name for name, field in CAR_FIELDS.items() if field.required}
    assert required == set(REQUIRED_FIELDS)
    categories = {name for name, field in CAR_FIELDS.items() if isinstance(field, Category)}
    assert categories == set(CATEGORIES)
    assert len(CAR_FIELDS) == len(CAR_REQUEST_SCHEMA.fields)


def test_the_reference_example_is_accepted_without_warnings(car):
    request = load_car_request(car)
    assert request.car.company == "toyota"
    assert request.car.km_driven == 25000
    assert request.warnings == ()


def test_two_spellings_of_one_car_are_equal(car):
    french = car | {
        "company": "TOYOTA",
        "fuel": "Essence",
        "transmission": "Manuelle",
        "seller_type": "Particulier",
        "km_driven": "25 000 km",
        "year": "2020",
        "engine_cc": "1600 cc",
        "max_power_bhp": "120,0",
    }
    assert load_car_request(french).car == load_car_request(car).car


@pytest.mark.parametrize("name", REQUIRED_FIELDS)
@pytest.mark.parametrize("blank", [None, "", "  ", "N/A"])
def test_a_required_field_that_says_nothing_is_named(car, name, blank):
    assert problems_of(car | {name: blank}) == {(f"/{name}", "required")}
    assert problems_of({k: v for k, v in car.items() if k != name}) == {(f"/{name}", "required")}


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("year", 1800, "out-of-range"),
        ("year", datetime.now(UTC).year + 2, "out-of-range"),
        ("year", "deux mille vingt", "not-a-number"),
        ("year", 2020.5, "not-whole"),
        ("year", True, "not-a-number"),
        ("year", [2020], "not-a-number"),
        ("km_driven", -1, "out-of-range"),
        ("km_driven", math.nan, "not-a-number"),
        ("km_driven", math.inf, "out-of-range"),
        ("km_driven", 10**400, "out-of-range"),
        ("engine_cc", 0, "out-of-range"),
        ("engine_cc", 0.2, "out-of-range"),
        ("engine_cc", 20, "out-of-range"),
        ("engine_cc", "1600 L", "out-of-range"),
        ("engine_cc", 49.9, "out-of-range"),
        ("max_power_bhp", 5000, "out-of-range"),
        ("max_power_bhp", "beaucoup", "not-a-number"),
        ("company", 12, "not-text"),
        ("company", "?!", "not-text"),
        ("model", "Cor\x00olla", "not-text"),
        ("company", "x" * 81, "too-long"),
        ("model", {}, "not-text"),
        ("fuel", 7, "not-text"),
        ("owner", 7, "not-text"),
        ("doors", 12, "out-of-range"),
        ("asking_price_mad", 0, "out-of-range"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(car, field, value, code):
    assert problems_of(car | {field: value}) == {(f"/{field}", code)}


def test_fuel_gearbox_and_mileage_may_be_missing_and_a_warning_names_each(car):
    for blank in (None, "", "n.c.", "Non renseigné"):
        request = load_car_request(car | {"fuel": blank, "km_driven": blank, "transmission": blank})
        assert (request.car.fuel, request.car.transmission, request.car.km_driven) == (None,) * 3
        assert [warning["code"] for warning in request.warnings] == ["missing-field"] * 3
        assert {warning["pointer"] for warning in request.warnings} == {
            "/fuel", "/transmission", "/km_driven",
        }  # fmt: skip
        assert all(describe_warning(each, "fr") for each in request.warnings)


def test_an_unknown_fuel_is_ignored_with_a_warning(car):
    request = load_car_request(car | {"fuel": "banana"})
    assert request.car.fuel is None
    assert [(each["pointer"], each["code"]) for each in request.warnings] == [
        ("/fuel", "unknown-category"),
        ("/fuel", "missing-field"),
    ]
    assert "Essence" in describe_warning(request.warnings[0], "fr")


@pytest.mark.parametrize(
    ("value", "model"),
    [
        (3008, "3008"), (508.0, "508"), ("108.0", "108"), (9.3, "9.3"),
        ("Sandero 1,0 TCe", "sandero 1.0 tce"),
    ],
)  # fmt: skip
def test_a_model_may_be_a_number(car, value, model):
    assert load_car_request(car | {"model": value}).car.model == model


@pytest.mark.parametrize("value", [True, math.nan, math.inf, -208, 10**400, [208]])
def test_other_json_values_are_no_model(car, value):
    assert problems_of(car | {"model": value}) == {("/model", "not-text")}


def test_the_smallest_displacement_is_that_of_a_moped(car):
    assert load_car_request(car | {"engine_cc": 50}).car.engine_cc == 50


def test_a_text_too_long_for_a_category_is_an_unknown_word_in_whatever_it_folds_to(car):
    padded = "essence" + " " * CATEGORY_MAX_CHARS
    request = load_car_request(car | {"owner": padded})
    assert request.car.owner is None
    assert request.warnings == ({"pointer": "/owner", "code": "unknown-category"},)


def test_a_refused_text_leaves_nothing_in_memory(car):
    texts = [f"{index}{'é' * 100_000}" for index in range(20)]
    load_car_request(car | {"fuel": "warm up"})
    tracemalloc.start()
    try:
        for text in texts:
            with pytest.raises(InvalidInput):
                load_car_request(car | {"fuel": text, "transmission": text, "company": text})
        gc.collect()  # the traces of the errors are cycles
        # Threads that other tests have started may read from Redis meanwhile.
        kept = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, "*/redis/*")])  # noqa: FBT003 - "exclude" has no name
    finally:
        tracemalloc.stop()
    assert sum(each.size for each in kept.statistics("lineno")) < len(texts[0])


def test_a_body_of_unknown_fields_makes_few_and_short_warnings(car):
    many = {f"{'x' * 1000}{index}": 0 for index in range(10_000)}
    request = load_car_request(car | {"owner": "banana"} | many, pointer="/3")
    *named, last = request.warnings
    assert len(named) == MAX_WARNINGS
    assert {"pointer": "/3/owner", "code": "unknown-category"} in named
    assert all(len(each["pointer"]) <= len("/3/") + NAME_MAX_CHARS for each in named)
    assert last == {"pointer": "/3", "code": "more-unknown-fields", "count": 10_000 - 19}
    assert "9981" in describe_warning(last, "fr")
    assert "9981" in describe_warning(last, "en")


def test_every_problem_of_a_car_is_reported_at_once(car):
    found = problems_of(car | {"year": 1800, "fuel": 7, "model": None})
    assert found == {
        ("/year", "out-of-range"),
        ("/fuel", "not-text"),
        ("/model", "required"),
    }


@pytest.mark.parametrize(("company", "model"), [("Skoda", "SKODA"), ("VW", "Volkswagen")])
def test_a_model_that_names_only_the_brand_is_refused_with_this_reason(car, company, model):
    with pytest.raises(InvalidInput) as caught:
        load_car_request(car | {"company": company, "model": model})
    (problem,) = caught.value.problems
    assert (problem.pointer, problem.code) == ("/model", "model-not-found")
    for language in LANGUAGES:
        assert model.lower() in describe(problem, language)


def test_next_years_models_are_accepted(car):
    assert load_car_request(car | {"year": datetime.now(UTC).year + 1}).car.year


def test_unknown_fields_and_unknown_optional_words_are_accepted_and_named(car):
    request = load_car_request(car | {"colour/paint": "red", "owner": "my uncle"})
    assert request.car.owner is None
    assert {(w["pointer"], w["code"]) for w in request.warnings} == {
        ("/colour~1paint", "unknown-field"),
        ("/owner", "unknown-category"),
    }
    assert all(describe_warning(w, language) for w in request.warnings for language in LANGUAGES)


@pytest.mark.parametrize("body", [None, "car", 7, True])
def test_what_is_no_object_is_no_car(body):
    assert problems_of(body) == {("", "not-an-object")}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_message_says_what_is_expected(car, language):
    with pytest.raises(InvalidInput) as caught:
        load_car_request(car | {"year": 1800, "fuel": 7})
    texts = [describe(problem, language) for problem in caught.value.problems]
    assert any("1990" in text and "1800" in text for text in texts)
    petrol = {"fr": "Essence", "ar": "بنزين", "en": "Petrol"}[language]
    assert any(petrol in text and "7" in text for text in texts)


def test_a_long_wrong_value_is_quoted_shortened(car):
    with pytest.raises(InvalidInput) as caught:
        load_car_request(car | {"year": "9" * 500})
    assert len(describe(caught.value.problems[0], "en")) < 200


def test_a_wrong_value_that_is_no_text_is_quoted_as_json(car):
    with pytest.raises(InvalidInput) as caught:
        load_car_request(car | {"year": {"an": [2019, None]}})
    assert '{"an": [2019, null]}' in describe(caught.value.problems[0], "fr")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_field_can_say_what_it_accepts(language):
    assert all(expected(field, language) for field in CAR_FIELDS.values())


def test_every_example_is_a_valid_value_in_normal_form():
    body = {name: field.example for name, field in CAR_FIELDS.items()}
    assert load_car_request(body).warnings == ()


@pytest.mark.parametrize(
    ("text", "whole", "number"),
    [
        ("145 000", True, 145000),
        ("145\u00a0000", True, 145000),
        ("145\u202f000", True, 145000),
        ("145.000", True, 145000),
        ("145,000", True, 145000),
        ("145.000,50", False, 145000.5),
        ("145,000.50", False, 145000.5),
        ("1.234.567", False, 1234567),
        ("88,5", False, 88.5),
        ("88.5", False, 88.5),
        ("25.000", False, 25.0),
        ("1e3", False, 1000),
        ("-5", True, -5),
        ("", True, None),
        ("12a", True, None),
        ("1,2,3", True, None),
        ("--1", True, None),
        ("nan", True, None),
        ("inf", True, None),
        ("1e999", False, None),
        ("٣", True, 3),
    ],
)
def test_numbers_are_read_as_people_write_them(text, whole, number):
    assert parse_number(text, whole=whole) == number


@given(
    st.builds(
        CarFeatures,
        company=st.text(min_size=1, max_size=9),
        model=st.text(min_size=1, max_size=9),
        year=st.integers(1990, 2027),
        fuel=st.sampled_from(Fuel),
        transmission=st.sampled_from(list(CATEGORIES["transmission"])),
        km_driven=st.integers(0, 10**6),
        owner=st.none() | st.sampled_from(Owner),
        engine_cc=st.none() | st.floats(50, 9000),
    )
)
def test_a_car_survives_the_wire(features):
    assert CarFeatures.from_wire(features.to_wire()) == features


@pytest.mark.parametrize(
    ("value", "cc"),
    [
        (1.6, 1600.0), ("1.6", 1600.0), ("1,6", 1600.0), ("1.6 L", 1600.0),
        ("1,598 litres", 1598.0),
        ("2l", 2000.0), (2, 2000.0), ("0.9", 900.0), ("1600", 1600.0), ("1600 cm3", 1600.0),
    ],
)  # fmt: skip
def test_a_displacement_below_ten_is_litres_and_the_answer_says_so(
    car: dict[str, Any], value: Any, cc: float
) -> None:
    request = load_car_request(car | {"engine_cc": value})
    assert request.car.engine_cc == cc
    is_litres = "1600" not in str(value)
    assert [warning["code"] for warning in request.warnings] == ["litres"] * is_litres


@pytest.mark.parametrize(
    "date", ["2020-03-15", "2020-03-15 00:00:00", "2020-03-15T10:00:00Z", "15/03/2020", "03/2020",
             "15.03.2020", "2020/03/15", "2020-03"],
)  # fmt: skip
def test_the_year_may_be_told_by_a_date(car: dict[str, Any], date: str) -> None:
    assert load_car_request(car | {"year": date}).car.year == 2020


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("95.000 DH", 95_000.0),
        ("145.000,50 DH", 145_000.5),
        ("1,250,000", 1_250_000.0),
        ("95000.50", 95_000.5),
        ("95000,5 dhs", 95_000.5),
        ("95 000", 95_000.0),
    ],
)
def test_three_digits_behind_a_sign_are_thousands_in_a_price(car, text, price):
    assert load_car_request(car | {"asking_price_mad": text}).asking_price_mad == price


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("15/03/18", 2018), ("15-03-18", 2018), ("mars 2018", 2018), ("mars-18", 2018),
        ("15 mars 2018", 2018), ("janv. 2020", 2020), ("août 2019", 2019), ("déc-99", 1999),
        ("Sept 2020", 2020),
    ],
)  # fmt: skip
def test_years_stand_in_dates_of_many_forms(car: dict[str, Any], text: str, year: int) -> None:
    assert load_car_request(car | {"year": text}).car.year == year


@pytest.mark.parametrize("text", ["32000", "1/2/3", "43174", "2018 ou 2019"])
def test_what_only_looks_like_a_date_is_no_year(car: dict[str, Any], text: str) -> None:
    assert problems_of(car | {"year": text})


@pytest.mark.parametrize(
    ("text", "km"),
    [
        ("120 000 - 129 999", 125_000), ("120.000 à 129.999 km", 125_000), ("0 - 4 999", 2_500),
        ("120k", 120_000), ("12,5 K km", 12_500), ("5000-9999", 7_500),
    ],
)  # fmt: skip
def test_a_band_of_kilometres_counts_as_its_middle(car: dict[str, Any], text: str, km: int) -> None:
    assert load_car_request(car | {"km_driven": text}).car.km_driven == km


@pytest.mark.parametrize("text", ["10 - 5", "1-2-3", "-5", "- 5", "5 -", "120 - 130 000"])
def test_what_is_no_band_is_no_number_of_kilometres(car: dict[str, Any], text: str) -> None:
    assert problems_of(car | {"km_driven": text})
