"""The compiled steps from coded cars to quantiles, compared with the same steps in numpy."""

import numpy as np
import pytest

from data.hedonic.kernels import find_incomplete, impute_parts
from model_store.forest.kernels import lay_out_features, mean_and_std
from model_store.pricing.kernels import (
    interpolate_scales,
    lay_out_quantiles,
    limit_log_prices,
    round_to_cents,
)

CARS = 500
KEYS, NUMBERS, CATEGORIES, PARTS = 5, 4, 3, 6


@pytest.fixture
def draw():
    return np.random.default_rng(7)


def numbers_with_gaps(draw, columns=NUMBERS, low=0.0, high=10.0):
    found = draw.uniform(low, high, (CARS, columns))
    found[draw.random(found.shape) < 0.3] = np.nan
    return found


def test_the_matrix_has_the_picked_columns_and_the_baseline_is_added_up_in_order(draw):
    numbers = numbers_with_gaps(draw)
    categories = draw.integers(-1, 4, (CATEGORIES, CARS)).astype(float).T
    parts = draw.normal(size=(CARS, PARTS))
    picked = np.array([2, 0, 5, -1, 12, 8, 13, 4])
    matrix, level = np.empty((CARS, len(picked)), np.float32), np.empty(CARS, np.int8)
    baseline = np.empty(CARS)
    everywhere = np.array([[-np.inf] * NUMBERS, [np.inf] * NUMBERS])
    codes = draw.integers(1, 3, (KEYS, CARS)).T
    lay_out_features(
        codes, numbers, categories, np.zeros(CARS, np.bool_), parts, 11.5, picked, everywhere,
        np.full(3, np.inf), np.arange(4), np.arange(1, 5), matrix, baseline, level,
    )  # fmt: skip
    expected = np.full(CARS, 11.5)
    for column in range(PARTS):
        expected += parts[:, column]
    assert np.array_equal(baseline, expected)
    known = np.where(np.isnan(numbers), -1.0, numbers)
    every = np.column_stack([known, categories, parts, expected, np.zeros(CARS)])
    assert np.array_equal(matrix, every[:, picked].astype(np.float32))
    assert not level.any()


def test_the_level_of_information_is_the_worst_that_applies(draw):
    numbers = numbers_with_gaps(draw)
    codes = draw.integers(0, 3, (KEYS, CARS)).T
    lacks = draw.random(CARS) < 0.4
    bounds = np.array([[0.5, -np.inf, 0.0, 2.0], [9.0, np.inf, 9.9, 12.0]])
    max_km = np.array([3.0, 9.0, 9.5])
    level = np.empty(CARS, np.int8)
    lay_out_features(
        codes, numbers, np.zeros((CARS, 1)), lacks, np.zeros((CARS, 1)), 0.0, np.array([0]), bounds,
        max_km, np.array([0, 1, 2, 1]), np.array([1, 2, 3, 4]), np.empty((CARS, 1), np.float32),
        np.empty(CARS), level,
    )  # fmt: skip
    outside = ((numbers < bounds[0]) | (numbers > bounds[1])).any(axis=1)
    outside |= numbers[:, 1] > max_km[codes[:, 2]]
    expected = np.where(outside, 2, np.where(lacks, 1, 0))
    unknown = codes[:, 0] == 0
    expected = np.where(unknown, np.where(codes[:, 1] == 0, 4, 3), expected)
    assert np.array_equal(level, expected)
    assert set(expected.tolist()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("knots", [1, 2, 20])
def test_scales_are_interpolated_as_numpy_does(draw, knots):
    at = np.sort(draw.uniform(10.0, 14.0, knots))
    below, above = draw.uniform(0.5, 2.0, (2, 2, knots))
    # At the knots, between them and beyond them.
    mean = np.concatenate([at, draw.uniform(9.0, 15.0, CARS)])
    std, factor = draw.uniform(0.0, 0.2, (2, len(mean)))
    is_young = draw.random(len(mean)) < 0.5
    lower, upper = np.empty(len(mean)), np.empty(len(mean))
    interpolate_scales(mean, std, factor, 0.02, at, is_young, below, above, lower, upper)
    spread = np.maximum(std, 0.02) * factor
    for found, tables in ((lower, below), (upper, above)):
        old, young = (np.interp(mean, at, table) for table in tables)
        np.testing.assert_allclose(found, spread * np.where(is_young, young, old), rtol=1e-14)


def test_quantiles_lie_on_either_side_of_the_shifted_estimate(draw):
    level = draw.integers(0, 5, CARS).astype(np.int8)
    mean, below, above = draw.uniform(0.1, 1.0, (3, CARS))
    factors = np.sort(draw.normal(size=(5, 9)), axis=1)
    found = np.empty((CARS, 9))
    lay_out_quantiles(level, mean, below, above, factors, 4, 0.25, found)
    expected = factors[level]
    expected[:, :4] *= below[:, None]
    expected[:, 4:] *= above[:, None]
    assert np.array_equal(found, (mean + 0.25)[:, None] + expected)


def test_prices_are_limited_and_rounded_as_numpy_does(draw):
    prices = draw.uniform(-2.0, 22.0, (CARS, 9))
    expected = np.clip(prices, 0.0, 20.0)
    limit_log_prices(prices, 20.0)
    assert np.array_equal(prices, expected)
    prices = np.concatenate([np.exp(prices), [[0.125, 0.375, 2.675, 1.005, 5e8, 0, 0, 0, 0]]])
    expected = prices.round(2)
    round_to_cents(prices)
    assert np.array_equal(prices, expected)


def test_what_is_not_a_number_does_not_become_a_price():
    prices = np.full((1, 9), np.nan)
    limit_log_prices(prices, 20.0)
    round_to_cents(prices)
    assert np.isnan(prices).all()


def test_incomplete_cars_are_found_if_they_can_be_completed(draw):
    categories = draw.integers(-1, 2, (3, CARS)).astype(float).T
    numbers = numbers_with_gaps(draw)
    kind = (categories[:, [2, 0]] == -1.0).any(axis=1)
    km = np.isnan(numbers[:, 1])
    lacks_kind, lacks_km = np.empty(CARS, np.bool_), np.empty(CARS, np.bool_)

    def find(*, knows_kinds, knows_km):
        places = np.array([2, 0, 1])
        return find_incomplete(
            categories, numbers, places, knows_kinds, knows_km, lacks_kind, lacks_km
        )

    assert find(knows_kinds=True, knows_km=True)
    assert np.array_equal(lacks_kind, kind)
    assert np.array_equal(lacks_km, km)
    assert find(knows_kinds=False, knows_km=True)
    assert not lacks_kind.any()
    assert np.array_equal(lacks_km, km)
    assert not find(knows_kinds=False, knows_km=False)


def test_missing_fields_get_the_imputed_effect_of_vehicle_and_fuel_or_of_the_company(draw):
    fuels, vehicles, companies = 3, 4, 5
    codes = np.stack([draw.integers(0, n, CARS) for n in (vehicles, fuels, companies, 2)], axis=1)
    numbers = numbers_with_gaps(draw)
    has_words = draw.random(CARS) < 0.5
    values = draw.normal(size=(vehicles * fuels + companies, 3))
    parts = draw.normal(size=(CARS, PARTS))
    columns, sources = np.array([4, 0, 2]), np.array([1, NUMBERS + 3, -1])
    rows = np.where(
        codes[:, 0] > 0, codes[:, 0] * fuels + codes[:, 1], vehicles * fuels + codes[:, 2]
    )
    missing = np.stack([np.isnan(numbers[:, 1]), codes[:, 3] == 0, ~has_words], axis=1)
    expected = parts.copy()
    expected[:, columns] = np.where(missing, values[rows], parts[:, columns])
    places = np.array([0, 1, 2, fuels, vehicles * fuels])
    impute_parts(codes, numbers, has_words, places, sources, values, columns, parts)
    assert np.array_equal(parts, expected)


def test_the_deviation_of_equal_leaves_is_zero_and_never_imaginary(draw):
    sums = draw.uniform(0.0, 3.0, (CARS, 2))
    sums[0] = 0.3 * 200, 0.09 * 200 - 1e-14
    mean, std = np.empty(CARS), np.empty(CARS)
    mean_and_std(sums, 200, mean, std)
    first, second = (sums / 200).T
    assert np.array_equal(mean, first)
    assert np.array_equal(std, np.sqrt(np.maximum(second - first * first, 0.0)))
    assert std[0] == 0.0
