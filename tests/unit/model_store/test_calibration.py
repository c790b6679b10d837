"""Calibration: intervals have their nominal coverage on cars from the same market."""

import json

import numpy as np
import pytest

from benchmarks.quality.figures import coverage_by_decile
from model_store.pricing.calibration import IntervalCalibration
from model_store.pricing.conformal import MEDIAN_INDEX
from model_store.pricing.feature_matrix import (
    COMPLETE,
    INCOMPLETE,
    OUT_OF_RANGE,
    UNKNOWN_BRAND,
    UNKNOWN_MODEL,
)
from shared.domain.valuation import QUANTILE_LEVELS

ROWS = 20_000
MIDDLE, DEVIATION, ORDINARY = np.array([11.8]), np.array([0.15]), np.array([0.0])
CALIBRATED = (COMPLETE, INCOMPLETE, UNKNOWN_MODEL, UNKNOWN_BRAND)
"""Levels whose quantiles are estimated; `OUT_OF_RANGE` has a fixed factor."""


def sample(
    seed: int,
) -> tuple[
    np.ndarray[tuple[int], np.dtype[np.int8]],
    np.ndarray[tuple[int], np.dtype[np.float64]],
    np.ndarray[tuple[int], np.dtype[np.float64]],
    np.ndarray[tuple[int], np.dtype[np.float64]],
    np.ndarray[tuple[int], np.dtype[np.float64]],
]:
    """Levels, means, deviations, difficulties and real prices, which stray as far as all of them
    but the mean say; a higher level a bit further."""
    rng = np.random.default_rng(seed)
    level = rng.choice(CALIBRATED, ROWS).astype(np.int8)
    mean = rng.normal(11.8, 0.7, ROWS)
    std = rng.uniform(0.05, 0.3, ROWS)
    difficulty = rng.normal(-0.3, 0.4, ROWS)
    strayed = std * np.exp(difficulty) * (1 + 0.3 * level) * rng.standard_t(5, ROWS)
    return level, mean, std, difficulty, mean + strayed


@pytest.fixture(scope="module")
def calibration() -> IntervalCalibration:
    return IntervalCalibration.fit(*sample(1))


@pytest.mark.parametrize(("low", "high"), [(0, -1), (1, -2), (2, -3), (3, -4)])
def test_every_interval_covers_its_share_at_every_level(
    calibration: IntervalCalibration, low: int, high: int
) -> None:
    level, mean, std, difficulty, actual = sample(2)
    quantiles = calibration.quantiles_log(level, mean, std, difficulty)
    inside = (actual >= quantiles[:, low]) & (actual <= quantiles[:, high])
    promised = QUANTILE_LEVELS[high] - QUANTILE_LEVELS[low]
    for wanted in CALIBRATED:
        assert inside[level == wanted].mean() == pytest.approx(promised, abs=0.025)


def test_quantiles_do_not_decrease_and_the_median_is_the_point_estimate(
    calibration: IntervalCalibration,
) -> None:
    level, mean, std, difficulty, _ = sample(3)
    quantiles = calibration.quantiles_log(level, mean, std, difficulty)
    assert quantiles.shape == (ROWS, len(QUANTILE_LEVELS))
    assert (np.diff(quantiles, axis=1) >= 0).all()
    np.testing.assert_array_equal(quantiles[:, MEDIAN_INDEX], mean)


def test_a_standard_deviation_of_zero_still_gives_an_interval(
    calibration: IntervalCalibration,
) -> None:
    one = calibration.quantiles_log(np.zeros(1, np.int8), MIDDLE, np.zeros(1), np.zeros(1))
    assert one[0, -1] > one[0, 0]


def test_a_car_that_is_harder_to_price_gets_a_wider_interval(
    calibration: IntervalCalibration,
) -> None:
    widths = [
        np.diff(
            calibration.quantiles_log(np.zeros(1, np.int8), MIDDLE, DEVIATION, np.array([hard]))[
                0, [1, -2]
            ]
        )[0]
        for hard in (0.0, np.log(2.0))
    ]
    assert widths[1] == pytest.approx(2 * widths[0])


def test_a_level_with_too_few_cars_takes_the_quantiles_of_the_level_before_it() -> None:
    level, mean, std, difficulty, actual = sample(4)
    found = IntervalCalibration.fit(np.zeros_like(level), mean, std, difficulty, actual)
    complete = found.factors[COMPLETE]
    for wanted in (INCOMPLETE, UNKNOWN_MODEL, UNKNOWN_BRAND):
        assert found.factors[wanted] == complete


def test_intervals_widen_with_the_level_of_information(calibration: IntervalCalibration) -> None:
    one = {
        level: np.diff(
            calibration.quantiles_log(np.array([level], np.int8), MIDDLE, DEVIATION, ORDINARY)[
                0, [1, -2]
            ]
        )[0]
        for level in range(5)
    }
    assert one[COMPLETE] < one[INCOMPLETE] < one[UNKNOWN_MODEL] < one[UNKNOWN_BRAND]
    assert one[OUT_OF_RANGE] == pytest.approx(2 * one[INCOMPLETE])


def test_intervals_of_unknown_brands_are_never_narrower_than_those_of_unknown_models() -> None:
    level, mean, std, difficulty, actual = sample(6)
    near = np.where(level == UNKNOWN_BRAND, mean + 0.1 * (actual - mean), actual)
    found = IntervalCalibration.fit(level, mean, std, difficulty, near)
    assert found.factors[UNKNOWN_BRAND] == found.factors[UNKNOWN_MODEL]


def test_the_interval_extends_downwards_for_a_cheap_car_and_upwards_for_a_dear_one() -> None:
    level, mean, std, difficulty, actual = sample(7)
    found = IntervalCalibration.fit(level, mean, std, difficulty, actual)
    below, above = found.below, found.above
    assert below[0] > 1.1 * above[0]
    assert above[-1] > 1.1 * below[-1]
    assert below[10] == pytest.approx(above[10], rel=0.2)


def test_fewer_of_the_cheapest_cars_are_outside_and_hardly_any_below() -> None:
    level, mean, std, difficulty, actual = sample(9)
    found = IntervalCalibration.fit(np.zeros_like(level), mean, std, difficulty, actual)
    quantiles = found.quantiles_log(np.zeros_like(level), mean, std, difficulty)
    below, above = actual < quantiles[:, 1], actual > quantiles[:, -2]
    tenth = np.searchsorted(np.quantile(mean, np.arange(0.1, 0.95, 0.1)), mean)
    outside = [float((below | above)[tenth == number].mean()) for number in range(10)]
    assert outside[0] < 0.085
    assert 0.09 < outside[4] < 0.115
    assert np.mean(below | above) == pytest.approx(0.10, abs=0.005)
    assert below[tenth == 0].mean() < 0.03
    assert above[tenth == 9].mean() < 0.05


def test_coverage_by_decile_of_the_asking_price_is_as_by_decile_of_the_estimate() -> None:
    rng = np.random.default_rng(8)
    level = np.zeros(ROWS, np.int8)
    std = rng.uniform(0.1, 0.2, ROWS)
    mean = rng.normal(11.8, 0.7, ROWS)
    actual = mean + std * rng.standard_t(5, ROWS)
    none = np.zeros(ROWS)
    calibration = IntervalCalibration.fit(level, mean, std, none, actual)
    quantiles = calibration.quantiles_log(level, mean, std, none)
    inside = (actual >= quantiles[:, 1]) & (actual <= quantiles[:, -2])
    for by in (mean, actual):
        assert min(coverage_by_decile(by, inside)) >= 0.87


def test_cheap_cars_get_wider_intervals_if_their_errors_are_larger() -> None:
    rng = np.random.default_rng(5)
    mean = rng.normal(11.8, 0.7, ROWS)
    std = np.full(ROWS, 0.15)
    actual = mean + std * np.exp(-0.3 * (mean - 11.8)) * rng.standard_normal(ROWS)
    none = np.zeros(ROWS)
    found = IntervalCalibration.fit(np.zeros(ROWS, np.int8), mean, std, none, actual)
    assert found.below[0] > 1.3 * found.below[-1]
    held_out = rng.normal(11.8, 0.7, ROWS)
    strayed = held_out + std * np.exp(-0.3 * (held_out - 11.8)) * rng.standard_normal(ROWS)
    quantiles = found.quantiles_log(np.zeros(ROWS, np.int8), held_out, std, none)
    inside = (strayed >= quantiles[:, 1]) & (strayed <= quantiles[:, -2])
    for cars in (held_out < np.quantile(held_out, 0.1), held_out > np.quantile(held_out, 0.9)):
        assert inside[cars].mean() == pytest.approx(0.9, abs=0.03)


def test_a_calibration_survives_json(calibration: IntervalCalibration) -> None:
    text = json.dumps(calibration.to_json())
    assert IntervalCalibration.from_json(json.loads(text)) == calibration
