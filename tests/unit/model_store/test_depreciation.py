"""Depreciation: prices never rise, the curve is smooth, the yearly kilometres are stated."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.market.typical_cars import typical_market
from model_store.pricing.extras.depreciation import depreciation, fit_depreciation_curve
from model_store.pricing.inference import LoadedModel
from model_store.registry.self_test import SELF_TEST_CARS
from shared.domain.car import CarFeatures
from shared.domain.outlook import Depreciation, Pace
from tests.unit.model_store import small_models

MANY = small_models.random_cars(20, seed=3)
YEARS = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
USUAL_KM = typical_market().km_per_year


def aged(model: LoadedModel, car: CarFeatures, years: tuple[int, ...]) -> Depreciation:
    as_of = model.version.data_as_of
    return depreciation(
        car,
        model.scenario_cars(car),
        model.quantiles_of_ages_mad,
        usual_km=model.usual_km(car),
        data_as_of=as_of,
        years=years,
    )


@pytest.mark.parametrize(
    "car", [*SELF_TEST_CARS, *MANY], ids=range(len(SELF_TEST_CARS) + len(MANY))
)
def test_no_price_and_no_end_of_an_interval_ever_rises(
    model: LoadedModel, car: CarFeatures
) -> None:
    curve = model.depreciation(car).points
    (today,) = model.estimate([car])
    assert [point.years for point in curve] == [1, 2, 3, 4, 5]
    rows = np.array([today.quantiles_mad, *(point.quantiles_mad for point in curve)])
    assert (np.diff(rows, axis=0) <= 0).all()
    assert (np.diff(rows, axis=1) >= 0).all(), "quantiles stay in order"
    prices = [today.price_mad, *(point.price_mad for point in curve)]
    assert prices == sorted(prices, reverse=True)


@pytest.mark.parametrize("year", [2017, 2016])
def test_the_interval_of_later_years_is_covered_by_listings_as_todays(
    model: LoadedModel, year: int
) -> None:
    """All listings are of 2014 to 2016: next year's interval was half as wide, or twice."""
    car = dataclasses.replace(MANY[0], company="dacia", model="logan", year=year, km_driven=90_000)
    (today,) = model.estimate([car])
    assert today.extrapolated == (("year",) if year == 2017 else ())
    points = model.depreciation(car).points
    rows = np.array([today.quantiles_mad, *(point.quantiles_mad for point in points)])
    widths = np.log(rows[:, -1] / rows[:, 0])
    assert widths / widths[0] == pytest.approx(1.0, abs=0.25)


def test_the_curve_is_constant_if_older_cars_are_dearer(model: LoadedModel) -> None:
    collectors = dataclasses.replace(model, encoder=small_models.encoder(youth=-9.0))
    car = dataclasses.replace(MANY[0], year=2012, km_driven=0)
    (today,) = collectors.prices_mad([car])
    curve = collectors.depreciation(car).points
    assert [point.price_mad for point in curve] == pytest.approx([today] * 5, abs=0.01)


@pytest.mark.parametrize("km_driven", [150, 2_000_000])
def test_an_unusual_mileage_is_not_extrapolated(model: LoadedModel, km_driven: int) -> None:
    """150 km, of which the answer asks whether they are thousands, were "15 km a year"."""
    car = dataclasses.replace(MANY[0], year=2016, km_driven=km_driven)
    curve = model.depreciation(car)
    assert (curve.km_per_year, curve.pace) == (USUAL_KM, Pace.MARKET)


def test_the_cars_own_yearly_kilometres_are_extrapolated(model: LoadedModel) -> None:
    car = dataclasses.replace(MANY[0], year=2016, km_driven=200_000)
    found = aged(model, car, (1, 3))
    assert (found.pace, found.km_per_year) == (Pace.OWN, 20_000)
    assert [point.km_driven for point in found.points] == [220_000, 260_000]


@pytest.mark.parametrize(
    ("year", "km_driven"),
    [(2026, 10), (2027, 10), (2025, 3 * USUAL_KM + 1)],
    ids=["new", "of next year", "a taxi, or a typing error"],
)
def test_a_new_or_extremely_driven_car_gets_the_yearly_kilometres_of_the_market(
    model: LoadedModel, year: int, km_driven: int
) -> None:
    car = dataclasses.replace(MANY[0], year=year, km_driven=km_driven)
    found = aged(model, car, (2,))
    assert (found.pace, found.km_per_year) == (Pace.MARKET, USUAL_KM)
    assert found.points[0].km_driven == km_driven + 2 * USUAL_KM


def test_a_single_year_has_the_price_of_a_car_that_much_older(model: LoadedModel) -> None:
    car = dataclasses.replace(MANY[0], year=2020, km_driven=60_000)
    older = dataclasses.replace(car, year=2018, km_driven=80_000)
    today, then = (each.price_mad for each in model.estimate([car, older]))
    (point,) = aged(model, car, (2,)).points
    assert point.price_mad == pytest.approx(min(today, then), abs=0.02)


def test_a_smooth_decline_is_unchanged() -> None:
    slowing = 0.2 * YEARS - 0.01 * YEARS**2
    np.testing.assert_allclose(fit_depreciation_curve(YEARS, slowing), slowing)


def test_a_step_to_another_generation_is_spread_over_the_years() -> None:
    found = fit_depreciation_curve(YEARS, np.array([0.05, 0.08, 0.57, 0.58, 0.63]))
    losses = np.diff(found, prepend=0.0)
    assert losses.max() < 0.2
    assert found[-1] == pytest.approx(0.63, abs=0.1)


@settings(deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=5, max_size=5))
def test_the_fitted_curve_never_rises_and_its_losses_never_grow(falls: list[float]) -> None:
    losses = np.diff(fit_depreciation_curve(YEARS, np.array(falls)), prepend=0.0)
    assert (losses >= -1e-9).all()
    assert (np.diff(losses) <= 1e-9).all()
