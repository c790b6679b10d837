"""Comparables are typical cars of the reference market whose model is known, never listings."""

import dataclasses

import pytest

from data.market.typical_cars import MIN_LISTINGS, typical_market
from model_store.pricing.comparables import MAX_COMPARABLES, MAX_DISTANCE, MAX_PER_MODEL
from model_store.pricing.inference import LoadedModel
from shared.domain.car import CarFeatures, Fuel, Transmission
from shared.domain.outlook import SimilarityReason
from tests.unit.model_store import small_models

CLIO = CarFeatures(
    company="renault",
    model="clio",
    year=2018,
    fuel=Fuel.DIESEL,
    transmission=Transmission.MANUAL,
    km_driven=120_000,
)


def found_for(model: LoadedModel, car: CarFeatures):
    (price,) = model.prices_mad([car])
    return model.comparables(car, price)


def test_every_typical_car_is_based_on_ten_listings_or_more() -> None:
    cars = typical_market().cars
    assert len(cars) > 500
    assert min(one.listings for one in cars) >= MIN_LISTINGS
    assert all(one.year_from <= one.car.year <= one.year_to for one in cars)
    assert 10_000 < typical_market().km_per_year < 30_000


def test_comparables_are_sorted_by_distance_and_give_their_similarities(model: LoadedModel) -> None:
    found = found_for(model, CLIO)
    assert 1 <= len(found) <= MAX_COMPARABLES
    assert (found[0].company, found[0].model) == ("renault", "clio")
    assert SimilarityReason.MODEL in found[0].alike
    distances = [one.distance for one in found]
    assert distances == sorted(distances)
    assert distances[-1] <= MAX_DISTANCE


@pytest.mark.parametrize("car", small_models.random_cars(15, seed=5), ids=range(15))
def test_typical_cars_are_those_that_the_model_knows(model: LoadedModel, car: CarFeatures) -> None:
    found = found_for(model, car)
    names = [f"{one.company}|{one.model}" for one in found]
    assert set(names) <= set(small_models.VEHICLES)
    assert all(names.count(name) <= MAX_PER_MODEL for name in names)


def test_a_typical_car_has_the_price_that_the_model_predicts(model: LoadedModel) -> None:
    found = found_for(model, CLIO)[0]
    typical = next(
        one.car
        for one in typical_market().cars
        if (one.car.model, one.year_from) == (found.model, found.year_from)
    )
    assert found.price_mad == model.prices_mad([typical])[0]


def test_another_spelling_of_the_model_is_the_same_model(model: LoadedModel) -> None:
    found = found_for(model, dataclasses.replace(CLIO, model="clio 4 intens"))
    assert SimilarityReason.MODEL in found[0].alike


def test_a_car_far_from_all_typical_cars_has_no_comparables(model: LoadedModel) -> None:
    assert model.comparables(dataclasses.replace(CLIO, year=1990), 5e7) == ()
