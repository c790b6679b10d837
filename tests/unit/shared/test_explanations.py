"""Explanations in words: true comparisons, only what was stated, amounts that add up."""

import dataclasses
import doctest
import re

import pytest

from shared.domain.car import CATEGORIES, FIELD_NAMES, CarFeatures, Condition, Fuel, Transmission
from shared.domain.valuation import Contribution, Estimate, Explanation
from shared.i18n.languages import LANGUAGES, Language
from shared.messages import explanations
from shared.messages.explanations import explain_in_words, explanation_lines

PRICE = 151_128.0
CAR = CarFeatures(
    company="toyota",
    model="corolla",
    year=2020,
    fuel=Fuel.PETROL,
    transmission=Transmission.MANUAL,
    km_driven=25_000,
    condition=Condition.VERY_GOOD,
    max_power_bhp=120.0,
)
EFFECTS = {
    "year": 37_800.0, "transmission": -18_140.0, "km_driven": 13_060.0, "company": -4_900.0,
    "fuel": -4_200.0, "model": -3_600.0, "condition": 451.0, "max_power_bhp": -260.0,
}  # fmt: skip
AVERAGES = {"year": 2013.6, "km_driven": 158_400.0}


def texts_of(
    language: Language, car: CarFeatures = CAR, averages: dict[str, float] = AVERAGES, **changes
) -> list[str]:
    effects = EFFECTS | changes
    contributions = tuple(
        Contribution(feature=name, value=getattr(car, name), effect_mad=effect)
        for name, effect in effects.items()
        if effect and getattr(car, name) is not None
    )
    base = PRICE - sum(one.effect_mad for one in contributions)
    explanation = Explanation(base, contributions, averages)
    estimate = Estimate(
        price_mad=PRICE, quantiles_mad=(PRICE,) * 9, model_version="v", model_known=True
    )
    return explain_in_words(estimate, explanation, car, language)


def amounts(texts: list[str]) -> list[int]:
    found = [re.search(r"([+\u2212]?)([\d\u202f,.]+)\u00a0(?:MAD|درهم)$", text) for text in texts]
    return [
        int(re.sub(r"\D", "", one[2])) * (-1 if one[1] == "\u2212" else 1) for one in found if one
    ]


def test_in_french_with_typographic_spaces_and_signs():
    assert texts_of("fr") == [
        (
            "Prix de départ\u202f: une voiture moyenne du marché, habituelle pour ce qui n'est "
            "pas précisé, 130\u202f800\u00a0MAD"
        ),
        ("Année 2020\u202f: plus récente que la moyenne (2014), +37\u202f800\u00a0MAD"),
        ("Boîte de vitesses (manuelle)\u202f: fait baisser le prix, \u221218\u202f100\u00a0MAD"),
        (
            "Kilométrage 25\u202f000\u00a0km\u202f: moins que la moyenne des annonces "
            "(158\u202f000\u00a0km), +13\u202f100\u00a0MAD"
        ),
        "Marque Toyota\u202f: fait baisser le prix, \u22124\u202f900\u00a0MAD",
        "Carburant (essence)\u202f: fait baisser le prix, \u22124\u202f200\u00a0MAD",
        "Modèle Corolla\u202f: fait baisser le prix, \u22123\u202f600\u00a0MAD",
        "Autres caractéristiques (état, puissance réelle)\u202f: +200\u00a0MAD",
        "Prix estimé\u202f: 151\u202f100\u00a0MAD",
    ]


@pytest.mark.parametrize(
    ("edition", "shown"), [("gti", "GTI"), ("gt line", "GT Line"), ("amg line", "AMG Line")]
)
def test_trims_have_their_usual_capitals(edition: str, shown: str):
    car = dataclasses.replace(CAR, edition=edition, city="ait melloul")
    texts = texts_of("fr", car, edition=9_000.0, city=-8_000.0)
    assert any(text.startswith(f"Version {shown}\u202f:") for text in texts)
    assert any(text.startswith("Ville Ait Melloul\u202f:") for text in texts)


def test_in_english():
    texts = texts_of("en")
    start = "Starting price: an average car of the market, usual in what is not stated"
    assert texts[0] == f"{start}, 130,800\u00a0MAD"
    assert texts[1] == (
        "Year of first registration 2020: newer than the average (2014), +37,800\u00a0MAD"
    )
    assert texts[-2:] == [
        "Other features (condition, power): +200\u00a0MAD",
        "Estimated price: 151,100\u00a0MAD",
    ]


def test_in_arabic_with_signs_to_the_left_of_their_numbers():
    texts = texts_of("ar")
    assert texts[0] == (
        "ثمن الانطلاق: سيارة متوسطة في السوق، معتادة في كل ما لم يُذكر، 130.800\u00a0درهم"  # noqa: RUF001
    )
    assert texts[2] == "علبة السرعات (يدوي): يخفض الثمن، \u200e\u221218.100\u00a0درهم"  # noqa: RUF001
    assert texts[3].startswith("المسافة المقطوعة 25.000\u00a0كلم: أقل من متوسط الإعلانات")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("shift", [0.0, 33.0, -49.0, 260.0])
def test_the_rounded_amounts_add_up(language, shift):
    found = amounts(texts_of(language, year=EFFECTS["year"] + shift, fuel=-4_251.0))
    assert sum(found[:-1]) == found[-1] == 151_100


def test_an_effect_against_the_average_is_not_explained_by_it():
    """A car with few kilometres whose kilometres lower the price is not told a wrong reason."""
    (line,) = [text for text in texts_of("fr", km_driven=-900.0) if "Kilométrage" in text]
    assert "moins que" not in line
    assert "fait baisser le prix" in line


def test_an_older_car_with_many_kilometres_is_told_both():
    car = dataclasses.replace(CAR, year=2001, km_driven=310_000)
    texts = " ".join(texts_of("en", car, year=-40_000.0, km_driven=-5_000.0))
    assert "older than the average (2014)" in texts
    assert "more than the average of the listings (158,000\u00a0km)" in texts


def test_an_average_value_is_compared_with_nothing():
    car = dataclasses.replace(CAR, year=2014)
    assert "la moyenne (" not in texts_of("fr", car)[1]


def test_without_averages_the_direction_is_told():
    texts = texts_of("fr", averages={})
    assert texts[1].startswith("Année 2020\u202f: fait monter le prix")


def test_the_start_says_that_it_is_usual_in_what_is_not_stated():
    bare = dataclasses.replace(CAR, fuel=None)
    assert "habituelle pour ce qui n'est pas précisé" in texts_of("fr", bare)[0]
    assert "usual in what is not stated" in texts_of("en", bare)[0]


def test_effects_are_ordered_by_size_and_a_single_small_one_keeps_its_name():
    texts = texts_of("en", condition=0.0)
    assert [abs(one) for one in amounts(texts)[1:-1]] == sorted(
        (abs(one) for one in amounts(texts)[1:-1]), reverse=True
    )
    assert texts[-2] == "Power 120\u00a0bhp: lowers the price, \u2212300\u00a0MAD"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_field_has_a_text_in_both_languages(language, name):
    enum = CATEGORIES.get(name)
    value: str | float = next(iter(enum)) if enum else 12 if name in {"doors", "year"} else "x"
    if name.endswith(("_mpg", "_cc", "_bhp", "_nm", "_cv", "_driven")):
        value = 1234.5
    car = dataclasses.replace(CAR, **{name: value})
    estimate = Estimate(
        price_mad=PRICE, quantiles_mad=(PRICE,) * 9, model_version="v", model_known=True
    )
    given = Explanation(0.0, (Contribution(name, value, 9_000.0),))
    (_, line) = explanation_lines(estimate, given, car, language)
    assert line.amount_mad == 9000
    assert line.text
    assert line.reason


def test_the_examples_hold():
    assert doctest.testmod(explanations).failed == 0
