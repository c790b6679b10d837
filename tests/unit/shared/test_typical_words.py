"""Explanations against the typical car: sentences in three languages, amounts that add up."""

import random

import pytest

from shared.domain.car import CarFeatures
from shared.domain.typical import Difference, MileagePrice, TypicalCar
from shared.domain.valuation import Estimate
from shared.messages.typical import explain_by_typical, typical_in_words

CAR = CarFeatures(company="dacia", model="logan", year=2018, km_driven=75_000)
FIELDS = ("km_driven", "fuel", "condition", "owner", "city", "fiscal_power_cv", "doors", "origin")
VALUES = {
    "km_driven": (75_000, 120_000), "fuel": ("Petrol", "Diesel"), "condition": ("Good", None),
    "owner": ("First", None), "city": ("rabat", None), "fiscal_power_cv": (6, None),
    "doors": (5, None), "origin": ("WW Morocco", None), "transmission": (None, "Manual"),
}  # fmt: skip


def explained(effects: dict[str, float], price_mad: float) -> tuple[Estimate, TypicalCar]:
    estimate = Estimate(
        price_mad=price_mad, quantiles_mad=(1.0,) * 9, model_version="v", model_known=True
    )
    differences = [Difference(name, *VALUES[name], effect) for name, effect in effects.items()]
    typical = TypicalCar(
        fuel="Diesel",
        transmission="Manual",
        km_driven=120_000,
        price_mad=round(price_mad - sum(effects.values()), 2),
        differences=tuple(sorted(differences, key=lambda one: -abs(one.effect_mad))),
    )
    return estimate, typical


def test_the_sentences_name_the_typical_car_the_difference_and_the_price() -> None:
    estimate, typical = explained({"km_driven": 7_923.0, "transmission": -480.0}, 101_240.0)
    assert typical_in_words(estimate, typical, CAR, "en") == [
        "A typical Dacia Logan of 2018: diesel, manual gearbox, 120,000\u00a0km: 93,800\u00a0MAD",
        "with 45,000\u00a0km fewer than usual for a Dacia Logan of 2018: +7,900\u00a0MAD",
        "without a stated gearbox, so the average of the usual ones: \u2212500\u00a0MAD",
        "Estimated price: 101,200\u00a0MAD",
    ]
    french = typical_in_words(estimate, typical, CAR, "fr")
    assert french[1].startswith(
        "avec 45\u202f000\u00a0km de moins que d'habitude pour une Dacia Logan de 2018"
    )
    arabic = typical_in_words(estimate, typical, CAR, "ar")
    assert all(any("\u0600" <= letter <= "\u06ff" for letter in line) for line in arabic)


def test_amounts_add_up_to_the_rounded_price_and_are_near_their_values() -> None:
    draw = random.Random(7)
    for _ in range(500):
        chosen = draw.sample(FIELDS, draw.randrange(len(FIELDS) + 1))
        effects = {name: draw.uniform(-9_000, 9_000) for name in chosen}
        estimate, typical = explained(effects, draw.uniform(20_000, 400_000))
        found = explain_by_typical(estimate, typical, CAR, "en")
        assert found.typical_mad + sum(one.amount_mad for one in found.lines) == found.price_mad
        assert abs(found.price_mad - estimate.price_mad) <= 50
        assert abs(found.typical_mad - typical.price_mad) <= 50 or not effects
        large = [one for one in typical.differences if abs(one.effect_mad) > 2_000]
        for one, line in zip(large, found.lines, strict=False):
            assert abs(line.amount_mad - one.effect_mad) < 200


def test_small_effects_share_a_line() -> None:
    estimate, typical = explained(
        {"km_driven": 9_000.0, "doors": 70.0, "city": 60.0, "origin": -20.0}, 100_000.0
    )
    lines = explain_by_typical(estimate, typical, CAR, "en").lines
    assert len(lines) == 2
    assert lines[1].text == "with other details (doors, city, origin)"


@pytest.mark.parametrize("language", ["fr", "ar", "en"])
def test_every_field_has_words(language) -> None:
    effects = {name: 3_000.0 + place for place, name in enumerate(VALUES)}
    estimate, typical = explained(effects, 150_000.0)
    found = explain_by_typical(estimate, typical, CAR, language)
    texts = [found.typical, *(one.text for one in found.lines)]
    assert len(set(texts)) == len(texts)
    assert not [text for text in texts if "{" in text]


def test_the_wire_form_keeps_everything_and_ignores_what_a_newer_version_adds() -> None:
    _, typical = explained({"km_driven": 7_923.0, "transmission": -480.0}, 101_240.0)
    curve = (MileagePrice(40_000, 1.5), MileagePrice(80_000, 1.0))
    typical = TypicalCar.from_wire(
        [*typical.to_wire()[:5], [[40_000, 1.5, "new"], [80_000, 1.0]], 1]
    )
    assert typical.mileages == curve
    assert TypicalCar.from_wire(typical.to_wire()) == typical
