"""Comparables are typical cars of the reference market whose model is known, never listings."""

import dataclasses

import numpy as np
import pytest

from data.market.typical_cars import MAX_YEAR_SPAN, MIN_LISTINGS, TypicalCar, typical_market
from model_store.pricing.extras.comparables import (
    MAX_COMPARABLES,
    MAX_DISTANCE,
    MAX_OF_MODEL,
    NEAR_KM,
    NEAR_KM_SHARE,
    nearest_comparables,
)
from model_store.pricing.inference import LoadedModel
from model_store.pricing.typical_cars import MIN_KIND_SHARE, TypicalCarTable
from model_store.pricing.usual_cars import KINDS
from shared.domain.car import CarFeatures, Fuel, Transmission
from shared.domain.outlook import DifferenceReason, SimilarityReason
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


def test_every_fuel_and_gearbox_of_a_model_that_has_ten_listings_is_a_version() -> None:
    of_clio = {
        (one.car.fuel, one.car.transmission)
        for one in typical_market().cars
        if (one.car.company, one.car.model) == ("renault", "clio")
    }
    assert len(of_clio) >= 3
    assert all(one.car.fuel and one.car.transmission for one in typical_market().cars)


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
    own = f"{car.company}|{car.model}"
    assert names.count(own) <= MAX_OF_MODEL
    assert all(names.count(name) == 1 for name in names if name != own)


@pytest.mark.parametrize("km_driven", [20_000, 120_000, 280_000])
@pytest.mark.parametrize(("fuel", "gearbox"), [
    (Fuel.PETROL, Transmission.MANUAL),
    (Fuel.DIESEL, Transmission.MANUAL),
    (Fuel.DIESEL, Transmission.AUTOMATIC),
])  # fmt: skip
def test_comparables_have_the_fuel_and_gearbox_or_say_that_they_differ(
    model: LoadedModel, fuel: Fuel, gearbox: Transmission, km_driven: int
) -> None:
    """An older version of this car was shown diesels with three times its kilometres."""
    car = dataclasses.replace(CLIO, fuel=fuel, transmission=gearbox, km_driven=km_driven)
    found = found_for(model, car)
    assert found or km_driven == 20_000, "this model has seen no such car with few kilometres"
    for one in found:
        assert (one.fuel != fuel) == (DifferenceReason.FUEL in one.differs)
        assert (one.transmission != gearbox) == (DifferenceReason.TRANSMISSION in one.differs)
        is_own_kind = (one.fuel, one.transmission) == (fuel, gearbox)
        assert is_own_kind or (one.company, one.model) == ("renault", "clio")
        more = one.km_driven - km_driven
        is_far = abs(more) > NEAR_KM + NEAR_KM_SHARE * km_driven
        assert (DifferenceReason.MORE_KM in one.differs) == (is_far and more > 0)
        assert (DifferenceReason.FEWER_KM in one.differs) == (is_far and more < 0)
        assert (SimilarityReason.KM in one.alike) != is_far


def table_of(*cars: CarFeatures, price_mad: float = 100_000.0) -> TypicalCarTable:
    """Typical cars with only their own kilometres, all at one price."""
    companies = {name: code for code, name in enumerate(sorted({one.company for one in cars}))}
    vehicles = sorted({(one.company, one.model) for one in cars})
    fuels, gearboxes = list(Fuel), list(Transmission)
    return TypicalCarTable(
        cars=[
            TypicalCar(car=one, year_from=one.year, year_to=one.year, listings=10) for one in cars
        ],
        vehicle_code_of=lambda car: 1 + vehicles.index((car.company, car.model)),
        vehicle=np.array([1 + vehicles.index((one.company, one.model)) for one in cars]),
        company=np.array([companies[one.company] for one in cars]),
        companies=companies,
        kind=np.array(
            [
                (fuels.index(one.fuel or Fuel.DIESEL), gearboxes.index(one.transmission))
                for one in cars
                if one.transmission
            ]
        ),
        year=np.array([float(one.year) for one in cars]),
        power=np.full(len(cars), np.nan),
        km=np.array([[float(one.km_driven or 0)] for one in cars]),
        log_price=np.full((len(cars), 1), np.log(price_mad)),
    )


def test_another_fuel_or_gearbox_is_shown_of_the_same_model_only_and_named() -> None:
    car = dataclasses.replace(CLIO, fuel=Fuel.PETROL, km_driven=25_000)
    diesel = dataclasses.replace(car, fuel=Fuel.DIESEL, km_driven=45_000)
    corsa = dataclasses.replace(car, company="opel", model="corsa")
    automatic = dataclasses.replace(corsa, model="astra", transmission=Transmission.AUTOMATIC)
    older = dataclasses.replace(corsa, model="adam", year=2016)
    table = table_of(diesel, car, corsa, automatic)
    found = nearest_comparables(table, car, 100_000.0, usual_km=0)
    assert [(one.model, one.fuel) for one in found] == [
        ("clio", "Petrol"), ("corsa", "Petrol"), ("clio", "Diesel"),
    ]  # fmt: skip
    assert [one.differs for one in found] == [
        (), (), (DifferenceReason.FUEL, DifferenceReason.MORE_KM),
    ]  # fmt: skip
    enough = nearest_comparables(table_of(diesel, car, corsa, older), car, 100_000.0, usual_km=0)
    assert [one.model for one in enough] == ["clio", "corsa", "adam"]


def test_the_cars_own_model_is_shown_with_another_fuel_if_it_has_none_with_the_same() -> None:
    car = dataclasses.replace(CLIO, fuel=Fuel.PETROL)
    others = [
        dataclasses.replace(car, company="opel", model=name)
        for name in ("corsa", "astra", "adam", "mokka", "insignia")
    ]
    table = table_of(CLIO, *others)
    found = nearest_comparables(table, car, 100_000.0, usual_km=0)
    assert len(found) == MAX_COMPARABLES
    assert (found[-1].model, found[-1].differs) == ("clio", (DifferenceReason.FUEL,))


def test_of_a_missing_fuel_or_gearbox_those_that_the_car_may_have_are_nearer() -> None:
    """A petrol car that did not state its fuel was shown diesels: their models usually are."""
    bare = dataclasses.replace(CLIO, fuel=None, transmission=None)
    diesel = dataclasses.replace(CLIO, company="opel", model="corsa")
    petrol = dataclasses.replace(diesel, model="astra", year=2017, fuel=Fuel.PETROL)
    old = dataclasses.replace(CLIO, year=2005)
    table = table_of(diesel, petrol, old)
    for fuel, expected in ((Fuel.PETROL, ["astra"]), (Fuel.DIESEL, ["corsa"])):
        kinds = {(fuel, Transmission.MANUAL): 1.0}
        found = nearest_comparables(table, bare, 100_000.0, usual_km=120_000, usual_kinds=kinds)
        assert [one.model for one in found] == expected
    both = {(None, Transmission.MANUAL): 1.0}
    found = nearest_comparables(table, bare, 100_000.0, usual_km=120_000, usual_kinds=both)
    assert len(found) == 2


def test_a_model_that_is_seldom_listed_has_typical_cars_of_a_few_years() -> None:
    """No year has ten Giulias or X6, but a few years together have."""
    spans = [one.year_to - one.year_from for one in typical_market().cars]
    assert max(spans) < MAX_YEAR_SPAN
    for name in ("giulia", "x6"):
        found = {
            (one.year_from, one.year_to) for one in typical_market().cars if one.car.model == name
        }
        assert found, name
        assert all(first < last for first, last in found)


def test_dearer_cheaper_older_and_newer_cars_are_named() -> None:
    old = dataclasses.replace(CLIO, year=CLIO.year - 3)
    (one,) = nearest_comparables(table_of(old), CLIO, 120_000.0, usual_km=0)
    assert one.differs == (DifferenceReason.OLDER, DifferenceReason.CHEAPER)
    new = dataclasses.replace(CLIO, year=CLIO.year + 3, km_driven=90_000)
    (one,) = nearest_comparables(table_of(new), CLIO, 85_000.0, usual_km=0)
    assert one.differs == (
        DifferenceReason.NEWER, DifferenceReason.FEWER_KM, DifferenceReason.DEARER,
    )  # fmt: skip


def test_the_kilometres_are_the_usual_ones_that_are_nearest_to_the_cars(
    model: LoadedModel,
) -> None:
    few, many = (
        found_for(model, dataclasses.replace(CLIO, km_driven=km))[0] for km in (30_000, 260_000)
    )
    assert few.km_driven < 120_000 < many.km_driven


def test_a_version_that_is_rare_in_the_cars_year_is_not_shown(model: LoadedModel) -> None:
    usual = model._scenarios.usual
    for one in model._typical_table.cars:
        car = CarFeatures(company=one.car.company, model=one.car.model, year=one.car.year)
        coded = model.encoder.code([car]).cars
        shares = usual.shares(coded, np.ones((1, len(KINDS)), dtype=np.bool_))
        kind = KINDS.index((str(one.car.fuel), str(one.car.transmission)))
        assert shares[0, kind] >= MIN_KIND_SHARE


def test_a_missing_field_is_neither_alike_nor_different(model: LoadedModel) -> None:
    bare = dataclasses.replace(CLIO, fuel=None, transmission=None, km_driven=None)
    about = {DifferenceReason.FUEL, DifferenceReason.TRANSMISSION, DifferenceReason.MORE_KM}
    for one in found_for(model, bare):
        assert not about & set(one.differs)
        assert SimilarityReason.FUEL not in one.alike


def test_a_typical_car_has_the_price_that_the_model_predicts(model: LoadedModel) -> None:
    for found in found_for(model, CLIO):
        typical = next(
            one.car
            for one in typical_market().cars
            if (one.car.company, one.car.model, one.year_from, one.car.fuel, one.car.transmission)
            == (found.company, found.model, found.year_from, found.fuel, found.transmission)
        )
        car = dataclasses.replace(typical, km_driven=found.km_driven)
        assert found.price_mad == model.prices_mad([car])[0]


def test_another_spelling_of_the_model_is_the_same_model(model: LoadedModel) -> None:
    found = found_for(model, dataclasses.replace(CLIO, model="clio 4 intens"))
    assert SimilarityReason.MODEL in found[0].alike


def test_a_car_far_from_all_typical_cars_has_no_comparables(model: LoadedModel) -> None:
    assert model.comparables(dataclasses.replace(CLIO, year=1990), 5e7) == ()
