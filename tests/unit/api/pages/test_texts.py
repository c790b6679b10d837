"""Texts and drawing of the pages, from plain values."""

import dataclasses
import doctest
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from api.pages import typography
from api.pages.car.form import (
    CAR,
    OMITTED_FIELDS,
    build_form,
    example_values,
    form_values,
)
from api.pages.car.result import build_result
from shared.domain.car import CATEGORIES
from shared.domain.errors import InvalidInput
from shared.domain.valuation import Contribution, Estimate, Explanation, VerdictPosition
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.category import Category
from shared.fields.requests import load_car_request
from shared.fields.spellings import FRENCH_CHOICES
from tests.unit.api.pages.in_language import in_language

PRICE = 187_342.18
SHARES = (0.7, 0.75, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
ESTIMATE = Estimate(
    price_mad=PRICE,
    quantiles_mad=tuple(PRICE * share for share in SHARES),
    model_version="v1",
    model_known=True,
)


@pytest.fixture(autouse=True)
def french():
    """The texts are those of a French page."""
    with in_language("fr"):
        yield


def show(asking_price_mad: float | None = None, estimate: Estimate = ESTIMATE) -> dict[str, Any]:
    """The result for the example car."""
    values = example_values() | {"asking_price_mad": str(asking_price_mad or "")}
    return build_result(load_car_request(values), estimate, values)


def test_the_examples_in_the_french_texts_hold():
    assert doctest.testmod(typography).failed == 0


def test_every_category_value_has_a_french_name():
    named = {value for enum in CATEGORIES.values() for value in enum}
    assert set(FRENCH_CHOICES) == named


def test_every_french_name_is_read_as_its_value():
    """Messages name them as what to write."""
    for field in CAR_FIELDS.values():
        if isinstance(field, Category):
            assert [field.member(FRENCH_CHOICES[each]) for each in field.choices] == field.choices


def test_every_field_of_a_car_is_on_the_form_once():
    form = build_form({})
    groups = (form["car"], [form["asking_price"]], form["version"], form["history"])
    names = [field["name"] for group in groups for field in group]
    assert sorted(names) == sorted(CAR_FIELDS.keys() - OMITTED_FIELDS)


def test_the_required_fields_come_first():
    required = {name for name, field in CAR_FIELDS.items() if field.required}
    assert set(CAR[: len(required)]) == required
    fields = {field["name"]: field["required"] for field in build_form({})["car"]}
    assert {name for name, is_required in fields.items() if is_required} == required


def test_fuel_and_gearbox_may_be_unknown():
    fields = {field["name"]: field for field in build_form({})["car"]}
    assert {fields[name]["no_choice"] for name in ("fuel", "transmission")} == {"Je ne sais pas"}
    assert "vide" in fields["km_driven"]["hint"]


def test_the_example_is_accepted_as_it_is_written():
    request = load_car_request(example_values())
    assert (request.car.km_driven, request.car.engine_cc) == (25_000, 1600)


def test_a_stored_request_can_be_typed_again():
    request = load_car_request(example_values() | {"company": "VW", "model": "Golf 7"})
    assert load_car_request(form_values(request)).car == request.car


def test_a_blank_required_field_is_asked_for_by_name():
    with pytest.raises(InvalidInput) as raised:
        load_car_request({**example_values(), "model": ""})
    (wrong,) = build_form({}, raised.value.problems)["errors"]
    assert (wrong["name"], wrong["error"]) == (
        "model", "Indiquez le modèle, par exemple Corolla.",
    )  # fmt: skip


def test_a_field_is_described_by_its_hint_and_its_error():
    with pytest.raises(InvalidInput) as raised:
        load_car_request({**example_values(), "year": "1890"})
    year = build_form({"year": "1890"}, raised.value.problems)["errors"][0]
    assert year["described_by"] == "year-hint year-error"
    assert year["value"] == "1890"


def test_an_error_among_the_folded_details_unfolds_them():
    with pytest.raises(InvalidInput) as raised:
        load_car_request({**example_values(), "doors": "40"})
    assert build_form({}, raised.value.problems)["details_open"]
    assert not build_form({"doors": "5"})["details_open"]


def test_a_category_in_any_spelling_selects_its_choice():
    fuel = next(field for field in build_form({"fuel": "gasoil"})["car"] if field["name"] == "fuel")
    assert [choice["label"] for choice in fuel["choices"] if choice["selected"]] == ["Diesel"]


def test_the_price_is_rounded_and_grouped():
    shown = show()
    assert shown["price"] == "187\u202f300"
    assert shown["centimes"] == "18,7 millions de centimes"
    assert (shown["low"], shown["high"]) == ("140\u202f500", "243\u202f500")


@pytest.mark.parametrize("asking", [None, 500, 150_000, 187_000, 250_000, 100_000_000])
def test_the_drawing_stays_inside_and_in_order(asking: float | None):
    drawing = show(asking)["drawing"]
    ends = [
        drawing["low"],
        drawing["fair_low"],
        drawing["price"],
        drawing["fair_high"],
        drawing["high"],
    ]
    assert ends == sorted(ends)
    assert ends[0] > 0
    assert ends[-1] < 100
    assert ends[-1] - ends[0] > 50, "an asking price far off must not squeeze the interval"
    assert asking is None or 0 < drawing["asking"] < 100


@pytest.mark.parametrize(
    ("asking", "position", "said"),
    [
        (150_000, VerdictPosition.BELOW, "de moins que l'estimation (\u221220\u202f%)"),
        (187_300, VerdictPosition.FAIR, "au niveau de l'estimation"),
        (230_000, VerdictPosition.ABOVE, "de plus que l'estimation (+23\u202f%)"),
    ],
)
def test_an_asking_price_gets_a_verdict(asking: float, position: VerdictPosition, said: str):
    verdict = show(asking)["verdict"]
    assert verdict is not None
    assert verdict["position"] == position.replace("_", "-")
    assert said in verdict["difference"]


def test_a_price_below_nearly_all_others_is_called_suspicious():
    cheap, usual = show(100_000)["verdict"], show(160_000)["verdict"]
    assert cheap
    assert usual
    assert cheap["is_suspicious"]
    assert "Presque toutes" in cheap["percentile"]
    assert not usual["is_suspicious"]


def test_the_explanation_adds_up_to_the_price_and_its_bars_stay_inside():
    effects = {"year": 9000.0, "company": -8000.0, "km_driven": 7049.0, "doors": 49.0}
    values = {"year": 2020, "company": "toyota", "km_driven": 25_000, "doors": 5}
    estimate = dataclasses.replace(
        ESTIMATE,
        explanation=Explanation(
            base_mad=PRICE - sum(effects.values()),
            contributions=tuple(
                Contribution(feature=name, value=values[name], effect_mad=effect)
                for name, effect in effects.items()
            ),
        ),
    )
    shown = show(estimate=estimate)["explanation"]
    assert [one["amount"] for one in shown["effects"]] == [
        "+9\u202f000\u00a0MAD", "\u22128\u202f000\u00a0MAD", "+7\u202f000\u00a0MAD",
    ]  # fmt: skip
    assert shown["base_price"] == "179\u202f300\u00a0MAD"
    bars = shown["effects"]
    assert all(one["start"] >= 0 and one["start"] + one["width"] <= 100 for one in bars)


def test_ignored_values_are_named():
    values = example_values() | {"owner": "pirate", "couleur": "rouge"}
    shown = build_result(load_car_request(values), ESTIMATE, values)
    assert [text.split("\u00a0")[0] for text in shown["warnings"]] == ["couleur", "Main"]


def read(company: str, model: str, *, known: bool = True, **changes: str) -> dict[str, Any]:
    """The result for a car with these names, which the model of prices knows or not."""
    values = example_values() | {"company": company, "model": model} | changes
    values = {name: text for name, text in values.items() if text}
    estimate = dataclasses.replace(ESTIMATE, model_known=known)
    return build_result(load_car_request(values), estimate, values)


def test_exact_names_are_shown_in_their_usual_spelling_without_a_remark():
    shown = read("mercedes benz", "CLASSE A")
    assert shown["car"] == "Mercedes-Benz Classe A 2020"
    assert (shown["reading"]["text"], shown["reading"]["suggestions"]) == ("", [])


def test_another_usual_name_is_said_without_alarm():
    reading = read("VW", "Passat")["reading"]
    assert reading["text"] == "Lu comme Volkswagen Passat."
    assert reading["is_certain"]


def test_a_corrected_name_is_said_with_what_was_typed():
    shown = read("Hyundai", "Tucsson")
    assert shown["car"] == "Hyundai Tucson 2020"
    assert shown["reading"]["text"] == "Lu comme Hyundai Tucson au lieu de « Hyundai Tucsson »."
    assert not shown["reading"]["is_certain"]
    assert shown["warnings"] == [], "said once"


def test_an_uncertain_model_is_said_with_links_that_keep_everything_else():
    values = {"city": "Salé & Rabat", "km_driven": "33 000", "asking_price_mad": "99 000"}
    shown = read("Peugeot", "209", known=False, **values)
    reading = shown["reading"]
    assert reading["match"] == "ambiguous"
    assert "Modèle incertain" in reading["text"]
    assert 1 <= len(reading["suggestions"]) <= 3
    for one in reading["suggestions"]:
        query = dict(parse_qsl(urlsplit(one["address"]).query))
        assert (query["company"], query["model"]) == ("Peugeot", one["name"])
        assert query["model"] != "209"
        assert query.items() >= (values | {"year": "2020", "fuel": "Petrol"}).items()


def test_a_name_of_which_a_part_is_priced_is_not_called_unpriced():
    reading = read("Skoda", "Octavia 8")["reading"]
    assert reading["match"] == "ambiguous"
    assert "« Skoda Octavia 8 » est estimé comme Skoda Octavia," in reading["text"]
    assert "plus large" not in reading["text"]


def test_a_suggestion_of_another_brand_names_it():
    reading = read("Renault", "Dacia Sandero", known=False)["reading"]
    assert "Dacia Sandero" in [one["name"] for one in reading["suggestions"]]


def test_an_unknown_name_stays_as_typed():
    shown = read("Zastava", "Yugo 45 É", known=False)
    assert shown["car"] == "Zastava Yugo 45 É 2020"


def test_a_name_that_only_the_model_knows_is_exact():
    assert read("Zastava", "Yugo")["reading"]["match"] == "exact"


def test_missing_fields_are_said_in_the_facts_and_in_one_sentence():
    shown = read("Kia", "Rio", fuel="", transmission="", km_driven="")
    assert shown["facts"] == "Carburant non indiqué · Boîte non indiquée · Kilométrage non indiqué"
    assert shown["missing"].startswith(
        "Sans le carburant, la boîte de vitesses et le kilométrage, le prix est une moyenne"
    )
    assert shown["warnings"] == []
    assert read("Kia", "Rio", fuel="")["missing"].startswith("Sans le carburant, le prix")
    assert read("Kia", "Rio")["missing"] == ""


def test_the_other_facts_are_shown_as_they_were_read():
    facts = read("Kia", "Rio", engine_cc="1,4", max_power_bhp="100", owner="1ère main")[
        "other_facts"
    ]
    assert "Cylindrée\u00a0: 1\u202f400\u00a0cm³" in facts
    assert "Puissance réelle\u00a0: 100\u00a0ch" in facts


def test_a_request_with_a_corrected_name_is_shown_as_it_was_typed():
    values = example_values() | {"company": "Hyundai", "model": "Tucsson"}
    request = load_car_request(values)
    assert form_values(request)["model"] == "Tucsson"
    assert load_car_request(form_values(request)).car == request.car
