"""Cars without fuel, gearbox or kilometres are priced as mixtures of the cars that are usual."""

import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.listings.table import listing_table
from data.vehicles.columns import CategoricalColumn, CategoryTable, Column
from model_store.explain.contributions import explanation
from model_store.pricing import listing_support
from model_store.pricing.inference import LoadedModel
from model_store.pricing.usual_approximation import reference_km_by_age
from model_store.registry.bundle import load_model
from model_store.registry.manifest import ModelVersion
from model_store.training.missing_fields import evaluate_missing_fields
from shared.domain.car import CATEGORIES, FIELD_NAMES, CarFeatures, Fuel, Transmission
from shared.domain.outlook import Pace, SimilarityReason
from tests.unit.model_store import small_models

COMPLETE = small_models.random_cars(60, seed=8)
FIELDS = ("fuel", "transmission", "km_driven")
COMBINATIONS = [names for count in (1, 2, 3) for names in itertools.combinations(FIELDS, count)]
LOGAN = CarFeatures(
    company="dacia",
    model="logan",
    year=2015,
    fuel=Fuel.DIESEL,
    transmission=Transmission.MANUAL,
    km_driven=150_000,
)
UNKNOWN = dataclasses.replace(LOGAN, company="nobody", model="nothing")


def without(car: CarFeatures, *names: str) -> CarFeatures:
    return dataclasses.replace(car, **dict.fromkeys(names))


LACKING = [
    without(car, *names)
    for car, names in zip([*COMPLETE, UNKNOWN], itertools.cycle(COMBINATIONS), strict=False)
]
MIXED = [car for pair in zip(COMPLETE, LACKING, strict=False) for car in pair]


def as_lists(cars: Sequence[CarFeatures]) -> dict[str, list[Any]]:
    return {name: [getattr(car, name) for car in cars] for name in FIELD_NAMES}


def as_arrays(cars: Sequence[CarFeatures]) -> dict[str, Column]:
    """Codes for texts and numbers with NaN, as batches give them."""
    columns: dict[str, Column] = {}
    for name, values in as_lists(cars).items():
        if name in {*CATEGORIES, "company", "model", "edition", "city"}:
            table = CategoryTable([*sorted(set(values) - {None}), None])
            codes = [table.values.index(value) for value in values]
            columns[name] = CategoricalColumn(table, np.array(codes, dtype=np.int64))
        else:
            columns[name] = np.array(values, dtype=np.float64)
    return columns


def log_width(model: LoadedModel, car: CarFeatures) -> float:
    quantiles = model.quantiles_mad([car])[0]
    return float(np.log(quantiles[-2] / quantiles[1]))


def test_a_car_has_the_same_estimate_alone_and_in_any_group(model: LoadedModel) -> None:
    together = model.estimate(MIXED)
    assert [model.estimate([car])[0] for car in MIXED] == together
    assert model.estimate(MIXED[:31]) + model.estimate(MIXED[31:]) == together


@pytest.mark.parametrize("columns", [as_lists(MIXED), as_arrays(MIXED)], ids=["lists", "arrays"])
def test_columns_are_valued_as_cars_are(model: LoadedModel, columns: dict[str, Column]) -> None:
    table = model.estimate_columns(columns, len(MIXED))
    estimates = model.estimate(MIXED)
    assert [tuple(row) for row in table.quantiles_mad.tolist()] == [
        each.quantiles_mad for each in estimates
    ]
    assert table.model_known.tolist() == [each.model_known for each in estimates]


def test_whether_the_model_is_known_does_not_depend_on_the_group(model: LoadedModel) -> None:
    group = [LACKING[0], without(UNKNOWN, "fuel"), LOGAN, UNKNOWN, *LACKING[:3]]
    known = [estimate.model_known for estimate in model.estimate(group)]
    assert known == [car.company != "nobody" for car in group]


def test_an_absent_column_is_missing_in_every_car(model: LoadedModel) -> None:
    for names in COMBINATIONS:
        kept = {name: cells for name, cells in as_lists(COMPLETE).items() if name not in names}
        expected = model.quantiles_mad([without(car, *names) for car in COMPLETE])
        found = model.estimate_columns(kept, len(COMPLETE)).quantiles_mad
        np.testing.assert_array_equal(found, expected)


def test_complete_cars_keep_their_price_beside_incomplete_ones(model: LoadedModel) -> None:
    beside = model.estimate([*LACKING, *COMPLETE])[len(LACKING) :]
    assert beside == model.estimate(COMPLETE)


def test_the_price_lies_between_those_of_the_cars_that_it_may_be(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apart from the factors of what listings do not cover: a stated value may be such, too."""
    monkeypatch.setattr(listing_support, "EXTRAPOLATION_FACTOR", 1.0)
    monkeypatch.setattr(listing_support, "UNSEEN_FACTOR", 1.0)
    for car in LACKING:
        possible = model.scenario_cars(car)
        assert sum(weight for _, weight in possible) == pytest.approx(1.0)
        quantiles = model.quantiles_mad([one for one, _ in possible])
        found = model.quantiles_mad([car])[0]
        assert (found >= quantiles.min(axis=0) - 0.01).all()
        assert (found <= quantiles.max(axis=0) + 0.01).all()
        assert (np.diff(found) >= 0).all()


def test_the_less_is_known_the_wider_is_the_interval(model: LoadedModel) -> None:
    complete = np.mean([log_width(model, car) for car in COMPLETE])
    for name in ("transmission", "km_driven"):
        one = np.mean([log_width(model, without(car, name)) for car in COMPLETE])
        three = np.mean([log_width(model, without(car, *FIELDS)) for car in COMPLETE])
        assert complete < one < three


def test_the_possible_cars_are_complete_and_keep_what_is_stated(model: LoadedModel) -> None:
    for car in LACKING:
        for one, _ in model.scenario_cars(car):
            assert None not in (one.fuel, one.transmission, one.km_driven)
            assert {**one.to_dict(), **car.to_dict()} == one.to_dict()
    assert model.scenario_cars(LOGAN) == [(LOGAN, 1.0)]


@pytest.mark.parametrize(
    ("changes", "shares"),
    [
        ({}, {"Diesel": 0.74, "Petrol": 0.24}),
        ({"fiscal_power_cv": 6}, {"Diesel": 0.96}),
        ({"fiscal_power_cv": 8}, {"Diesel": 0.06, "Petrol": 0.94}),
        ({"km_driven": 300_000}, {"Diesel": 0.88, "Petrol": 0.12}),
        ({"km_driven": 60_000}, {"Diesel": 0.55, "Petrol": 0.45}),
    ],
)
def test_what_is_stated_changes_the_shares(
    model: LoadedModel, changes: dict[str, Any], shares: dict[str, float]
) -> None:
    car = dataclasses.replace(without(LOGAN, "fuel"), **changes)
    found = {str(one.fuel): weight for one, weight in model.scenario_cars(car)}
    assert found == pytest.approx(found | shares, abs=0.06)
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    ("year", "gearbox"), [(2008, Transmission.MANUAL), (2021, Transmission.AUTOMATIC)]
)
def test_the_shares_are_those_of_the_year_of_registration(
    model: LoadedModel, year: int, gearbox: Transmission
) -> None:
    clio = dataclasses.replace(LOGAN, company="renault", model="clio", year=year)
    possible = model.scenario_cars(without(clio, "fuel", "transmission"))
    assert sum(weight for one, weight in possible if one.transmission is gearbox) > 0.7


def test_the_usual_kilometres_are_those_of_the_age_the_vehicle_and_the_kind(
    model: LoadedModel,
) -> None:
    def km(car: CarFeatures) -> int:
        return model.usual_km(without(car, "km_driven"))

    older = dataclasses.replace(LOGAN, year=2013)
    petrol = dataclasses.replace(LOGAN, fuel=Fuel.PETROL)
    x5 = dataclasses.replace(LOGAN, company="bmw", model="x5", transmission=Transmission.AUTOMATIC)
    # The model quotes the prices of 2026: the Logan is 11 years old.
    assert km(LOGAN) == pytest.approx(170_000 * np.exp(0.1), abs=100)
    assert km(older) == pytest.approx(200_000 * np.exp(0.1), abs=100)
    assert km(petrol) == pytest.approx(170_000 * np.exp(-0.2), abs=100)
    assert km(x5) == pytest.approx(170_000 * np.exp(0.2), abs=100)
    assert model.usual_km(LOGAN) == LOGAN.km_driven
    low, high = (one.km_driven or 0 for one, _ in model.scenario_cars(without(LOGAN, "km_driven")))
    assert high / low == pytest.approx(np.exp(0.8), abs=0.01)


@pytest.mark.parametrize("car", LACKING[:14], ids=range(14))
def test_contributions_of_stated_fields_and_the_base_sum_to_the_price(
    model: LoadedModel, car: CarFeatures
) -> None:
    explanation = model.explain(car)
    total = explanation.base_mad + sum(each.effect_mad for each in explanation.contributions)
    assert total == pytest.approx(model.prices_mad([car])[0], abs=0.005)
    assert all(each.value is not None for each in explanation.contributions)
    assert all(each.value == getattr(car, each.feature) for each in explanation.contributions)


def test_the_effect_of_a_missing_field_is_part_of_the_base() -> None:
    effects = {"year": 0.2, "condition": 0.1, "fuel": -0.3}
    found = explanation(
        without(LOGAN, "fuel"),
        price_mad=round(math.exp(11.0), 2),
        base_log=11.0,
        effects_log=effects,
        known={"year"},
        averages={},
    )
    assert found.base_mad == pytest.approx(math.exp(10.8), abs=0.02)
    (year,) = found.contributions
    assert (year.feature, year.value) == ("year", 2015)
    assert year.effect_mad == pytest.approx(math.exp(11.0) - math.exp(10.8), abs=0.02)


@pytest.mark.parametrize("car", LACKING[:14], ids=range(14))
def test_depreciation_starts_at_the_usual_kilometres_and_never_rises(
    model: LoadedModel, car: CarFeatures
) -> None:
    found = model.depreciation(car)
    assert found.points[0].km_driven == model.usual_km(car) + found.km_per_year
    if car.km_driven is None:
        assert found.pace is Pace.MARKET
    rows = np.array([model.quantiles_mad([car])[0], *(one.quantiles_mad for one in found.points)])
    assert (np.diff(rows, axis=0) <= 0).all()
    assert (np.diff(rows, axis=1) >= 0).all()


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_a_car_with_missing_fields_loses_value_as_the_cars_that_it_may_be(
    model: LoadedModel, names: Sequence[str]
) -> None:
    def kept(car: CarFeatures) -> float:
        return model.depreciation(car).points[2].price_mad / model.prices_mad([car])[0]

    car = without(LOGAN, *names)
    possible = [kept(one) for one, _ in model.scenario_cars(car)]
    assert min(possible) - 0.015 <= kept(car) <= max(possible) + 0.015


def test_a_missing_field_is_no_similarity_and_no_distance(model: LoadedModel) -> None:
    car = without(LOGAN, *FIELDS)
    found = model.comparables(car, model.prices_mad([LOGAN])[0])
    assert found
    assert (found[0].company, found[0].model) == ("dacia", "logan")
    never = {SimilarityReason.FUEL, SimilarityReason.TRANSMISSION, SimilarityReason.KM}
    assert not any(never & set(one.alike) for one in found)

    def nearest(car: CarFeatures) -> float:
        return model.comparables(car, 90_000.0)[0].distance

    hybrid = dataclasses.replace(LOGAN, fuel=Fuel.HYBRID)
    assert nearest(without(LOGAN, "fuel")) <= nearest(LOGAN) < nearest(hybrid)
    assert nearest(without(LOGAN, "transmission")) == pytest.approx(nearest(LOGAN), abs=0.2)


def test_a_model_whose_listings_state_no_kilometres_prices_without_them(
    model: LoadedModel,
) -> None:
    usual = dataclasses.replace(model.usual, km_by_age=(), km_spread=(), km_by_vehicle={})
    ignorant = dataclasses.replace(model, usual=usual)
    car = without(LOGAN, "km_driven")
    assert ignorant.scenario_cars(car) == [(car, 1.0)]
    assert ignorant.estimate([car])[0].price_mad > 0
    assert ignorant.usual_km(car) == pytest.approx(reference_km_by_age()[11], abs=100)
    assert len(ignorant.depreciation(car).points) == 5
    assert ignorant.comparables(car, 90_000.0)
    without_kinds = dataclasses.replace(model, usual=dataclasses.replace(usual, kinds={}))
    assert without_kinds.comparables(LOGAN, 90_000.0)
    both = ignorant.scenario_cars(without(LOGAN, "fuel", "km_driven"))
    assert {one.fuel for one, _ in both} == {Fuel.DIESEL, Fuel.PETROL}


def test_a_model_whose_listings_state_no_kind_prices_without_it(model: LoadedModel) -> None:
    usual = dataclasses.replace(model.usual, kinds={}, powers={})
    ignorant = dataclasses.replace(model, usual=usual)
    car = without(LOGAN, "fuel")
    assert ignorant.scenario_cars(car) == [(car, 1.0)]
    assert ignorant.estimate([car])[0].price_mad > 0


def test_a_version_without_usual_statistics_still_prices(
    versions_path: Path, version: ModelVersion, model: LoadedModel
) -> None:
    folder = versions_path / version.id
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "usual.json").unlink()
    del manifest["files"]["usual.json"]
    manifest["schema_version"] = 4
    manifest["self_test"] = [
        case for case in manifest["self_test"] if {*FIELDS} <= set(case["car"])
    ]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    old = load_model(versions_path, version.id)
    estimates = list(zip(old.estimate(COMPLETE), model.estimate(COMPLETE), strict=True))
    assert [one.price_mad for one, _ in estimates] == [each.price_mad for _, each in estimates]
    # It does not know of which years its listings were.
    assert not any("year" in one.extrapolated for one, _ in estimates)
    covered = [pair for pair in estimates if not pair[1].extrapolated]
    assert covered
    assert all(one == each for one, each in covered)
    assert [one.price_mad > 0 for one in old.estimate(LACKING)] == [True] * len(LACKING)
    assert old.usual_km(without(LOGAN, "km_driven")) == pytest.approx(
        reference_km_by_age()[11], abs=100
    )


def test_an_evaluation_compares_the_coverage_with_and_without_the_fields(
    model: LoadedModel,
) -> None:
    rng = np.random.default_rng(4)
    cars = small_models.random_cars(900, seed=9)
    price = model.quantiles_mad(cars)[:, 4] * np.exp(rng.normal(scale=0.1, size=len(cars)))
    columns = {**as_lists(cars), "price_mad": price.tolist()}
    columns["listing_date"] = ["2026-03"] * len(cars)
    columns["km_driven"][:100] = [None] * 100
    found = evaluate_missing_fields(model, listing_table(columns))
    assert found["rows"] == 800
    assert [case["missing"] for case in found["cases"]] == [[], *map(list, COMBINATIONS)]
    complete, *others = found["cases"]
    assert set(complete["coverage"]) == {"0.5", "0.8", "0.9", "0.95"}
    assert set(complete["difference"].values()) == {0.0}
    assert set(complete["by_price"]) <= set(map(str, range(1, 11)))
    for case in others:
        assert case["median_ape"] > complete["median_ape"]
        expected = 100 * (case["coverage"]["0.9"] - complete["coverage"]["0.9"])
        assert case["difference"]["0.9"] == pytest.approx(expected, abs=0.06)
    none = listing_table({**columns, "fuel": [None] * len(cars)})
    assert evaluate_missing_fields(model, none) == {"rows": 0, "cases": []}
