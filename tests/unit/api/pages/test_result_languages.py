"""Form and result in every language: nothing of another language in any state."""

import dataclasses
import re
from typing import Any

import pytest
from flask import render_template, render_template_string

from api.pages.car.form import build_form
from api.pages.car.result import build_result, data_age_warnings
from shared.domain.errors import InvalidInput
from shared.domain.outlook import (
    Comparable,
    Depreciation,
    DepreciationPoint,
    DifferenceReason,
    Pace,
    SimilarityReason,
)
from shared.domain.typical import Difference, MileagePrice, TypicalCar
from shared.domain.valuation import Contribution, Estimate, Explanation
from shared.fields.car import CAR_FIELDS
from shared.fields.requests import load_car_request
from shared.i18n.languages import LANGUAGES
from tests.unit.api.pages.arabic_text import foreign_words
from tests.unit.api.pages.in_language import in_language

SHARES = (0.7, 0.75, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
QUANTILES = tuple(100_000.0 * share for share in SHARES)
CAR = {
    "company": "Dacia", "model": "Logan", "year": "2018", "fuel": "Diesel", "km_driven": "75000",
    "transmission": "Manual", "owner": "First", "condition": "Excellent", "doors": "5",
    "origin": "WW Morocco", "seller_type": "Dealer", "fiscal_power_cv": "6", "torque_nm": "200",
    "engine_cc": "1461", "max_power_bhp": "90", "asking_price_mad": "150000",
}  # fmt: skip
TYPICAL = TypicalCar(
    fuel="Petrol",
    transmission="Automatic",
    km_driven=131_000,
    price_mad=90_000.0,
    differences=(
        Difference("km_driven", 75_000, 131_000, 6_000.0),
        Difference("fuel", "Diesel", "Petrol", 5_000.0),
        Difference("transmission", "Manual", "Automatic", -4_000.0),
        Difference("owner", "First", None, 2_000.0),
        Difference("fiscal_power_cv", 6, None, 1_000.0),
        Difference("condition", "Excellent", None, 100.0),
        Difference("doors", 5, None, -100.0),
    ),
    mileages=tuple(MileagePrice(km, 120_000.0 - km / 10) for km in range(20_000, 180_000, 20_000)),
)
COMPARABLES = tuple(
    Comparable(
        company="dacia", model="logan", year_from=2016, year_to=2018, km_driven=90_000,
        fuel="LPG", transmission="Automatic", price_mad=9e4, listings=count, distance=0.1,
        alike=tuple(SimilarityReason), differs=tuple(DifferenceReason),
    )
    for count in (1, 2, 5, 27, 100)
)  # fmt: skip
DEPRECIATION = Depreciation(
    km_per_year=12_000,
    pace=Pace.OWN,
    points=tuple(
        DepreciationPoint(year, 75_000 + 12_000 * year, 1e5 - 9e3 * year, QUANTILES)
        for year in range(1, 6)
    ),
)
FULL = Estimate(
    price_mad=100_000.0,
    quantiles_mad=QUANTILES,
    model_version="v1",
    model_known=True,
    typical=TYPICAL,
    comparables=COMPARABLES,
    depreciation=DEPRECIATION,
    explanation=Explanation(95_000.0, (Contribution("year", 2018, 5_000.0),), {"year": 2014.0}),
    unpriced=("engine_cc", "torque_nm"),
    extrapolated=("km_driven",),
    unseen=("fuel",),
    width_age_months=20,
    month=24_300,
)
STATES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "full": ({}, {}),
    "judged": ({}, {"extrapolated": ()}),
    "suspicious": ({"asking_price_mad": "20000"}, {"extrapolated": ()}),
    "fair": ({"asking_price_mad": "100000"}, {"extrapolated": ()}),
    "bare": (dict.fromkeys(CAR.keys() - {"company", "model", "year"}, ""), {}),
    "no typical car": ({}, {"typical": None}),
    "corrected": ({"model": "Logna"}, {}),
    "ambiguous": ({"company": "Peugeot", "model": "209"}, {"model_known": False, "typical": None}),
    "unknown brand": (
        {"company": "Zastava", "model": "Yugo"},
        {"model_known": False, "unpriced": ("company",), "typical": None},
    ),
    "market pace": (
        {},
        {"depreciation": dataclasses.replace(DEPRECIATION, pace=Pace.MARKET)},
    ),
}


def result_of(state: str) -> str:
    """The result's part of the page in a state."""
    entered, changes = STATES[state]
    values = {name: value for name, value in (CAR | entered).items() if value}
    estimate = dataclasses.replace(FULL, **changes)
    result = build_result(load_car_request(values), estimate, values)
    result["warnings"] += data_age_warnings("2025-01", estimate)
    return render_template("result.html", result=result, data_as_of="2026", data_age_months=5)


@pytest.mark.parametrize("state", STATES)
def test_an_arabic_result_has_no_word_of_another_language(state: str) -> None:
    with in_language("ar"):
        html = result_of(state)
    assert foreign_words(html, ["Logna", "Peugeot 209", "Zastava Yugo"]) == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", STATES)
def test_a_result_has_no_placeholder_and_nothing_escaped_twice(state: str, language) -> None:
    with in_language(language):
        html = result_of(state)
    assert not re.search(r"&amp;(?:#|\w+;)", html)
    assert not [sign for sign in ("{", "%(", "None", "&lt;") if sign in html]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_interval_and_the_verdict_are_said_in_words(language) -> None:
    with in_language(language):
        html = result_of("judged")
        verdict = build_result(
            load_car_request(CAR), dataclasses.replace(FULL, extrapolated=()), CAR
        )["verdict"]
    assert "<b>" in html.split('class="reading"')[1].split("</p>")[0]
    words = {
        "fr": "de plus que l'estimation",
        "ar": "أعلى من التقدير",
        "en": "more than the estimate",
    }
    assert words[language] in verdict["difference"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_error_is_beside_its_field_in_the_language_of_the_page(language) -> None:
    wrong = CAR | {"model": "", "year": "1890", "doors": "99", "km_driven": "-5"}
    with in_language(language):
        with pytest.raises(InvalidInput) as raised:
            load_car_request(wrong)
        form = build_form(wrong, raised.value.problems)
        html = render_template_string(
            "{% from 'fields.html' import field with context %}"
            "{% for one in form.car + form.version + form.history %}{{ field(one) }}{% endfor %}",
            form=form,
        )
    assert [one["name"] for one in form["errors"]] == ["model", "year", "km_driven", "doors"]
    assert form["details_open"]
    for one in form["errors"]:
        assert f'id="{one["name"]}-error"' in html
        assert one["value"] == wrong[one["name"]]
    if language == "ar":
        names = [
            option["value"] for one in form["car"] + form["version"] for option in one["options"]
        ]
        assert foreign_words(html, [*names, "Corolla"]) == []


def test_every_field_has_a_label_of_its_own_in_every_language() -> None:
    for language in LANGUAGES:
        with in_language(language):
            form = build_form({})
            labels = [one["label"] for one in form["car"] + form["version"] + form["history"]]
        assert len(set(labels)) == len(labels)
        assert labels[0] == CAR_FIELDS["company"].label(language)
